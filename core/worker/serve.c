// An event loop of the process: its own server, its own states of plugins. What it gets from the first thread comes as
// messages, in order. A request that names what has not come yet waits for it a while; whatever else goes wrong with one
// is its own end.
#include "worker/inside.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#define METHOD_CHECK "/envoy.service.auth.v3.Authorization/Check"

enum {
    CALLS_MAX = 1000,       // at once, of a loop
    MESSAGE_MAX = 8 << 20,  // bytes of a question: a body, and 1 MiB of headers
    WAIT_MS = 1000,         // for a configuration that has not come
    TURN_MS = 10,           // of hooks, before the loop looks what else there is
    SPARE_CALLS = 64,       // kept for those to come
    // of grpc/status.h
    INVALID_ARGUMENT = 3,
    RESOURCE_EXHAUSTED = 8,
    FAILED_PRECONDITION = 9,
    INTERNAL = 13,
};

struct plugin {
    struct sld_str name;
    struct sld_plugin *p; // own reference; NULL: it is gone
    bool open;
    uint64_t version;      // of the loop: never the same again
    uint64_t denied;
    unsigned recorded;     // calls that are to be told, still
    uint64_t recording;    // the number of that
    struct sld_plugin_calls past[SLD_HOOK_COUNT]; // of versions before
    struct sld_arena arena;
};

struct conf {
    struct sld_blob *value; // own reference
    uint64_t version;       // of the plugin that REF is in; 0: none
    int ref;
    struct wk_rest rest;   // of that plugin with this
    char error[SLD_ERR_MAX]; // why that version cannot use it; empty: it can
};

struct call {
    struct wk_call head;
    struct wk_job job;
    struct sld_list link; // of the loop's spare ones
    struct wk_loop *l;
    struct sld_grpc_stream *stream;
    struct sld_arena arena;
    struct wk_check check;
    struct sld_authorize hook; // at work
    struct plugin *plugin;     // whose hook that is
    struct sld_str conf;       // what it is called with: its name
    struct sld_record record;  // of that
    uint64_t recording;        // its number; 0: it is not told
    size_t at;                 // of the check's uses: the next one
    bool asked;                // the question came
    bool starting, ended;      // while a hook is started: it is over already
    enum sld_rc rc;            // and how
};

struct wk_loop {
    struct sld_loop *main, *loop;
    pthread_t thread;
    struct wk_loop_events ev;
    struct sld_grpc_server *grpc;
    struct sld_reactor *reactor;
    struct sld_timer *timer;
    bool ending;
    struct sld_map plugins, confs; // struct plugin, struct conf
    struct sld_list waiting, ready, spare;
    struct sld_message turn; // those that are ready get theirs
    bool turning;            // it is posted
    atomic_uint_fast64_t ping;
    uint64_t ponged; // the ping that was answered last
    uint64_t flushed_ns; // when what woken calls answered was sent last
    unsigned spare_count, in_flight, transforms;
    struct wk_logs logs;
    uint64_t versions;
    uint64_t checks, shed, unknown;
    struct sld_log_gate gate;
    bool stopped; // [main]
};

// ---- Ends of calls ----

static void refuse(struct call *c, int status, const char *words)
{
    sld_grpc_close(c->stream, status, sld_str_c(words));
}

static void answer(struct call *c)
{
    struct sld_str s = wk_check_answer(&c->check);
    sld_grpc_send(c->stream, &s, NULL, 1);
    sld_grpc_close(c->stream, 0, SLD_STR(""));
}

// ---- Running ----

// The number of configuration C in the state of P. SLD_INVALID with words.
static enum sld_rc ready(struct plugin *p, struct conf *c, struct sld_err *err)
{
    if (c->version != p->version) {
        struct sld_arena a = {0};
        struct sld_err why = {0};
        const Google__Protobuf__Value *v =
            sld_msg_decode(&a, &google__protobuf__value__descriptor, c->value->data, 100, &why);
        c->version = p->version;
        c->rest = (struct wk_rest){0};
        c->error[0] = 0;
        if (!v || sld_plugin_keep_conf(p->p, v, &c->ref, &why))
            snprintf(c->error, sizeof(c->error), "%s", why.msg);
        sld_arena_fini_secret(&a);
    }
    return c->error[0] ? sld_err_set(err, SLD_INVALID, "%s", c->error) : SLD_OK;
}

