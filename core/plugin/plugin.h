// plugin: the Lua host. A plugin is one file or a folder; it runs in a state of its own, in an
// environment made from nothing, within ceilings: whatever it does, the process lives, and nobody else
// notices.
//
// Everything here belongs to the thread that created it, unless it says otherwise.
#pragma once

#include "codec/message.h"

// ---- The files of a plugin ----

struct sld_plugin_file {
    struct sld_str name; // below the plugin's folder, with '/'; "plugin.lua" is the one that runs
    struct sld_str text;
};

// Immutable. [any]
struct sld_plugin_bundle {
    struct sld_obj obj; // hash of names and texts: the plugin's version
    struct sld_arena arena;
    struct sld_str name;   // of the folder, or of the file without ".lua"
    struct sld_str origin; // where it was read, for people
    struct sld_plugin_file *files; // sorted by name
    size_t count;
};

// Ceilings of a bundle.
enum { SLD_PLUGIN_FILES_MAX = 200, SLD_PLUGIN_BYTES_MAX = 4 << 20 };

// Reads the folder or the file at PATH: all *.lua below it but spec/, no names that begin with a dot, no
// symbolic links to folders. A reference in *OUT; SLD_NOT_FOUND, SLD_INVALID (no plugin.lua, a name that
// is not a-z 0-9 and -), SLD_LIMIT, SLD_IO.
SLD_NODISCARD enum sld_rc sld_plugin_bundle_read(struct sld_str path, struct sld_plugin_bundle **out,
                                                 struct sld_err *err);
// A plugin of these N files, copied. A reference. [any]
struct sld_plugin_bundle *sld_plugin_bundle_create_files(struct sld_str name, struct sld_str origin,
                                                         const struct sld_plugin_file *files, size_t n);
// A plugin of one file. A reference. [any]
struct sld_plugin_bundle *sld_plugin_bundle_create(struct sld_str name, struct sld_str origin, struct sld_str text);
// The text of file NAME, or an absent slice.
struct sld_str sld_plugin_bundle_file(const struct sld_plugin_bundle *b, struct sld_str name);
// Whether NAME may be a plugin's: a-z, 0-9 and -, at most 63, a letter first.
bool sld_plugin_name_ok(struct sld_str name);

// ---- Ceilings ----

// A step is one of Lua's instructions, or what counts like one: a step of a pattern, an element moved.
struct sld_plugin_limits {
    size_t memory_bytes;   // of a state
    uint64_t load_steps;   // of loading
    uint64_t call_steps;   // of one call
    unsigned load_ms;      // a net below the steps, which alone are the same everywhere
    unsigned call_ms;
    size_t string_bytes;   // of a string that a library function makes
    size_t subject_bytes;  // of a text searched by a pattern
    unsigned coroutines;   // made in one call
    unsigned log_lines;    // of one call
    // Of calls that may wait; what is of one call above is of each run of a task between two waits.
    unsigned waiting;           // at a time, of all calls that may wait
    unsigned outbound;          // of one call for a request: what it asks others for
    unsigned outbound_a_minute; // of a task
    unsigned request_ms;        // of one call for a request from start to end, waiting included
    unsigned publish_ms;        // how long a server that starts waits for what a task publishes first
};
extern const struct sld_plugin_limits sld_plugin_limits_default;

// ---- A plugin ----

// What a plugin may do, in alphabetical order of the functions' names.
enum sld_hook {
    SLD_HOOK_AUTHORIZE,
    SLD_HOOK_CHECK,
    SLD_HOOK_DISCOVER,
    SLD_HOOK_EXTRA,
    SLD_HOOK_LOG,
    SLD_HOOK_SECRET,
    SLD_HOOK_SHAPE_DESTINATION,
    SLD_HOOK_SHAPE_LISTENER,
    SLD_HOOK_SHAPE_ROUTE,
    SLD_HOOK_SHAPE_UPSTREAM,
    SLD_HOOK_SHAPE_VIRTUAL_HOST,
    SLD_HOOK_TRANSFORM_REQUEST,
    SLD_HOOK_TRANSFORM_RESPONSE,
    SLD_HOOK_COUNT
};
// "shape_route", ...
const char *sld_hook_name(enum sld_hook h);

// Hooks that run once for each request.
#define SLD_HOOKS_OF_REQUESTS \
    (1U << SLD_HOOK_AUTHORIZE | SLD_HOOKS_TRANSFORM)
#define SLD_HOOKS_TRANSFORM (1U << SLD_HOOK_TRANSFORM_REQUEST | 1U << SLD_HOOK_TRANSFORM_RESPONSE)

// Hooks that run in the worker's thread of tasks.
#define SLD_HOOKS_OF_TASKS (1U << SLD_HOOK_DISCOVER | 1U << SLD_HOOK_SECRET)

// Where they run.
enum sld_plugin_runs {
    SLD_RUNS_SOLDER, // in the worker process, which Envoy asks
    SLD_RUNS_ENVOY,  // in Envoy
};

