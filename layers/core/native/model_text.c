/* LightGBM trusts the sizes in its own text. Whatever passes here it can read: each array has exactly as many
 * numbers as the tree needs, each child and each feature exists, and every node hangs on the root once.
 */
#include "model_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 22 /* LightGBM reads no more lines of a tree (Tree::Tree, max_num_line) */
#define MAX_FEATURES 65535

typedef struct {
    const char *key, *value, *end;
    size_t key_length;
} line;

typedef struct {
    line lines[MAX_LINES];
    int count;
} block;

bool qs_fail(qs_failure *failure, int status, const char *format, ...) {
    if (failure->status == QS_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(failure->message, failure->message_size, format, arguments);
        va_end(arguments);
        failure->status = status;
    }
    return false;
}

static void *room(size_t count, size_t size, qs_failure *failure) {
    void *place = calloc(count ? count : 1, size);
    if (!place) qs_fail(failure, QS_NO_MEMORY, "there is not enough memory to read it");
    return place;
}

static const line *find(const block *lines, const char *key) {
    size_t length = strlen(key);
    for (int i = 0; i < lines->count; i++)
        if (lines->lines[i].key_length == length && !memcmp(lines->lines[i].key, key, length)) return &lines->lines[i];
    return NULL;
}

/* The next whole number at *at, which moves behind it; false where there is none, or one below `low` or above `high`. */
static bool integer(const char **at, const char *end, int64_t low, int64_t high, int64_t *number) {
    const char *p = *at;
    bool negative = p < end && *p == '-';
    p += negative;
    const char *digits = p;
    int64_t value = 0;
    for (; p < end && *p >= '0' && *p <= '9' && p - digits < 12; p++) value = value * 10 + (*p - '0');
    if (p == digits || p - digits >= 12) return false;
    *number = negative ? -value : value;
    *at = p;
    return *number >= low && *number <= high;
}

/* The next decimal number, which may be infinite where `bounds` are read: the last threshold of a feature can be.
 * strtod rounds correctly, as LightGBM's parser does, so thresholds are the same bits. */
static bool decimal(const char **at, const char *end, bool bounds, double *number) {
    const char *p = *at;
    if (bounds && end - p >= 3 && !memcmp(p, "inf", 3)) {
        *number = INFINITY;
        *at = p + 3;
        return true;
    }
    while (p < end && ((*p >= '0' && *p <= '9') || *p == '+' || *p == '-' || *p == '.' || *p == 'e' || *p == 'E')) p++;
    char *stop;
    if (p == *at) return false;
    *number = strtod(*at, &stop);
    if (stop != p || !isfinite(*number)) return false;
    *at = p;
    return true;
}

/* Whether `i` of `count` numbers was the last, or one blank follows it. */
static bool separated(const char **at, const char *end, int32_t i, int32_t count) {
    if (i == count - 1) return *at == end;
    return *at < end && *(*at)++ == ' ';
}

static bool bad_array(qs_failure *failure, const char *key, int32_t tree, int32_t count) {
    return qs_fail(failure, QS_REFUSED, "%s of tree %d is not %d usable numbers", key, tree, count);
}

static bool integers(const block *lines, const char *key, int32_t tree, int64_t low, int64_t high, int32_t count,
                     int32_t *into, qs_failure *failure) {
    const line *found = find(lines, key);
    if (!found) return qs_fail(failure, QS_REFUSED, "tree %d has no %s", tree, key);
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++) {
        int64_t number;
        if (!integer(&at, found->end, low, high, &number) || !separated(&at, found->end, i, count))
            return bad_array(failure, key, tree, count);
        into[i] = (int32_t)(uint32_t)number; /* words of bitsets use all 32 bits */
    }
    return count || at == found->end || bad_array(failure, key, tree, count);
}

static bool decimals(const block *lines, const char *key, int32_t tree, int32_t count, bool bounds, double *into,
                     qs_failure *failure) {
    const line *found = find(lines, key);
    if (!found) return qs_fail(failure, QS_REFUSED, "tree %d has no %s", tree, key);
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++) {
        if (!decimal(&at, found->end, bounds, &into[i]) || !separated(&at, found->end, i, count))
            return bad_array(failure, key, tree, count);
    }
    return true;
}

