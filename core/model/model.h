// model: the user's resources: which kinds there are, how a document becomes a message, which labels
// a selector chooses, and the shape of statuses. The messages themselves are core/model/proto; no
// i/o here. Everything is pure; objects are refcounted and immutable. [any]
#pragma once

#include "codec/doc.h"

#include "common.pb-c.h"

// ---- Kinds ----

// In alphabetical order of the kind's name.
enum sld_kind {
    SLD_KIND_ARTIFACT,
    SLD_KIND_GATEWAY,
    SLD_KIND_HTTP_LISTENER_OPTION,
    SLD_KIND_LISTENER_OPTION,
    SLD_KIND_MATCHABLE_HTTP_GATEWAY,
    SLD_KIND_MATCHABLE_TCP_GATEWAY,
    SLD_KIND_PLUGIN,
    SLD_KIND_PROXY,
    SLD_KIND_ROUTE_OPTION,
    SLD_KIND_ROUTE_TABLE,
    SLD_KIND_SECRET,
    SLD_KIND_SETTINGS,
    SLD_KIND_UPSTREAM,
    SLD_KIND_UPSTREAM_GROUP,
    SLD_KIND_VIRTUAL_HOST_OPTION,
    SLD_KIND_VIRTUAL_SERVICE,
    SLD_KIND_COUNT
};

struct sld_kind_info {
    enum sld_kind kind;
    const char *name;               // "VirtualService"
    const char *group, *version;    // "gateway.solo.io", "v1"
    const char *plural;             // "virtualservices": CRD and directory name
    const char *const *short_names; // "vs", "gvs"; NULL-terminated
    const ProtobufCMessageDescriptor *desc;
};

// The facts of kind K; never NULL.
const struct sld_kind_info *sld_kind_info(enum sld_kind k);
// By kind name, plural, lower-case singular or short name, ASCII case ignored; for the command line.
// NULL when unknown.
const struct sld_kind_info *sld_kind_find(struct sld_str word);
// By directory name; NULL when unknown.
const struct sld_kind_info *sld_kind_by_plural(struct sld_str plural);
// The kind name nearest to WORD, for "did you mean"; NULL when none is near.
const struct sld_kind_info *sld_kind_nearest(struct sld_str word);

// ---- Documents ----

// Who an object is. Rendered as "namespace.name" in messages and "kind/namespace/name" as a key.
struct sld_ident {
    enum sld_kind kind;
    struct sld_str ns, name;
};

// "virtualservices/gloo-system/default": the key of an object in tables and interfaces.
struct sld_str sld_ident_key(struct sld_arena *a, struct sld_ident id);
bool sld_ident_parse(struct sld_str key, struct sld_ident *out); // slices of KEY
// The same of a KEY that sld_ident_key made, without looking at its names.
struct sld_ident sld_ident_of_key(struct sld_str key);

// Where a document was found.
struct sld_doc_place {
    struct sld_str path;       // relative path or store key, with '/'; gives kind and namespace by
                               // Gloo's layout "<plural>/<namespace>/..." (at any depth, the last one
                               // counts) when the document does not say them
    struct sld_str default_ns; // the write namespace
    bool keyed;                // PATH is a key as sld_store_key has it, and says who the document is
                               // about, whatever names it gives itself
    bool adopt_discovered;     // Upstreams that Gloo's discovery wrote are read too
};

// "gateway.solo.io/v1/VirtualService/gloo-system/default": the key of an object in Gloo's stores.
struct sld_str sld_store_key(struct sld_arena *a, struct sld_ident id);
// The object of KEY; strings are slices of it. SLD_NOT_FOUND: of no kind that is read (CODE
// DOC_FOREIGN or DOC_KIND); SLD_INVALID: no such key (CODE DOC_IDENTITY).
SLD_NODISCARD enum sld_rc sld_store_key_parse(struct sld_str key, struct sld_ident *out,
                                              enum sld_code *code, struct sld_err *err);

