// translate: the user's resources to Envoy's. Owns the tables of flow, their steps, what counts as
// accepted, and the findings that become statuses. One file per xDS kind; one file in feature/ per
// option.
//
// Everything here runs on the model thread; what it hands out is immutable and may go to any other.
#pragma once

#include "flow/flow.h"
#include "model/model.h"
#include "source/discovery.h"

struct sld_translate;
struct sld_feature; // feature.h
struct sld_plugin_slot; // of the plugin room, which is below this one
struct Gloo__Settings;

struct sld_translate_options {
    const struct sld_feature *const
        *features; // the table of app/builtin.c, alphabetical by name; borrowed
    size_t feature_count;
    int64_t now_s; // Unix seconds, for the validity of certificates; see
                   // sld_translate_set_now
    bool notes;    // also findings of severity note about unused objects
};

// Declares all tables. O is copied.
struct sld_translate *sld_translate_create(const struct sld_translate_options *o);
// NULL is fine.
void sld_translate_destroy(struct sld_translate *t);
// The engine, for looking in (graph, explain). Its source tables are set by the functions below
// only.
struct sld_flow *sld_translate_flow(struct sld_translate *t);

// ---- What goes in ----

// Object ID says RAW now (references are taken), or is gone (NULL). Decodes and checks it at once.
void sld_translate_set(struct sld_translate *t, struct sld_ident id, struct sld_raw *raw);
// The form of an object that was accepted when the state was saved; before the first round. Ignored
// when it does not pass the checks of this version.
void sld_translate_restore(struct sld_translate *t, struct sld_raw *raw);
// The document of ID with that hash was refused by an Envoy of BUILD (empty: not known) when the state was saved:
// it is not tried again until others are connected (sld_translate_builds); before the first round.
void sld_translate_restore_refusal(struct sld_translate *t, struct sld_ident id,
                                   struct sld_hash hash, struct sld_str build, struct sld_str words);
// The certificate chain with that hash was in service for the Secret ID when the state was saved: a
// document that has it counts as accepted though it expired since; before the first round.
void sld_translate_restore_certificate(struct sld_translate *t, struct sld_ident id,
                                       struct sld_hash chain);
// The Settings in force (a Gloo__Settings; copied); NULL = all defaults. Several Settings documents
// may exist; which one counts is app's decision: the others get a warning by
// sld_translate_settings_in_use.
void sld_translate_set_settings(struct sld_translate *t, const struct Gloo__Settings *s);
// Key of the Settings document in use, or absent.
void sld_translate_settings_in_use(struct sld_translate *t, struct sld_str key);
// What the catalog of REGISTRY ("consul") says of service NAME (a reference is taken); NULL: it is not
// there.
void sld_translate_set_service(struct sld_translate *t, struct sld_str registry, struct sld_str name,
                               struct sld_service *s);
// What is known of the catalog of a registry. While it is awaited no service counts as missing: a destination
// that has none yet is no finding. While it is unheard of, because its registry is away since before the start, one
// is; but in both cases Envoys that have a cluster for it keep that.
enum sld_catalog { SLD_CATALOG_TOLD, SLD_CATALOG_AWAITED, SLD_CATALOG_UNHEARD };
void sld_translate_catalog(struct sld_translate *t, struct sld_str registry, enum sld_catalog c);
// Plugin NAME as the plugin room keeps it (a struct sld_plugin_slot; a reference is taken); NULL: there is
// none. Documents that name it are checked anew.
void sld_translate_set_plugin(struct sld_translate *t, struct sld_str name, struct sld_plugin_slot *plugin);
// What the documents of kind K that have TEXT in them depend on besides may have changed: they are checked anew.
void sld_translate_recheck(struct sld_translate *t, enum sld_kind k, struct sld_str text);
// What was set last, or NULL; borrowed.
const struct sld_plugin_slot *sld_translate_plugin(const struct sld_translate *t, struct sld_str name);
// The instances of a service; NULL: not known. PAST: they are what an earlier process knew. That the same ones are not
// any more changes nothing of what was made of them: the next result tells it.
void sld_translate_set_instances(struct sld_translate *t, struct sld_str registry,
                                 struct sld_str service, struct sld_instances *i, bool past);
// Where object KEY stands has a problem (F, copied), so the form in force may not be the present
// one: its status says so and is Rejected. F NULL: no problem any more.
void sld_translate_set_trouble(struct sld_translate *t, struct sld_str key,
                               const struct sld_finding *f);
// Secrets come on demand, or do not any more: one that is not there may still come, and until it was
// answered what newly means it does not count; the accepted form stays in force.
void sld_translate_secrets_on_demand(struct sld_translate *t, bool yes);
// Secret KEY ("secrets/ns/name"), which is wanted, was answered: it was set before, or there is none
// that can be used. Counts until it is not wanted any more.
void sld_translate_secret_answered(struct sld_translate *t, struct sld_str key);
// The time, for the validity of certificates. Costs nothing unless a certificate's state changes by
// it.
void sld_translate_set_now(struct sld_translate *t, int64_t now_s);

