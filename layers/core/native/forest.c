/* From a model as it was read to the flat form that the kernel walks. */
#include "forest.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NODES 32766 /* of a tree, so that an edge, a place and a vector of inverses each fit in 16 bits */
#define MOST_TOTALS (1 << 24) /* outputs x features: a row's scratch area stays below 8 GiB */

void *qs_room(size_t count, size_t size, qs_failure *failure) {
    /* aligned_alloc wants whole alignments. */
    size_t bytes = count <= (SIZE_MAX - QS_ALIGNMENT) / size ? (count * size / QS_ALIGNMENT + 1) * QS_ALIGNMENT : 0;
    void *place = bytes ? aligned_alloc(QS_ALIGNMENT, bytes) : NULL;
    if (!place) {
        qs_fail(failure, QS_NO_MEMORY, "there is not enough memory to compile it");
        return NULL;
    }
    return memset(place, 0, bytes);
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

/* How many vectors of inverses the surveyed tree needs: zeros, ones, and one per edge that is asked about again. */
static uint32_t count_inverses(const qs_tree *tree, workshop *w) {
    uint32_t vectors = 2;
    memset(w->inverse, 0, 2 * (size_t)tree->leaves * sizeof *w->inverse);
    for (int32_t node = 0; node < tree->leaves - 1; node++) {
        if (w->same[node] < 0 || w->inverse[w->same[node]]) continue;
        w->inverse[w->same[node]] = 1;
        vectors++;
    }
    return vectors;
}

/* Inner nodes first, then cherries, both parents before children. */
static void place_nodes(const qs_tree *tree, workshop *w, qs_flat_tree *flat) {
    int32_t nodes = tree->leaves - 1, cherries = 0, inner = 0;
    for (int32_t i = 0; i < nodes; i++) cherries += is_cherry(tree, i);
    flat->cherries = (uint16_t)cherries;
    flat->inner = (uint16_t)(nodes - cherries);
    cherries = 0;
    for (int32_t i = 0; i < nodes; i++) {
        int32_t node = w->order[i];
        w->place[node] = is_cherry(tree, node) ? flat->inner + cherries++ : inner++;
    }
}

/* The edge above that asked for the same feature, and its inverses: new ones where no node needed them yet. */
static void write_inverse(const qs_tree *tree, int32_t node, const qs_group *group, int lanes, double *inverses,
                          uint16_t *vectors, workshop *w, qs_node *out) {
    int32_t same = w->same[node];
    if (same < 0) {
        out->same_edge = (uint16_t)(2 * (tree->leaves - 1)); /* the one that is always followed */
        out->inverse = 1;
        return;
    }
    if (!w->inverse[same]) {
        w->inverse[same] = *vectors;
        double z = w->merged[same], *vector = inverses + (size_t)(*vectors)++ * (size_t)lanes;
        for (int q = 0; q < lanes; q++) vector[q] = 1 / (z * (1 - group->t[q]) + group->t[q]);
    }
    out->same_edge = (uint16_t)(2 * w->place[same / 2] + same % 2);
    out->inverse = w->inverse[same];
}

/* Write the surveyed tree's nodes, leaves and inverses behind those of the trees before. */
static void emit(const qs_tree *tree, workshop *w, const uint32_t *column_of, const qs_group *group, int lanes,
                 qs_forest *forest, qs_flat_tree *flat, uint32_t *category_word) {
    place_nodes(tree, w, flat);
    int32_t nodes = tree->leaves - 1;
    double *leaf = forest->leaf_value + flat->leaf, *inverses = forest->inverse + flat->inverse;
    for (int q = 0; q < lanes; q++) inverses[lanes + q] = 1; /* vector 0 stays zero, vector 1 is one */
    uint16_t vectors = 2;
    memset(w->inverse, 0, 2 * (size_t)nodes * sizeof *w->inverse);
    for (int32_t i = 0; i < nodes; i++) {
        int32_t node = w->order[i];
        int32_t child[2] = {tree->left[node], tree->right[node]};
        qs_node *out = forest->node + flat->node + w->place[node];
        qs_write_question(tree, node, column_of, forest, category_word, out);
        write_inverse(tree, node, group, lanes, inverses, &vectors, w, out);
        for (int side = 0; side < 2; side++) {
            out->share[side] = (double)count_of(tree, child[side]) / tree->internal_count[node];
            if (is_cherry(tree, node)) continue;
            out->child[side] = (uint16_t)(child[side] < 0 ? nodes + flat->hung : w->place[child[side]]);
            if (child[side] < 0) leaf[flat->hung++] = tree->leaf_value[~child[side]];
        }
    }
    for (int32_t i = 0; i < nodes; i++) {
        if (!is_cherry(tree, i)) continue;
        double *pair = leaf + flat->hung + 2 * (w->place[i] - flat->inner);
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

/* How much of everything there is to write. */
typedef struct {
    size_t nodes, leaves, sets, words, inverses;
    int32_t trees[QS_GROUPS];
} amounts;

static bool count_up(const qs_model *model, amounts *all, qs_failure *failure) {
    for (int32_t i = 0; i < model->count; i++) {
        const qs_tree *tree = &model->trees[i];
        if (tree->leaves - 1 > MOST_NODES)
            return qs_fail(failure, QS_UNSUPPORTED, "a tree has more than %d leaves", MOST_NODES + 1);
        all->nodes += (size_t)tree->leaves - 1;
        all->leaves += (size_t)tree->leaves;
        for (int32_t node = 0; node < tree->leaves - 1; node++) {
            if (!tree->categorical[node]) continue;
            const int32_t *bounds = tree->category_bounds + (int32_t)tree->threshold[node];
            all->words += (size_t)(bounds[1] - bounds[0]);
            all->sets++;
        }
    }
    return true;
}

static int group_of(int32_t distinct) {
    int group = 0;
    while (group < QS_GROUPS && 2 * qs_lanes[group] < distinct) group++;
    return group;
}

/* Which quadrature each tree needs, in `group` (-1: none, for a single leaf), and how many inverses all of them. */
static bool choose_groups(const qs_model *model, workshop *w, int *group, amounts *all, qs_failure *failure) {
    for (int32_t i = 0; i < model->count; i++) {
        const qs_tree *tree = &model->trees[i];
        group[i] = -1;
        if (tree->leaves == 1) continue;
        int32_t distinct = survey(tree, w, failure);
        if (distinct < 0) return false;
        group[i] = group_of(distinct);
        if (group[i] == QS_GROUPS)
            /* Not left to LightGBM: its recurrence has lost all its digits on such a path. */
            return qs_fail(failure, QS_REFUSED, "a path asks for more than %d features, so nobody can explain it",
                           2 * QS_MOST_LANES);
        all->trees[group[i]]++;
        all->inverses += (size_t)count_inverses(tree, w) * (size_t)qs_lanes[group[i]];
    }
    return all->inverses <= UINT32_MAX || qs_fail(failure, QS_UNSUPPORTED, "it has too many nodes");
}

static bool make_room(const qs_model *model, const amounts *all, qs_forest *forest, qs_failure *failure) {
    forest->node = qs_room(all->nodes, sizeof *forest->node, failure);
    forest->leaf_value = qs_room(all->leaves, sizeof(double), failure);
    forest->inverse = qs_room(all->inverses, sizeof(double), failure);
    forest->category_bits = qs_room(all->words, sizeof *forest->category_bits, failure);
    forest->expected = qs_room((size_t)model->outputs, sizeof(double), failure);
    for (int g = 0; g < QS_GROUPS; g++)
        forest->group[g].tree = qs_room((size_t)all->trees[g], sizeof *forest->group[g].tree, failure);
    return failure->status == QS_OK;
}

static void emit_all(const qs_model *model, const int *group, const amounts *all, workshop *w,
                     const uint32_t *column_of, qs_forest *forest, qs_failure *failure) {
    for (int g = 0; g < QS_GROUPS; g++) {
        if (!all->trees[g]) continue;
        qs_quadrature(qs_lanes[g], forest->group[g].t, forest->group[g].weight);
        for (int q = 0; q < qs_lanes[g]; q++) forest->group[g].weight[q] /= 1 - forest->group[g].t[q];
    }
    uint32_t node = 0, leaf = 0, inverse = 0, word = 0;
    for (int32_t i = 0; i < model->count; i++) {
        const qs_tree *tree = &model->trees[i];
        uint16_t output = (uint16_t)(i % model->outputs);
        forest->expected[output] += expected_value(tree);
        if (group[i] < 0) continue;
        qs_group *g = &forest->group[group[i]];
        qs_flat_tree *flat = &g->tree[g->trees++];
        *flat = (qs_flat_tree){.node = node, .leaf = leaf, .inverse = inverse, .output = output};
        survey(tree, w, failure); /* a second time: the workshop holds one tree */
        inverse += count_inverses(tree, w) * (uint32_t)qs_lanes[group[i]];
        node += (uint32_t)tree->leaves - 1;
        leaf += (uint32_t)tree->leaves;
        emit(tree, w, column_of, g, qs_lanes[group[i]], forest, flat, &word);
        int32_t places = tree->leaves - 1 + flat->hung;
        if (places > forest->most_places) forest->most_places = places;
    }
}

static bool compile(const qs_model *model, qs_forest *forest, workshop *w, uint32_t *column_of, qs_failure *failure) {
    amounts all = {0};
    forest->features = model->features;
    forest->outputs = model->outputs;
    if (model->features > MOST_TOTALS / model->outputs)
        return qs_fail(failure, QS_UNSUPPORTED, "it has too many features for its outputs");
    int *group = qs_room((size_t)model->count, sizeof *group, failure);
    if (group && count_up(model, &all, failure) &&
        qs_number_columns(model, forest, column_of, all.nodes, all.sets, failure) &&
        choose_groups(model, w, group, &all, failure) && make_room(model, &all, forest, failure))
        emit_all(model, group, &all, w, column_of, forest, failure);
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
        qs_forest *made = qs_room(1, sizeof *made, &failure);
        uint32_t *column_of = qs_room(features * QS_WAYS, sizeof *column_of, &failure);
        workshop w = {
            .merged = qs_room(2 * most, sizeof *w.merged, &failure),
            .same = qs_room(most, sizeof *w.same, &failure),
            .last = qs_room(features, sizeof *w.last, &failure),
            .order = qs_room(most, sizeof *w.order, &failure),
            .place = qs_room(most, sizeof *w.place, &failure),
            .inverse = qs_room(2 * most, sizeof *w.inverse, &failure),
            .path = qs_room(most + 1, sizeof *w.path, &failure),
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
