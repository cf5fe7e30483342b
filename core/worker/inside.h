// Private to the room.
//
//   supervise.c  the server's side: what is to be there, and the process's life
//   link.c       frames on a socket, on both sides
//   process.c    the process's first thread: loads plugins, carries what is said
//   serve.c      an event loop: what it has, and the requests of Envoys
//   rest.c       who costs a loop too much rests
//   check.c      Envoy's messages to an exchange and back
//   report.c     what was done, in frames and out of them
//   found.c      plugins that discover, in frames and out of them;  found_thread.c  the thread they run in
#pragma once

#include "loop/loop.h"
#include "net/grpc.h"
#include "plugin/backends.h"
#include "plugin/reactor.h"
#include "plugin/record.h"
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

// A question of Envoy's.
struct wk_check {
    struct sld_exchange x;
    struct sld_req_peer peer;
    struct sld_str body; // of those plugins that ask for it
    bool body_shown;     // the route says that it is there; an empty one, if it is empty
    struct {
        struct sld_str plugin, conf;
    } uses[WK_PLUGINS_MAX];
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
// on_number tells that all before has been done.
void wk_loop_number(struct wk_loop *l, uint64_t number);
// on_pong tells that L gets on, ahead of whatever waits: after the hook at work. PING is another number than before, and not 0;
// one that is not answered yet is forgotten.
void wk_loop_ping(struct wk_loop *l, uint64_t ping);
// on_record tells of the next COUNT calls of PLUGIN; with 0 of no more, if the recording is NUMBER.
void wk_loop_record(struct wk_loop *l, struct sld_str plugin, unsigned count, uint64_t number);
// on_report follows.
void wk_loop_ask(struct wk_loop *l);

// ---- report.c ----

// A message in A about plugin NAME, which made the calls SUM, and of which ST is known besides.
Solder__Worker__PluginStats *wk_stats_of(struct sld_arena *a, struct sld_str name, const struct sld_plugin_calls sum[SLD_HOOK_COUNT],
                                         const struct sld_plugin_stats *st);
// Adds B to A, both of the arena's root.
void wk_stats_add(struct sld_arena *a, Solder__Worker__Stats *sum, const Solder__Worker__Stats *s);
