// Private to the room.
//
//   supervise.c  the server's side: what is to be there, and the process's life
//   link.c       frames on a socket, on both sides
//   process.c    the process's first thread: loads plugins, carries what is said
//   serve.c      an event loop: what it has, and the requests of Envoys
//   rest.c       who costs a loop too much rests
//   check.c      Envoy's messages to an exchange and back
//   transform.c  a request and its response, on their way through hooks that change them;  transform_wire.c  Envoy's messages of it
//   logs.c       what Envoys log, for hooks that take it
//   report.c     what was done, in frames and out of them
//   found.c      plugins that discover, in frames and out of them;  found_thread.c  the thread they run in
#pragma once

#include "loop/loop.h"
#include "net/grpc.h"
#include "plugin/backends.h"
#include "plugin/log.h"
#include "plugin/reactor.h"
#include "plugin/record.h"
#include "plugin/transform.h"
#include "worker/found_thread.h"
#include "worker/rest.h"
#include "worker/worker.h"

#include "worker.pb-c.h"

// ---- link.c ----

enum {
    WK_FRAME_MAX = 16 << 20,    // bytes of a frame
    WK_PENDING_MAX = 512 << 20, // of frames that the other side has not taken
};

struct wk_link;
struct wk_link_events {
    // They may destroy the link.
    void (*on_frame)(void *user, const Solder__Worker__Frame *f); // borrowed
    void (*on_end)(void *user, const char *why);                  // once, and nothing after it
    void *user;
};
// FD, a stream socket, is taken over.
struct wk_link *wk_link_create(struct sld_loop *l, int fd, const struct wk_link_events *ev);
// NULL is fine.
void wk_link_destroy(struct wk_link *k);
// One that is larger than a frame may be is not sent, which is logged. More than the other side may leave lying ends the link.
void wk_link_send(struct wk_link *k, const Solder__Worker__Frame *f);

// ---- Plugins in frames ---- (supervise.c, process.c)

// B as a message in A.
Solder__Worker__Plugin *wk_plugin_message(struct sld_arena *a, const struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits);
// The files of M, a reference; its limits in *LIMITS.
struct sld_plugin_bundle *wk_plugin_read(const Solder__Worker__Plugin *m, struct sld_plugin_limits *limits);

// ---- found.c ----

// To the process; LINK may be NULL: there is none.
void wk_say_finder(struct wk_link *link, const struct sld_discover_plan *p);
void wk_say_finder_gone(struct wk_link *link, struct sld_str plugin);
// Secret REF of PLUGIN is wanted, or not any more.
void wk_say_want(struct wk_link *link, struct sld_str plugin, struct sld_str ref, bool wanted);
// What the process told, to EV.
void wk_take_found(const struct sld_finders_events *ev, const Solder__Worker__Found *f);
// In the process: what it takes to do what messages say. The thread is made when there is none; what it finds goes to LINK, which
// outlives it.
struct wk_found {
    struct sld_found_thread *thread;
    struct sld_loop *main;
    struct wk_link *link;
    void (*on_report)(void *user, struct sld_arena_obj *report); // once a second; root: Solder__Worker__Stats; taken over
    // What plugin NAME keeps, and counts with; borrowed.
    struct sld_plugin_kv *(*kv_of)(void *user, struct sld_str name);
    struct sld_plugin_counters *(*counters_of)(void *user, struct sld_str name);
    void *user;
};
void wk_take_finder(struct wk_found *f, const Solder__Worker__Finder *m);
void wk_say_backends(struct wk_link *link, const struct sld_plugin_backends *b);
void wk_take_backends(struct wk_found *f, const Solder__Worker__Backends *m);

void wk_take_want(struct wk_found *f, const Solder__Worker__Want *m);

// ---- check.c ----

enum { WK_PLUGINS_MAX = 16 }; // of one request

// A plugin of a route, and its configuration there.
struct wk_use {
    struct sld_str plugin, conf;
};
// Reads "name@configuration,..." into USES, which has room for WK_PLUGINS_MAX behind those *N. SLD_INVALID, SLD_LIMIT.
SLD_NODISCARD enum sld_rc wk_uses_read(struct sld_str list, struct wk_use *uses, size_t *n, struct sld_err *err);
// In A, the metadata that plugins set: a field for each, with PREFIX in front of its name.
Google__Protobuf__Struct *wk_metadata(struct sld_arena *a, const struct sld_exchange *x, struct sld_str prefix);

// A question of Envoy's.
struct wk_check {
    struct sld_exchange x;
    struct sld_req_peer peer;
    struct sld_str body; // of those plugins that ask for it
    bool body_shown;     // the route says that it is there; an empty one, if it is empty
    struct wk_use uses[WK_PLUGINS_MAX];
    size_t use_count;
};
// Reads BYTES, a CheckRequest, into C, whose exchange has its arena. SLD_INVALID, SLD_LIMIT.
SLD_NODISCARD enum sld_rc wk_check_read(struct wk_check *c, struct sld_str bytes, struct sld_err *err);
// The answer, a CheckResponse.
struct sld_str wk_check_answer(const struct wk_check *c);

// ---- serve.c ----

