/* The questions of a model as columns, so that a row is ranked once per column and not compared at each node. */
#include "forest.h"

#include <stdlib.h>
#include <string.h>

#define MOST_RANKS 65534 /* one more means: always right */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t column_key(const qs_tree *tree, int32_t node) {
    return (size_t)tree->feature[node] * QS_WAYS + (size_t)tree->missing[node] * 2 + tree->default_left[node];
}

static uint32_t rank_of(const qs_forest *forest, const qs_column *column, double threshold) {
    const double *values = forest->threshold + column->first;
    uint32_t low = 0, high = column->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (values[middle] < threshold) low = middle + 1;
        else high = middle;
    }
    return low;
}

bool qs_number_columns(const qs_model *model, qs_forest *forest, uint32_t *column_of, size_t nodes, size_t sets,
                       qs_failure *failure) {
    size_t keys = (size_t)model->features * QS_WAYS;
    uint32_t *asked = qs_room(keys, sizeof *asked, failure);
    forest->threshold = qs_room(nodes, sizeof *forest->threshold, failure);
    if (!asked || !forest->threshold) {
        free(asked);
        return false;
    }
    for (int32_t i = 0; i < model->count; i++)
        for (int32_t node = 0; node < model->trees[i].leaves - 1; node++)
            if (!model->trees[i].categorical[node]) asked[column_key(&model->trees[i], node)]++;
    uint32_t columns = 0, first = 0;
    for (size_t key = 0; key < keys; key++) columns += asked[key] > 0;
    forest->column = qs_room(columns + sets, sizeof *forest->column, failure);
    for (size_t key = 0; forest->column && key < keys; key++) {
        if (!asked[key]) continue;
        forest->column[forest->columns] = (qs_column){
            .feature = (int32_t)(key / QS_WAYS),
            .missing = (uint8_t)(key % QS_WAYS / 2),
            .default_left = key % 2,
            .first = first,
        };
        column_of[key] = ++forest->columns;
        first += asked[key];
    }
    free(asked);
    if (!forest->column) return false;
    for (int32_t i = 0; i < model->count; i++)
        for (int32_t node = 0; node < model->trees[i].leaves - 1; node++) {
            const qs_tree *tree = &model->trees[i];
            if (tree->categorical[node]) continue;
            qs_column *column = &forest->column[column_of[column_key(tree, node)] - 1];
            forest->threshold[column->first + column->count++] = tree->threshold[node];
        }
    for (uint32_t i = 0; i < forest->columns; i++) {
        qs_column *column = &forest->column[i];
        double *values = forest->threshold + column->first;
        qsort(values, column->count, sizeof *values, by_value);
        uint32_t distinct = 0;
        for (uint32_t j = 0; j < column->count; j++)
            if (!j || values[j] != values[distinct - 1]) values[distinct++] = values[j];
        column->count = distinct;
        if (distinct > MOST_RANKS)
            return qs_fail(failure, QS_UNSUPPORTED, "feature %d is split at more than %d values", column->feature,
                           MOST_RANKS);
    }
    return true;
}

void qs_write_question(const qs_tree *tree, int32_t node, const uint32_t *column_of, qs_forest *forest,
                       uint32_t *category_word, qs_node *out) {
    out->feature = (uint16_t)tree->feature[node];
    if (!tree->categorical[node]) {
        out->column = column_of[column_key(tree, node)] - 1;
        out->rank = (uint16_t)rank_of(forest, &forest->column[out->column], tree->threshold[node]);
        return;
    }
    const int32_t *bounds = tree->category_bounds + (int32_t)tree->threshold[node];
    uint32_t words = (uint32_t)(bounds[1] - bounds[0]);
    memcpy(forest->category_bits + *category_word, tree->category_bits + bounds[0], words * sizeof(uint32_t));
    out->column = forest->columns;
    forest->column[forest->columns++] =
        (qs_column){.feature = tree->feature[node], .categorical = 1, .first = *category_word, .count = words};
    *category_word += words;
}