static void log_failure(struct wk_loop *l, const struct plugin *p, const struct sld_err *err)
{
    uint64_t suppressed;
    if (sld_log_gate_open(&l->gate, 1000, &suppressed))
        SLD_LOG(SLD_WARN, "worker", "hook_failed", SLD_KS("plugin", p->name), SLD_KC("msg", err->msg),
                SLD_KI("suppressed", suppressed));
}

// False: something it needs has not come.
static bool there(const struct wk_job *j)
{
    for (size_t i = 0; i < j->use_count; i++) {
        const struct plugin *p = sld_map_get(&j->l->plugins, j->uses[i].plugin);
        if (!p || !p->p || !sld_map_has(&j->l->confs, j->uses[i].conf))
            return false;
    }
    return true;
}

// A hook of P ended, which was called with configuration NAME.
static void judge(const struct wk_loop *l, const struct plugin *p, struct sld_str name, enum sld_rc rc, const struct sld_err *err)
{
    struct conf *conf = rc == SLD_LIMIT ? sld_map_get(&l->confs, name) : NULL;
    if (conf && p->p && wk_rest_breach(&conf->rest, sld_mono_ns(), sld_plugin_ran_ns(p->p)))
        SLD_LOG(SLD_WARN, "worker", "plugin_rests", SLD_KS("plugin", p->name), SLD_KS("configuration", name),
                SLD_KI("ms", (conf->rest.until_ns - sld_mono_ns()) / 1000000), SLD_KC("msg", err->msg));
}

// ---- Records ----

static void post_record(struct wk_loop *l, uint64_t number, struct sld_str line);

// What is told of the call of P that begins, with CONF.
static void record(struct call *c, struct plugin *p, const struct conf *conf)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    c->recording = 0;
    if (!p->recorded)
        return;
    p->recorded--;
    c->recording = p->recording;
    const Google__Protobuf__Value *v = sld_msg_decode(&a, &google__protobuf__value__descriptor, conf->value->data, 100, &err);
    sld_record_fini(&c->record);
    sld_record_begin(&c->record, p->p, &c->check.x, v, sld_wall_ms());
    sld_arena_fini_secret(&a);
}

static void tell_record(struct call *c, enum sld_rc rc, const struct sld_err *err)
{
    if (!c->recording)
        return;
    struct sld_str line = sld_record_end(&c->record, &c->check.x, rc, err);
    if (line.p)
        post_record(c->l, c->recording, line);
    c->recording = 0;
}

// The hook of P failed for C. False: so did the request.
static bool go_on(struct call *c, const struct plugin *p, const struct sld_err *err)
{
    log_failure(c->l, p, err);
    if (!p->open && !c->check.x.denied)
        refuse(c, INTERNAL, "a plugin failed");
    return p->open || c->check.x.denied;
}

static void run(struct call *c);
static void pong(struct wk_loop *l);

// Whether HOOK of P may be called; *REF is C in its state then.
static enum sld_rc usable(struct plugin *p, struct conf *c, enum sld_hook hook, int *ref, struct sld_err *err)
{
    if (c->version == p->version && wk_rest_is(&c->rest, sld_mono_ns()))
        return sld_err_set(err, SLD_LIMIT, "with this configuration it reached its ceilings too often, and rests");
    if (!(sld_plugin_info(p->p)->hooks & (1U << hook)))
        return sld_err_set(err, SLD_INVALID, "it has no hook %s any more", sld_hook_name(hook));
    enum sld_rc rc = ready(p, c, err);
    *ref = c->ref;
    return rc;
}