// How they see a body.
enum sld_plugin_body_mode {
    SLD_BODY_NONE,
    SLD_BODY_BUFFERED, // as a whole
    SLD_BODY_STREAMED, // in pieces
};
struct sld_plugin_body {
    enum sld_plugin_body_mode mode;
    size_t max_bytes; // of a whole one; of what is held of a streamed one
};
enum { SLD_PLUGIN_BODY_DEFAULT = 64 << 10, SLD_PLUGIN_BODY_MAX = 4 << 20, SLD_PLUGIN_BODY_HELD = 1 << 20 };

// What a plugin may ask for in its table's `needs`; what it did not ask for is not there.
enum sld_need {
    SLD_NEED_CONSUL,  // solder.consul
    SLD_NEED_DNS,     // solder.dns
    SLD_NEED_FILES,   // files that its document grants
    SLD_NEED_HTTP,    // solder.http
    SLD_NEED_KV,      // solder.kv
    SLD_NEED_OBJECTS, // ctx:get: other objects than the one that is shaped
    SLD_NEED_SECRETS, // secret_ref in its schema
    SLD_NEED_VAULT,   // solder.vault
    SLD_NEED_COUNT
};
// "objects", ..., and a few words for people.
const char *sld_need_name(enum sld_need n);
const char *sld_need_about(enum sld_need n);

// What the text of a plugin speaks of, so that Envoy is asked for no more than that.
enum sld_speaks {
    SLD_SPEAKS_REQUEST = 1,         // of the request, where it changes responses
    SLD_SPEAKS_RESPONSE_HEADER = 2, // of headers of the response, where it changes requests
    SLD_SPEAKS_TRAILER = 4,
};

struct sld_conf; // schema.h

struct sld_plugin_names {
    struct sld_str *items;
    size_t count;
};

struct sld_plugin_info {
    struct sld_str name, version, summary; // as the plugin says
    struct sld_str origin;                 // where it was read
    unsigned hooks;                        // bit per sld_hook
    unsigned needs;                        // bit per sld_need
    unsigned speaks;                       // bits of sld_speaks, where it has hooks that change
    enum sld_plugin_runs runs;
    struct sld_plugin_body request_body, response_body;
    struct sld_plugin_names log_request_headers, log_response_headers; // that entries of logs are to have
    const struct sld_conf *conf;           // of its configuration; a record
};

// What one hook did so far.
struct sld_plugin_calls {
    uint64_t calls, errors, limits; // limits: errors by a ceiling
    uint64_t total_ns, max_ns;
};

// What a call died of.
struct sld_plugin_error {
    int64_t wall_ms;
    enum sld_hook hook;
    char words[400];  // "file:line: what"
    char trace[1000]; // the stack
};
enum { SLD_PLUGIN_ERRORS = 5 }; // are kept of a plugin

struct sld_plugin_stats {
    unsigned breaches;                                // of ceilings, since the last call that went well
    struct sld_plugin_error errors[SLD_PLUGIN_ERRORS]; // newest first
    size_t error_count;
    struct sld_plugin_calls hooks[SLD_HOOK_COUNT];
    size_t used_bytes, peak_bytes, limit_bytes; // of memory
};

// A plugin that was loaded: a version of it, with a state of its own. A refcounted object, whose hash is
// its bundle's; the last reference is dropped on the thread that loaded it.
struct sld_plugin;

// Runs B in a new state. A reference in *OUT; SLD_INVALID with "file:line: words", SLD_LIMIT.
SLD_NODISCARD enum sld_rc sld_plugin_load(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits,
                                          struct sld_plugin **out, struct sld_err *err);
const struct sld_plugin_limits *sld_plugin_limits(const struct sld_plugin *p);
// Its hooks, a bit per sld_hook, that run in the worker.
unsigned sld_plugin_worker_hooks(const struct sld_plugin *p);
// The files it was made of; borrowed.
struct sld_plugin_bundle *sld_plugin_files(const struct sld_plugin *p);
const struct sld_plugin_info *sld_plugin_info(const struct sld_plugin *p);
// P may use the files at these N paths (copied), and what is below those that end in '/'; none before.
void sld_plugin_grant_files(struct sld_plugin *p, const struct sld_str *paths, size_t n);
// Named numbers for solder.counters that several states of a plugin share, on any threads. A reference. [any]
struct sld_plugin_counters;
struct sld_plugin_counters *sld_plugin_counters_create(void);
// P counts with C (a reference is taken) from now on; without this with its own.
void sld_plugin_counters_share(struct sld_plugin *p, struct sld_plugin_counters *c);
// P keeps what it keeps (solder.kv) in KV (a reference is taken) from now on; without this in memory.
struct sld_plugin_kv;
void sld_plugin_kv_share(struct sld_plugin *p, struct sld_plugin_kv *kv);
void sld_plugin_stats(const struct sld_plugin *p, struct sld_plugin_stats *out);
// How long the call ran that ended last, without what it waited.
uint64_t sld_plugin_ran_ns(const struct sld_plugin *p);
// Checks configuration VALUE (NULL: nothing is set): by the schema, then by the plugin's own `check`.
// Findings with paths below R's prefix.
void sld_plugin_check(struct sld_plugin *p, struct sld_report *r, const Google__Protobuf__Value *value);