// The object a document is about. SLD_NOT_FOUND: not an object of ours: foreign, to be ignored and
// counted (CODE DOC_FOREIGN), or unknown where one of ours was meant (CODE DOC_KIND); SLD_INVALID: no
// valid identity (CODE DOC_IDENTITY). Always with words in ERR. Strings are slices of the tree or of
// PLACE.
SLD_NODISCARD enum sld_rc sld_model_identify(const struct sld_node *root,
                                             const struct sld_doc_place *place,
                                             struct sld_ident *out, enum sld_code *code,
                                             struct sld_err *err);

// Calls FN for each resource document in ROOT: itself, or each item of a Kubernetes List (also
// VirtualServiceList and the like; one level deep). INDEX is the item's, or -1.
void sld_model_each(const struct sld_node *root,
                    void (*fn)(const struct sld_node *doc, long index, void *arg), void *arg);

// Decodes the document of ID into its message (Gateway, ...; flat form, metadata completed from ID):
// accepts the Kubernetes form (spec below "spec", Secret with data and stringData, ConfigMap) and the
// flat form; drops statuses and what only the store has to know (resourceVersion, uid, ...). Findings
// (schema, types, constraints, fields without effect) go to R with paths in the flat form; those of
// Secrets never show a value. SERVED: the options that have an effect, as of sld_msg_check. NULL never.
void *sld_model_decode(struct sld_arena *a, struct sld_ident id, const struct sld_node *root,
                       const struct sld_umap *served, struct sld_report *r);

// ---- References to secret stores ----

// The name of a Secret that refers to what Vault holds ("vault:kv/team/web#tls"; see ResourceRef in
// common.proto), in its parts. Slices of the name, still percent-encoded.
struct sld_store_ref {
    struct sld_str path;  // "kv/team/web": mount and path
    struct sld_str query; // "common_name=a&ttl=1h"; absent: data is read; else a certificate is issued
    struct sld_str key;   // absent: all of it
};
// True when NAME is meant as such a reference, be it well formed or not.
bool sld_store_ref_meant(struct sld_str name);
// SLD_INVALID with words on how to write it when it is not well formed.
SLD_NODISCARD enum sld_rc sld_store_ref_parse(struct sld_str name, struct sld_store_ref *out,
                                              struct sld_err *err);
// The value of parameter NAME of R's query, decoded into A; absent when it is not there.
struct sld_str sld_store_ref_param(struct sld_arena *a, const struct sld_store_ref *r, const char *name);
// The name of a Secret that a plugin gives ("plugin:<plugin>/<reference>"), in its parts: slices of it. SLD_INVALID with words when
// it is not well formed. Its `meant` is that of store references.
SLD_NODISCARD enum sld_rc sld_plugin_ref_parse(struct sld_str name, struct sld_str *plugin, struct sld_str *ref, struct sld_err *err);
struct Gloo__VaultPki;
// The reference that means the certificate P asks for: equal ones have equal names.
struct sld_str sld_store_ref_of_pki(struct sld_arena *a, const struct Gloo__VaultPki *p);

// The metadata of a decoded message of any kind (never NULL after sld_model_decode).
const Gloo__Metadata *sld_model_metadata(enum sld_kind k, const void *msg);
// The value of label or annotation KEY, or an absent slice. M may be NULL.
struct sld_str sld_metadata_label(const Gloo__Metadata *m, struct sld_str key);
struct sld_str sld_metadata_annotation(const Gloo__Metadata *m, struct sld_str key);

// ---- Raw documents ----