enum sld_rc wk_hook_find(struct wk_loop *l, const struct wk_use *u, enum sld_hook hook, struct wk_hook *out, struct sld_err *err)
{
    struct plugin *p = sld_map_get(&l->plugins, u->plugin);
    struct conf *c = sld_map_get(&l->confs, u->conf);
    *out = (struct wk_hook){.plugin = p, .conf = u->conf};
    if (!p || !p->p || !c)
        return sld_err_set(err, SLD_NOT_FOUND, "a plugin of the route is gone");
    out->p = p->p;
    out->open = p->open;
    return usable(p, c, hook, &out->ref, err);
}

void wk_hook_over(struct wk_loop *l, const struct wk_hook *h, enum sld_rc rc, const struct sld_err *err)
{
    judge(l, h->plugin, h->conf, rc, err);
    if (rc)
        log_failure(l, h->plugin, err);
    pong(l);
}

struct sld_reactor *wk_loop_reactor(const struct wk_loop *l)
{
    return l->reactor;
}

struct wk_logs *wk_loop_logs(struct wk_loop *l)
{
    return &l->logs;
}

unsigned *wk_loop_transforms(struct wk_loop *l)
{
    return &l->transforms;
}

void wk_loop_shed(struct wk_loop *l)
{
    l->shed++;
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct call *c = user;
    struct plugin *p = c->plugin;
    c->plugin = NULL;
    judge(c->l, p, c->conf, rc, err);
    tell_record(c, rc, err);
    p->denied += c->check.x.denied;
    pong(c->l);
    bool goes_on = !rc || go_on(c, p, err);
    if (c->starting) {
        c->ended = true;
        c->rc = goes_on ? SLD_OK : SLD_DENIED;
        return;
    }
    struct wk_loop *l = c->l;
    if (goes_on)
        run(c);
    // Those that wake together, one after the other, do not hold up each other's answers.
    uint64_t now = sld_mono_ns();
    if (now - l->flushed_ns < (uint64_t)TURN_MS * 1000000)
        return;
    l->flushed_ns = now;
    sld_grpc_server_flush(l->grpc);
}

// Whether the body of C may be seen by what INFO tells of; else C is denied.
static void show_body(struct call *c, const struct sld_plugin_info *info)
{
    struct sld_exchange *x = &c->check.x;
    bool shown = info->request_body.mode == SLD_BODY_BUFFERED;
    x->body = shown ? c->check.body : SLD_STR_NONE;
    if (!shown || x->body.n <= info->request_body.max_bytes)
        return;
    x->denied = true;
    x->status = 413;
    x->deny_body = SLD_STR("the body is too large\n");
}

// Starts the hook of P; *ENDED tells that it is over. False: the request is, too.
static bool call_plugin(struct call *c, struct plugin *p, struct conf *conf, bool *ended)
{
    struct wk_loop *l = c->l;
    const struct sld_plugin_info *info = sld_plugin_info(p->p);
    struct sld_err err = {0};
    uint64_t spent = (sld_mono_ns() - c->job.began_ns) / 1000000;
    unsigned most = sld_plugin_limits(p->p)->request_ms;
    int ref = 0;
    *ended = true;
    enum sld_rc rc = SLD_OK;
    if (info->request_body.mode == SLD_BODY_BUFFERED && !c->check.body_shown) // Envoy has the route of a version before
        rc = sld_err_set(&err, SLD_INVALID, "it reads bodies, and the request came by a route that shows none yet");
    else
        rc = usable(p, conf, SLD_HOOK_AUTHORIZE, &ref, &err);
    if (!rc && spent >= most)
        rc = sld_err_set(&err, SLD_AGAIN, "longer than %u ms in all, waiting included", most);
    if (rc)
        return go_on(c, p, &err);
    show_body(c, info);
    if (c->check.x.denied)
        return true;
    c->hook = (struct sld_authorize){.x = &c->check.x,
                                     .ref = ref,
                                     .undo = p->open,
                                     .deadline_ms = most - spent,
                                     .done = on_done,
                                     .user = c};
    c->plugin = p;
    c->conf = c->check.uses[c->at - 1].conf;
    record(c, p, conf);
    c->starting = true;
    c->ended = false;
    rc = sld_plugin_authorize(p->p, l->reactor, &c->hook, &err);
    c->starting = false;
    if (rc == SLD_AGAIN) {
        l->shed++;
        refuse(c, RESOURCE_EXHAUSTED, err.msg);
        return false;
    }
    if (rc)
        return go_on(c, p, &err);
    *ended = c->ended;
    return !c->ended || c->rc == SLD_OK;
}