/* Numbers that scoring has no use for are only looked at, because LightGBM will read as many as it expects. */
static bool looks_like_decimals(const block *lines, const char *key, int32_t tree, int32_t count, qs_failure *failure) {
    const line *found = find(lines, key);
    if (!found) return true;
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++) {
        const char *start = at;
        while (at < found->end && *at != ' ' && strchr("0123456789+-.eEinfa", *at)) at++;
        if (at == start || !separated(&at, found->end, i, count)) return bad_array(failure, key, tree, count);
    }
    return true;
}

static bool one(const block *lines, const char *key, int32_t tree, int64_t low, int64_t high, int32_t *into,
                qs_failure *failure) {
    return integers(lines, key, tree, low, high, 1, into, failure);
}

/* Cut [at, end) into its lines, up to the first empty one. Every line must be key=value and no key come twice. */
static bool cut(const char *at, const char *end, int32_t tree, block *lines, qs_failure *failure) {
    lines->count = 0;
    while (at < end && *at != '\n') {
        if (lines->count == MAX_LINES) return qs_fail(failure, QS_REFUSED, "tree %d has too many lines", tree);
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *equals = stop ? memchr(at, '=', (size_t)(stop - at)) : NULL;
        if (!equals) return qs_fail(failure, QS_REFUSED, "a line of tree %d is not key=value", tree);
        line next = {.key = at, .value = equals + 1, .end = stop, .key_length = (size_t)(equals - at)};
        for (int i = 0; i < lines->count; i++)
            if (lines->lines[i].key_length == next.key_length && !memcmp(lines->lines[i].key, at, next.key_length))
                return qs_fail(failure, QS_REFUSED, "tree %d has a line twice", tree);
        lines->lines[lines->count++] = next;
        at = stop + 1;
    }
    for (; at < end; at++)
        if (*at != '\n') return qs_fail(failure, QS_REFUSED, "tree %d goes on after its end", tree);
    return true;
}

static bool read_categories(const block *lines, int32_t number, int32_t categorical, qs_tree *tree,
                            qs_failure *failure) {
    int32_t *bounds = tree->category_bounds = room((size_t)categorical + 1, sizeof *bounds, failure);
    if (!bounds) return false;
    if (!categorical) return true;
    if (!integers(lines, "cat_boundaries", number, 0, INT32_MAX, categorical + 1, bounds, failure)) return false;
    for (int32_t i = 0; i < categorical; i++)
        if (bounds[0] || bounds[i + 1] <= bounds[i])
            return qs_fail(failure, QS_REFUSED, "cat_boundaries of tree %d do not rise from 0", number);
    /* A word is at least one digit and a blank, so an honest count is smaller than its line. */
    const line *words = find(lines, "cat_threshold");
    if (!words || bounds[categorical] > words->end - words->value)
        return qs_fail(failure, QS_REFUSED, "cat_threshold of tree %d is too short", number);
    tree->category_bits = room((size_t)bounds[categorical], sizeof *tree->category_bits, failure);
    return tree->category_bits && integers(lines, "cat_threshold", number, 0, UINT32_MAX, bounds[categorical],
                                           (int32_t *)tree->category_bits, failure);
}

static bool read_decisions(const block *lines, int32_t number, int32_t categorical, qs_tree *tree,
                           qs_failure *failure) {
    int32_t nodes = tree->leaves - 1;
    int32_t *decision = room((size_t)nodes, sizeof *decision, failure);
    bool whole = decision && integers(lines, "decision_type", number, 0, 15, nodes, decision, failure);
    for (int32_t i = 0; whole && i < nodes; i++) {
        tree->categorical[i] = decision[i] & 1;
        tree->default_left[i] = decision[i] >> 1 & 1;
        tree->missing[i] = (uint8_t)(decision[i] >> 2);
        if (tree->missing[i] > QS_MISSING_NAN)
            whole = qs_fail(failure, QS_REFUSED, "node %d of tree %d has no known missing type", i, number);
        else if (tree->categorical[i] && !(tree->threshold[i] >= 0 && tree->threshold[i] < categorical &&
                                           tree->threshold[i] == (double)(int32_t)tree->threshold[i]))
            whole = qs_fail(failure, QS_REFUSED, "node %d of tree %d has no categories", i, number);
    }
    free(decision);
    return whole;
}

