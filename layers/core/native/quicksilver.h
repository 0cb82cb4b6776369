/* Exact path-dependent TreeSHAP of LightGBM models, one row at a time.
 *
 * A model text is compiled once to a flat forest (forest.c), which any number of threads may then use at once,
 * each with a scratch area of its own. Nothing here keeps global state, reads a locale or calls the maths
 * library, and no operation is fused: the same text and row give the same bits on every processor.
 */
#ifndef QUICKSILVER_H
#define QUICKSILVER_H

#include <stddef.h>
#include <stdint.h>

#define QS_API __attribute__((visibility("default")))

typedef struct qs_forest qs_forest;

enum qs_status {
    QS_OK = 0,
    QS_REFUSED = 1,     /* nothing LightGBM can be trusted with: its own reader checks less */
    QS_UNSUPPORTED = 2, /* a sound model that this kernel cannot explain */
    QS_NO_MEMORY = 3,
};

/* Compile `text` (`length` bytes, followed by a NUL). On any other status than QS_OK, `message` says why in one
 * clause and `*forest` is NULL. */
QS_API int qs_forest_compile(const char *text, size_t length, qs_forest **forest, char *message, size_t message_size);

QS_API void qs_forest_free(qs_forest *forest);

QS_API int32_t qs_forest_features(const qs_forest *forest);
QS_API int32_t qs_forest_outputs(const qs_forest *forest);

/* Bytes of the scratch area that one call of qs_contributions at a time may write, 64-byte aligned. */
QS_API size_t qs_forest_scratch_bytes(const qs_forest *forest);

/* Contributions of one row of `features` doubles (NaN is missing), in raw-score units.
 * `contributions` has `outputs` x (`features` + 1) places; the last of each output is its expected value. */
QS_API void qs_contributions(const qs_forest *forest, const double *row, void *scratch, double *contributions);

#endif
