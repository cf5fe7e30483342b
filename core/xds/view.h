// Views: what all clients of one role are meant to hold. A view has an entry per (type, name); an entry that
// nobody provides and no client asks for is dropped. Shared resources (role "") are laid under every view.
#pragma once

#include "xds/bits.h"
#include "xds/build.h"

struct sld_xds_good {
    const struct sld_xds_build *build;
    struct sld_xds_resource *resource;
};

// An entry whose current form some build refused.
struct sld_xds_refused {
    struct sld_list link; // in view->refused
    struct sld_xds_entry *entry;
};

// There are as many of these as resources, in each view.
struct sld_xds_entry {
    struct sld_xds_resource *current; // NULL = absent
    struct sld_xds_resource *empty;   // endpoints: the empty assignment, made when needed
    struct sld_xds_refused *refused;  // owned; NULL: no build refused `current`
    union {                           // last acknowledged form per build, newest first: sld_xds_entry_goods
        struct sld_xds_good one;      // good_count <= 1, as of most
        struct sld_xds_good *many;    // owned
    } good;
    uint32_t ix;                      // dense within view and type: the bit of the sets that streams keep
    uint32_t refs;                    // streams that subscribed by name or have a record
    uint32_t name_bytes;
    uint8_t type;
    uint8_t good_count;
    bool own : 1;  // the view has its own, not a shared one
    bool made : 1; // endpoints: `current` is the empty assignment of a cluster nobody gave endpoints for
    bool past : 1; // `current` is what an earlier process knew
    char text[];   // the name
};

static inline struct sld_str sld_xds_entry_name(const struct sld_xds_entry *e)
{
    return sld_str_n(e->text, e->name_bytes);
}
// The last acknowledged forms, of which there are `good_count`; E's own.
static inline const struct sld_xds_good *sld_xds_entry_goods(const struct sld_xds_entry *e)
{
    return e->good_count > 1 ? e->good.many : &e->good.one;
}

struct sld_xds_table {
    struct sld_set by_name;       // entries
    struct sld_xds_entry **by_ix; // NULL where free
    uint32_t *free_ix;
    size_t ix_count, free_count;
    size_t live;                  // entries with a current resource
};

struct sld_xds_view {
    struct sld_str name; // owned
    struct sld_xds *x;
    bool laid; // shared resources are laid under it: not under the fallback before somebody comes to it
    struct sld_xds_table tables[SLD_XDS_TYPE_COUNT];
    struct sld_map users;    // cluster -> how many current routes and listeners list it
    struct sld_list streams;
    struct sld_list refused; // struct sld_xds_refused
    struct sld_umap unfed;   // ix of endpoints that are `made` -> since when (ns)
};

struct sld_xds_view *sld_xds_view_create(struct sld_xds *x, struct sld_str name);
void sld_xds_view_destroy(struct sld_xds_view *v);

struct sld_xds_entry *sld_xds_entry_find(const struct sld_xds_view *v, enum sld_xds_type t,
                                         struct sld_str name);
// Found or made; drop it again by sld_xds_entry_drop when it was not referenced.
struct sld_xds_entry *sld_xds_entry_get(struct sld_xds_view *v, enum sld_xds_type t,
                                        struct sld_str name);
static inline void sld_xds_entry_ref(struct sld_xds_entry *e)
{
    e->refs++;
}
void sld_xds_entry_unref(struct sld_xds_view *v, struct sld_xds_entry *e);
// Frees E when it has neither a resource nor a reference.
void sld_xds_entry_drop(struct sld_xds_view *v, struct sld_xds_entry *e);

// Sets what E is meant to be (NULL = absent; a cluster's endpoints become the empty assignment instead) and keeps
// `users` and `refused`. Streams must have been told before (sld_xds_stream_before) and be told after.
void sld_xds_entry_set(struct sld_xds_view *v, struct sld_xds_entry *e,
                       struct sld_xds_resource *r);
// The same for an R of the same version: what clients are sent stays, not what it needs. Nothing of the former
// resource is kept. Streams are to look again.
void sld_xds_entry_renew(struct sld_xds_view *v, struct sld_xds_entry *e, struct sld_xds_resource *r);
// Puts E on or off the list of refused ones by what is known now.
void sld_xds_entry_judge(struct sld_xds_view *v, struct sld_xds_entry *e);

// What a client of BUILD is to hold: the current form, or its last good one where that was refused. NULL = nothing;
// borrowed.
struct sld_xds_resource *sld_xds_entry_target(struct sld_xds_view *v, struct sld_xds_entry *e,
                                              const struct sld_xds_build *build);
// Remembers that BUILD acknowledged R, unless R is old and a form is known already; true when R is news: no
// build's last good form yet.
bool sld_xds_entry_good(struct sld_xds_entry *e, const struct sld_xds_build *build,
                        struct sld_xds_resource *r);
// The assignment without endpoints for E's cluster; borrowed.
struct sld_xds_resource *sld_xds_entry_empty(struct sld_xds_entry *e);
// Frees that assignment, which is not E's current resource, unless a stream holds it.
void sld_xds_entry_forget_empty(struct sld_xds_entry *e);
bool sld_xds_lists_cluster(const struct sld_xds_resource *r, struct sld_str cluster);
