/* LightGBM trusts the sizes in its own text, and an error inside a tree may end its process. Whatever passes here it
 * can read: each line of the head is there once, each array has exactly as many numbers as the tree needs, each child
 * and each feature exists, and every node hangs on the root once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strtod_l */
#endif
#include "model_text.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#define MAX_LINES 22 /* LightGBM reads no more lines of a tree (Tree::Tree, max_num_line) */
#define MAX_FEATURES 65535
#define MAX_OUTPUTS 1024
#define MAX_DEPTH 4096 /* LightGBM explains by recursion, in memory that grows with the square of the depth */

typedef struct {
    const char *key, *value, *end;
    size_t key_length;
} line;

/* The lines of a tree or of the head. */
typedef struct {
    char name[24];
    locale_t plain; /* "C": the process may write decimal commas */
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

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The next whole number at *at, which moves behind it; false where there is none, or one not in [low, high]. */
static bool integer(const char **at, const char *end, int64_t low, int64_t high, int64_t *number) {
    const char *p = *at;
    bool negative = p < end && *p == '-';
    p += negative;
    const char *digits = p;
    int64_t value = 0;
    for (; p < end && is_digit(*p) && p - digits < 12; p++) value = value * 10 + (*p - '0');
    if (p == digits || p - digits >= 12) return false;
    *number = negative ? -value : value;
    *at = p;
    return *number >= low && *number <= high;
}

/* Behind the decimal number or, of `words`, "inf" or "nan" at `at`; NULL where there is none. */
static const char *behind_decimal(const char *at, const char *end, bool words) {
    at += at < end && *at == '-';
    if (words && end - at >= 3 && (!memcmp(at, "inf", 3) || !memcmp(at, "nan", 3))) return at + 3;
    const char *digits = at;
    while (at < end && is_digit(*at)) at++;
    if (at == digits) return NULL;
    if (at < end && *at == '.')
        for (digits = ++at; at < end && is_digit(*at);) at++;
    if (at == digits) return NULL;
    if (at < end && *at == 'e') {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        for (digits = at; at < end && is_digit(*at);) at++;
    }
    return at == digits ? NULL : at;
}

/* The next decimal number, which may be infinite where `bounds` are read: the last threshold of a feature can be.
 * strtod rounds correctly, as LightGBM's parser does, so thresholds are the same bits. */
static bool decimal(const char **at, const char *end, bool bounds, locale_t plain, double *number) {
    if (bounds && end - *at >= 3 && !memcmp(*at, "inf", 3)) {
        *number = INFINITY;
        *at += 3;
        return true;
    }
    const char *behind = behind_decimal(*at, end, false);
    if (!behind) return false;
    *number = strtod_l(*at, NULL, plain);
    *at = behind;
    return isfinite(*number);
}

/* Whether `i` of `count` numbers was the last, or one blank follows it. */
static bool separated(const char **at, const char *end, int32_t i, int32_t count) {
    if (i == count - 1) return *at == end;
    return *at < end && *(*at)++ == ' ';
}

static bool bad_array(qs_failure *failure, const char *key, const block *lines, int32_t count) {
    return qs_fail(failure, QS_REFUSED, "%s of %s is not %d usable numbers", key, lines->name, count);
}

static const line *must_find(const block *lines, const char *key, qs_failure *failure) {
    const line *found = find(lines, key);
    if (!found) qs_fail(failure, QS_REFUSED, "%s has no %s", lines->name, key);
    return found;
}

static bool integers(const block *lines, const char *key, int64_t low, int64_t high, int32_t count, int32_t *into,
                     qs_failure *failure) {
    const line *found = must_find(lines, key, failure);
    if (!found) return false;
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++) {
        int64_t number;
        if (!integer(&at, found->end, low, high, &number) || !separated(&at, found->end, i, count))
            return bad_array(failure, key, lines, count);
        into[i] = (int32_t)(uint32_t)number; /* words of bitsets use all 32 bits */
    }
    return true;
}

static bool one(const block *lines, const char *key, int64_t low, int64_t high, int32_t *into, qs_failure *failure) {
    return integers(lines, key, low, high, 1, into, failure);
}

static bool decimals(const block *lines, const char *key, int32_t count, bool bounds, double *into,
                     qs_failure *failure) {
    const line *found = must_find(lines, key, failure);
    if (!found) return false;
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++)
        if (!decimal(&at, found->end, bounds, lines->plain, &into[i]) || !separated(&at, found->end, i, count))
            return bad_array(failure, key, lines, count);
    return true;
}

