// The model thread: owns intake and translate; takes bytes from the io thread and gives it what
// Envoys and people are to see. Functions marked [io] are called on the io thread and post;
// callbacks come on the io thread.
#pragma once

#include "loop/loop.h"
#include "source/discovery.h"
#include "translate/translate.h"
#include "plugin/shape.h"
#include "worker/worker.h"
#include "xds/xds.h"

struct sld_model_thread;
struct sld_discover_plans;
struct sld_plugin_set;

// What the source keeps that the document of object ID lies in (unit PATH) is to know: its status
// changed, or (STATUS NULL) it is not there any more.
struct sld_model_status {
    struct sld_ident id;
    struct sld_str source, path;
    struct sld_status *status; // reference, the news'
};

// A source, and how many objects it held (sld_intake_holds).
struct sld_model_held {
    struct sld_str source;
    size_t objects;
};

// What a round changed, told on io.
struct sld_model_news {
    struct sld_xds_batch *batch; // taken over by the callee; NULL: no resource changed
    struct sld_round round;
    uint64_t since_ns;        // mono: when the first change of it was told; 0 = unknown
    uint64_t index;           // of the last change of any status
    bool ready;               // everything there is has been translated: Envoys may be served
    bool restored;            // what is served was restored; some source has not synced yet
    uint64_t linger_ns;       // setting
    enum sld_level log_level; // setting
    unsigned history;         // setting: accepted forms kept of each object
    const char *second_look;  // address of a source to read again, "" = all of them, or NULL
    // When they changed: all roles that gateways name; else NULL. In ARENA, as WRITE_NS.
    const struct sld_str *views;
    size_t view_count;
    struct sld_str write_ns; // the namespace roles begin with; absent: unchanged
    // For sources that keep statuses, and the namespace they are reported by.
    const struct sld_model_status *statuses;
    size_t status_count;
    struct sld_str reporter_ns;
    // What somebody began to refer to, or nobody does any more, in order.
    const struct sld_want_change *wants;
    size_t want_count;
    // What the worker is to run, when that changed: references, the news'.
    bool workers_changed;
    struct sld_worker_plugin *workers;
    size_t worker_count;
    // Configurations that requests name, as of the translation's result; references, the news'.
    struct sld_conf_change *confs;
    size_t conf_count;
    bool complete;          // every source that tells by itself had been read: nothing it refers to
                            // is missing for want of a source
    struct sld_discover_plans *plans; // when they changed: a reference of its own; else NULL
    uint64_t handled;       // letters that this follows from: the first so many of those sent
    struct sld_arena arena; // freed when the callback returns
};

struct sld_model_options {
    struct sld_object *settings_file; // --settings, or NULL
    struct sld_object *settings;      // the Settings resource as restored, or NULL
    struct sld_str settings_key;      // of the Settings resource
    struct sld_str default_ns;
    struct sld_intake_options intake; // default_ns is set by us
    const char *plugins;              // folder of plugins, or NULL
    const struct sld_str *worker_addresses; // where Envoys reach the worker
    size_t worker_address_count;
    enum sld_worker_reach worker_reach;
    struct sld_str guards;            // the file of sld_plugin_set_keep_guards; absent: they are not kept
    struct sld_state_dir *state;      // or NULL
    enum sld_level log_level;         // when no setting says another; fixed when LOG_FIXED
    bool log_fixed;
    void (*on_news)(void *user, struct sld_model_news *n); // [io]
    // The settings in force (root: Gloo__Settings) changed; borrowed. Once at the beginning. Nothing
    // counts as read, and nothing is served for the first time, before they were answered by
    // sld_model_thread_settings_taken: sources that they name have to be told first. HELD, borrowed: what there was in
    // each source. [io]
    void (*on_settings)(void *user, struct sld_arena_obj *settings, uint64_t version, const struct sld_model_held *held,
                        size_t held_count);
    void *user;
};

// A source, for the model.
struct sld_model_source {
    unsigned order;     // as of sld_intake_source
    enum sld_kind only; // the kind that counts there; SLD_KIND_COUNT: all do
    bool keeps_status;  // statuses of its objects are in the news
    bool keyed;         // as of sld_source_ops
    bool on_demand;     // it tells only what is wanted: rounds do not wait for it, serving does
    const char *registry; // it tells of this registry's services; a literal. NULL: of none
};

