/* The flat form of a model: what the kernel walks. */
#ifndef QS_FOREST_H
#define QS_FOREST_H

#include "model_text.h"

/* Quadrature sizes there are, in lanes of doubles. Q lanes are exact up to 2Q distinct features on a path. */
#define QS_GROUPS 6
static const int qs_lanes[QS_GROUPS] = {4, 8, 12, 16, 32, 64};
#define QS_MOST_LANES 64
#define QS_ALIGNMENT 64

/* A column is a question's subject: a feature with one way of treating missing values, or one set of categories.
 * A row becomes one small integer per column, its rank, and a node sends it right where that exceeds the node's. */
typedef struct {
    int32_t feature;
    uint8_t categorical, default_left, missing;
    uint32_t first, count; /* its thresholds, rising, or the words of its bitset */
} qs_column;

/* An internal node. Places are of the tree's own: first its inner nodes, parents before children, then its
 * cherries (nodes with two leaves), then the leaves that hang on inner nodes. */
typedef struct {
    double share[2]; /* of the node's training rows, that went left and right */
    uint32_t column;
    uint16_t rank, feature;
    uint16_t child[2];  /* places; of a cherry, unused */
    uint16_t same_edge; /* the nearest edge above that asked for the same feature: 2 x place + side */
    uint16_t inverse;   /* which vector of the tree's inverses belongs to that edge */
} qs_node;

typedef struct {
    uint32_t node, leaf, inverse; /* where its nodes, its leaves' values and its inverses (in lanes) begin */
    uint16_t inner, cherries, hung; /* hung: leaves on inner nodes */
    uint16_t output;
} qs_flat_tree;

typedef struct {
    int32_t trees;
    qs_flat_tree *tree;
    _Alignas(QS_ALIGNMENT) double t[QS_MOST_LANES]; /* quadrature nodes in (0, 1) */
    double weight[QS_MOST_LANES]; /* their weights, each over 1 - t */
} qs_group;

struct qs_forest {
    int32_t features, outputs;
    uint32_t columns;
    qs_column *column;
    double *threshold;
    uint32_t *category_bits;
    qs_node *node;
    double *leaf_value, *inverse;
    double *expected; /* per output */
    int32_t most_places;
    qs_group group[QS_GROUPS];
};

/* `count` zeroed places, aligned. NULL with `failure` filled. */
void *qs_room(size_t count, size_t size, qs_failure *failure);

#define QS_WAYS 6 /* of treating missing values: three types, two default directions */

/* Make the columns and thresholds of all nodes that ask for numbers, and room for those of `sets` sets of categories.
 * `column_of` has features x QS_WAYS places, and maps each way of asking for a number to its column plus one. */
bool qs_number_columns(const qs_model *model, qs_forest *forest, uint32_t *column_of, size_t nodes, size_t sets,
                       qs_failure *failure);

/* What a node asks: its column and the rank that goes left. A set of categories becomes a new column, its words
 * written at *category_word, which moves behind them. */
void qs_write_question(const qs_tree *tree, int32_t node, const uint32_t *column_of, qs_forest *forest,
                       uint32_t *category_word, qs_node *out);

/* Gauss-Legendre nodes and weights on (0, 1). */
void qs_quadrature(int count, double *t, double *weight);

#endif