/* Numbers that scoring has no use for are only looked at, because LightGBM will read as many as it expects. */
static bool looks_like_decimals(const block *lines, const char *key, int32_t count, qs_failure *failure) {
    const line *found = find(lines, key);
    if (!found) return true;
    const char *at = found->value;
    for (int32_t i = 0; i < count; i++) {
        at = behind_decimal(at, found->end, true);
        if (!at || !separated(&at, found->end, i, count)) return bad_array(failure, key, lines, count);
    }
    return true;
}

/* Cut [at, end) into its lines, up to an empty one. Every line must be key=value and no key come twice. Where
 * `bare`, a key alone is a line too. */
static bool cut(const char *at, const char *end, bool bare, block *lines, qs_failure *failure) {
    lines->count = 0;
    while (at < end && *at != '\n') {
        if (lines->count == MAX_LINES) return qs_fail(failure, QS_REFUSED, "%s has too many lines", lines->name);
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *key_end = at;
        while (stop && key_end < stop && ((*key_end >= 'a' && *key_end <= 'z') || *key_end == '_')) key_end++;
        const bool has_value = stop && *key_end == '=';
        if (!stop || key_end == at || !(has_value || (bare && key_end == stop)))
            return qs_fail(failure, QS_REFUSED, "a line of %s is not key=value", lines->name);
        line next = {.key = at, .value = key_end + has_value, .end = stop, .key_length = (size_t)(key_end - at)};
        for (int i = 0; i < lines->count; i++)
            if (lines->lines[i].key_length == next.key_length && !memcmp(lines->lines[i].key, at, next.key_length))
                return qs_fail(failure, QS_REFUSED, "%s has a line twice", lines->name);
        lines->lines[lines->count++] = next;
        at = stop + 1;
    }
    /* LightGBM reads a tree on to its first empty line, be that another tree's. */
    if (at == end) return qs_fail(failure, QS_REFUSED, "%s has no end", lines->name);
    for (; at < end; at++)
        if (*at != '\n') return qs_fail(failure, QS_REFUSED, "%s goes on after its end", lines->name);
    return true;
}

static bool read_categories(const block *lines, int32_t categorical, qs_tree *tree, qs_failure *failure) {
    int32_t *bounds = tree->category_bounds = room((size_t)categorical + 1, sizeof *bounds, failure);
    if (!bounds) return false;
    if (!categorical) return true;
    if (!integers(lines, "cat_boundaries", 0, INT32_MAX, categorical + 1, bounds, failure)) return false;
    for (int32_t i = 0; i < categorical; i++)
        if (bounds[0] || bounds[i + 1] <= bounds[i])
            return qs_fail(failure, QS_REFUSED, "cat_boundaries of %s do not rise from 0", lines->name);
    /* A word is at least one digit and a blank, so an honest count is smaller than its line. */
    const line *words = find(lines, "cat_threshold");
    if (!words || bounds[categorical] > words->end - words->value)
        return qs_fail(failure, QS_REFUSED, "cat_threshold of %s is too short", lines->name);
    tree->category_bits = room((size_t)bounds[categorical], sizeof *tree->category_bits, failure);
    return tree->category_bits && integers(lines, "cat_threshold", 0, UINT32_MAX, bounds[categorical],
                                           (int32_t *)tree->category_bits, failure);
}

static bool read_decisions(const block *lines, int32_t categorical, qs_tree *tree, qs_failure *failure) {
    int32_t nodes = tree->leaves - 1;
    int32_t *decision = room((size_t)nodes, sizeof *decision, failure);
    bool *taken = room((size_t)categorical, sizeof *taken, failure);
    bool whole = decision && taken && integers(lines, "decision_type", 0, 15, nodes, decision, failure);
    for (int32_t i = 0; whole && i < nodes; i++) {
        tree->categorical[i] = decision[i] & 1;
        tree->default_left[i] = decision[i] >> 1 & 1;
        tree->missing[i] = (uint8_t)(decision[i] >> 2);
        if (tree->missing[i] > QS_MISSING_NAN)
            whole = qs_fail(failure, QS_REFUSED, "node %d of %s has no known missing type", i, lines->name);
        if (!whole || !tree->categorical[i]) continue;
        double set = tree->threshold[i];
        /* Each set is one node's, so that a short text cannot ask for many copies of a long set. */
        if (!(set >= 0 && set < categorical && set == (double)(int32_t)set) || taken[(int32_t)set])
            whole = qs_fail(failure, QS_REFUSED, "node %d of %s has no categories of its own", i, lines->name);
        else taken[(int32_t)set] = true;
    }
    free(decision);
    free(taken);
    return whole;
}

