// The growable byte buffer with a ceiling.
#include <stdio.h>

#include "base/alloc.h"
#include "base/str.h"

void sld_buf_init(struct sld_buf *b, size_t max)
{
    *b = (struct sld_buf){.max = max};
}

void sld_buf_init_secret(struct sld_buf *b, size_t max)
{
    *b = (struct sld_buf){.max = max, .secret = true};
}

static void let_go(struct sld_buf *b)
{
    if (b->secret && b->p)
        sld_wipe(b->p, b->cap);
    sld_xfree(b->p);
}

void sld_buf_fini(struct sld_buf *b)
{
    if (!b)
        return;
    let_go(b);
    *b = (struct sld_buf){.max = b->max, .secret = b->secret};
}

void sld_buf_reset(struct sld_buf *b)
{
    b->n = 0;
    b->full = false;
}

// Room for N more bytes, and SPARE behind them that do not count.
static char *reserve(struct sld_buf *b, size_t n, size_t spare)
{
    if (n > b->max || b->n > b->max - n) {
        b->full = true;
        return NULL;
    }
    size_t need = b->n + n + spare;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap < need)
            cap *= 2;
        if (b->secret) { // realloc would leave the old bytes behind
            char *p = sld_xalloc(cap);
            if (b->n)
                memcpy(p, b->p, b->n);
            let_go(b);
            b->p = p;
        } else {
            b->p = sld_xrealloc(b->p, cap);
        }
        b->cap = cap;
    }
    return b->p + b->n;
}

char *sld_buf_reserve(struct sld_buf *b, size_t n)
{
    return reserve(b, n, 0);
}

void sld_buf_add(struct sld_buf *b, struct sld_str s)
{
    if (s.n == 0)
        return;
    char *to = sld_buf_reserve(b, s.n);
    if (!to)
        return;
    memcpy(to, s.p, s.n);
    b->n += s.n;
}

void sld_buf_addc(struct sld_buf *b, char c)
{
    sld_buf_add(b, (struct sld_str){&c, 1});
}

void sld_buf_add_encoded(struct sld_buf *b, struct sld_str s, const char *plain)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (alnum || (c && strchr(plain, c))) {
            sld_buf_addc(b, (char)c);
        } else {
            sld_buf_addc(b, '%');
            sld_buf_addc(b, hex[c >> 4]);
            sld_buf_addc(b, hex[c & 15]);
        }
    }
}

void sld_buf_addz(struct sld_buf *b, const char *c)
{
    sld_buf_add(b, sld_str_c(c));
}

void sld_buf_vaddf(struct sld_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t room = b->n <= b->max ? b->cap - b->n : 0;
    int n = vsnprintf(b->p ? b->p + b->n : NULL, b->p ? room : 0, fmt, ap);
    SLD_INV(n >= 0);
    char *to = reserve(b, (size_t)n, 1);
    if (to) {
        if ((size_t)n >= room)
            vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void sld_buf_addf(struct sld_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sld_buf_vaddf(b, fmt, ap);
    va_end(ap);
}

void sld_buf_consume(struct sld_buf *b, size_t n)
{
    SLD_PRE(n <= b->n);
    if (n < b->n)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

struct sld_str sld_buf_str(const struct sld_buf *b)
{
    return (struct sld_str){b->p ? b->p : "", b->n};
}
