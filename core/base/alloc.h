// Memory: ordinary allocation that cannot fail, and arenas.
//
// Lifetimes in Solder are three: an arena (everything computed for one row, request or decode),
// a refcounted immutable object (obj.h), and create/destroy owners. Out of memory ends the process;
// what the outside controls goes through a ceiling (sld_buf, sld_arena_limit) and gives an error.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/str.h"

// Sets up the process's allocator for a long life in little memory. Once, before there are threads.
void sld_alloc_tune(void);
// Gives memory that is free back to the kernel, and lets go of the program's pages that are not used
// again soon; after something great was done for once. [any]
void sld_alloc_trim(void);
// malloc, calloc, realloc that abort instead of returning NULL. N bytes; zero gives a valid
// pointer. Free with sld_xfree. [any]
void *sld_xalloc(size_t n);
void *sld_xcalloc(size_t count, size_t size);
void *sld_xrealloc(void *p, size_t n);
// N bytes, a multiple of ALIGN, at a multiple of ALIGN, which is a power of two. Not cleared. [any]
void *sld_xalloc_aligned(size_t align, size_t n);
// NULL is fine. [any]
void sld_xfree(void *p);
// Overwrites N bytes at P so that the compiler cannot drop it; for secrets. [any]
void sld_wipe(void *p, size_t n);

#define SLD_NEW(T) ((T *)sld_xcalloc(1, sizeof(T)))

// A bump allocator: many small allocations, freed as a whole. Not thread-safe.
struct sld_arena {
    struct sld_arena_chunk *head; // newest chunk, linked to older ones
    uint32_t used_bytes;          // bytes handed out so far; no more is counted than fits
    uint32_t limit_bytes : 31;    // ceiling of used_bytes; 0 = none
    uint32_t over_limit : 1;      // a request went over limit_bytes (it was served by abort-free NULL)
};

// An empty arena; allocates nothing yet. A zeroed struct is one too.
void sld_arena_init(struct sld_arena *a);
// An arena that begins in ROOM, of N bytes, which stays the caller's: at least the header of
// SLD_ARENA_HEADER bytes, aligned to 8.
#define SLD_ARENA_HEADER 16
void sld_arena_init_in(struct sld_arena *a, void *room, size_t n);
// Frees everything; the arena is empty and usable again. NULL is fine.
void sld_arena_fini(struct sld_arena *a);
// The same, with everything overwritten first: for arenas that held secrets.
void sld_arena_fini_secret(struct sld_arena *a);
// Empties it, but keeps a chunk of common size for what comes next. Not for secrets: nothing is overwritten.
void sld_arena_reset(struct sld_arena *a);
// Gives an empty arena room for N bytes in one piece.
void sld_arena_reserve(struct sld_arena *a, size_t n);
// Sets the ceiling, below 2 GiB: from then on sld_arena_try_alloc returns NULL above it.
void sld_arena_limit(struct sld_arena *a, size_t limit_bytes);
// N zeroed bytes aligned to 8. Never NULL; the ceiling does not apply.
void *sld_arena_alloc(struct sld_arena *a, size_t n);
// As sld_arena_alloc, but NULL (and over_limit set) when the ceiling would be passed.
void *sld_arena_try_alloc(struct sld_arena *a, size_t n);
// A NUL-terminated copy of S in the arena; the result's n does not count the NUL.
struct sld_str sld_arena_str(struct sld_arena *a, struct sld_str s);
// The same as a C string (an absent S gives "").
char *sld_arena_cstr(struct sld_arena *a, struct sld_str s);
// The N slices of PARTS one behind the other, NUL-terminated.
struct sld_str sld_arena_join(struct sld_arena *a, const struct sld_str *parts, size_t n);
#define SLD_ARENA_JOIN(a, ...)                                                                     \
    sld_arena_join((a), (const struct sld_str[]){__VA_ARGS__},                                     \
                   sizeof((const struct sld_str[]){__VA_ARGS__}) / sizeof(struct sld_str))
// printf into the arena, NUL-terminated.
struct sld_str sld_arena_fmt(struct sld_arena *a, const char *fmt, ...) SLD_PRINTF(2, 3);

#define SLD_ARENA_NEW(a, T) ((T *)sld_arena_alloc((a), sizeof(T)))
#define SLD_ARENA_ARRAY(a, T, n) ((T *)sld_arena_alloc((a), sizeof(T) * (n)))

// Grows an array that lives in an arena so that index N is valid; returns the (maybe moved) array.
// SIZE is the element size; the capacity is the next power of two of N, so no capacity is stored:
// call it with N = current length before every append.
void *sld_arena_grow(struct sld_arena *a, void *array, size_t n, size_t size);

// Appends V to ARRAY of length N (both lvalues) in arena A.
#define SLD_PUSH(a, array, n, v)                                                                   \
    do {                                                                                           \
        (array) = sld_arena_grow((a), (array), (n), sizeof(*(array)));                             \
        (array)[(n)++] = (v);                                                                      \
    } while (0)