// One document of one object as a source gave it: the value of flow's source tables raw.K and
// accepted.K.
struct sld_raw {
    struct sld_obj obj;    // hash of text, origin and place
    struct sld_str text;   // the document's slice of its file
    // There are as many of these as documents: its other words are parts of its own bytes.
    struct sld_raw_part {
        uint32_t at, n;
    } origin_part, path_part, default_ns_part, ns_part, name_part; // sld_raw_origin and so on
    int32_t item;          // index in a List, or -1
    int line;              // line of the slice in its file, from 1
    enum sld_kind kind;
    bool secret;           // holds secret values: wiped when freed, never printed
    // TEXT as a tree, for who decodes it at once: set by its maker while it tells of the document the
    // first time, NULL before and after.
    const struct sld_node *tree;
};

// What RAW is about; slices of it.
static inline struct sld_str sld_raw_slice(const struct sld_raw *raw, struct sld_raw_part part)
{
    return sld_str_n((const char *)(raw + 1) + part.at, part.n);
}
// "file:" path, "consul:" key: shown to people
static inline struct sld_str sld_raw_origin(const struct sld_raw *raw)
{
    return sld_raw_slice(raw, raw->origin_part);
}
// as sld_doc_place.path
static inline struct sld_str sld_raw_path(const struct sld_raw *raw)
{
    return sld_raw_slice(raw, raw->path_part);
}
static inline struct sld_str sld_raw_default_ns(const struct sld_raw *raw)
{
    return sld_raw_slice(raw, raw->default_ns_part);
}
static inline struct sld_ident sld_raw_ident(const struct sld_raw *raw)
{
    return (struct sld_ident){raw->kind, sld_raw_slice(raw, raw->ns_part), sld_raw_slice(raw, raw->name_part)};
}

// Copies everything, below 1 GiB in all. SECRET kinds are wiped when freed.
struct sld_raw *sld_raw_create(struct sld_ident id, struct sld_str text, int line, long item,
                               struct sld_str origin, const struct sld_doc_place *place);
// RAW, a Settings document, without the values of its sensitive fields (tokens, passwords): for what
// is kept on disk. The same object when it has none. A new reference.
struct sld_raw *sld_raw_without_secrets(struct sld_raw *raw);
// Reads and decodes RAW into A (to be freed with sld_arena_fini_secret when RAW->secret). Findings go
// to R. NULL never: text that cannot be read gives a message that holds the metadata alone. SERVED: as
// of sld_model_decode.
void *sld_raw_decode(struct sld_arena *a, const struct sld_raw *raw, const struct sld_umap *served,
                     struct sld_report *r);
// Fills line and column of a finding from its path, in the file's numbering, and origin (a slice of
// RAW). The nearest ancestor of a field that is not there counts; a finding that has a line keeps it,
// one with another origin is left alone.
void sld_raw_locate(const struct sld_raw *raw, struct sld_finding *f);
// The same for N findings, reading the document once.
void sld_raw_locate_all(const struct sld_raw *raw, struct sld_finding *f, size_t n);

// ---- Objects ----

// A decoded document: the value of flow's tables of objects. What it says never changes.
struct sld_object {
    struct sld_obj obj;     // hash of identity, message and findings; not of the place, so that moving
                            // a document recomputes nothing
    struct sld_arena arena; // wiped when freed, for Secrets
    struct sld_ident id;
    const struct sld_finding *findings; // without lines: sld_raw_locate
    uint32_t finding_count; // at most SLD_REPORT_MAX
    uint32_t errors, warnings;
    bool ok : 1;            // no error: the message may be translated
    uint32_t awake : 31;    // private: 1 + the place in the thread's list, while a message that sleeps is awake
    struct sld_raw *raw;    // reference; where it was decoded from. An equal object may be elsewhere by
                            // now: for places, take the raw document of the table it came from. NULL: nobody
                            // wrote it (sld_object_raw)
    // Private to object.c:
    const void *msg;        // NULL: asleep
    struct sld_str bytes;   // the message, encoded; absent: it never sleeps
    const char *origin;     // of an object that nobody wrote; else NULL
};