// Goes on with C, plugin after plugin, until one waits.
static void run(struct call *c)
{
    struct wk_loop *l = c->l;
    while (c->at < c->check.use_count && !c->check.x.denied) {
        struct plugin *p = sld_map_get(&l->plugins, c->check.uses[c->at].plugin);
        struct conf *conf = sld_map_get(&l->confs, c->check.uses[c->at].conf);
        bool ended;
        c->at++;
        if (!p || !p->p || !conf) { // gone while another plugin waited
            refuse(c, FAILED_PRECONDITION, "a plugin of the route is gone");
            return;
        }
        if (!call_plugin(c, p, conf, &ended) || !ended)
            return;
    }
    answer(c);
}

// ---- Turns ----

// Hooks run between what comes, not while it is heard: so a call that is over is known to be before its turn, and the first
// thread has its answer however many wait.
static void on_turn(struct sld_message *m)
{
    struct wk_loop *l = SLD_CONTAINER_OF(m, struct wk_loop, turn);
    uint64_t until = sld_mono_ns() + (uint64_t)TURN_MS * 1000000;
    l->turning = false;
    while (!sld_list_empty(&l->ready)) {
        struct wk_job *j = SLD_CONTAINER_OF(l->ready.next, struct wk_job, link);
        sld_list_remove(&j->link);
        j->waits = false;
        j->run(j);
        if (!sld_list_empty(&l->ready) && sld_mono_ns() >= until) {
            l->turning = true;
            sld_loop_post(l->loop, &l->turn);
            return;
        }
    }
}

void wk_job_again(struct wk_job *j)
{
    struct wk_loop *l = j->l;
    if (j->waits)
        return;
    j->waits = true;
    sld_list_push(&l->ready, &j->link);
    if (l->turning)
        return;
    l->turning = true;
    sld_loop_defer(l->loop, &l->turn);
}

// ---- Waiting ----

static void on_timer(void *user)
{
    struct wk_loop *l = user;
    if (l->ending) { // what was let go has had its turn
        sld_loop_stop(l->loop);
        return;
    }
    uint64_t now = sld_mono_ns(), wait = (uint64_t)WAIT_MS * 1000000;
    while (!sld_list_empty(&l->waiting)) {
        struct wk_job *j = SLD_CONTAINER_OF(l->waiting.next, struct wk_job, link);
        if (now < j->began_ns + wait) {
            sld_timer_start(l->timer, (j->began_ns + wait - now) / 1000000 + 1);
            return;
        }
        sld_list_remove(&j->link);
        j->waits = false;
        l->unknown++;
        j->missing(j);
    }
}

void wk_job_start(struct wk_job *j)
{
    struct wk_loop *l = j->l;
    j->began_ns = sld_mono_ns();
    if (there(j)) {
        wk_job_again(j);
        return;
    }
    j->waits = true;
    if (sld_list_empty(&l->waiting))
        sld_timer_start(l->timer, WAIT_MS);
    sld_list_push(&l->waiting, &j->link);
}

void wk_job_stop(struct wk_job *j)
{
    if (j->waits)
        sld_list_remove(&j->link);
    j->waits = false;
}

// Something came.
static void look_at_waiting(struct wk_loop *l)
{
    SLD_LIST_EACH (it, &l->waiting) {
        struct wk_job *j = SLD_CONTAINER_OF(it, struct wk_job, link);
        if (!there(j))
            continue;
        wk_job_stop(j);
        wk_job_again(j);
    }
}

// ---- Calls ----

static void run_check(struct wk_job *j)
{
    run(SLD_CONTAINER_OF(j, struct call, job));
}

static void check_missing(struct wk_job *j)
{
    refuse(SLD_CONTAINER_OF(j, struct call, job), FAILED_PRECONDITION, "the configuration that the route names has not come");
}

