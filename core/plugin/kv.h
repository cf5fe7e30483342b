// plugin/kv: what a plugin keeps: a small map of names to values that lasts longer than its states, and than the process. All
// states of a plugin share one, on whatever threads.
//
//   file: a line that says what it is, then records; a set or a removal appends one, and when most of them are of no use any more
//   the file is written anew, aside, and takes the place of the old one.
#pragma once

#include "base/base.h"

// Ceilings of one plugin.
enum {
    SLD_KV_KEY_MAX = 256,
    SLD_KV_VALUE_MAX = 64 << 10,
    SLD_KV_BYTES_MAX = 1 << 20, // of keys and values, and SLD_KV_OVERHEAD for each
    SLD_KV_OVERHEAD = 32,
    SLD_KV_KEYS_MAX = 10000,
};

// A refcounted object with a lock of its own. [any]
struct sld_plugin_kv;

// What file PATH keeps, which is read and made when somebody first asks; absent: it is kept in memory alone. A file with a
// torn end loses that; one that is none of ours is set aside. Both
// are logged. Where the file cannot be used, reading finds nothing, and writing says why, until it can. A reference.
struct sld_plugin_kv *sld_plugin_kv_open(struct sld_str path);
// What was written so far lasts over a power cut, too. May take long.
void sld_plugin_kv_sync(struct sld_plugin_kv *kv);

enum sld_kv_type { SLD_KV_STRING = 's', SLD_KV_INTEGER = 'i', SLD_KV_NUMBER = 'n', SLD_KV_BOOLEAN = 'b' };
struct sld_kv_value {
    enum sld_kv_type type;
    struct sld_str text;
    int64_t integer; // also of a boolean: 0 or 1
    double number;
};

// All calls: NOW_MS is Unix time, by which what has expired is not there.
// The value of KEY, its text in A; false: there is none.
bool sld_plugin_kv_get(struct sld_plugin_kv *kv, struct sld_str key, int64_t now_ms, struct sld_arena *a, struct sld_kv_value *out);
// KEY is V until EXPIRES_MS (0: for ever). SLD_LIMIT: a ceiling, SLD_IO: it cannot be written; nothing has changed then.
SLD_NODISCARD enum sld_rc sld_plugin_kv_set(struct sld_plugin_kv *kv, struct sld_str key, const struct sld_kv_value *v, int64_t expires_ms,
                                            int64_t now_ms, struct sld_err *err);
// Adds N to the whole number KEY; where there is none, it is N until EXPIRES_MS. SLD_INVALID: it is something else, or too large.
SLD_NODISCARD enum sld_rc sld_plugin_kv_add(struct sld_plugin_kv *kv, struct sld_str key, int64_t n, int64_t expires_ms, int64_t now_ms,
                                            int64_t *out, struct sld_err *err);
// *THERE: whether there was one. SLD_IO.
SLD_NODISCARD enum sld_rc sld_plugin_kv_remove(struct sld_plugin_kv *kv, struct sld_str key, int64_t now_ms, bool *there,
                                               struct sld_err *err);
// The keys that begin with PREFIX, sorted, at most MAX, in A; how many there are in *N.
struct sld_str *sld_plugin_kv_list(struct sld_plugin_kv *kv, struct sld_str prefix, size_t max, int64_t now_ms, struct sld_arena *a, size_t *n);
