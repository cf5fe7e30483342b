// Slices: comparison, cutting, numbers, UTF-8, edit distance.
#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool sld_str_ieq(struct sld_str a, struct sld_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

int sld_str_cmp(struct sld_str a, struct sld_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

bool sld_str_starts(struct sld_str s, struct sld_str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool sld_str_ends(struct sld_str s, struct sld_str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

ptrdiff_t sld_str_index(struct sld_str s, char c)
{
    const char *p = s.n ? memchr(s.p, c, s.n) : NULL;
    return p ? p - s.p : -1;
}

ptrdiff_t sld_str_find(struct sld_str s, struct sld_str needle)
{
    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return -1;
    for (size_t i = 0; i + needle.n <= s.n; i++) {
        const char *p = memchr(s.p + i, needle.p[0], s.n - needle.n - i + 1);
        if (!p)
            return -1;
        i = (size_t)(p - s.p);
        if (memcmp(p, needle.p, needle.n) == 0)
            return (ptrdiff_t)i;
    }
    return -1;
}

struct sld_str sld_str_sub(struct sld_str s, size_t from, size_t n)
{
    if (from > s.n)
        from = s.n;
    if (n > s.n - from)
        n = s.n - from;
    return (struct sld_str){s.p ? s.p + from : NULL, n};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct sld_str sld_str_trim(struct sld_str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool sld_str_cut(struct sld_str *s, char sep, struct sld_str *head)
{
    if (!s->p)
        return false;
    ptrdiff_t at = sld_str_index(*s, sep);
    if (at < 0) {
        *head = *s;
        *s = SLD_STR_NONE;
        return true;
    }
    *head = (struct sld_str){s->p, (size_t)at};
    *s = (struct sld_str){s->p + at + 1, s->n - (size_t)at - 1};
    return true;
}

bool sld_str_u64(struct sld_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0 || s.n > 20)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(s.p[i] - '0');
        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

bool sld_str_i64(struct sld_str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t v = 0;
    if (!sld_str_u64(negative ? sld_str_sub(s, 1, s.n) : s, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + (negative ? 1u : 0u))
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

// Skips a run of digits from *I on; false when there is none.
static bool skip_digits(struct sld_str s, size_t *i)
{
    size_t from = *i;
    while (*i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9')
        (*i)++;
    return *i > from;
}

bool sld_str_double(struct sld_str s, double *out)
{
    char text[64];
    size_t i = 0;
    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    if (s.p[0] == '-' || s.p[0] == '+')
        i++;
    if (i < s.n && s.p[i] == '.') {
        i++;
        if (!skip_digits(s, &i))
            return false;
    } else {
        if (!skip_digits(s, &i))
            return false;
        if (i < s.n && s.p[i] == '.') {
            i++;
            skip_digits(s, &i);
        }
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        if (!skip_digits(s, &i))
            return false;
    }
    if (i != s.n)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    double v = strtod(text, NULL);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

// Length of the UTF-8 sequence at P (N bytes left), or 0 when it is not valid.
static size_t utf8_len(const unsigned char *p, size_t n)
{
    unsigned c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F) || (c == 0xF0 && p[1] < 0x90) ||
        (c == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

bool sld_str_utf8(struct sld_str s, size_t *at)
{
    for (size_t i = 0; i < s.n;) {
        size_t n = utf8_len((const unsigned char *)s.p + i, s.n - i);
        if (n == 0) {
            if (at)
                *at = i;
            return false;
        }
        i += n;
    }
    return true;
}

struct sld_str sld_str_utf8_cut(struct sld_str s, size_t n)
{
    if (s.n <= n)
        return s;
    while (n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    return sld_str_sub(s, 0, n);
}

size_t sld_str_distance(struct sld_str a, struct sld_str b, size_t cap)
{
    enum { MAX = 64 };
    size_t row[MAX + 1];
    size_t gap = a.n > b.n ? a.n - b.n : b.n - a.n;
    if (gap > cap || b.n > MAX)
        return cap + 1;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < best ? change : best;
        }
    }
    return row[b.n] > cap ? cap + 1 : row[b.n];
}