static void *check_call(struct wk_loop *l, struct sld_grpc_stream *stream)
{
    struct call *c;
    if (l->in_flight >= CALLS_MAX) {
        l->shed++;
        sld_grpc_close(stream, RESOURCE_EXHAUSTED, SLD_STR("too many requests at once"));
        return NULL;
    }
    if (l->spare_count) {
        c = SLD_CONTAINER_OF(l->spare.next, struct call, link);
        sld_list_remove(&c->link);
        l->spare_count--;
    } else {
        c = SLD_NEW(struct call);
    }
    sld_list_init(&c->link);
    c->l = l;
    c->stream = stream;
    c->job = (struct wk_job){.l = l, .run = run_check, .missing = check_missing};
    l->in_flight++;
    return c;
}

// Nothing is done for C any more.
static void let_be(struct call *c)
{
    wk_job_stop(&c->job);
    if (c->plugin)
        sld_plugin_authorize_cancel(&c->hook);
    c->plugin = NULL;
}

static void check_message(void *call, struct sld_str bytes)
{
    struct call *c = call;
    struct sld_err err = {0};
    if (c->asked) {
        let_be(c);
        refuse(c, INVALID_ARGUMENT, "a second question in one call");
        return;
    }
    c->asked = true;
    c->l->checks++;
    c->check.x.arena = &c->arena;
    if (wk_check_read(&c->check, bytes, &err)) {
        refuse(c, INVALID_ARGUMENT, err.msg);
        return;
    }
    c->job.uses = c->check.uses;
    c->job.use_count = c->check.use_count;
    wk_job_start(&c->job);
}

static void check_closed(void *call)
{
    struct call *c = call;
    struct wk_loop *l = c->l;
    let_be(c);
    sld_record_fini(&c->record);
    l->in_flight--;
    if (l->spare_count == SPARE_CALLS) {
        sld_arena_fini(&c->arena);
        sld_xfree(c);
        return;
    }
    sld_arena_reset(&c->arena);
    struct sld_arena room = c->arena; // kept for the next one
    *c = (struct call){.arena = room};
    sld_list_init(&c->link);
    sld_list_push(&l->spare, &c->link);
    l->spare_count++;
}

static const struct wk_service checks = {.method = METHOD_CHECK, .on_call = check_call, .on_message = check_message, .on_closed = check_closed};

// ---- Services ----

static const struct wk_service *const services[] = {&checks, &wk_transforms, &wk_log_streams};

static void *on_call(void *user, struct sld_grpc_stream *stream, struct sld_str method, struct sld_str peer)
{
    (void)peer;
    for (size_t i = 0; i < SLD_ARRAY_LEN(services); i++) {
        if (!sld_str_eq(method, sld_str_c(services[i]->method)))
            continue;
        struct wk_call *c = services[i]->on_call(user, stream);
        if (c)
            c->service = services[i];
        return c;
    }
    return NULL;
}

static void on_message(void *call, struct sld_str bytes)
{
    ((struct wk_call *)call)->service->on_message(call, bytes);
}

static void on_half_close(void *call)
{
    const struct wk_call *c = call;
    if (c->service->on_half_close)
        c->service->on_half_close(call);
}

static void on_sent(void *call)
{
    const struct wk_call *c = call;
    if (c->service->on_sent)
        c->service->on_sent(call);
}

static void on_closed(void *call)
{
    ((struct wk_call *)call)->service->on_closed(call);
}

// ---- What the first thread says ----

enum order_kind { PLUGIN, CONF, TLS, NUMBER, ASK, PING, RECORD, RECORDED, STOP };

struct order {
    struct sld_message msg;
    struct wk_loop *l;
    enum order_kind kind;
    struct sld_arena arena;
    struct sld_str name;
    struct sld_plugin *plugin; // own reference
    struct sld_blob *value;    // own reference
    bool open;
    uint64_t number;
    unsigned count;
    struct sld_arena_obj *report;
    struct sld_grpc_tls tls; // in the arena
};

static void order_free(struct order *o)
{
    SLD_UNREF(o->plugin);
    SLD_UNREF(o->value);
    SLD_UNREF(o->report);
    sld_arena_fini_secret(&o->arena);
    sld_xfree(o);
}

