/* A LightGBM model text, read without trust: what is returned is whole, in bounds, and a forest of proper trees. */
#ifndef QS_MODEL_TEXT_H
#define QS_MODEL_TEXT_H

#include <stdbool.h>

#include "quicksilver.h"

enum qs_missing { QS_MISSING_NONE = 0, QS_MISSING_ZERO = 1, QS_MISSING_NAN = 2 };

/* One tree. A child is an internal node (>= 0) or the complement of a leaf (< 0), as LightGBM writes it. */
typedef struct {
    int32_t leaves;
    int32_t *feature, *left, *right; /* leaves - 1 each */
    int32_t *leaf_count, *internal_count;
    double *threshold, *leaf_value;
    uint8_t *categorical, *default_left, *missing; /* per internal node */
    uint32_t *category_bits;  /* bitsets of all categorical nodes, one after the other */
    int32_t *category_bounds; /* categorical node i owns the words [bounds[i], bounds[i + 1]) */
} qs_tree;

typedef struct {
    int32_t features, outputs, count;
    qs_tree *trees;
} qs_model;

typedef struct {
    int status;
    char *message;
    size_t message_size;
} qs_failure;

/* Fill `model`. Returns false with `failure` filled; qs_model_release frees what was read in both cases. */
bool qs_model_read(const char *text, size_t length, qs_model *model, qs_failure *failure);

void qs_model_release(qs_model *model);

/* Record why, and return false. The first failure stays. */
bool qs_fail(qs_failure *failure, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