struct wk_loop;
// What a loop tells the process's first thread; on that one.
struct wk_loop_events {
    void (*on_number)(void *user, struct wk_loop *l, uint64_t number); // as of wk_loop_number
    void (*on_pong)(void *user, struct wk_loop *l, uint64_t ping); // as of wk_loop_ping
    void (*on_report)(void *user, struct wk_loop *l, struct sld_arena_obj *report); // root: Solder__Worker__Stats; taken over
    void (*on_record)(void *user, struct wk_loop *l, uint64_t number, struct sld_str line); // as of wk_loop_record; LINE is borrowed
    void *user;
};
// A thread that listens at ADDRESS. MAIN: the loop of the caller.
SLD_NODISCARD enum sld_rc wk_loop_start(struct sld_loop *main, struct sld_str address, const struct sld_grpc_tls *tls,
                                        const struct wk_loop_events *ev, struct wk_loop **out, struct sld_err *err);
// Ends it; nothing is told after it returns.
void wk_loop_stop(struct wk_loop *l);
// After wk_loop_stop, and after MAIN's end.
void wk_loop_free(struct wk_loop *l);
// P (taken over) is what NAME is from now on; NULL: there is none.
void wk_loop_plugin(struct wk_loop *l, struct sld_str name, struct sld_plugin *p, bool open);
// VALUE (a reference is taken) is configuration ID; NULL: it is gone.
void wk_loop_conf(struct wk_loop *l, struct sld_str id, struct sld_blob *value);
// Certificates for connections to come.
void wk_loop_tls(struct wk_loop *l, const struct sld_grpc_tls *tls);
// on_number tells that all before has been done.
void wk_loop_number(struct wk_loop *l, uint64_t number);
// on_pong tells that L gets on, ahead of whatever waits: after the hook at work. PING is another number than before, and not 0;
// one that is not answered yet is forgotten.
void wk_loop_ping(struct wk_loop *l, uint64_t ping);
// on_record tells of the next COUNT calls of PLUGIN; with 0 of no more, if the recording is NUMBER.
void wk_loop_record(struct wk_loop *l, struct sld_str plugin, unsigned count, uint64_t number);
// on_report follows.
void wk_loop_ask(struct wk_loop *l);

// What a loop serves: calls of one method. On the loop's thread.
struct wk_service {
    const char *method; // "/package.Service/Method"
    void *(*on_call)(struct wk_loop *l, struct sld_grpc_stream *stream); // begins with a struct wk_call; as of struct sld_grpc_handlers
    void (*on_message)(void *call, struct sld_str bytes);
    void (*on_half_close)(void *call); // may be NULL
    void (*on_sent)(void *call);       // may be NULL
    void (*on_closed)(void *call);
};
struct wk_call {
    const struct wk_service *service; // set by the loop
};

// Work for a call that waits for what it needs, and then for its turn between what else there is. Fill a zeroed one, but for
// what is private.
struct wk_job {
    struct wk_loop *l;
    const struct wk_use *uses; // that it needs
    size_t use_count;
    void (*run)(struct wk_job *j);     // its turn
    void (*missing)(struct wk_job *j); // what it needs has not come for a second
    // Private.
    struct sld_list link;
    uint64_t began_ns;
    bool waits;
};
void wk_job_start(struct wk_job *j);
// J, which began, gets another turn; once, however often it is asked for.
void wk_job_again(struct wk_job *j);
// J gets no turn any more; one that never began is fine.
void wk_job_stop(struct wk_job *j);

// A hook that may be called.
struct wk_hook {
    struct plugin *plugin; // the loop's
    struct sld_plugin *p;  // borrowed
    struct sld_str conf;   // the configuration's name; borrowed
    int ref;               // of it
    bool open;             // where it fails requests go on without it
};
// HOOK of what U names. SLD_NOT_FOUND: it is gone. SLD_LIMIT, SLD_INVALID: it fails, with words, and OUT says what of it is known.
SLD_NODISCARD enum sld_rc wk_hook_find(struct wk_loop *l, const struct wk_use *u, enum sld_hook hook, struct wk_hook *out,
                                       struct sld_err *err);
// A call of H, or wk_hook_find, ended so.
void wk_hook_over(struct wk_loop *l, const struct wk_hook *h, enum sld_rc rc, const struct sld_err *err);
struct sld_reactor *wk_loop_reactor(const struct wk_loop *l);
// A request was not taken, as there were too many: counts it.
void wk_loop_shed(struct wk_loop *l);
// How many requests are on their way through plugins that change them; they count themselves.
unsigned *wk_loop_transforms(struct wk_loop *l);

// ---- logs.c ----

// Of a loop's streams.
struct wk_logs {
    unsigned streams;
    size_t bytes;              // of entries that wait
    uint64_t entries, dropped; // that came; of those, for each plugin, that it did not get or did not take well
};
struct wk_logs *wk_loop_logs(struct wk_loop *l);
extern const struct wk_service wk_log_streams;

// ---- transform.c ----

enum { WK_TRANSFORMS_MAX = 4000 }; // requests of a loop at once whose plugins see them, or their responses
extern const struct wk_service wk_transforms;

// ---- report.c ----

// A message in A about plugin NAME, which made the calls SUM, and of which ST is known besides.
Solder__Worker__PluginStats *wk_stats_of(struct sld_arena *a, struct sld_str name, const struct sld_plugin_calls sum[SLD_HOOK_COUNT],
                                         const struct sld_plugin_stats *st);
// Adds B to A, both of the arena's root.
void wk_stats_add(struct sld_arena *a, Solder__Worker__Stats *sum, const Solder__Worker__Stats *s);
