// discovery: where services and their instances come from. A discovery runs on the io thread and
// tells of the services of a registry's catalog, and of the instances of those that somebody wants.
//
// A new discovery is one folder here and one line in app/builtin.c.
#pragma once

#include "source/source.h"

// ---- Services and instances ---- [any]

// What a catalog says of a service: immutable, shared.
struct sld_service {
    struct sld_obj obj; // hash of all below
    struct sld_str name;
    struct sld_str *tags; // of all its instances together; sorted, distinct
    size_t tag_count;
    struct sld_str *datacenters; // where it is; sorted, distinct
    size_t datacenter_count;
};
// Copies everything; TAGS and DATACENTERS may be in any order and repeat.
struct sld_service *sld_service_create(struct sld_str name, const struct sld_str *tags,
                                       size_t tags_n, const struct sld_str *datacenters,
                                       size_t datacenters_n);

struct sld_label {
    struct sld_str key, value;
};

// One address of an instance. Of names that were looked up there is one for each address.
struct sld_instance {
    struct sld_str address;  // IPv4 or IPv6
    struct sld_str hostname; // the name that was looked up; absent: none was
    uint32_t port;
    uint32_t weight;      // its share; 0 counts as 1
    bool draining;        // it ends soon: it gets no new requests where others are well
    struct sld_str *tags; // sorted, distinct
    size_t tag_count;
    struct sld_str datacenter, node, id;
    struct sld_label *meta; // of the service; sorted by key
    size_t meta_count;
    struct sld_label *node_meta; // of the node; sorted by key
    size_t node_meta_count;
};

// All instances of a service: immutable, shared. There are tens of thousands of instances, so they are
// kept packed and are read by sld_instances_items.
struct sld_instances {
    struct sld_obj obj; // hash of all items
    size_t count;
    size_t bytes; // that the packed items take
    void *own;    // private to discovery.c
};
// An empty set that is being made: items are added by sld_instances_add, then sld_instances_seal
// sorts them and sets the hash; after that it may be shared and read.
struct sld_instances *sld_instances_create(void);
// Copies ITEM with all it points to; what is to be sorted may be in any order. False: it has no
// usable address or port, and is left out.
bool sld_instances_add(struct sld_instances *s, const struct sld_instance *item);
void sld_instances_seal(struct sld_instances *s);
// The items of S, which is sealed, sorted by address, port and id. The array is A's, its texts are A's
// or S's: valid as long as both.
const struct sld_instance *sld_instances_items(struct sld_arena *a, const struct sld_instances *s);
// The same of the first N of them, at most S->count.
const struct sld_instance *sld_instances_first(struct sld_arena *a, const struct sld_instances *s,
                                               size_t n);
// Whether an item of S, which is sealed, is of NODE. Cheap where none is.
bool sld_instances_have_node(const struct sld_instances *s, struct sld_str node);

// ---- What is kept over restarts ---- [io]

// Services that somebody wants, with their instances as they were told last: file
// services.<registry> of the state directory, which is written soon after a change.
struct sld_discovery_memory;
// Reads what the last process kept. DIR is there, and nobody else's. A file that cannot be used is
// logged and counts as none.
struct sld_discovery_memory *sld_discovery_memory_open(struct sld_loop *io, struct sld_str dir,
                                                       const char *registry);
// Writes what is not written yet; or, FORGET, removes the file. NULL is fine.
void sld_discovery_memory_close(struct sld_discovery_memory *m, bool forget);
// Calls FN for each service that is kept; FN keeps M as it is.
typedef void sld_discovery_memory_fn(void *user, struct sld_service *service,
                                     struct sld_instances *instances);
void sld_discovery_memory_each(struct sld_discovery_memory *m, sld_discovery_memory_fn *fn,
                               void *user);
// Keeps a service (a reference each), or keeps it no longer.
void sld_discovery_memory_set(struct sld_discovery_memory *m, struct sld_service *service,
                              struct sld_instances *instances);
void sld_discovery_memory_forget(struct sld_discovery_memory *m, struct sld_str name);
// Keeps no longer what the last process kept and this one did not set.
void sld_discovery_memory_forget_old(struct sld_discovery_memory *m);
// A number of the discovery's own, kept with the next write; 0: none.
uint64_t sld_discovery_memory_mark(const struct sld_discovery_memory *m, struct sld_str key);
void sld_discovery_memory_set_mark(struct sld_discovery_memory *m, struct sld_str key,
                                   uint64_t value);

// ---- What a discovery tells ---- [io]

struct sld_discovery_events {
    // Service NAME is in the catalog as S says (a reference is taken by whoever keeps it), or is
    // not any more (S NULL).
    void (*on_service)(void *user, struct sld_str name, struct sld_service *s);
    // The instances of SERVICE, which is wanted; none at all is a set without items. I NULL:
    // nothing is known of it, because nobody wants it any more. PAST: an earlier process was told so, and
    // nobody said anything since; that it is so still is told too.
    void (*on_instances)(void *user, struct sld_str service, struct sld_instances *i, bool past);
    // The whole catalog was told, and the instances of all services that are wanted because of it:
    // once.
    void (*on_synced)(void *user);
    // WHAT ("" = the registry, else a service or a part of the settings) cannot be asked, so what
    // was told of it may be old; the same with MESSAGE absent: it can again.
    void (*on_problem)(void *user, struct sld_str what, enum sld_code code, struct sld_str message);
    void *user;
    // What it may keep over restarts, or NULL; outlives it. What was kept is told at once, as if it
    // had been learnt, but says nothing of on_synced.
    struct sld_discovery_memory *memory;
};

struct sld_discovery {
    const struct sld_discovery_ops *ops;
};

struct sld_discovery_ops {
    const char *name; // of the registry: "consul"
    const char *help; // one line for people
    // Whether SETTINGS ask for it. [any]
    bool (*enabled)(const struct Gloo__Settings *settings);
    // Starts asking; events begin after this returns. SETTINGS: those in force, never NULL;
    // borrowed during the call. Failure leaves nothing behind. [io]
    enum sld_rc (*open)(struct sld_loop *io, const struct Gloo__Settings *settings,
                        const struct sld_discovery_events *ev, struct sld_discovery **out,
                        struct sld_err *err);
    // The settings in force changed (borrowed). What cannot be used is told by on_problem and the
    // former stays. [io]
    void (*configure)(struct sld_discovery *d, const struct Gloo__Settings *settings);
    // Somebody needs the instances of SERVICE, whether the catalog has it or not, or nobody does
    // any more. An absent SERVICE: that was all that follows from the services told so far; it is
    // said again after each change of them. [io]
    void (*want)(struct sld_discovery *d, struct sld_str service, bool wanted);
    // Fills up to MAX entries of OUT and returns how many there are. NULL: none. [io]
    size_t (*facts)(struct sld_discovery *d, struct sld_source_fact *out, size_t max);
    // Asks for everything again (SIGHUP). [io]
    void (*reread)(struct sld_discovery *d);
    // Stops; no events after this. Not from within an event. NULL is fine. [io]
    void (*close)(struct sld_discovery *d);
};

// ---- Services from a file ---- [any]

// Reads FILE, for commands that need no server: a mapping "services" of names to lists of instances
// with the fields address, port, tags, datacenter, weight, draining, hostname, node, id, meta and
// nodeMeta. Tells of every service and its instances, wanted or not. Blocks. SLD_INVALID with words
// in ERR.
SLD_NODISCARD enum sld_rc
sld_discovery_read(struct sld_str file, const struct sld_discovery_events *ev, struct sld_err *err);
