// source: where configuration comes from. A source runs on the io thread and tells of units of text
// (a file, a key); the intake on the model thread turns units into documents of objects and keeps
// what was good.
//
// A new source is one folder here and one line in app/builtin.c.
#pragma once

#include "loop/loop.h"
#include "model/model.h"

// ---- What a source tells ---- [io]

struct sld_source_events {
    // Unit PATH (relative, unique in the source) now says BYTES (the callee takes its own
    // reference). SETTLED: the writer closed it and it was quiet; a unit that shrank, is empty or
    // does not parse counts only when settled.
    void (*on_put)(void *user, struct sld_str path, struct sld_blob *bytes, bool settled);
    void (*on_gone)(void *user, struct sld_str path);
    // Everything there is was told: once, and again after each full reading.
    void (*on_synced)(void *user);
    // PATH ("" = the source itself) cannot be read; the same with MESSAGE absent: it can again. With
    // code SLD_EXPIRES_SOON it is a warning.
    void (*on_problem)(void *user, struct sld_str path, enum sld_code code, struct sld_str message);
    // What is wanted by KEY has an answer now: it was told by on_put before, or nothing is there, or it
    // cannot be used. Once for each time it is wanted. Only of sources with `want`.
    void (*on_answered)(void *user, struct sld_str key);
    void *user;
    // How many objects the state directory gave of this source, or the one held whose place it takes: with
    // some, an empty first reading is no proof that there are none.
    size_t restored;
};

struct sld_source {
    const struct sld_source_ops *ops;
};

struct Gloo__Settings;
struct sld_store_ops; // store.h
struct sld_ahead_text; // ahead.h

// One secret, token, lease or watch that a source holds; never a value. Strings are valid until the
// next turn of the loop.
struct sld_source_fact {
    struct sld_str kind;    // "secret", "token", "lease", "certificate"
    struct sld_str name;    // "gloo-system/my-cert", a token's accessor
    struct sld_str version; // the store's version; absent: it has none
    int64_t expires_s;      // Unix seconds; 0 = never
    int64_t renews_s;       // when it is renewed, Unix seconds; 0 = it is not
    struct sld_str problem; // absent: it is well
};

// A number that sources of one type count together, for /metrics; the texts are literals.
struct sld_source_metric {
    const char *name, *type, *help; // type: "counter", "gauge", "untyped"
    double value;
};

// Which of several Solders writes statuses to a source. Strings as above.
struct sld_source_writer {
    struct sld_str lock;   // the key of the lock that decides
    bool ours;             // we have it
    struct sld_str holder; // who has it, for people: "host (pid 4711)"; absent: nobody, or it is not known
};

// How much a source holds and did.
struct sld_source_counts {
    size_t objects;   // what it told of, or what the state directory gave as long as that is expected of it
    uint64_t decoded; // values that were decoded since it was opened: one that did not change is not again
};

struct sld_source_ops {
    const char *name; // "directory"
    const char *help; // one line for --help
    // Paths of its units are keys: see sld_intake_source_keyed.
    bool keyed;
    // True when ADDRESS ("/etc/solder", "consul://...") is for this source.
    bool (*matches)(struct sld_str address);
    // Starts reading; events begin after this returns. SETTINGS: those in force, never NULL;
    // borrowed during the call. [io]
    enum sld_rc (*open)(struct sld_loop *io, struct sld_str address,
                        const struct Gloo__Settings *settings, const struct sld_source_events *ev,
                        struct sld_source **out, struct sld_err *err);
    // The settings in force changed (borrowed). What cannot be used is told by on_problem and the
    // former stays. NULL: they are none of its business. [io]
    void (*configure)(struct sld_source *s, const struct Gloo__Settings *settings);
    // Somebody refers to the object of KEY ("secrets/ns/name"), whether it exists or not, or nobody
    // does any more; absent KEY: that was all for now. NULL: it tells everything anyway. [io]
    void (*want)(struct sld_source *s, struct sld_str key, bool wanted);
    // The status of object ID, which unit PATH of this source says, changed (NULL: the object is
    // gone). STATUS is immutable; take a reference to keep it. REPORTER_NS: the namespace statuses
    // are reported by. NULL: statuses are not kept there. [io]
    void (*status)(struct sld_source *s, struct sld_str path, struct sld_ident id,
                   struct sld_status *status, struct sld_str reporter_ns);
    // Who writes statuses there. False: nobody, or whoever likes to. NULL: the same. [io]
    bool (*writer)(struct sld_source *s, struct sld_source_writer *out);
    // How much it holds: another one that Settings name in its place is expected to have as much. NULL: it
    // does not count. [io]
    void (*counts)(const struct sld_source *s, struct sld_source_counts *out);
    // Fills up to MAX entries of OUT and returns how many. NULL: none. [io]
    size_t (*facts)(struct sld_source *s, struct sld_source_fact *out, size_t max);
    // Reads everything again and tells it, changed or not (SIGHUP). [io]
    void (*reread)(struct sld_source *s);
    // Stops; no events after this. Not from within an event. NULL is fine. [io]
    void (*close)(struct sld_source *s);
    // Reading and writing single documents from the command line. NULL: it is read only.
    const struct sld_store_ops *store;
};