// Starts the thread. [io]
struct sld_model_thread *sld_model_thread_start(struct sld_loop *io,
                                                const struct sld_model_options *o);
// Ends it after what was posted; no callbacks after this returns. [io]
void sld_model_thread_stop(struct sld_model_thread *m);
// Of one that was stopped, once the io loop is gone: what was posted to it until then asks whether it
// was. NULL is fine. [io]
void sld_model_thread_free(struct sld_model_thread *m);
// Loop of the thread, for posting.
struct sld_loop *sld_model_thread_loop(struct sld_model_thread *m);
// On the model thread only.
struct sld_translate *sld_model_thread_translate(struct sld_model_thread *m);
struct sld_intake *sld_model_thread_intake(struct sld_model_thread *m);
const struct sld_plugin_set *sld_model_thread_plugin_set(const struct sld_model_thread *m);
uint64_t sld_model_thread_index(const struct sld_model_thread *m);

// ---- From io ---- [io]

// Accepted forms of the state directory, before the sources.
void sld_model_thread_restore(struct sld_model_thread *m, struct sld_str source,
                              struct sld_raw *raw);
// What Envoys refused, as the state directory has it.
void sld_model_thread_restore_refusal(struct sld_model_thread *m, struct sld_ident id,
                                      struct sld_hash hash, struct sld_str build, struct sld_str words);
// A certificate that was in service, as the state directory has it.
void sld_model_thread_restore_certificate(struct sld_model_thread *m, struct sld_ident id,
                                          struct sld_hash chain);
// There is a source. Before what it says.
void sld_model_thread_source(struct sld_model_thread *m, struct sld_str source,
                             const struct sld_model_source *o);
// It is not read any more; it has been closed.
void sld_model_thread_source_gone(struct sld_model_thread *m, struct sld_str source);
// The settings of that VERSION were looked at: sources that they name were told.
void sld_model_thread_settings_taken(struct sld_model_thread *m, uint64_t version);
// A place without documents that nobody waits for, so that problems can be told of it: the state
// directory, the settings file.
void sld_model_thread_place(struct sld_model_thread *m, struct sld_str place);
// What --settings says now.
void sld_model_thread_settings(struct sld_model_thread *m, struct sld_object *file);
// As the events of source.h.
void sld_model_thread_put(struct sld_model_thread *m, struct sld_str source, struct sld_str path,
                          struct sld_blob *bytes, bool settled);
void sld_model_thread_gone(struct sld_model_thread *m, struct sld_str source, struct sld_str path);
void sld_model_thread_synced(struct sld_model_thread *m, struct sld_str source);
void sld_model_thread_problem(struct sld_model_thread *m, struct sld_str source,
                              struct sld_str path, enum sld_code code, struct sld_str message);
// What a discovery tells of service NAME of REGISTRY; as sld_translate_set_service and
// sld_translate_set_instances.
void sld_model_thread_service(struct sld_model_thread *m, struct sld_str registry,
                              struct sld_str name, struct sld_service *s);
void sld_model_thread_instances(struct sld_model_thread *m, struct sld_str registry,
                                struct sld_str name, struct sld_instances *i, bool past);
// Letters that were sent so far, by any of these functions. Letters about services have news, also when
// nothing follows from them.
uint64_t sld_model_thread_sent(const struct sld_model_thread *m);
// The folder of plugins may have changed.
void sld_model_thread_plugins(struct sld_model_thread *m);
// All sources are told and restored forms too: what was restored may be served when they do not
// sync in time.
void sld_model_thread_serve_restored(struct sld_model_thread *m);
// As of sld_translate_secret_answered.
void sld_model_thread_answered(struct sld_model_thread *m, struct sld_str key);
// As of sld_translate_builds.
void sld_model_thread_builds(struct sld_model_thread *m, struct sld_str builds);
// What Envoys said.
void sld_model_thread_verdict(struct sld_model_thread *m, bool taken, struct sld_str view,
                              const struct sld_xds_resource *r, struct sld_str build,
                              struct sld_str words);