static void order_drop(struct sld_message *m)
{
    order_free(SLD_CONTAINER_OF(m, struct order, msg));
}

static void add_calls(struct sld_plugin_calls *sum, const struct sld_plugin *p)
{
    struct sld_plugin_stats st;
    sld_plugin_stats(p, &st);
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        sum[h].calls += st.hooks[h].calls;
        sum[h].errors += st.hooks[h].errors;
        sum[h].limits += st.hooks[h].limits;
        sum[h].total_ns += st.hooks[h].total_ns;
        if (st.hooks[h].max_ns > sum[h].max_ns)
            sum[h].max_ns = st.hooks[h].max_ns;
    }
}

static void take_plugin(struct wk_loop *l, struct order *o)
{
    struct plugin *p = sld_map_get(&l->plugins, o->name);
    if (!p) {
        p = SLD_NEW(struct plugin);
        p->name = sld_arena_str(&p->arena, o->name);
        sld_map_set(&l->plugins, p->name, p);
    }
    if (p->p)
        add_calls(p->past, p->p);
    SLD_UNREF(p->p);
    p->p = o->plugin;
    o->plugin = NULL;
    p->open = o->open;
    p->version = ++l->versions;
}

static void conf_free(struct conf *c)
{
    SLD_UNREF(c->value);
    sld_xfree(c);
}

// The plugin of configuration C, whose value is to go, gives it back.
static void let_go(struct wk_loop *l, struct conf *c)
{
    size_t at = 0;
    for (struct sld_map_slot *s; c->version && !c->error[0] && (s = sld_map_next(&l->plugins, &at));) {
        struct plugin *p = s->value;
        if (p->p && p->version == c->version)
            sld_plugin_drop_conf(p->p, c->ref);
    }
    c->version = 0;
    SLD_UNREF(c->value);
}

static void take_conf(struct wk_loop *l, struct order *o)
{
    struct conf *c = sld_map_get(&l->confs, o->name);
    if (c)
        let_go(l, c);
    if (!o->value) {
        sld_map_remove(&l->confs, o->name);
        if (c)
            conf_free(c);
        return;
    }
    if (!c) {
        c = SLD_NEW(struct conf);
        sld_map_set(&l->confs, o->name, c);
    }
    c->value = o->value;
    o->value = NULL;
}

// Whether P rests with some configuration.
static bool rests(const struct wk_loop *l, const struct plugin *p)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&l->confs, &at));) {
        const struct conf *c = s->value;
        if (c->version == p->version && wk_rest_is(&c->rest, sld_mono_ns()))
            return true;
    }
    return false;
}

static Solder__Worker__PluginStats *stats_of(struct sld_arena *a, const struct wk_loop *l, const struct plugin *p)
{
    struct sld_plugin_calls sum[SLD_HOOK_COUNT];
    struct sld_plugin_stats st = {0};
    memcpy(sum, p->past, sizeof(sum));
    if (p->p) {
        add_calls(sum, p->p);
        sld_plugin_stats(p->p, &st);
    }
    Solder__Worker__PluginStats *out = wk_stats_of(a, p->name, sum, &st);
    out->suspended = rests(l, p);
    for (size_t i = 0; i < out->n_calls; i++)
        out->calls[i]->denied = strcmp(out->calls[i]->hook, sld_hook_name(SLD_HOOK_AUTHORIZE)) ? 0 : p->denied;
    return out;
}

static struct sld_arena_obj *report(struct wk_loop *l)
{
    struct sld_arena_obj *o = sld_arena_obj_create();
    Solder__Worker__Stats *s = SLD_MSG(&o->arena, Solder__Worker__Stats, solder__worker__stats);
    size_t n;
    o->root = s;
    s->checks = l->checks;
    s->shed = l->shed;
    s->unknown = l->unknown;
    s->logged = l->logs.entries;
    s->log_dropped = l->logs.dropped;
    s->in_flight = l->in_flight + l->transforms;
    struct sld_str *names = sld_map_sorted_keys(&l->plugins, &n);
    for (size_t i = 0; i < n; i++)
        SLD_PUSH(&o->arena, s->plugins, s->n_plugins, stats_of(&o->arena, l, sld_map_get(&l->plugins, names[i])));
    sld_xfree(names);
    return o;
}