// ---- The intake ---- [model]

struct sld_intake;

// A problem that belongs to a unit, not to an object that is in force.
struct sld_problem {
    struct sld_str source, path;
    enum sld_severity severity;
    enum sld_code code;
    int line, column;
    struct sld_str message;
};

struct sld_intake_events {
    // Object ID has document RAW now (a reference is taken by whoever keeps it), or has gone (RAW
    // NULL).
    void (*on_object)(void *user, struct sld_ident id, struct sld_raw *raw);
    // The list of problems changed; read it by sld_intake_problems.
    void (*on_problems)(void *user);
    // Most objects of SOURCE vanished: read it again, they go only after another sld_intake_synced
    // of it. NULL: time alone decides.
    void (*on_second_look)(void *user, struct sld_str source);
    void *user;
};

struct sld_intake_options {
    struct sld_str default_ns; // the write namespace
    uint64_t quiet_ns;         // how long a disappearance waits for its source to be quiet; 250 ms
    unsigned mass_percent;     // a disappearance of more than this share of a source's objects (and
                               // more than 3) needs a second look after mass_wait_ns of quiet; 50
    uint64_t mass_wait_ns;     // 5 s
    bool notes; // a note for each ignored document of a foreign kind; for offline checks
};
void sld_intake_options_default(struct sld_intake_options *o);

// An intake without sources; O and EV are copied. Destroy gives no events; NULL is fine.
struct sld_intake *sld_intake_create(const struct sld_intake_options *o,
                                     const struct sld_intake_events *ev);
void sld_intake_destroy(struct sld_intake *in);
// Tells of a source before its first unit; lower ORDER wins when two sources hold the same object.
// A source that was told gone may come again, also while its objects still stay: what it says from
// now on counts, and what it does not say by its next sld_intake_synced goes.
void sld_intake_source(struct sld_intake *in, struct sld_str source, unsigned order);
// SOURCE is not read any more, because nobody names it. Its objects go after the quiet period,
// whatever share of all they are, but not before every other source that may say such objects has been read once: what
// takes their place may be on its way. Until then SOURCE is known, and may be told of again. A source that is told of
// meanwhile takes their place: what it says counts when it has been read, in the tick in which they go. One of secrets alone
// does not: each of them is asked for.
void sld_intake_source_gone(struct sld_intake *in, struct sld_str source, uint64_t now);
// From now on only documents of KIND count in SOURCE, which was told; others are ignored like foreign ones.
void sld_intake_source_only(struct sld_intake *in, struct sld_str source, enum sld_kind kind);
// SOURCE, which was told, says no objects: none are awaited of it.
void sld_intake_source_silent(struct sld_intake *in, struct sld_str source);
// From now on the path of a unit of SOURCE is a key (sld_store_key) that says who its one object is, and its bytes are
// always whole: nobody sees a half of them.
void sld_intake_source_keyed(struct sld_intake *in, struct sld_str source);
// Objects known from the state directory, given before the sources' units: they count as said by
// their unit until the source has synced and says otherwise. Ignored when the source was not told.
void sld_intake_restore(struct sld_intake *in, struct sld_str source, struct sld_raw *raw);
void sld_intake_put(struct sld_intake *in, struct sld_str source, struct sld_str path,
                    struct sld_blob *bytes, bool settled, uint64_t now);
// The same of bytes that may have been read ahead: TEXT (NULL: they were not), which stays the caller's.
void sld_intake_put_ahead(struct sld_intake *in, struct sld_str source, struct sld_str path, struct sld_blob *bytes,
                          struct sld_ahead_text *text, bool settled, uint64_t now);
void sld_intake_gone(struct sld_intake *in, struct sld_str source, struct sld_str path,
                     uint64_t now);
void sld_intake_synced(struct sld_intake *in, struct sld_str source, uint64_t now);
void sld_intake_problem(struct sld_intake *in, struct sld_str source, struct sld_str path,
                        enum sld_code code, struct sld_str message, uint64_t now);
// Carries out disappearances that are due; returns the next deadline (0 = none).
uint64_t sld_intake_tick(struct sld_intake *in, uint64_t now);
// All problems at present, sorted by source and path. Borrowed until the next call into the intake.
const struct sld_problem *sld_intake_problems(const struct sld_intake *in, size_t *n);
// Whether SOURCE cannot be read at present, so that what it says may not be what it would say: since
// when (mono), and why (may be NULL; valid until the next call into the intake).
bool sld_intake_stale(const struct sld_intake *in, struct sld_str source, uint64_t *since_ns,
                      struct sld_str *why);
