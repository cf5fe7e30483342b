// Slices and growable buffers.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

// A borrowed run of bytes; not NUL-terminated. p == NULL means absent, which is not the same as
// empty (p != NULL, n == 0).
struct sld_str {
    const char *p;
    size_t n;
};

#define SLD_STR(lit) ((struct sld_str){"" lit, sizeof(lit) - 1})
#define SLD_STR_INIT(lit) {"" lit, sizeof(lit) - 1}
#define SLD_STR_NONE ((struct sld_str){NULL, 0})
// For printf's "%.*s".
#define SLD_FMT(s) (int)(s).n, (s).p ? (s).p : ""

// The slice of a C string; NULL gives an absent slice.
static inline struct sld_str sld_str_c(const char *c)
{
    return (struct sld_str){c, c ? strlen(c) : 0};
}
static inline struct sld_str sld_str_n(const char *p, size_t n)
{
    return (struct sld_str){p, n};
}
static inline bool sld_str_eq(struct sld_str a, struct sld_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
// Equal but for ASCII case.
bool sld_str_ieq(struct sld_str a, struct sld_str b);
// strcmp's order by bytes, shorter first on a common prefix.
int sld_str_cmp(struct sld_str a, struct sld_str b);
bool sld_str_starts(struct sld_str s, struct sld_str prefix);
bool sld_str_ends(struct sld_str s, struct sld_str suffix);
// Index of the first C in S, or -1.
ptrdiff_t sld_str_index(struct sld_str s, char c);
// Index of the first NEEDLE in S, or -1.
ptrdiff_t sld_str_find(struct sld_str s, struct sld_str needle);
// S from byte FROM on, at most N bytes; out of range gives an empty slice.
struct sld_str sld_str_sub(struct sld_str s, size_t from, size_t n);
// S without ASCII white space at both ends.
struct sld_str sld_str_trim(struct sld_str s);
// Cuts the part of *S before the first SEP into *HEAD and leaves the rest after SEP in *S. Without
// SEP the whole is HEAD and *S becomes absent. False when *S is absent already.
bool sld_str_cut(struct sld_str *s, char sep, struct sld_str *head);
// Decimal numbers, the whole slice, no sign tricks; false on anything else or out of range.
bool sld_str_u64(struct sld_str s, uint64_t *out);
bool sld_str_i64(struct sld_str s, int64_t *out);
// A finite decimal floating-point number, the whole slice, below 64 bytes: JSON's grammar, and YAML's
// "+1", "1." and ".5".
bool sld_str_double(struct sld_str s, double *out);
// True when S is valid UTF-8 (no surrogates, no overlong forms); *AT gets the offset of the first
// bad byte otherwise (AT may be NULL).
bool sld_str_utf8(struct sld_str s, size_t *at);
// S cut to at most N bytes, at a character's border.
struct sld_str sld_str_utf8_cut(struct sld_str s, size_t n);
// Edit distance of A and B, at most CAP (returns CAP + 1 beyond); for "did you mean".
size_t sld_str_distance(struct sld_str a, struct sld_str b, size_t cap);

// The only growable byte buffer. It has a ceiling: an append that would pass it changes nothing
// but sets `full`, so a writer may append blindly and look once at the end.
struct sld_buf {
    char *p;      // owned; not NUL-terminated
    size_t n;     // bytes used
    size_t cap;   // bytes allocated
    size_t max;   // ceiling of n
    bool full;    // an append was refused
    bool secret;  // memory is overwritten before it is let go
};

// An empty buffer with ceiling MAX bytes.
void sld_buf_init(struct sld_buf *b, size_t max);
// The same for secrets.
void sld_buf_init_secret(struct sld_buf *b, size_t max);
// Frees the memory; NULL and zeroed are fine.
void sld_buf_fini(struct sld_buf *b);
// Empties it, keeps the memory.
void sld_buf_reset(struct sld_buf *b);
void sld_buf_add(struct sld_buf *b, struct sld_str s);
void sld_buf_addc(struct sld_buf *b, char c);
void sld_buf_addz(struct sld_buf *b, const char *c);
void sld_buf_addf(struct sld_buf *b, const char *fmt, ...) SLD_PRINTF(2, 3);
// S with everything percent-encoded but letters, digits and the characters in PLAIN.
void sld_buf_add_encoded(struct sld_buf *b, struct sld_str s, const char *plain);
void sld_buf_vaddf(struct sld_buf *b, const char *fmt, va_list ap);
// Makes room for N more bytes and returns where they go (set n yourself), or NULL when over max.
char *sld_buf_reserve(struct sld_buf *b, size_t n);
// Drops the first N bytes.
void sld_buf_consume(struct sld_buf *b, size_t n);
struct sld_str sld_buf_str(const struct sld_buf *b);
