// What the tests of the client of Consul share: one client against a peer that does what agents do, and
// what it told last.
#pragma once

#include "source/consul_world.h"

#include "codec/message.h"
#include "source/consul/agent.h"

struct world {
    struct peer peer;
    struct sld_consul *c;
    struct sld_consul_watch *w;
    Gloo__Settings settings;
    Gloo__ConsulConfiguration consul;
    // On io, read by the test after a post.
    sem_t told, problem;
    unsigned told_count, problem_count;
    int status;
    uint64_t index;
    bool known_leader, filtered, went_back;
    uint64_t last_contact;
    char body[512], message[512];
    enum sld_rc rc;
    bool stop_in_answer, refuse_next, every_index;
    uint64_t from;
    unsigned ceiling; // of the agent
};

static inline void world_init(struct world *x)
{
    *x = (struct world){0};
    gloo__settings__init(&x->settings);
    gloo__consul_configuration__init(&x->consul);
    x->settings.consul = &x->consul;
    sem_init(&x->told, 0, 0);
    sem_init(&x->problem, 0, 0);
    peer_start(&x->peer);
}

static inline void get_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    assert_int_equal(
        sld_consul_get(x->peer.io.loop, sld_str_c(x->peer.address), &x->settings, &x->c, &err),
        SLD_OK);
}

static inline void release_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_watch_stop(x->w);
    sld_consul_release(x->c);
}

static inline void setup(struct world *x)
{
    world_init(x);
    io_do(&x->peer.io, get_on_io, x);
}

static inline void teardown(struct world *x)
{
    io_do(&x->peer.io, release_on_io, x);
    peer_stop(&x->peer);
}

static inline void take(struct world *x, const struct sld_consul_answer *a)
{
    x->status = a->status;
    x->index = a->index;
    x->known_leader = a->known_leader;
    x->filtered = a->filtered_by_acl;
    x->went_back = a->went_back;
    x->last_contact = a->last_contact_ms;
    x->rc = a->err ? a->err->rc : SLD_OK;
    snprintf(x->message, sizeof(x->message), "%s", a->err ? a->err->msg : "");
    snprintf(x->body, sizeof(x->body), "%.*s", SLD_FMT(a->body));
}

// ---- Calls and watches ----

static inline void on_done(void *user, const struct sld_consul_answer *a)
{
    struct world *x = user;
    take(x, a);
    x->told_count++;
    sem_post(&x->told);
}

static inline void on_answer(void *user, const struct sld_consul_answer *a)
{
    struct world *x = user;
    take(x, a);
    x->told_count++;
    if (x->refuse_next) {
        x->refuse_next = false;
        sld_consul_watch_refuse(x->w, "no list of keys");
        return;
    }
    if (x->stop_in_answer) {
        sld_consul_watch_stop(x->w);
        x->w = NULL;
    }
    sem_post(&x->told);
}

static inline void on_problem(void *user, enum sld_rc rc, struct sld_str message)
{
    struct world *x = user;
    x->rc = rc;
    x->problem_count++;
    snprintf(x->message, sizeof(x->message), "%.*s", SLD_FMT(message));
    sem_post(&x->problem);
}

struct ask {
    struct world *x;
    struct sld_consul_query q;
};

static inline void ask_on_io(void *arg)
{
    struct ask *a = arg;
    sld_consul_ask(a->x->c, &a->q, on_done, a->x);
}

static inline void ask(struct world *x, struct sld_consul_query q)
{
    struct ask a = {x, q};
    io_do(&x->peer.io, ask_on_io, &a);
}

static inline void watch_on_io(void *arg)
{
    struct world *x = arg;
    const struct sld_consul_param params[] = {{SLD_STR("recurse"), SLD_STR_NONE}};
    struct sld_consul_watch_options o = {
        .query = {.path = SLD_STR("/v1/kv/gloo/"), .params = params, .param_count = 1},
        .every_index = x->every_index,
        .index = x->from,
        .on_answer = on_answer,
        .on_problem = on_problem,
        .user = x,
    };
    x->w = sld_consul_watch_start(x->c, &o);
}

// The next question, and whether it is the one expected.
static inline void expect_index(struct world *x, long index)
{
    struct asked a;
    peer_asked(&x->peer, &a);
    assert_int_equal(asked_index(&a), index);
    assert_non_null(strstr(a.query, "recurse&"));
    assert_non_null(strstr(a.query, "wait="));
}

static inline void at_least(uint64_t began_ns, uint64_t ms)
{
    assert_true(sld_mono_ns() - began_ns >= ms * 1000000); // longer where the machine is slow
}