// Calls FN for each object that is in force though its unit, which has a problem, may say something else by now; P is the
// unit's first error.
void sld_intake_held(const struct sld_intake *in,
                     void (*fn)(struct sld_ident id, const struct sld_problem *p, void *arg),
                     void *arg);
// Settings that may change while it runs; as in the options.
void sld_intake_set_waits(struct sld_intake *in, uint64_t quiet_ns, unsigned mass_percent);
// Documents without a namespace belong to NS from now on, Settings apart, which say what it is;
// those that were read are read again.
void sld_intake_set_default_ns(struct sld_intake *in, struct sld_str ns, uint64_t now);
// Only objects of these N namespaces count from now on (copied; 0 = all of them), and Settings
// everywhere. What does not count is a note among the problems.
void sld_intake_watch(struct sld_intake *in, const struct sld_str *namespaces, size_t n);
// Whether Upstreams that Gloo's discovery wrote count; false at first. When that changes, every source is asked for another
// look by on_second_look, which has to tell all its units again.
void sld_intake_set_adopt(struct sld_intake *in, bool adopt);
// How many objects of configuration (no secrets, artifacts or Settings) SOURCE says, or those whose place it takes and that
// have not gone yet, whichever is more: as many are expected of another source in its place.
size_t sld_intake_holds(const struct sld_intake *in, struct sld_str source);
struct sld_intake_stats {
    size_t units, objects, foreign, duplicates,
        held; // held: objects in force that their unit does not say any more
};
void sld_intake_stats(const struct sld_intake *in, struct sld_intake_stats *out);

// ---- State on disk ---- (design section 9)

struct sld_state_dir;

// Opens and locks DIR (made when missing, 0700). SLD_CONFLICT: another Solder holds it. A torn or
// too new file is set aside with a finding-ready message in WARN (may be empty), never an error.
// HISTORY: how many former accepted forms are kept per object. [io]
SLD_NODISCARD enum sld_rc sld_state_open(struct sld_loop *io, struct sld_str dir, unsigned history,
                                         struct sld_state_dir **out, struct sld_err *warn,
                                         struct sld_err *err);
// Writes what is pending first; nobody calls sld_state_accept any more. NULL is fine. [io]
void sld_state_close(struct sld_state_dir *s);
// Calls FN per accepted object, in the order of keys: what the directory held when it was opened,
// until changes come (secret kinds are never stored). [io]
void sld_state_each(struct sld_state_dir *s,
                    void (*fn)(struct sld_str source, struct sld_raw *raw, void *arg), void *arg);
// Calls FN for the accepted forms of ID, the present one first, with the time each was accepted.
// [io]
void sld_state_history(struct sld_state_dir *s, struct sld_ident id,
                       void (*fn)(int64_t wall_ms, struct sld_raw *raw, void *arg), void *arg);
// How many former accepted forms are kept from now on. [io]
void sld_state_set_history(struct sld_state_dir *s, unsigned history);
// Records or forgets an accepted form. On disk at once (in a journal of bounded size and rate, off the
// calling thread); the file of all forms follows by fsync and rename, at most once a second. [any]
void sld_state_accept(struct sld_state_dir *s, struct sld_str source, struct sld_raw *raw);
void sld_state_forget(struct sld_state_dir *s, struct sld_ident id);
// Records that an Envoy of BUILD refused the document of ID with content hash HASH with WORDS (cut to 1024 bytes),
// so that it is not tried again after a restart; the last refusal of an object counts. Accepting
// another form of the object, or forgetting it, forgets the refusal: so tell of the form that takes
// the refused one's place first, if there is one. Secret kinds are never stored. [any]
void sld_state_refuse(struct sld_state_dir *s, struct sld_ident id, struct sld_hash hash,
                      struct sld_str build, struct sld_str words);
// Records that the certificate chain with content hash CHAIN is in service for the Secret ID, until
// another is or it is forgotten: all that is kept of a Secret, of what everybody may see. [any]
void sld_state_certificate(struct sld_state_dir *s, struct sld_ident id, struct sld_hash chain);
// Calls FN per certificate, as sld_state_each. [io]
void sld_state_each_certificate(struct sld_state_dir *s,
                                void (*fn)(struct sld_ident id, struct sld_hash chain, void *arg),
                                void *arg);
// Waits until what the calling thread told of is on disk, at most MS. [any but io]
void sld_state_sync(struct sld_state_dir *s, unsigned ms);
// Calls FN per refusal, as sld_state_each; BUILD is empty when an older Solder recorded it. [io]
void sld_state_each_refusal(struct sld_state_dir *s,
                            void (*fn)(struct sld_ident id, struct sld_hash hash, struct sld_str build,
                                       struct sld_str words, void *arg),
                            void *arg);
// NULL, or why the last write failed (disk full, ...); valid until close. [any]
const char *sld_state_problem(struct sld_state_dir *s);