static void take_record(struct wk_loop *l, const struct order *o)
{
    struct plugin *p = sld_map_get(&l->plugins, o->name);
    if (!p || (!o->count && p->recording != o->number))
        return;
    p->recorded = o->count;
    p->recording = o->number;
}

static void told_run(struct sld_message *m)
{
    struct order *o = SLD_CONTAINER_OF(m, struct order, msg);
    struct wk_loop *l = o->l;
    if (!l->stopped && o->kind == NUMBER)
        l->ev.on_number(l->ev.user, l, o->number);
    if (!l->stopped && o->kind == PING)
        l->ev.on_pong(l->ev.user, l, o->number);
    if (!l->stopped && o->kind == ASK) {
        l->ev.on_report(l->ev.user, l, o->report);
        o->report = NULL;
    }
    if (!l->stopped && o->kind == RECORDED)
        l->ev.on_record(l->ev.user, l, o->number, o->name);
    order_free(o);
}

static void on_stopped(void *user)
{
    struct wk_loop *l = user;
    sld_reactor_destroy(l->reactor);
    l->reactor = NULL;
    l->ending = true;
    sld_timer_start(l->timer, 0);
}

static void order_run(struct sld_message *m)
{
    struct order *o = SLD_CONTAINER_OF(m, struct order, msg);
    struct wk_loop *l = o->l;
    switch (o->kind) {
    case PLUGIN:
        take_plugin(l, o);
        look_at_waiting(l);
        break;
    case CONF:
        take_conf(l, o);
        look_at_waiting(l);
        break;
    case TLS:
        sld_grpc_server_set_tls(l->grpc, &o->tls);
        break;
    case STOP:
        sld_grpc_server_stop(l->grpc, on_stopped, l);
        break;
    case PING:
        pong(l);
        break;
    case RECORD:
        take_record(l, o);
        break;
    case RECORDED:
        SLD_UNREACHABLE(); // goes to the first thread
    case ASK:
    case NUMBER:
        if (o->kind == ASK)
            o->report = report(l);
        o->msg = (struct sld_message){.run = told_run, .drop = order_drop};
        sld_loop_post(l->main, &o->msg);
        return;
    }
    order_free(o);
}

static struct order *order(struct wk_loop *l, enum order_kind kind, struct sld_str name)
{
    struct order *o = SLD_NEW(struct order);
    o->msg = (struct sld_message){.run = order_run, .drop = order_drop};
    o->l = l;
    o->kind = kind;
    o->name = sld_arena_str(&o->arena, name);
    return o;
}

// Answers the last ping, unless it is answered.
static void pong(struct wk_loop *l)
{
    uint64_t ping = atomic_load(&l->ping);
    if (ping == l->ponged)
        return;
    struct order *o = order(l, PING, SLD_STR(""));
    o->msg.run = told_run;
    o->number = l->ponged = ping;
    sld_loop_post(l->main, &o->msg);
}

static void post_record(struct wk_loop *l, uint64_t number, struct sld_str line)
{
    struct order *o = order(l, RECORDED, line);
    o->msg.run = told_run;
    o->number = number;
    sld_loop_post(l->main, &o->msg);
}

void wk_loop_record(struct wk_loop *l, struct sld_str plugin, unsigned count, uint64_t number)
{
    struct order *o = order(l, RECORD, plugin);
    o->count = count;
    o->number = number;
    sld_loop_post(l->loop, &o->msg);
}

void wk_loop_plugin(struct wk_loop *l, struct sld_str name, struct sld_plugin *p, bool open)
{
    struct order *o = order(l, PLUGIN, name);
    o->plugin = p;
    o->open = open;
    sld_loop_post(l->loop, &o->msg);
}

void wk_loop_conf(struct wk_loop *l, struct sld_str id, struct sld_blob *value)
{
    struct order *o = order(l, CONF, id);
    o->value = sld_obj_ref(value);
    sld_loop_post(l->loop, &o->msg);
}

