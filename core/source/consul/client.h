// One Consul agent: where it is, who we are there, and a ceiling on connections; calls, and watches
// by blocking queries. Shared by the KV source, its statuses, and the discovery of services. All on
// the io thread unless said otherwise.
#pragma once

#include "loop/loop.h"
#include "net/http.h"

struct Gloo__Settings;

enum {
    // An agent refuses the 201st connection from one address. This many blocking queries run at a
    // time, fewer while it refuses some; watches beyond it take turns, and so see changes late.
    SLD_CONSUL_WATCHES_MAX = 144,
    SLD_CONSUL_CALLS_MAX = 16, // connections for calls beside them
    SLD_CONSUL_BODY_MAX_BYTES = 256 * 1024 * 1024,
};

// ---- The agent ----

struct sld_consul;

// The agent at AGENT ("host:port", "http://...", "https://...", "unix:///path"; absent or empty:
// the one SETTINGS name, else CONSUL_HTTP_ADDR, else 127.0.0.1:8500). Of the same agent there is
// one, counted. Of the rest settings win over the CONSUL_* variables. SLD_INVALID: not an address.
SLD_NODISCARD enum sld_rc sld_consul_get(struct sld_loop *io, struct sld_str agent,
                                         const struct Gloo__Settings *settings,
                                         struct sld_consul **out, struct sld_err *err);
// The settings in force changed. Where they say something new, watches ask again at once; on
// SLD_INVALID the former stay. Every user may tell the same news.
SLD_NODISCARD enum sld_rc sld_consul_configure(struct sld_consul *c,
                                               const struct Gloo__Settings *settings,
                                               struct sld_err *err);
// The last release ends all calls and watches that are left. The loop has to turn once more before
// it can be destroyed. NULL is fine.
void sld_consul_release(struct sld_consul *c);
// "http://127.0.0.1:8500": for messages. Valid until the next configure.
struct sld_str sld_consul_name(const struct sld_consul *c);

// ---- Calls ----

enum sld_consul_consistency { SLD_CONSUL_DEFAULT, SLD_CONSUL_STALE, SLD_CONSUL_CONSISTENT };

struct sld_consul_param {
    struct sld_str name, value; // an absent value: the name alone, as in "?recurse"
};

// One question; zeroes mean: absent, or the default named. Data center, namespace and partition of
// the settings are added unless PARAMS have them.
struct sld_consul_query {
    struct sld_str method; // absent = GET
    struct sld_str path;   // "/v1/kv/gloo/a b": not escaped
    const struct sld_consul_param *params;
    size_t param_count;
    struct sld_str body;
    enum sld_consul_consistency consistency;
    bool cached;           // the agent may answer from its cache
    size_t max_body_bytes; // SLD_CONSUL_BODY_MAX_BYTES
    uint64_t timeout_ms;   // 30 s; of a watch: beyond the time it waits
};

// Borrowed during the callback.
struct sld_consul_answer {
    int status;               // 0: none came
    uint64_t index;           // X-Consul-Index; 0: none
    bool known_leader;        // X-Consul-KnownLeader; says nothing of a cached answer
    bool filtered_by_acl;     // the token did not see all there is; 1.8 never says so
    uint64_t last_contact_ms; // of the server that answered with the leader
    bool went_back; // of a watch: the index is lower than it was (a restart, a lost state)
    struct sld_str body;
    // NULL when the answer came whole and has status 200 or 404. SLD_DENIED: 401, 403 or a
    // certificate; SLD_INVALID: other 4xx; SLD_CONFLICT: 409; SLD_LIMIT: 413, or too long an
    // answer; SLD_AGAIN: 429; SLD_IO: everything else. With words for people.
    const struct sld_err *err;
};

struct sld_consul_call;
typedef void sld_consul_done(void *user, const struct sld_consul_answer *a);
// Asks once; everything in Q is copied. DONE comes exactly once unless cancelled, never before this
// returns, and may start and cancel anything but release the agent's last reference.
struct sld_consul_call *sld_consul_ask(struct sld_consul *c, const struct sld_consul_query *q,
                                       sld_consul_done *done, void *user);
// No DONE any more. NULL is fine.
void sld_consul_cancel(struct sld_consul_call *call);
// Asks and blocks, without a loop; for the command line. The answer's body is in A; its err is not
// used. Errors as of an answer. [any]
SLD_NODISCARD enum sld_rc sld_consul_fetch(struct sld_arena *a, struct sld_str agent,
                                           const struct Gloo__Settings *settings,
                                           const struct sld_consul_query *q,
                                           struct sld_consul_answer *out, struct sld_err *err);
// Asks the N questions of Q one after the other, until one gets no answer, with the agent's present
// address and credentials, as a job for a thread of the pool: it begins at once, nobody learns of its
// outcome, and sld_loop_destroy waits for it. For farewells.
void sld_consul_send(struct sld_consul *c, const struct sld_consul_query *q, size_t n);

// ---- Watches ----
//
//   ask(index, wait) --> answer --> as told before?  no: on_answer, ask again
//        ^                              yes: ask again; later, if it came without waiting
//        `--- back-off with jitter <-- error: on_problem
//
// The index only says when to ask. Whoever changes all the time is asked twenty times a second.

// How many more watches there may be before they take turns.
size_t sld_consul_watch_room(const struct sld_consul *c);

struct sld_consul_watch;
struct sld_consul_watch_options {
    struct sld_consul_query query; // GET; copied
    uint64_t wait_ms;              // 0 = settings' consul.waitTime, else refreshRate, else 60 s
    bool every_index;              // an answer is news, too, when only the index moved
    // What is known already goes up to this index: the first question waits, too. 0: nothing is
    // known.
    uint64_t index;
    // The first answer, and each that differs from the one told before: body, status or facts but
    // for index and last contact. A->err is NULL.
    void (*on_answer)(void *user, const struct sld_consul_answer *a);
    // It cannot be read, for whatever reason RC; SLD_OK and MESSAGE absent: it can again (told before
    // on_answer, but behind it when the answer before was refused). A single failure is not told
    // unless it is SLD_DENIED or SLD_INVALID. May be NULL.
    void (*on_problem)(void *user, enum sld_rc rc, struct sld_str message);
    void *user;
};
// Begins in the next turn of the loop. Callbacks may start, stop and pause watches, this one too.
struct sld_consul_watch *sld_consul_watch_start(struct sld_consul *c,
                                                const struct sld_consul_watch_options *o);
// NULL is fine.
void sld_consul_watch_stop(struct sld_consul_watch *w);
// From within on_answer: the answer cannot be used (it was cut, it is garbage). It counts as a
// failure because of WHY, and W asks from the beginning, later.
void sld_consul_watch_refuse(struct sld_consul_watch *w, const char *why);
// Asks from the beginning, at once, and tells the answer whatever was told before.
void sld_consul_watch_again(struct sld_consul_watch *w);
// Stops asking until resumed, which goes on where it was.
void sld_consul_watch_pause(struct sld_consul_watch *w);
void sld_consul_watch_resume(struct sld_consul_watch *w);