/* Every node and every leaf hangs on the root, once. */
static bool is_a_tree(int32_t number, const qs_tree *tree, qs_failure *failure) {
    int32_t nodes = tree->leaves - 1, reached = 0;
    int32_t *parents = room((size_t)(nodes + tree->leaves), sizeof *parents, failure);
    int32_t *waiting = room((size_t)nodes, sizeof *waiting, failure);
    bool sound = parents && waiting;
    for (int32_t i = 0; sound && i < nodes; i++) {
        int32_t child[2] = {tree->left[i], tree->right[i]};
        for (int side = 0; side < 2; side++) parents[child[side] < 0 ? nodes + ~child[side] : child[side]]++;
    }
    for (int32_t i = 0; sound && i < nodes + tree->leaves; i++) sound = parents[i] == (i > 0);
    if (sound) waiting[0] = 0;
    for (int32_t left = sound ? 1 : 0; left;) {
        int32_t node = waiting[--left];
        reached++;
        if (tree->left[node] >= 0) waiting[left++] = tree->left[node];
        if (tree->right[node] >= 0) waiting[left++] = tree->right[node];
    }
    /* Each has one parent, so what the root does not reach is a ring of nodes beside it. */
    sound = sound && reached == nodes;
    free(parents);
    free(waiting);
    return sound || qs_fail(failure, QS_REFUSED, "the nodes of tree %d are no tree", number);
}

static bool read_tree(const char *at, const char *end, int32_t number, int32_t features, qs_tree *tree,
                      qs_failure *failure) {
    block lines;
    int32_t categorical, linear = 0;
    if (!cut(at, end, number, &lines, failure)) return false;
    /* A leaf's value takes at least a digit and a blank. */
    int64_t most = (end - at) / 2 + 1;
    if (!one(&lines, "num_leaves", number, 1, most < INT32_MAX ? most : INT32_MAX, &tree->leaves, failure)) return false;
    if (!one(&lines, "num_cat", number, 0, tree->leaves - 1, &categorical, failure)) return false;
    if (find(&lines, "is_linear") && !one(&lines, "is_linear", number, 0, 1, &linear, failure)) return false;
    if (linear) return qs_fail(failure, QS_REFUSED, "it has linear trees, whose scores LightGBM cannot explain");
    if (!looks_like_decimals(&lines, "shrinkage", number, 1, failure)) return false;

    size_t leaves = (size_t)tree->leaves, nodes = leaves - 1;
    tree->leaf_value = room(leaves, sizeof(double), failure);
    if (!tree->leaf_value || !decimals(&lines, "leaf_value", number, tree->leaves, false, tree->leaf_value, failure))
        return false;
    if (!nodes) return true;

    tree->threshold = room(nodes, sizeof(double), failure);
    tree->feature = room(nodes, sizeof(int32_t), failure);
    tree->left = room(nodes, sizeof(int32_t), failure);
    tree->right = room(nodes, sizeof(int32_t), failure);
    tree->internal_count = room(nodes, sizeof(int32_t), failure);
    tree->leaf_count = room(leaves, sizeof(int32_t), failure);
    tree->categorical = room(nodes, 1, failure);
    tree->default_left = room(nodes, 1, failure);
    tree->missing = room(nodes, 1, failure);
    if (failure->status != QS_OK) return false;

    int32_t n = tree->leaves - 1;
    return integers(&lines, "split_feature", number, 0, features - 1, n, tree->feature, failure) &&
           integers(&lines, "left_child", number, -(int64_t)tree->leaves, n - 1, n, tree->left, failure) &&
           integers(&lines, "right_child", number, -(int64_t)tree->leaves, n - 1, n, tree->right, failure) &&
           integers(&lines, "leaf_count", number, 0, INT32_MAX, tree->leaves, tree->leaf_count, failure) &&
           integers(&lines, "internal_count", number, 0, INT32_MAX, n, tree->internal_count, failure) &&
           decimals(&lines, "threshold", number, n, true, tree->threshold, failure) &&
           looks_like_decimals(&lines, "split_gain", number, n, failure) &&
           looks_like_decimals(&lines, "leaf_weight", number, tree->leaves, failure) &&
           looks_like_decimals(&lines, "internal_value", number, n, failure) &&
           looks_like_decimals(&lines, "internal_weight", number, n, failure) &&
           read_categories(&lines, number, categorical, tree, failure) &&
           read_decisions(&lines, number, categorical, tree, failure) && is_a_tree(number, tree, failure);
}

