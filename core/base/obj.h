// Refcounted immutable objects: made complete, frozen, then shared between owners and threads.
#pragma once

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/str.h"

// Embedded as the first member of every shared object. The content behind it never changes once a
// second owner or thread can see it.
struct sld_obj {
    atomic_uint refs;     // 1 after init
    int32_t free;         // private: what frees it, as of sld_obj_frees
    struct sld_hash hash; // content hash: equal objects need not be told apart
};

// One reference, the caller's. FREE_FN frees O as a whole; it is called by whoever drops the last reference, on any
// thread. NULL: sld_obj_frees is called before that.
void sld_obj_init(struct sld_obj *o, void (*free_fn)(struct sld_obj *o), struct sld_hash hash);
// Sets what frees O, which nobody else has yet. FREE_FN is one of the program's own, not of a library that is loaded
// elsewhere: it is kept as a distance of 32 bits, because there are hundreds of thousands of objects.
void sld_obj_frees(struct sld_obj *o, void (*free_fn)(struct sld_obj *o));
// Adds a reference and returns O (NULL is fine). [any]
void *sld_obj_ref(void *o);
// The same for an object whose last reference may be going just now: false, and nothing is added, when it has. O's
// memory must be there, so its free function has to wait for the caller. [any]
bool sld_obj_try_ref(struct sld_obj *o);
// Drops the reference at *P and clears it; NULL is fine. P is the address of the pointer. [any]
void sld_obj_unref_(struct sld_obj **p);
#define SLD_UNREF(ptr)                                                                             \
    do {                                                                                           \
        struct sld_obj *sld_o_ = (struct sld_obj *)(void *)(ptr);                                  \
        (ptr) = NULL;                                                                              \
        sld_obj_unref_(&sld_o_);                                                                   \
    } while (0)

// Immutable bytes.
struct sld_blob {
    struct sld_obj obj;  // hash is the hash of the bytes
    struct sld_str data; // NUL-terminated behind its last byte
    bool secret;         // wiped when freed, never printed
    char bytes[];
};

// A copy of S.
struct sld_blob *sld_blob_create(struct sld_str s);
// The same, wiped when the last reference goes.
struct sld_blob *sld_blob_create_secret(struct sld_str s);

// An object that owns an arena: the usual form of a computed row. Allocate one, build the content
// in its arena, then set the hash and share it.
struct sld_arena_obj {
    struct sld_obj obj;
    struct sld_arena arena;
    void *root; // what the arena was built for; its type is the table's business
};
struct sld_arena_obj *sld_arena_obj_create(void);
