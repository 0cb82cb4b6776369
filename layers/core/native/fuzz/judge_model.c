/* Puts the kernel on trial under sanitizers or valgrind; never shipped.
 *
 *     judge_model FILE...    compile each model text and explain rows of every kind; then do it again with each
 *                            allocation in turn failing, which must give QS_NO_MEMORY and lose nothing
 *     judge_model            the same for texts on the standard input, each after a line with its length in bytes,
 *                            a verdict (a line with its enum qs_status) for each; without failing allocations
 *
 * Built with -Dcalloc=judged_calloc -Daligned_alloc=judged_aligned_alloc, so that the kernel allocates here. The
 * mutations come from tests/fuzz, which gives the same texts to LightGBM.
 */
#include "../quicksilver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FAILURES 400 /* allocations of one text that are made to fail in turn */

static long allocations, failing = -1;

static int fails(void) { return allocations++ == failing; }

void *judged_calloc(size_t count, size_t size);
void *judged_aligned_alloc(size_t alignment, size_t size);

void *judged_calloc(size_t count, size_t size) {
    if (fails() || (size && count > SIZE_MAX / size)) return NULL;
    void *place = malloc(count * size);
    return place ? memset(place, 0, count * size) : NULL;
}

void *judged_aligned_alloc(size_t alignment, size_t size) {
    void *place;
    if (fails() || posix_memalign(&place, alignment, size)) return NULL;
    return memset(place, 0xa5, size); /* what nobody wrote must not matter */
}

static const double kinds[] = {0, -0.0, 1, -1, 0.5, -0.5, 2, 3, 17, 31, 32, 1e-35f, -1e-35f, 1e-40, 1e10, 4.2e9,
                               2147483648.0, NAN, -NAN, 1e18, -2147483649.0, INFINITY, -INFINITY};
#define KINDS (sizeof kinds / sizeof *kinds)

/* FNV-1a over the bits of all contributions: the same on every processor and from every compiler. */
static uint64_t fingerprint;

static void fingerprint_of(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double value = values[i] == values[i] ? values[i] : 0; /* processors differ in which NaN they make */
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (int byte = 0; byte < 8; byte++) fingerprint = (fingerprint ^ (bits >> 8 * byte & 0xff)) * 0x100000001b3;
    }
}

static void explain(const qs_forest *forest) {
    size_t features = (size_t)qs_forest_features(forest), bytes = qs_forest_scratch_bytes(forest);
    size_t places = (size_t)qs_forest_outputs(forest) * (features + 1);
    void *scratch;
    /* Each exactly as large as was asked for, so that a sanitizer sees one byte more. */
    double *row = malloc(features * sizeof *row);
    double *out = malloc(places * sizeof *out), *again = malloc(places * sizeof *again);
    if (posix_memalign(&scratch, 64, bytes)) abort();
    memset(scratch, 0xff, bytes);
    for (size_t shift = 0; shift < KINDS; shift += 5) {
        for (size_t i = 0; i < features; i++) row[i] = kinds[(i * 7 + shift) % KINDS];
        qs_contributions(forest, row, scratch, out);
        memset(scratch, shift & 1 ? 0x7f : 0xff, bytes);
        qs_contributions(forest, row, scratch, again);
        fingerprint_of(out, places);
        /* Valgrind asks: was any of this computed from what nobody wrote? */
        if (memcmp(out, again, places * sizeof *out)) {
            fprintf(stderr, "the scratch area's former content shows in the contributions\n");
            abort();
        }
    }
    free(scratch);
    free(row);
    free(out);
    free(again);
}

static int judge(const char *text, size_t length) {
    char message[128];
    qs_forest *forest;
    allocations = 0;
    int status = qs_forest_compile(text, length, &forest, message, sizeof message);
    if ((status == QS_OK) != (forest != NULL) || (status == QS_OK) != !*message) {
        fprintf(stderr, "status %d does not fit its forest or its message: %s\n", status, message);
        abort();
    }
    if (forest && failing < 0) explain(forest);
    qs_forest_free(forest);
    return status;
}

/* The text and its NUL, on the heap with nothing behind. */
static char *read_text(FILE *file, size_t length) {
    char *text = malloc(length + 1);
    if (!text || fread(text, 1, length, file) != length) abort();
    text[length] = 0;
    return text;
}

static int judge_file(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(name);
        return 2;
    }
    size_t length = (size_t)ftell(file);
    rewind(file);
    char *text = read_text(file, length);
    fclose(file);
    fingerprint = 0xcbf29ce484222325;
    int status = judge(text, length), wrong = 0;
    const uint64_t of_all = fingerprint;
    long all = allocations, step = all / MOST_FAILURES + 1;
    for (failing = 0; failing < all; failing += step)
        if (judge(text, length) != QS_NO_MEMORY) wrong = 1;
    failing = -1;
    free(text);
    printf("%s: status %d, contributions %016llx, %ld allocations, %s\n", name, status, (unsigned long long)of_all, all,
           wrong ? "one FAILED UNNOTICED" : "each may fail");
    return wrong;
}

int main(int count, char **names) {
    int wrong = 0;
    for (int i = 1; i < count; i++) wrong |= judge_file(names[i]);
    if (count > 1) return wrong;
    size_t length;
    while (scanf("%zu", &length) == 1 && getchar() == '\n') {
        char *text = read_text(stdin, length);
        printf("%d\n", judge(text, length));
        fflush(stdout);
        free(text);
    }
    return 0;
}