/* The value behind `key` in the head, which must be there exactly once. */
static bool head_value(const char *text, const char *end, const char *key, line *found, qs_failure *failure) {
    size_t length = strlen(key);
    int times = 0;
    for (const char *at = text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        if ((size_t)(stop - at) > length && !memcmp(at, key, length) && at[length] == '=') {
            *found = (line){.key = at, .key_length = length, .value = at + length + 1, .end = stop};
            times++;
        }
        at = stop + 1;
    }
    return times == 1 || qs_fail(failure, QS_REFUSED, "its head does not have one %s", key);
}

static bool head_integer(const char *text, const char *end, const char *key, int64_t low, int64_t high, int32_t *into,
                         qs_failure *failure) {
    line found;
    int64_t number;
    if (!head_value(text, end, key, &found, failure)) return false;
    if (!integer(&found.value, found.end, low, high, &number) || found.value != found.end)
        return qs_fail(failure, QS_REFUSED, "%s is not between %lld and %lld", key, (long long)low, (long long)high);
    *into = (int32_t)number;
    return true;
}

bool qs_model_read(const char *text, size_t length, qs_model *model, qs_failure *failure) {
    *model = (qs_model){0};
    if (memchr(text, 0, length) || memchr(text, '\r', length))
        return qs_fail(failure, QS_REFUSED, "it holds bytes that LightGBM does not write");
    const char *head = strstr(text, "\nTree=0\n");
    if (!head) return qs_fail(failure, QS_REFUSED, "it has no trees");
    head++;
    int32_t classes;
    if (!head_integer(text, head, "num_class", 1, 1024, &classes, failure) ||
        !head_integer(text, head, "num_tree_per_iteration", 1, 1024, &model->outputs, failure) ||
        !head_integer(text, head, "max_feature_idx", 0, MAX_FEATURES - 1, &model->features, failure))
        return false;
    model->features++;
    if (classes != model->outputs)
        return qs_fail(failure, QS_REFUSED, "it has %d classes and %d trees an iteration", classes, model->outputs);

    line sizes;
    if (!head_value(text, head, "tree_sizes", &sizes, failure)) return false;
    int32_t count = 1;
    for (const char *at = sizes.value; at < sizes.end; at++) count += *at == ' ';
    model->trees = room((size_t)count, sizeof *model->trees, failure);
    if (!model->trees) return false;
    const char *end = text + length, *at = head;
    for (int32_t i = 0; i < count; i++) {
        int64_t size;
        char name[32];
        size_t named = (size_t)snprintf(name, sizeof name, "Tree=%d\n", i);
        if (!integer(&sizes.value, sizes.end, (int64_t)named, end - at, &size) ||
            !separated(&sizes.value, sizes.end, i, count) || memcmp(at, name, named))
            return qs_fail(failure, QS_REFUSED, "tree %d is not where tree_sizes says", i);
        model->count = i + 1;
        if (!read_tree(at + named, at + size, i, model->features, &model->trees[i], failure)) return false;
        at += size;
    }
    static const char closing[] = "end of trees\n";
    if ((size_t)(end - at) < sizeof closing - 1 || memcmp(at, closing, sizeof closing - 1))
        return qs_fail(failure, QS_REFUSED, "its trees do not end where tree_sizes says");
    if (count % model->outputs) return qs_fail(failure, QS_REFUSED, "its last iteration is not whole");
    return true;
}

void qs_model_release(qs_model *model) {
    for (int32_t i = 0; i < model->count; i++) {
        qs_tree *tree = &model->trees[i];
        void *places[] = {tree->feature,     tree->left,         tree->right,   tree->leaf_count,    tree->internal_count,
                          tree->threshold,   tree->leaf_value,   tree->missing, tree->category_bits, tree->category_bounds,
                          tree->categorical, tree->default_left};
        for (size_t place = 0; place < sizeof places / sizeof *places; place++) free(places[place]);
    }
    free(model->trees);
    *model = (qs_model){0};
}
