// Memory for libyaml while it reads one text. It asks for a hundred small blocks a document and gives all of them back in
// the end; a pool of the thread's own serves it without the heap, which other threads want at the same time.
//
// libyaml has no hooks for this: the build gives it these functions in the place of libc's (CMakeLists.txt). Where it does not,
// as with sanitizers, the pool is made and not used.
#include <stdatomic.h>

#include "codec/read.h"

// Room for the buffers of libyaml, and what most documents take besides. Blocks are powers of two.
enum { CHUNK_BYTES = 192 * 1024, CLASS_MIN = 5, CLASS_MAX = 30, SPARES = 2 };

// In front of each block.
struct head {
    union {
        struct head *next; // when it is free
        size_t n;          // bytes asked for
    };
    size_t class;
};
_Static_assert(sizeof(struct head) == 16, "blocks are aligned as those of libc");

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) char data[];
};

struct yaml_pool {
    struct head *free[CLASS_MAX + 1];
    struct chunk *chunk; // the newest; the first one stays
    struct yaml_pool *outer;
};

static _Thread_local struct yaml_pool *current;
static _Atomic(struct yaml_pool *) spares[SPARES];

static struct chunk *chunk_create(size_t size)
{
    struct chunk *c = sld_xalloc(sizeof(*c) + size);
    *c = (struct chunk){.size = size};
    return c;
}

static struct yaml_pool *pool_create(void)
{
    struct yaml_pool *p = SLD_NEW(struct yaml_pool);
    p->chunk = chunk_create(CHUNK_BYTES);
    return p;
}

struct yaml_pool *yaml_pool_enter(void)
{
    struct yaml_pool *p = NULL;
    for (size_t i = 0; i < SPARES && !p; i++)
        p = atomic_exchange(&spares[i], NULL);
    if (!p)
        p = pool_create();
    p->outer = current;
    current = p;
    return p;
}

void yaml_pool_leave(struct yaml_pool *p)
{
    SLD_PRE(current == p);
    current = p->outer;
    while (p->chunk->next) {
        struct chunk *c = p->chunk;
        p->chunk = c->next;
        sld_xfree(c);
    }
    p->chunk->used = 0;
    memset((void *)p->free, 0, sizeof(p->free));
    for (size_t i = 0; i < SPARES; i++) {
        struct yaml_pool *none = NULL;
        if (atomic_compare_exchange_strong(&spares[i], &none, p))
            return;
    }
    sld_xfree(p->chunk);
    sld_xfree(p);
}

size_t sld_doc_trim(void)
{
    size_t n = 0;
    for (size_t i = 0; i < SPARES; i++) {
        struct yaml_pool *p = atomic_exchange(&spares[i], NULL);
        if (!p)
            continue;
        n += sizeof(*p) + sizeof(*p->chunk) + p->chunk->size;
        sld_xfree(p->chunk);
        sld_xfree(p);
    }
    return n;
}

static struct head *take(struct yaml_pool *p, size_t class)
{
    struct head *h = p->free[class];
    if (h) {
        p->free[class] = h->next;
        return h;
    }
    size_t size = (size_t)1 << class;
    if (p->chunk->size - p->chunk->used < size) {
        struct chunk *c = chunk_create(size > CHUNK_BYTES ? size : CHUNK_BYTES);
        c->next = p->chunk;
        p->chunk = c;
    }
    h = (struct head *)(void *)(p->chunk->data + p->chunk->used);
    p->chunk->used += size;
    return h;
}

void *yaml_pool_malloc(size_t n)
{
    if (!current)
        return sld_xalloc(n);
    if (n > ((size_t)1 << CLASS_MAX) - sizeof(struct head))
        return NULL;
    size_t class = CLASS_MIN, size = n + sizeof(struct head);
    if (size > (size_t)1 << CLASS_MIN)
        class = (size_t)(64 - __builtin_clzl(size - 1));
    struct head *h = take(current, class);
    h->n = n;
    h->class = class;
    return h + 1;
}

void yaml_pool_free(void *p)
{
    if (!current) {
        sld_xfree(p);
    } else if (p) {
        struct head *h = (struct head *)p - 1;
        h->next = current->free[h->class];
        current->free[h->class] = h;
    }
}

void *yaml_pool_realloc(void *p, size_t n)
{
    if (!current)
        return sld_xrealloc(p, n);
    if (!p)
        return yaml_pool_malloc(n);
    struct head *h = (struct head *)p - 1;
    if (n <= ((size_t)1 << h->class) - sizeof(*h)) {
        h->n = n;
        return p;
    }
    void *q = yaml_pool_malloc(n);
    if (q) {
        memcpy(q, p, h->n < n ? h->n : n);
        yaml_pool_free(p);
    }
    return q;
}

char *yaml_pool_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *q = yaml_pool_malloc(n);
    return q ? memcpy(q, s, n) : NULL;
}
