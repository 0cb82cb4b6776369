/* Exact path-dependent TreeSHAP in two short passes over each tree.
 *
 * The game. A coalition S of features is worth v(S) = sum over leaves of value x product over the features j on the
 * leaf's path of (o_j if j is in S, else z_j): o_j is 1 where the row follows all of the path's questions about j,
 * else 0, and z_j is the product of their shares of the training rows (Lundberg et al., From local explanations to
 * global understanding with explainable AI for trees, 2020, algorithm 1). If each feature joins with probability t,
 * the expected worth is a polynomial in t, and the Shapley value of a feature is the integral of its derivative by
 * that feature over t in (0, 1) (Owen, Multilinear extensions of games, 1972). For one leaf that is
 *
 *     value x (o_i - z_i) x integral of product over j != i of ((1 - t) z_j + t o_j) dt,
 *
 * a polynomial of a degree below the number of features on the path, so Gauss-Legendre quadrature is exact. Linear
 * TreeSHAP (Yu et al., 2022) sums the same polynomials in another basis.
 *
 * The recurrence. At a node that asks for a feature, let P be the product of all factors above, z what that feature's
 * factor has as z so far (1 where nobody asked before), r = 1 / ((1 - t) z + t) the inverse of that factor if the row
 * has followed so far, c the share of the child the row does not take (the cold one; the hot one has 1 - c), and A
 * the value-weighted sum of factors that each child's side returns, relative to its own P. With
 *
 *     k = c (1 - t r)      [= c (1 - t) z r: the cold child's factor over the node's]
 *
 *     P_cold = P k         P_hot = P - P_cold
 *     A_node = A_hot - k (A_hot - A_cold)
 *     the feature gains    P_cold r (A_hot - A_cold) / (1 - t)
 *
 * The last line is the sum of what both sides gain by the integral's formula, less what a question above about the
 * same feature counts twice; all other terms cancel. Where the row left such a question's way before, its o is 0
 * for good: both children keep their shares, and nothing is gained. That is the same recurrence with r = 0. So a
 * node costs a few products in each lane, no division and no branch: hot and cold are indices.
 */
#include "forest.h"

#include <string.h>

typedef double vec __attribute__((vector_size(32), may_alias));
#define VEC 4

typedef struct {
    uint16_t *rank;   /* per column */
    int32_t *code;    /* per feature, its category */
    uint8_t *followed; /* per edge of the tree at hand, and one more that is always followed */
    uint16_t *hot, *cold;
    double *reach;    /* P, per place, in lanes */
    double *factor;   /* k, per inner node */
    double *gain;     /* P_cold r, per inner node */
    double *value;    /* A, per place */
    double *total;    /* per output and feature */
} scratch_areas;

static size_t take(size_t *used, size_t bytes) {
    size_t start = *used;
    *used += (bytes + QS_ALIGNMENT - 1) / QS_ALIGNMENT * QS_ALIGNMENT;
    return start;
}

static int most_lanes(const qs_forest *forest) {
    int most = qs_lanes[0];
    for (int g = 0; g < QS_GROUPS; g++)
        if (forest->group[g].trees) most = qs_lanes[g];
    return most;
}

/* Where each area begins in the scratch area, and the size of them all. */
typedef struct {
    size_t rank, code, followed, hot, cold, reach, factor, gain, value, total, bytes;
} layout;

static layout lay_out(const qs_forest *forest) {
    const size_t places = (size_t)forest->most_places, lanes = (size_t)most_lanes(forest) * sizeof(double);
    const size_t features = (size_t)forest->features;
    layout l = {0};
    l.rank = take(&l.bytes, forest->columns * sizeof(uint16_t));
    l.code = take(&l.bytes, features * sizeof(int32_t));
    l.followed = take(&l.bytes, 2 * places + 1);
    l.hot = take(&l.bytes, places * sizeof(uint16_t));
    l.cold = take(&l.bytes, places * sizeof(uint16_t));
    l.reach = take(&l.bytes, places * lanes);
    l.factor = take(&l.bytes, places * lanes);
    l.gain = take(&l.bytes, places * lanes);
    l.value = take(&l.bytes, places * lanes);
    l.total = take(&l.bytes, (size_t)forest->outputs * features * lanes);
    return l;
}

