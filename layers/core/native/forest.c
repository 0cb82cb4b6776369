/* From a model as it was read to the flat form that the kernel walks. */
#include "forest.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NODES 32766 /* so that twice a place fits in 16 bits */
#define MOST_RANKS 65534 /* one more means: always right */
#define WAYS 6           /* of treating missing values: three types, two default directions */

static void *room(size_t count, size_t size, qs_failure *failure) {
    size_t bytes = count * size;
    /* aligned_alloc wants whole alignments. */
    bytes = (bytes + QS_ALIGNMENT) / QS_ALIGNMENT * QS_ALIGNMENT;
    void *place = aligned_alloc(QS_ALIGNMENT, bytes);
    if (!place) {
        qs_fail(failure, QS_NO_MEMORY, "there is not enough memory to compile it");
        return NULL;
    }
    return memset(place, 0, bytes);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t column_key(const qs_tree *tree, int32_t node) {
    return (size_t)tree->feature[node] * WAYS + (size_t)tree->missing[node] * 2 + tree->default_left[node];
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

/* Columns and their thresholds. `column_of` maps each way of asking for a number to its column plus one. */
static bool number_columns(const qs_model *model, qs_forest *forest, uint32_t *column_of, size_t nodes,
                           size_t categorical, qs_failure *failure) {
    size_t keys = (size_t)model->features * WAYS;
    uint32_t *asked = room(keys, sizeof *asked, failure);
    forest->threshold = room(nodes, sizeof *forest->threshold, failure);
    if (!asked || !forest->threshold) {
        free(asked);
        return false;
    }
    for (int32_t i = 0; i < model->count; i++)
        for (int32_t node = 0; node < model->trees[i].leaves - 1; node++)
            if (!model->trees[i].categorical[node]) asked[column_key(&model->trees[i], node)]++;
    uint32_t columns = 0, first = 0;
    for (size_t key = 0; key < keys; key++) columns += asked[key] > 0;
    forest->column = room(columns + categorical, sizeof *forest->column, failure);
    for (size_t key = 0; forest->column && key < keys; key++) {
        if (!asked[key]) continue;
        forest->column[forest->columns] = (qs_column){
            .feature = (int32_t)(key / WAYS), .missing = (uint8_t)(key % WAYS / 2), .default_left = key % 2, .first = first};
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

/* What is known of a tree while it is compiled; one value per node or per edge (2 x node + side), as it was read. */
typedef struct {
    double *merged;    /* per edge: product of the shares of all edges up to here that asked for the same feature */
    int32_t *same;     /* per node: the nearest edge above with its feature, or -1 */
    int32_t *last;     /* per feature: the nearest edge on the present path, or -1 */
    int32_t *order;    /* nodes, parents before children */
    int32_t *place;    /* per node */
    uint16_t *inverse; /* per edge: its vector of inverses, once a node needs one */
    int32_t *path;
} workshop;

static int32_t count_of(const qs_tree *tree, int32_t child) {
    return child < 0 ? tree->leaf_count[~child] : tree->internal_count[child];
}

/* Walk the tree once. Returns the most distinct features on any path, or -1 with `failure` filled. */
static int32_t survey(const qs_tree *tree, workshop *w, qs_failure *failure) {
    int32_t distinct = 0, most = 0, visited = 0, depth = 0;
    /* An entry is 3 x node + how many of its sides are done. */
    w->path[depth++] = 0;
    while (depth) {
        int32_t node = w->path[depth - 1] / 3, side = w->path[depth - 1] % 3, feature = tree->feature[node];
        if (side == 0) {
            int64_t left = count_of(tree, tree->left[node]), right = count_of(tree, tree->right[node]);
            if (left < 1 || right < 1 || left + right != tree->internal_count[node]) {
                qs_fail(failure, QS_UNSUPPORTED, "the row counts of a node do not add up");
                return -1;
            }
            w->order[visited++] = node;
            w->same[node] = w->last[feature];
            distinct += w->same[node] < 0;
            if (distinct > most) most = distinct;
        }
        if (side == 2) {
            w->last[feature] = w->same[node];
            distinct -= w->same[node] < 0;
            depth--;
            continue;
        }
        int32_t child = side ? tree->right[node] : tree->left[node], edge = 2 * node + side;
        double share = (double)count_of(tree, child) / tree->internal_count[node];
        w->merged[edge] = w->same[node] < 0 ? share : share * w->merged[w->same[node]];
        w->last[feature] = edge;
        w->path[depth - 1]++;
        if (child >= 0) w->path[depth++] = 3 * child;
    }
    return most;
}

static bool is_cherry(const qs_tree *tree, int32_t node) { return tree->left[node] < 0 && tree->right[node] < 0; }

/* Give each node its place, and write nodes, leaves and inverses behind those of the trees before. */
static void emit(const qs_tree *tree, workshop *w, const uint32_t *column_of, const qs_group *group, int lanes,
                 qs_forest *forest, qs_flat_tree *flat, uint32_t *category_word) {
    int32_t nodes = tree->leaves - 1, cherries = 0, inner = 0;
    for (int32_t i = 0; i < nodes; i++) cherries += is_cherry(tree, i);
    flat->cherries = (uint16_t)cherries;
    flat->inner = (uint16_t)(nodes - cherries);
    cherries = 0;
    for (int32_t i = 0; i < nodes; i++) {
        int32_t node = w->order[i];
        w->place[node] = is_cherry(tree, node) ? flat->inner + cherries++ : inner++;
    }
    double *leaf = forest->leaf_value + flat->leaf;
    double *inverses = forest->inverse + (size_t)flat->inverse;
    for (int q = 0; q < lanes; q++) inverses[lanes + q] = 1; /* vector 0 stays zero, vector 1 is one */
    uint16_t vectors = 2, hung = 0;
    memset(w->inverse, 0, 2 * (size_t)nodes * sizeof *w->inverse);
    for (int32_t i = 0; i < nodes; i++) {
        int32_t node = w->order[i], same = w->same[node];
        int32_t child[2] = {tree->left[node], tree->right[node]};
        qs_node *out = forest->node + flat->node + w->place[node];
        out->feature = (uint16_t)tree->feature[node];
        for (int side = 0; side < 2; side++) {
            out->share[side] = (double)count_of(tree, child[side]) / tree->internal_count[node];
            if (is_cherry(tree, node)) continue;
            out->child[side] = (uint16_t)(child[side] < 0 ? nodes + hung : w->place[child[side]]);
            if (child[side] < 0) leaf[hung++] = tree->leaf_value[~child[side]];
        }
        out->same_edge = (uint16_t)(2 * nodes);
        out->inverse = 1;
        if (same >= 0) {
            if (!w->inverse[same]) {
                w->inverse[same] = vectors;
                double z = w->merged[same], *vector = inverses + (size_t)vectors++ * (size_t)lanes;
                for (int q = 0; q < lanes; q++) vector[q] = 1 / (z * (1 - group->t[q]) + group->t[q]);
            }
            out->same_edge = (uint16_t)(2 * w->place[same / 2] + same % 2);
            out->inverse = w->inverse[same];
        }
        if (tree->categorical[node]) {
            int32_t set = (int32_t)tree->threshold[node];
            uint32_t words = (uint32_t)(tree->category_bounds[set + 1] - tree->category_bounds[set]);
            memcpy(forest->category_bits + *category_word, tree->category_bits + tree->category_bounds[set],
                   words * sizeof *tree->category_bits);
            out->column = forest->columns;
            forest->column[forest->columns++] = (qs_column){
                .feature = tree->feature[node], .categorical = 1, .first = *category_word, .count = words};
            *category_word += words;
        } else {
            out->column = column_of[column_key(tree, node)] - 1;
            out->rank = (uint16_t)rank_of(forest, &forest->column[out->column], tree->threshold[node]);
        }
    }
    flat->hung = hung;
    for (int32_t i = 0; i < nodes; i++)
        if (is_cherry(tree, i)) {
            double *pair = leaf + hung + 2 * (w->place[i] - flat->inner);
            pair[0] = tree->leaf_value[~tree->left[i]];
            pair[1] = tree->leaf_value[~tree->right[i]];
        }
}

/* LightGBM's Tree::ExpectedValue: the mean of the leaves over the rows of training. */
static double expected_value(const qs_tree *tree) {
    if (tree->leaves == 1) return tree->leaf_value[0];
    double sum = 0;
    for (int32_t i = 0; i < tree->leaves; i++)
        sum += (double)tree->leaf_count[i] / tree->internal_count[0] * tree->leaf_value[i];
    return sum;
}

static int group_of(int32_t distinct) {
    int group = 0;
    while (group < QS_GROUPS && 2 * qs_lanes[group] < distinct) group++;
    return group;
}

static bool compile(const qs_model *model, qs_forest *forest, workshop *w, uint32_t *column_of, qs_failure *failure) {
    size_t nodes = 0, leaves = 0, categorical = 0, words = 0, inverses = 0;
    int32_t distinct;
    forest->features = model->features;
    forest->outputs = model->outputs;
    for (int32_t i = 0; i < model->count; i++) {
        const qs_tree *tree = &model->trees[i];
        int32_t tree_nodes = tree->leaves - 1, sets = 0;
        if (tree_nodes > MOST_NODES) return qs_fail(failure, QS_UNSUPPORTED, "a tree has more than %d leaves", MOST_NODES);
        for (int32_t node = 0; node < tree_nodes; node++) {
            if (!tree->categorical[node]) continue;
            int32_t set = (int32_t)tree->threshold[node];
            words += (size_t)(tree->category_bounds[set + 1] - tree->category_bounds[set]);
            sets++;
        }
        nodes += (size_t)tree_nodes;
        leaves += (size_t)tree->leaves;
        categorical += (size_t)sets;
    }
    if (nodes > UINT32_MAX / 2 || words > UINT32_MAX / 2)
        return qs_fail(failure, QS_UNSUPPORTED, "it has too many nodes");
    if (!number_columns(model, forest, column_of, nodes, categorical, failure)) return false;

    /* Sizes first: which quadrature each tree needs, and how many inverses. */
    int32_t in_group[QS_GROUPS] = {0};
    int *group = room((size_t)model->count, sizeof *group, failure);
    if (!group) return false;
    for (int32_t i = 0; i < model->count && failure->status == QS_OK; i++) {
        const qs_tree *tree = &model->trees[i];
        group[i] = -1;
        if (tree->leaves == 1) continue;
        distinct = survey(tree, w, failure);
        if (distinct < 0) break;
        group[i] = group_of(distinct);
        if (group[i] == QS_GROUPS) {
            qs_fail(failure, QS_UNSUPPORTED, "a path asks for more than %d features", 2 * QS_MOST_LANES);
            break;
        }
        in_group[group[i]]++;
        memset(w->inverse, 0, 2 * (size_t)tree->leaves * sizeof *w->inverse);
        size_t vectors = 2;
        for (int32_t node = 0; node < tree->leaves - 1; node++)
            if (w->same[node] >= 0 && !w->inverse[w->same[node]]) w->inverse[w->same[node]] = 1, vectors++;
        inverses += vectors * (size_t)qs_lanes[group[i]];
    }
    forest->node = room(nodes, sizeof *forest->node, failure);
    forest->leaf_value = room(leaves, sizeof(double), failure);
    forest->inverse = room(inverses, sizeof(double), failure);
    forest->category_bits = room(words, sizeof *forest->category_bits, failure);
    forest->expected = room((size_t)model->outputs, sizeof(double), failure);
    if (inverses > UINT32_MAX) qs_fail(failure, QS_UNSUPPORTED, "it has too many nodes");
    for (int g = 0; g < QS_GROUPS; g++) {
        forest->group[g].tree = room((size_t)in_group[g], sizeof *forest->group[g].tree, failure);
        if (!in_group[g]) continue;
        qs_quadrature(qs_lanes[g], forest->group[g].t, forest->group[g].weight);
        for (int q = 0; q < qs_lanes[g]; q++) forest->group[g].weight[q] /= 1 - forest->group[g].t[q];
    }
    uint32_t node = 0, leaf = 0, inverse = 0, word = 0;
    for (int32_t i = 0; i < model->count && failure->status == QS_OK; i++) {
        const qs_tree *tree = &model->trees[i];
        forest->expected[i % model->outputs] += expected_value(tree);
        if (group[i] < 0) continue;
        qs_group *g = &forest->group[group[i]];
        qs_flat_tree *flat = &g->tree[g->trees++];
        *flat = (qs_flat_tree){.node = node, .leaf = leaf, .inverse = inverse, .output = (uint16_t)(i % model->outputs)};
        survey(tree, w, failure);
        emit(tree, w, column_of, g, qs_lanes[group[i]], forest, flat, &word);
        int32_t places = tree->leaves - 1 + flat->hung;
        if (places > forest->most_places) forest->most_places = places;
        node += (uint32_t)tree->leaves - 1;
        leaf += (uint32_t)tree->leaves;
        size_t vectors = 2;
        for (int32_t edge = 0; edge < 2 * (tree->leaves - 1); edge++) vectors += w->inverse[edge] > 0;
        inverse += (uint32_t)(vectors * (size_t)qs_lanes[group[i]]);
    }
    free(group);
    return failure->status == QS_OK;
}

int qs_forest_compile(const char *text, size_t length, qs_forest **forest, char *message, size_t message_size) {
    qs_failure failure = {.message = message, .message_size = message_size};
    qs_model model;
    *forest = NULL;
    if (message_size) *message = 0;
    if (qs_model_read(text, length, &model, &failure)) {
        size_t most = 1, features = (size_t)model.features;
        for (int32_t i = 0; i < model.count; i++)
            if ((size_t)model.trees[i].leaves > most) most = (size_t)model.trees[i].leaves;
        qs_forest *made = room(1, sizeof *made, &failure);
        uint32_t *column_of = room(features * WAYS, sizeof *column_of, &failure);
        workshop w = {
            .merged = room(2 * most, sizeof *w.merged, &failure),
            .same = room(most, sizeof *w.same, &failure),
            .last = room(features, sizeof *w.last, &failure),
            .order = room(most, sizeof *w.order, &failure),
            .place = room(most, sizeof *w.place, &failure),
            .inverse = room(2 * most, sizeof *w.inverse, &failure),
            .path = room(most + 1, sizeof *w.path, &failure),
        };
        if (failure.status == QS_OK) {
            memset(w.last, 0xff, features * sizeof *w.last); /* -1: on no path yet */
            if (compile(&model, made, &w, column_of, &failure)) *forest = made, made = NULL;
        }
        qs_forest_free(made);
        void *places[] = {column_of, w.merged, w.same, w.last, w.order, w.place, w.inverse, w.path};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) free(places[i]);
    }
    qs_model_release(&model);
    return failure.status;
}

void qs_forest_free(qs_forest *forest) {
    if (!forest) return;
    void *places[] = {forest->column, forest->threshold,  forest->category_bits, forest->node,
                      forest->leaf_value, forest->inverse, forest->expected};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) free(places[i]);
    for (int g = 0; g < QS_GROUPS; g++) free(forest->group[g].tree);
    free(forest);
}

int32_t qs_forest_features(const qs_forest *forest) { return forest->features; }

int32_t qs_forest_outputs(const qs_forest *forest) { return forest->outputs; }
