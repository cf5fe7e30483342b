// Ordinary allocation that cannot fail, and arenas of growing chunks.
#include "base/alloc.h"

#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct sld_arena_chunk {
    struct sld_arena_chunk *next;
    uint32_t used;
    uint32_t cap : 31;
    uint32_t borrowed : 1; // the memory is somebody else's
    char data[];
};

enum { CHUNK_MIN = 256, CHUNK_MAX = 256 * 1024, ALIGN = 8, FMT_MAX = 256, CAP_MAX = 0x7fffffff, OWN_MAX = 1024 };

// Bytes before a chunk's data, so that those are aligned.
#define HEADER ((offsetof(struct sld_arena_chunk, data) + ALIGN - 1) & ~(size_t)(ALIGN - 1))

_Static_assert(HEADER == SLD_ARENA_HEADER, "alloc.h tells its size");

_Noreturn static void out_of_memory(size_t n)
{
    fprintf(stderr, "solder: out of memory (%zu bytes)\n", n);
    abort();
}

void sld_alloc_tune(void)
{
    // One heap: what one thread frees the others use, and what was needed once for the first load does
    // not stay behind in a heap per thread. Large blocks go back to the kernel when they are freed.
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 8 * 1024 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

// Pages of the program's code and constants. They are the file's own and never written, so the kernel has
// them at hand when they are wanted again.
static int program_forget(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + h->p_vaddr + page - 1) & ~(page - 1),
                  to = (info->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(page - 1);
        if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && from < to)
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 1; // the program is told of first; libraries are others' too
}

void sld_alloc_trim(void)
{
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(program_forget, NULL);
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
    // libc's calloc takes the heap's lock each time, its malloc mostly finds a small block of the thread's own.
    if (count <= OWN_MAX && size <= OWN_MAX && count * size <= OWN_MAX)
        return memset(sld_xalloc(count * size), 0, count * size);
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

void *sld_xalloc_aligned(size_t align, size_t n)
{
    void *p = aligned_alloc(align, n);
    if (!p)
        out_of_memory(n);
    return p;
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
        if (!c->borrowed)
            free(c);
        c = next;
    }
    *a = (struct sld_arena){0};
}

void sld_arena_init_in(struct sld_arena *a, void *room, size_t n)
{
    SLD_PRE(n >= HEADER && n - HEADER <= CAP_MAX && (uintptr_t)room % ALIGN == 0);
    struct sld_arena_chunk *c = room;
    *c = (struct sld_arena_chunk){.cap = (uint32_t)(n - HEADER) & CAP_MAX, .borrowed = 1};
    *a = (struct sld_arena){.head = c};
}

void sld_arena_reset(struct sld_arena *a)
{
    struct sld_arena_chunk *kept = a->head;
    if (!kept || kept->cap > CHUNK_MAX) {
        sld_arena_fini(a);
        return;
    }
    struct sld_arena rest = {.head = kept->next};
    sld_arena_fini(&rest);
    kept->next = NULL;
    kept->used = 0;
    a->used_bytes = 0;
    a->over_limit = 0;
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
    SLD_PRE(limit_bytes <= CAP_MAX);
    a->limit_bytes = (uint32_t)limit_bytes & CAP_MAX;
}

static struct sld_arena_chunk *chunk_add(struct sld_arena *a, size_t n)
{
    size_t cap = a->head ? (size_t)a->head->cap * 2 : CHUNK_MIN;
    if (cap < CHUNK_MIN)
        cap = CHUNK_MIN;
    if (cap > CHUNK_MAX)
        cap = CHUNK_MAX;
    if (cap < n)
        cap = n;
    struct sld_arena_chunk *c = sld_xalloc(HEADER + cap);
    *c = (struct sld_arena_chunk){.cap = (uint32_t)cap & CAP_MAX};
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

void sld_arena_reserve(struct sld_arena *a, size_t n)
{
    SLD_PRE(!a->head && n <= CAP_MAX);
    (void)chunk_add(a, n);
}

// N bytes from an offset that is a multiple of TO; not cleared.
static char *take(struct sld_arena *a, size_t n, size_t to)
{
    SLD_PRE(n <= CAP_MAX);
    if (n == 0)
        n = 1;
    struct sld_arena_chunk *c = a->head;
    size_t from = c ? (c->used + to - 1) & ~(to - 1) : 0, cap = c ? c->cap : 0;
    if (!c || from > cap || cap - from < n) {
        c = chunk_add(a, n);
        from = 0;
    }
    size_t taken = a->used_bytes + from + n - c->used;
    a->used_bytes = taken < UINT32_MAX ? (uint32_t)taken : UINT32_MAX;
    c->used = (uint32_t)(from + n);
    return (char *)c + HEADER + from;
}

void *sld_arena_alloc(struct sld_arena *a, size_t n)
{
    return memset(take(a, n, ALIGN), 0, n ? n : 1);
}

void *sld_arena_try_alloc(struct sld_arena *a, size_t n)
{
    if (a->limit_bytes && (n > a->limit_bytes || a->used_bytes > a->limit_bytes - n)) {
        a->over_limit = 1;
        return NULL;
    }
    return sld_arena_alloc(a, n);
}

char *sld_arena_cstr(struct sld_arena *a, struct sld_str s)
{
    char *p = take(a, s.n + 1, 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

struct sld_str sld_arena_str(struct sld_arena *a, struct sld_str s)
{
    return s.p ? (struct sld_str){sld_arena_cstr(a, s), s.n} : SLD_STR_NONE;
}

struct sld_str sld_arena_join(struct sld_arena *a, const struct sld_str *parts, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += parts[i].n;
    char *p = take(a, size + 1, 1), *at = p;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    *at = 0;
    return (struct sld_str){p, size};
}

struct sld_str sld_arena_fmt(struct sld_arena *a, const char *fmt, ...)
{
    char small[FMT_MAX];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    char *p = take(a, (size_t)n + 1, 1);
    if ((size_t)n < sizeof(small))
        memcpy(p, small, (size_t)n + 1);
    else
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