/* Every node and every leaf hangs on the root, once, and not too far below it. */
static bool is_a_tree(const block *lines, const qs_tree *tree, qs_failure *failure) {
    int32_t nodes = tree->leaves - 1, reached = 0, deepest = 0;
    int32_t *parents = room((size_t)(nodes + tree->leaves), sizeof *parents, failure);
    int32_t *waiting = room((size_t)nodes, sizeof *waiting, failure);
    int32_t *depth = room((size_t)nodes, sizeof *depth, failure);
    bool sound = parents && waiting && depth;
    for (int32_t i = 0; sound && i < nodes; i++) {
        int32_t child[2] = {tree->left[i], tree->right[i]};
        for (int side = 0; side < 2; side++) parents[child[side] < 0 ? nodes + ~child[side] : child[side]]++;
    }
    for (int32_t i = 0; sound && i < nodes + tree->leaves; i++) sound = parents[i] == (i > 0);
    for (int32_t left = sound ? 1 : 0; left;) { /* waiting[0] is the root, 0 */
        int32_t node = waiting[--left], child[2] = {tree->left[node], tree->right[node]};
        reached++;
        if (depth[node] > deepest) deepest = depth[node];
        for (int side = 0; side < 2; side++) {
            if (child[side] < 0) continue;
            depth[child[side]] = depth[node] + 1;
            waiting[left++] = child[side];
        }
    }
    /* Each has one parent, so what the root does not reach is a ring of nodes beside it. */
    sound = sound && reached == nodes;
    free(parents);
    free(waiting);
    free(depth);
    if (!sound) return qs_fail(failure, QS_REFUSED, "the nodes of %s are no tree", lines->name);
    return deepest < MAX_DEPTH ||
           qs_fail(failure, QS_REFUSED, "%s is deeper than %d questions", lines->name, MAX_DEPTH);
}

static bool read_tree(const char *at, const char *end, int32_t features, block *lines, qs_tree *tree,
                      qs_failure *failure) {
    int32_t categorical, linear = 0;
    if (!cut(at, end, false, lines, failure)) return false;
    /* A leaf's value takes at least a digit and a blank. */
    int64_t most = (end - at) / 2 + 1;
    if (!one(lines, "num_leaves", 1, most < INT32_MAX ? most : INT32_MAX, &tree->leaves, failure)) return false;
    if (!one(lines, "num_cat", 0, tree->leaves - 1, &categorical, failure)) return false;
    if (find(lines, "is_linear") && !one(lines, "is_linear", 0, 1, &linear, failure)) return false;
    if (linear) return qs_fail(failure, QS_REFUSED, "it has linear trees, whose scores LightGBM cannot explain");
    if (!looks_like_decimals(lines, "shrinkage", 1, failure)) return false;

    size_t leaves = (size_t)tree->leaves, nodes = leaves - 1;
    tree->leaf_value = room(leaves, sizeof(double), failure);
    if (!tree->leaf_value || !decimals(lines, "leaf_value", tree->leaves, false, tree->leaf_value, failure))
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
    return integers(lines, "split_feature", 0, features - 1, n, tree->feature, failure) &&
           integers(lines, "left_child", -(int64_t)tree->leaves, n - 1, n, tree->left, failure) &&
           integers(lines, "right_child", -(int64_t)tree->leaves, n - 1, n, tree->right, failure) &&
           integers(lines, "leaf_count", 0, INT32_MAX, tree->leaves, tree->leaf_count, failure) &&
           integers(lines, "internal_count", 0, INT32_MAX, n, tree->internal_count, failure) &&
           decimals(lines, "threshold", n, true, tree->threshold, failure) &&
           looks_like_decimals(lines, "split_gain", n, failure) &&
           looks_like_decimals(lines, "leaf_weight", tree->leaves, failure) &&
           looks_like_decimals(lines, "internal_value", n, failure) &&
           looks_like_decimals(lines, "internal_weight", n, failure) &&
           read_categories(lines, categorical, tree, failure) &&
           read_decisions(lines, categorical, tree, failure) && is_a_tree(lines, tree, failure);
}

/* How many words a line of the head has, one blank between each two; -1 if it has one blank more. */
static int32_t words(const line *found) {
    int32_t count = 1;
    for (const char *at = found->value; at < found->end; at++) {
        if (*at != ' ') continue;
        if (at == found->value || at + 1 == found->end || at[1] == ' ') return -1;
        count++;
    }
    return found->value == found->end ? 0 : count;
}

static bool has_words(const block *head, const char *key, int32_t count, qs_failure *failure) {
    const line *found = must_find(head, key, failure);
    if (!found) return false;
    return words(found) == count || qs_fail(failure, QS_REFUSED, "%s of %s are not %d", key, head->name, count);
}