void wk_loop_tls(struct wk_loop *l, const struct sld_grpc_tls *tls)
{
    struct order *o = order(l, TLS, SLD_STR(""));
    o->tls = (struct sld_grpc_tls){sld_arena_str(&o->arena, tls->cert_chain_pem), sld_arena_str(&o->arena, tls->key_pem),
                                   sld_arena_str(&o->arena, tls->client_ca_pem)};
    sld_loop_post(l->loop, &o->msg);
}

void wk_loop_number(struct wk_loop *l, uint64_t number)
{
    struct order *o = order(l, NUMBER, SLD_STR(""));
    o->number = number;
    sld_loop_post(l->loop, &o->msg);
}

void wk_loop_ping(struct wk_loop *l, uint64_t ping)
{
    atomic_store(&l->ping, ping);
    sld_loop_post(l->loop, &order(l, PING, SLD_STR(""))->msg); // where it has nothing to do
}

void wk_loop_ask(struct wk_loop *l)
{
    sld_loop_post(l->loop, &order(l, ASK, SLD_STR(""))->msg);
}

// ---- Life ----

static void fini(struct wk_loop *l)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&l->confs, &at));)
        conf_free(s->value);
    sld_map_fini(&l->confs);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&l->plugins, &at));) {
        struct plugin *p = s->value;
        SLD_UNREF(p->p);
        sld_arena_fini(&p->arena);
        sld_xfree(p);
    }
    sld_map_fini(&l->plugins);
    SLD_LIST_EACH (it, &l->spare) {
        struct call *c = SLD_CONTAINER_OF(it, struct call, link);
        sld_arena_fini(&c->arena);
        sld_xfree(c);
    }
    sld_reactor_destroy(l->reactor);
    sld_timer_destroy(l->timer);
    sld_grpc_server_destroy(l->grpc);
}

static void *thread_main(void *arg)
{
    struct wk_loop *l = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sld_loop_run(l->loop);
    fini(l);
    return NULL;
}

enum sld_rc wk_loop_start(struct sld_loop *main, struct sld_str address, const struct sld_grpc_tls *tls,
                          const struct wk_loop_events *ev, struct wk_loop **out, struct sld_err *err)
{
    struct wk_loop *l = SLD_NEW(struct wk_loop);
    struct sld_grpc_handlers h = {.on_call = on_call,
                                  .on_message = on_message,
                                  .on_half_close = on_half_close,
                                  .on_sent = on_sent,
                                  .on_closed = on_closed,
                                  .user = l};
    struct sld_grpc_options o = {.max_message_bytes = MESSAGE_MAX, .max_calls = 2 * CALLS_MAX + 2 * WK_TRANSFORMS_MAX, .lean = true, .metadata = "solder"};
    l->main = main;
    l->ev = *ev;
    l->loop = sld_loop_create("hooks");
    sld_list_init(&l->waiting);
    sld_list_init(&l->ready);
    l->turn.run = on_turn;
    sld_list_init(&l->spare);
    l->timer = sld_timer_create(l->loop, on_timer, l);
    l->reactor = sld_reactor_create(l->loop);
    l->grpc = sld_grpc_server_create(l->loop, &h, &o);
    enum sld_rc rc = sld_grpc_server_listen(l->grpc, address, tls, NULL, err);
    if (rc) {
        fini(l);
        sld_loop_destroy(l->loop);
        sld_xfree(l);
        return rc;
    }
    sld_grpc_server_start(l->grpc);
    int failed = pthread_create(&l->thread, NULL, thread_main, l);
    SLD_INV(failed == 0);
    *out = l;
    return SLD_OK;
}

void wk_loop_stop(struct wk_loop *l)
{
    l->stopped = true;
    sld_loop_post(l->loop, &order(l, STOP, SLD_STR(""))->msg);
    pthread_join(l->thread, NULL);
    sld_loop_destroy(l->loop);
}

void wk_loop_free(struct wk_loop *l)
{
    sld_xfree(l);
}