// ---- Rounds ----

// Kinds of Envoy's resources, in push order.
enum sld_out_type {
    SLD_OUT_SECRET,
    SLD_OUT_CLUSTER,
    SLD_OUT_ENDPOINT,
    SLD_OUT_LISTENER,
    SLD_OUT_ROUTE,
    SLD_OUT_TYPE_COUNT
};
// "cds", ...
const char *sld_out_type_name(enum sld_out_type t);
// The message's descriptor.
const ProtobufCMessageDescriptor *sld_out_type_desc(enum sld_out_type t);

struct sld_out_ref {
    enum sld_out_type type;
    struct sld_str name;
};

// One resource for Envoys. Immutable.
struct sld_out {
    struct sld_obj obj; // hash of all below
    enum sld_out_type type;
    bool secret;         // bytes hold secrets: printed as ***, wiped when freed
    bool gated, eds;     // cluster: see xds.h
    bool past;           // when it was made: see xds.h
    // What these point to stands behind the struct, but for the texts of owners, which are the flow's.
    struct sld_str view; // node role "<write namespace>~<proxy>"; empty = every view
    struct sld_str name;
    struct sld_str bytes;     // the encoded message; absent: it has a recipe
    struct sld_recipe *recipe; // own reference, or NULL
    struct sld_hash content;  // equal for equal bytes
    struct sld_str *clusters; // route, listener: clusters it sends requests to that exist, sorted
    struct tr_confs *confs;   // listener: configurations of plugins that it names; NULL: none
    struct sld_out_ref *needs; // listener: route tables and secrets; cluster: secrets
    const char **owners;    // keys of the objects it was made of, sorted
    struct sld_hash shape;  // cluster: content without its name
    uint32_t cluster_count, need_count, owner_count;
};

// The size of O's message, and its bytes: what is returned is a new reference to who owns BYTES. [any]
size_t sld_out_size(const struct sld_out *o);
struct sld_obj *sld_out_open(struct sld_out *o, struct sld_str *bytes);

// A change of a round: RES is NULL when the resource of that name is gone. Strings are RES's or the
// batch's.
struct sld_out_change {
    enum sld_out_type type;
    struct sld_str view, name;
    struct sld_out *res; // owns a reference
};

// A status that changed: STATUS NULL when the object is gone. BEFORE: the state it had;
// SLD_PENDING: it is new.
struct sld_status_change {
    struct sld_ident id;
    enum sld_status_state before;
    struct sld_status *status; // owns a reference
};

// A document that an Envoy refused; its last accepted form, told as an accept change, is in force
// again.
struct sld_refusal {
    struct sld_ident id;
    struct sld_hash hash; // of the document, for sld_translate_restore_refusal
    struct sld_str build, words;
};

// An object whose accepted form changed: RAW NULL when it is gone (forget it).
struct sld_accept_change {
    struct sld_ident id;
    struct sld_raw *raw;   // owns a reference
    struct sld_hash chain; // of a Secret: of its certificate chain and what else it has, for
                           // sld_translate_restore_certificate; zeroes: it has none
};

// Something outside of the documents that somebody began to need, or that nobody needs any more.
enum sld_want_kind {
    SLD_WANT_SECRET,  // key "secrets/ns/name", whether there is one or not
    SLD_WANT_SERVICE, // key "<registry>\n<service>", or "<registry>\n<service>\n<how>": what is behind
                      // the registry is for the discovery's `want`
};
struct sld_want_change {
    enum sld_want_kind kind;
    struct sld_str key;
    bool wanted;
};

// A configuration of a plugin, for whoever answers the requests that name it by ID. Immutable.
struct sld_request_conf {
    struct sld_obj obj; // hash: of all below
    struct sld_arena arena;
    struct sld_str id, plugin;
    struct sld_blob *value; // own reference; may hold secrets
};

// A configuration that virtual hosts began to name (CONF, owns a reference), which says something else now, or that none names
// any more (CONF NULL).
struct sld_conf_change {
    struct sld_str id;
    struct sld_request_conf *conf;
};

