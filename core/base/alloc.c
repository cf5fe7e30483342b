// Ordinary allocation that cannot fail, and arenas of growing chunks.
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sld_arena_chunk {
    struct sld_arena_chunk *next;
    size_t used, cap;
    char data[];
};

enum { CHUNK_MIN = 256, CHUNK_MAX = 256 * 1024, ALIGN = 16 };

// Bytes before a chunk's data, so that those are aligned.
#define HEADER ((offsetof(struct sld_arena_chunk, data) + ALIGN - 1) & ~(size_t)(ALIGN - 1))

_Noreturn static void out_of_memory(size_t n)
{
    fprintf(stderr, "solder: out of memory (%zu bytes)\n", n);
    abort();
}

void *sld_xalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        out_of_memory(n);
    return p;
}

void *sld_xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory(count * size);
    return p;
}

void *sld_xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q)
        out_of_memory(n);
    return q;
}

void sld_xfree(void *p)
{
    free(p);
}

void sld_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

void sld_arena_init(struct sld_arena *a)
{
    *a = (struct sld_arena){0};
}

void sld_arena_fini(struct sld_arena *a)
{
    if (!a)
        return;
    for (struct sld_arena_chunk *c = a->head; c;) {
        struct sld_arena_chunk *next = c->next;
        free(c);
        c = next;
    }
    *a = (struct sld_arena){0};
}

void sld_arena_fini_secret(struct sld_arena *a)
{
    if (!a)
        return;
    for (struct sld_arena_chunk *c = a->head; c; c = c->next)
        sld_wipe((char *)c + HEADER, c->used);
    sld_arena_fini(a);
}

void sld_arena_limit(struct sld_arena *a, size_t limit_bytes)
{
    a->limit_bytes = limit_bytes;
}

static struct sld_arena_chunk *chunk_add(struct sld_arena *a, size_t n)
{
    size_t cap = a->head ? a->head->cap * 2 : CHUNK_MIN;
    if (cap > CHUNK_MAX)
        cap = CHUNK_MAX;
    if (cap < n)
        cap = n;
    struct sld_arena_chunk *c = sld_xalloc(HEADER + cap);
    c->cap = cap;
    c->used = 0;
    // A chunk made for one big request goes behind the head, so the head's room is not lost.
    if (a->head && n > CHUNK_MAX / 4 && a->head->cap - a->head->used > 64) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
    }
    return c;
}

void *sld_arena_alloc(struct sld_arena *a, size_t n)
{
    SLD_PRE(n < (size_t)1 << 40);
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (n == 0)
        n = ALIGN;
    struct sld_arena_chunk *c = a->head;
    if (!c || c->cap - c->used < n)
        c = chunk_add(a, n);
    char *p = (char *)c + HEADER + c->used;
    c->used += n;
    a->used_bytes += n;
    memset(p, 0, n);
    return p;
}

void *sld_arena_try_alloc(struct sld_arena *a, size_t n)
{
    if (a->limit_bytes && (n > a->limit_bytes || a->used_bytes > a->limit_bytes - n)) {
        a->over_limit = 1;
        return NULL;
    }
    return sld_arena_alloc(a, n);
}

struct sld_str sld_arena_str(struct sld_arena *a, struct sld_str s)
{
    if (!s.p)
        return SLD_STR_NONE;
    char *p = sld_arena_alloc(a, s.n + 1);
    memcpy(p, s.p, s.n);
    return (struct sld_str){p, s.n};
}

char *sld_arena_cstr(struct sld_arena *a, struct sld_str s)
{
    char *p = sld_arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct sld_str sld_arena_fmt(struct sld_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    char *p = sld_arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct sld_str){p, (size_t)n};
}

void *sld_arena_grow(struct sld_arena *a, void *array, size_t n, size_t size)
{
    // Full exactly when n is zero or a power of two from 4 on.
    if (n != 0 && (n < 4 || (n & (n - 1)) != 0))
        return array;
    size_t cap = n == 0 ? 4 : n * 2;
    void *bigger = sld_arena_alloc(a, cap * size);
    if (n)
        memcpy(bigger, array, n * size);
    return bigger;
}