static bool read_head(const char *text, const char *end, block *head, qs_model *model, qs_failure *failure) {
    int32_t classes, label;
    memcpy(head->name, "its head", sizeof "its head");
    if ((size_t)(end - text) < 5 || memcmp(text, "tree\n", 5))
        return qs_fail(failure, QS_REFUSED, "it does not begin with 'tree'");
    if (!cut(text, end, true, head, failure) || !one(head, "num_class", 1, MAX_OUTPUTS, &classes, failure) ||
        !one(head, "num_tree_per_iteration", 1, MAX_OUTPUTS, &model->outputs, failure) ||
        !one(head, "label_index", 0, INT32_MAX, &label, failure) ||
        !one(head, "max_feature_idx", 0, MAX_FEATURES - 1, &model->features, failure))
        return false;
    model->features++;
    if (classes != model->outputs)
        return qs_fail(failure, QS_REFUSED, "it has %d classes and %d trees an iteration", classes, model->outputs);
    return has_words(head, "feature_names", model->features, failure) &&
           has_words(head, "feature_infos", model->features, failure) &&
           (!find(head, "monotone_constraints") || has_words(head, "monotone_constraints", model->features, failure));
}

/* Where the trees' text ends, or NULL. */
static const char *read_trees(const char *at, const char *end, const line *sizes, int32_t count, block *lines,
                              qs_model *model, qs_failure *failure) {
    const char *next = sizes->value;
    for (int32_t i = 0; i < count; i++) {
        int64_t size;
        char name[32];
        size_t named = (size_t)snprintf(name, sizeof name, "Tree=%d\n", i);
        snprintf(lines->name, sizeof lines->name, "tree %d", i);
        if (!integer(&next, sizes->end, (int64_t)named, end - at, &size) ||
            !separated(&next, sizes->end, i, count) || memcmp(at, name, named)) {
            qs_fail(failure, QS_REFUSED, "tree %d is not where tree_sizes says", i);
            return NULL;
        }
        model->count = i + 1;
        if (!read_tree(at + named, at + size, model->features, lines, &model->trees[i], failure)) return NULL;
        at += size;
    }
    return at;
}

static bool read_text(const char *text, size_t length, block *lines, qs_model *model, qs_failure *failure) {
    if (length > INT32_MAX) return qs_fail(failure, QS_REFUSED, "it is longer than 2 GiB");
    if (memchr(text, 0, length) || memchr(text, '\r', length))
        return qs_fail(failure, QS_REFUSED, "it holds bytes that LightGBM does not write");
    const char *first = strstr(text, "\nTree=0\n"), *end = text + length;
    if (!first) return qs_fail(failure, QS_REFUSED, "it has no trees");
    first++;
    if (!read_head(text, first, lines, model, failure)) return false;
    const line *found = must_find(lines, "tree_sizes", failure);
    if (!found) return false;
    const line sizes = *found;
    int32_t count = words(&sizes);
    if (count < 1 || count % model->outputs) return qs_fail(failure, QS_REFUSED, "its last iteration is not whole");
    model->trees = room((size_t)count, sizeof *model->trees, failure);
    if (!model->trees) return false;
    const char *closing = read_trees(first, end, &sizes, count, lines, model, failure);
    if (!closing) return false;
    if (strncmp(closing, "end of trees\n", strlen("end of trees\n")))
        return qs_fail(failure, QS_REFUSED, "its trees do not end where tree_sizes says");
    /* A setting that LightGBM obeys: it would refuse to explain. */
    for (const char *at = closing; (at = strstr(at, "\n[linear_tree: ")); at++)
        if (at[strlen("\n[linear_tree: ")] != '0')
            return qs_fail(failure, QS_REFUSED, "it has linear trees, whose scores LightGBM cannot explain");
    return true;
}

bool qs_model_read(const char *text, size_t length, qs_model *model, qs_failure *failure) {
    *model = (qs_model){0};
    block lines = {.plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    if (!lines.plain) return qs_fail(failure, QS_NO_MEMORY, "there is not enough memory to read it");
    bool whole = read_text(text, length, &lines, model, failure);
    freelocale(lines.plain);
    return whole;
}

void qs_model_release(qs_model *model) {
    for (int32_t i = 0; i < model->count; i++) {
        qs_tree *tree = &model->trees[i];
        void *places[] = {
            tree->feature,     tree->left,       tree->right,      tree->leaf_count,    tree->internal_count, tree->threshold,
            tree->categorical, tree->leaf_value, tree->default_left, tree->category_bits, tree->category_bounds, tree->missing,
        };
        for (size_t place = 0; place < sizeof places / sizeof *places; place++) free(places[place]);
    }
    free(model->trees);
    *model = (qs_model){0};
}