// What else is checked of a decoded message before the object is complete; pure. Findings go to R.
typedef void sld_object_check_fn(void *user, struct sld_ident id, const void *msg, struct sld_report *r);
struct sld_object_checks {
    const struct sld_umap *served; // options that have an effect, as of sld_model_decode
    sld_object_check_fn *check;    // NULL: nothing else is checked
    void *user;                    // CHECK's
};
// Reads, decodes and checks RAW (referenced, not taken). C may be NULL: no options, no checks. Never
// NULL.
struct sld_object *sld_object_decode(struct sld_raw *raw, const struct sld_object_checks *c);
// The same for an object of which there are many: its message sleeps, as encoded bytes, when nobody
// needs it. Such an object belongs to the thread that decoded it. Kinds whose messages others keep
// pointers to, and Secrets, do not sleep.
struct sld_object *sld_object_decode_lean(struct sld_raw *raw, const struct sld_object_checks *c);
// An object that nobody wrote, because something else says there is such a thing: MSG, checked as a
// document's is, and in need of nothing. It sleeps, so ID is of a kind that can. ORIGIN is "<who found it>:<what>";
// everything is copied. It belongs to the thread that made it.
struct sld_object *sld_object_create_unwritten(struct sld_ident id, ProtobufCMessage *msg, struct sld_str origin,
                                               const struct sld_object_checks *c);
// What O was decoded from; of one that nobody wrote, the document that users would have to write to get
// it. Borrowed, that one until sld_objects_rest.
struct sld_raw *sld_object_raw(const struct sld_object *o);
// The message of O, of sld_kind_info(O->id.kind)->desc, and its metadata; never NULL. Valid as long as
// O, or, of one that sleeps, until sld_objects_rest.
const void *sld_object_msg(const struct sld_object *o);
const Gloo__Metadata *sld_object_meta(const struct sld_object *o);
// Lets all messages of this thread sleep that can. Nobody may hold one.
void sld_objects_rest(void);

// ---- Selectors ----

// True when M has all of the N labels ENTRIES points to: the entries of any map<string, string>
// field. None are always there.
bool sld_selector_labels_match(const void *entries, size_t n, const Gloo__Metadata *m);
// True when the labels of M meet all of the N requirements. An invalid one is never met.
bool sld_expressions_match(Gloo__SelectorExpression *const *e, size_t n,
                           const Gloo__Metadata *m);
// True when all N requirements are valid; else error findings of code GW_SELECTOR at "[i].key" and
// the like, relative to R's prefix.
bool sld_expressions_check(struct sld_report *r, Gloo__SelectorExpression *const *e,
                           size_t n);
// True when NS is one of the N namespaces in LIST, or LIST has "*". An empty list is the caller's to
// decide: all namespaces in most places, the owner's for delegation.
bool sld_namespaces_match(char *const *list, size_t n, struct sld_str ns);

// ---- Status ----

enum sld_status_state { SLD_PENDING, SLD_ACCEPTED, SLD_REJECTED, SLD_STATUS_WARNING }; // Gloo's numbers

#define SLD_REASON_MAX 1024

// The status of one object: findings of every table about it, joined.
struct sld_status {
    struct sld_obj obj;           // hash of all below
    struct sld_arena arena;
    enum sld_status_state state;
    struct sld_str reason;        // Gloo's text form (gloo-compat 0.3), at most SLD_REASON_MAX bytes;
                                  // empty when accepted
    struct sld_finding *findings; // errors first, then warnings, then notes; each once
    size_t count;                 // at most SLD_REPORT_MAX
    size_t errors, warnings;      // how many there are of them, also beyond COUNT
    bool last_good;               // the last accepted form is in force, not the present document
    bool served;                  // some form is in force
};

// Builds a status from findings (copied); those without any are shared. [any]
struct sld_status *sld_status_create(const struct sld_finding *f, size_t n, bool last_good,
                                     bool served);
const char *sld_status_state_name(enum sld_status_state s); // "Accepted", ...