// What one call of sld_translate_run did.
struct sld_translate_result {
    struct sld_arena arena;
    struct sld_round round; // the last flow round; durations and counts summed over all
    struct sld_out_change *outs;
    size_t out_count;
    struct sld_str *confirmed; // names of endpoints that were made of the past, and are of the present now
    size_t confirmed_count;
    struct sld_status_change *statuses;
    size_t status_count;
    struct sld_accept_change *accepts;
    size_t accept_count;
    struct sld_refusal *refusals;
    size_t refusal_count;
    struct sld_want_change *wants; // in the order they came about
    size_t want_count;
    struct sld_conf_change *confs; // in the order they came about
    size_t conf_count;
    bool views_changed; // then the roles of all gateways, whether they serve anything or not:
    struct sld_str *views;
    size_t view_count;
    struct sld_str write_ns; // the namespace roles begin with
};

// True when there is something to do.
bool sld_translate_pending(const struct sld_translate *t);
// Runs rounds until nothing is pending: changes in, wave, decisions on acceptance (which may cause
// one more wave). Fill a zeroed R; free with sld_translate_result_fini.
void sld_translate_run(struct sld_translate *t, struct sld_translate_result *r);
void sld_translate_result_fini(struct sld_translate_result *r);
// Compares the tables with a rebuild from the source tables (the oracle; design section 4).
SLD_NODISCARD enum sld_rc sld_translate_verify(struct sld_translate *t, struct sld_err *err);

// ---- What Envoys said ----

// An Envoy of BUILD refused, or took, the resource of that type, view and name with content hash
// CONTENT. Refusals of route tables are isolated to virtual hosts by this room (README: refusals);
// the next round carries the cure.
void sld_translate_refused(struct sld_translate *t, enum sld_out_type type, struct sld_str view,
                           struct sld_str name, struct sld_hash content, struct sld_str build,
                           struct sld_str words);
// BUILDS are those of the Envoys that are connected, a line each, distinct; none: nothing follows. What was refused by
// builds that are not among them is tried again, and is no finding any more.
void sld_translate_builds(struct sld_translate *t, struct sld_str builds);
void sld_translate_taken(struct sld_translate *t, enum sld_out_type type, struct sld_str view,
                         struct sld_str name, struct sld_hash content, struct sld_str build);

// ---- Looking in ----

// The object in force / the present document of KEY ("virtualservices/ns/name"), or NULL; borrowed
// until the next round.
const struct sld_object *sld_translate_object(const struct sld_translate *t, struct sld_str key);
const struct sld_object *sld_translate_document(const struct sld_translate *t, struct sld_str key);
// What the next round will have in force of KEY as far as its document tells: the present one if nothing is wrong with
// it, else the last accepted one; or NULL.
const struct sld_object *sld_translate_usable(const struct sld_translate *t, struct sld_str key);
const struct sld_status *sld_translate_status(const struct sld_translate *t, struct sld_str key);
// True when the document of KEY changed since the last round: object and status are of the one before.
bool sld_translate_changed(const struct sld_translate *t, struct sld_str key);
// Where the present document of KEY stands now, or NULL. An equal object may have been decoded from
// another place, so this, not the object's own raw, tells lines. Of an upstream that was found: what a
// user would write to get it, with an origin like "consul:web". Borrowed until the next
// sld_translate_set or round.
const struct sld_raw *sld_translate_raw(const struct sld_translate *t, struct sld_str key);
// The same, but NULL for an upstream that was found: nothing is made for who asks about many.
const struct sld_raw *sld_translate_written(const struct sld_translate *t, struct sld_str key);
// Calls FN with the views ("<write namespace>~<proxy>") that gateway or virtual service KEY is part
// of, and a route table when SCAN (which looks at every virtual host). Distinct, in no order.
void sld_translate_proxies(const struct sld_translate *t, struct sld_str key, bool scan,
                           void (*fn)(struct sld_str view, void *arg), void *arg);
// Calls FN for each object of kind K (SLD_KIND_COUNT = all) in order of keys.
void sld_translate_each(const struct sld_translate *t, enum sld_kind k,
                        void (*fn)(const struct sld_object *o, const struct sld_status *s,
                                   void *arg),
                        void *arg);
// Calls FN for each virtual host that the object of KEY is part of: of which gateway, and whose it is (keys).
void sld_translate_vhosts(const struct sld_translate *t, struct sld_str key,
                          void (*fn)(struct sld_str gateway, struct sld_str vs, void *arg), void *arg);
// Calls FN for each resource, by type, view and name.
void sld_translate_outs(const struct sld_translate *t,
                        void (*fn)(const struct sld_out *o, void *arg), void *arg);
// The resource as text, secrets as ***.
void sld_out_print(struct sld_buf *out, const struct sld_out *o, enum sld_text_style style);
// The namespace roles begin with and statuses are reported by; valid until Settings change.
struct sld_str sld_translate_write_ns(const struct sld_translate *t);
// Roles that have listeners.
void sld_translate_views(const struct sld_translate *t, void (*fn)(struct sld_str view, void *arg),
                         void *arg);
// The view of Envoys whose role is missing or unknown.
extern const struct sld_str sld_fallback_view;