size_t qs_forest_scratch_bytes(const qs_forest *forest) { return lay_out(forest).bytes; }

/* How many of a column's thresholds lie below a value: it goes left of those that do not. */
static uint16_t number_rank(const qs_forest *forest, const qs_column *column, double value) {
    /* LightGBM's Tree::NumericalDecision: NaN is zero unless it is the missing value. And zero has a width, because
     * a row reaches the trees without its zeros (RowPairFunctionFromDenseMatric). */
    const double zero = (double)1e-35f; /* kZeroThreshold */
    const int absent = value != value;
    if ((absent && column->missing != QS_MISSING_NAN) || (value >= -zero && value <= zero)) value = 0;
    if (column->missing == QS_MISSING_NAN ? absent : column->missing == QS_MISSING_ZERO && value == 0)
        return column->default_left ? 0 : UINT16_MAX;
    const double *low = forest->threshold + column->first;
    uint32_t count = column->count;
    while (count > 1) {
        uint32_t half = count / 2;
        low += (low[half - 1] < value) ? half : 0;
        count -= half;
    }
    return (uint16_t)(low - (forest->threshold + column->first) + (*low < value));
}

/* LightGBM's Tree::CategoricalDecision: a category of the set goes left, any other and NaN go right. */
static uint16_t category_rank(const qs_forest *forest, const qs_column *column, int32_t code) {
    uint32_t word = (uint32_t)code / 32;
    if (code < 0 || word >= column->count) return 1;
    return !(forest->category_bits[column->first + word] >> code % 32 & 1);
}

static void rank_row(const qs_forest *forest, const double *row, const scratch_areas *areas) {
    for (int32_t i = 0; i < forest->features; i++)
        areas->code[i] = row[i] > -1 && row[i] < 2147483648.0 ? (int32_t)row[i] : -1;
    for (uint32_t i = 0; i < forest->columns; i++) {
        const qs_column *column = &forest->column[i];
        areas->rank[i] = column->categorical ? category_rank(forest, column, areas->code[column->feature])
                                             : number_rank(forest, column, row[column->feature]);
    }
}

/* One tree, in `lanes` lanes: a constant at each call, so that the loops over lanes unroll. */
static inline __attribute__((always_inline)) void walk(const qs_forest *forest, const qs_group *group,
                                                       const qs_flat_tree *tree, const scratch_areas *areas, int lanes) {
    const int vecs = lanes / VEC;
    const qs_node *nodes = forest->node + tree->node;
    const double *leaves = forest->leaf_value + tree->leaf;
    const vec *inverse = (const vec *)(forest->inverse + tree->inverse), *t = (const vec *)group->t;
    vec *reach = (vec *)areas->reach, *factor = (vec *)areas->factor, *gain = (vec *)areas->gain;
    vec *value = (vec *)areas->value;
    vec *total = (vec *)(areas->total + (size_t)tree->output * (size_t)forest->features * (size_t)lanes);
    const uint16_t *ranks = areas->rank;
    uint16_t *hots = areas->hot, *colds = areas->cold;
    uint8_t *followed = areas->followed;
    const int inner = tree->inner, all = inner + tree->cherries;

    followed[2 * all] = 1;
    for (int v = 0; v < vecs; v++) reach[v] = (vec){1, 1, 1, 1};
    for (int i = 0; i < tree->hung; i++)
        for (int v = 0; v < vecs; v++) value[(all + i) * vecs + v] = (vec){0, 0, 0, 0} + leaves[i];

    for (int n = 0; n < inner; n++) {
        const qs_node *node = &nodes[n];
        const int hot = ranks[node->column] > node->rank, cold = !hot;
        const uint8_t so_far = followed[node->same_edge];
        followed[2 * n + hot] = so_far;
        followed[2 * n + cold] = 0;
        const vec *r = inverse + (so_far ? node->inverse : 0) * vecs;
        const int to_hot = node->child[hot], to_cold = node->child[cold];
        hots[n] = (uint16_t)to_hot;
        colds[n] = (uint16_t)to_cold;
        for (int v = 0; v < vecs; v++) {
            const vec k = node->share[cold] * (1 - t[v] * r[v]), p = reach[n * vecs + v], p_cold = p * k;
            factor[n * vecs + v] = k;
            gain[n * vecs + v] = p_cold * r[v];
            reach[to_cold * vecs + v] = p_cold;
            reach[to_hot * vecs + v] = p - p_cold;
        }
    }
    const double *pair = leaves + tree->hung;
    for (int n = inner; n < all; n++, pair += 2) {
        const qs_node *node = &nodes[n];
        const int hot = ranks[node->column] > node->rank, cold = !hot;
        const vec *r = inverse + (followed[node->same_edge] ? node->inverse : 0) * vecs;
        const double difference = pair[hot] - pair[cold];
        for (int v = 0; v < vecs; v++) {
            const vec k = node->share[cold] * (1 - t[v] * r[v]);
            value[n * vecs + v] = pair[hot] - k * difference;
            total[node->feature * vecs + v] += reach[n * vecs + v] * k * r[v] * difference;
        }
    }
    for (int n = inner - 1; n >= 0; n--) {
        const int hot = hots[n], cold = colds[n], feature = nodes[n].feature;
        for (int v = 0; v < vecs; v++) {
            const vec a = value[hot * vecs + v], difference = a - value[cold * vecs + v];
            value[n * vecs + v] = a - factor[n * vecs + v] * difference;
            total[feature * vecs + v] += gain[n * vecs + v] * difference;
        }
    }
}

static inline __attribute__((always_inline)) void walk_group(const qs_forest *forest, const qs_group *group,
                                                             const scratch_areas *areas, double *contributions,
                                                             int lanes) {
    const size_t features = (size_t)forest->features, totals = (size_t)forest->outputs * features;
    memset(areas->total, 0, totals * (size_t)lanes * sizeof(double));
    for (int32_t i = 0; i < group->trees; i++) walk(forest, group, &group->tree[i], areas, lanes);
    for (size_t i = 0; i < totals; i++) {
        double sum = 0;
        for (int q = 0; q < lanes; q++) sum += group->weight[q] * areas->total[i * (size_t)lanes + (size_t)q];
        contributions[i / features * (features + 1) + i % features] += sum;
    }
}

void qs_contributions(const qs_forest *forest, const double *row, void *scratch, double *contributions) {
    const layout l = lay_out(forest);
    char *base = scratch;
    const scratch_areas areas = {
        .rank = (uint16_t *)(base + l.rank),
        .code = (int32_t *)(base + l.code),
        .followed = (uint8_t *)(base + l.followed),
        .hot = (uint16_t *)(base + l.hot),
        .cold = (uint16_t *)(base + l.cold),
        .reach = (double *)(base + l.reach),
        .factor = (double *)(base + l.factor),
        .gain = (double *)(base + l.gain),
        .value = (double *)(base + l.value),
        .total = (double *)(base + l.total),
    };
    rank_row(forest, row, &areas);
    const size_t places = (size_t)forest->features + 1;
    memset(contributions, 0, (size_t)forest->outputs * places * sizeof(double));
    for (int g = 0; g < QS_GROUPS; g++) {
        const qs_group *group = &forest->group[g];
        if (!group->trees) continue;
        switch (qs_lanes[g]) {
            case 4: walk_group(forest, group, &areas, contributions, 4); break;
            case 8: walk_group(forest, group, &areas, contributions, 8); break;
            case 12: walk_group(forest, group, &areas, contributions, 12); break;
            case 16: walk_group(forest, group, &areas, contributions, 16); break;
            case 32: walk_group(forest, group, &areas, contributions, 32); break;
            default: walk_group(forest, group, &areas, contributions, 64); break;
        }
    }
    for (int32_t output = 0; output < forest->outputs; output++)
        contributions[(size_t)output * places + places - 1] = forest->expected[output];
}
