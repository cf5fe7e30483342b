// The process's first thread: hears the server, loads plugins, a state for each loop, and carries what is said. It ends
// with the server, whatever that died of.
#include "worker/inside.h"

#include "plugin/backends.h"
#include "plugin/kv.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { CONTROL = 3, STATS_MS = 1000, LOOPS_MAX = 64, BAD = 1 };

struct process {
    struct sld_loop *main;
    struct wk_link *link;
    struct wk_found found; // where plugins discover
    struct sld_arena_obj *found_report; // the last of it, or NULL
    struct wk_loop *loops[LOOPS_MAX];
    struct sld_arena_obj *reports[LOOPS_MAX]; // the last of each
    size_t loop_count;
    struct sld_timer *timer;
    unsigned stats_ms;
    size_t reports_due;
    struct sld_map counters; // struct sld_plugin_counters, own references, of each plugin
    struct sld_map kvs;      // struct sld_plugin_kv, the same
    struct sld_arena arena;  // of KV_DIR
    struct sld_str kv_dir;   // absent: they are in memory
    bool syncing;            // on the pool
    struct sld_umap numbers; // of synchronisations -> loops that have not told it yet
    uint64_t ping;           // the last
    size_t pongs_due;        // of loops
    int exit_code;
};

static void say(struct process *p, Solder__Worker__Frame__SaysCase kind, uint64_t seq)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = kind;
    f.pong = seq; // one place for all of them
    wk_link_send(p->link, &f);
}

static void finish(struct process *p, int code)
{
    p->exit_code = code;
    sld_loop_stop(p->main);
}

// ---- What loops tell ----

static void on_number(void *user, struct wk_loop *l, uint64_t number)
{
    (void)l;
    struct process *p = user;
    uintptr_t left = (uintptr_t)sld_umap_get(&p->numbers, number) - 1;
    if (left) {
        sld_umap_set(&p->numbers, number, (void *)left); // a number, not an address
        return;
    }
    sld_umap_remove(&p->numbers, number);
    say(p, SOLDER__WORKER__FRAME__SAYS_SYNCED, number);
}

static void on_pong(void *user, struct wk_loop *l, uint64_t ping)
{
    (void)l;
    struct process *p = user;
    if (ping == p->ping && --p->pongs_due == 0)
        say(p, SOLDER__WORKER__FRAME__SAYS_PONG, ping);
}

static void tell_stats(struct process *p)
{
    struct sld_arena a = {0};
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_STATS;
    f.stats = SLD_MSG(&a, Solder__Worker__Stats, solder__worker__stats);
    for (size_t i = 0; i < p->loop_count; i++) {
        if (p->reports[i])
            wk_stats_add(&a, f.stats, p->reports[i]->root);
    }
    if (p->found_report)
        wk_stats_add(&a, f.stats, p->found_report->root);
    wk_link_send(p->link, &f);
    sld_arena_fini(&a);
}

static void on_found_report(void *user, struct sld_arena_obj *report)
{
    struct process *p = user;
    SLD_UNREF(p->found_report);
    p->found_report = report;
}

static void on_report(void *user, struct wk_loop *l, struct sld_arena_obj *report)
{
    struct process *p = user;
    size_t i = 0;
    while (p->loops[i] != l)
        i++;
    SLD_UNREF(p->reports[i]);
    p->reports[i] = report;
    if (--p->reports_due)
        return;
    tell_stats(p);
    sld_timer_start(p->timer, p->stats_ms);
}

static void on_record(void *user, struct wk_loop *l, uint64_t number, struct sld_str line)
{
    (void)l;
    struct process *p = user;
    union {
        const char *frozen;
        uint8_t *own;
    } u = {line.p}; // read only
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Recorded m = SOLDER__WORKER__RECORDED__INIT;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_RECORDED;
    f.recorded = &m;
    m.number = number;
    m.line = (ProtobufCBinaryData){line.n, u.own};
    wk_link_send(p->link, &f);
}

// What is kept goes to the disk, off this thread.
struct syncing {
    struct process *p;
    struct sld_plugin_kv **items; // own references
    size_t count;
};

static void sync_all(void *user)
{
    const struct syncing *s = user;
    for (size_t i = 0; i < s->count; i++)
        sld_plugin_kv_sync(s->items[i]);
}

static void sync_done(void *user)
{
    struct syncing *s = user;
    s->p->syncing = false;
    for (size_t i = 0; i < s->count; i++)
        SLD_UNREF(s->items[i]);
    sld_xfree(s->items);
    sld_xfree(s);
}

static struct syncing *sync_of(struct process *p)
{
    struct syncing *s = SLD_NEW(struct syncing);
    size_t at = 0;
    s->p = p;
    s->items = sld_xcalloc(sld_map_count(&p->kvs) + 1, sizeof(*s->items));
    for (struct sld_map_slot *e; (e = sld_map_next(&p->kvs, &at));)
        s->items[s->count++] = sld_obj_ref(e->value);
    return s;
}

static void on_timer(void *user)
{
    struct process *p = user;
    if (sld_map_count(&p->kvs) && !p->syncing) {
        p->syncing = true;
        sld_loop_work(p->main, sync_all, sync_done, sync_of(p));
    }
    p->reports_due = p->loop_count;
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_ask(p->loops[i]);
}

// All loops are to tell that they are this far.
static void ask_number(struct process *p, uint64_t number)
{
    sld_umap_set(&p->numbers, number, (void *)(uintptr_t)p->loop_count);
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_number(p->loops[i], number);
}

// All loops are to tell that they get on.
static void ask_pong(struct process *p, uint64_t ping)
{
    p->ping = ping;
    p->pongs_due = p->loop_count;
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_ping(p->loops[i], ping);
}

// ---- What the server says ----

static struct sld_grpc_tls tls_of(const Solder__Worker__Tls *t)
{
    return (struct sld_grpc_tls){sld_str_n((const char *)t->cert_chain_pem.data, t->cert_chain_pem.len),
                                 sld_str_n((const char *)t->key_pem.data, t->key_pem.len),
                                 sld_str_n((const char *)t->client_ca_pem.data, t->client_ca_pem.len)};
}

static void take_tls(struct process *p, const Solder__Worker__Tls *t)
{
    const struct sld_grpc_tls tls = tls_of(t);
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_tls(p->loops[i], &tls);
}

static void start(struct process *p, const Solder__Worker__Start *s)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Started started = SOLDER__WORKER__STARTED__INIT;
    struct wk_loop_events ev = {.on_number = on_number, .on_pong = on_pong, .on_report = on_report, .on_record = on_record, .user = p};
    struct sld_grpc_tls tls = {0};
    struct sld_err err = {0};
    enum sld_level level = SLD_INFO;
    sld_log_level_parse(sld_str_c(s->log_level), &level);
    sld_log_set_level(level);
    if (s->tls)
        tls = tls_of(s->tls);
    enum sld_rc rc = SLD_OK;
    for (size_t i = 0; i < s->n_addresses && i < LOOPS_MAX && !rc; i++) {
        rc = wk_loop_start(p->main, sld_str_c(s->addresses[i]), s->tls ? &tls : NULL, &ev, &p->loops[p->loop_count], &err);
        p->loop_count += rc == SLD_OK;
    }
    started.error = rc ? err.msg : started.error;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_STARTED;
    f.started = &started;
    wk_link_send(p->link, &f);
    p->kv_dir = s->kv_dir[0] ? sld_arena_str(&p->arena, sld_str_c(s->kv_dir)) : SLD_STR_NONE;
    p->stats_ms = s->stats_ms ? s->stats_ms : STATS_MS;
    if (p->loop_count)
        sld_timer_start(p->timer, p->stats_ms);
}

static struct sld_plugin_limits limits_of(const Solder__Worker__Limits *l)
{
    return (struct sld_plugin_limits){
        .memory_bytes = l->memory_bytes,
        .load_steps = l->load_steps,
        .call_steps = l->call_steps,
        .load_ms = l->load_ms,
        .call_ms = l->call_ms,
        .string_bytes = l->string_bytes,
        .subject_bytes = l->subject_bytes,
        .coroutines = l->coroutines,
        .log_lines = l->log_lines,
        .waiting = l->waiting,
        .outbound = l->outbound,
        .outbound_a_minute = l->outbound_a_minute,
        .request_ms = l->request_ms,
    };
}

struct sld_plugin_bundle *wk_plugin_read(const Solder__Worker__Plugin *m, struct sld_plugin_limits *limits)
{
    struct sld_arena a = {0};
    struct sld_plugin_file *files = SLD_ARENA_ARRAY(&a, struct sld_plugin_file, m->n_files);
    for (size_t i = 0; i < m->n_files; i++)
        files[i] = (struct sld_plugin_file){sld_str_c(m->files[i]->name),
                                            sld_str_n((const char *)m->files[i]->text.data, m->files[i]->text.len)};
    struct sld_plugin_bundle *b =
        sld_plugin_bundle_create_files(sld_str_c(m->name), sld_str_c(m->origin), files, m->n_files);
    *limits = m->limits ? limits_of(m->limits) : sld_plugin_limits_default;
    sld_arena_fini(&a);
    return b;
}

// What the states of plugin NAME count with, whatever its version.
static struct sld_plugin_counters *counters_of(void *user, struct sld_str name)
{
    struct process *p = user;
    struct sld_plugin_counters *c = sld_map_get(&p->counters, name);
    if (!c) {
        c = sld_plugin_counters_create();
        sld_map_set(&p->counters, name, c);
    }
    return c;
}

// What plugin NAME keeps: it stays when the plugin goes.
static struct sld_plugin_kv *kv_of(void *user, struct sld_str name)
{
    struct process *p = user;
    struct sld_plugin_kv *kv = sld_map_get(&p->kvs, name);
    if (!kv) {
        struct sld_arena a = {0};
        kv = sld_plugin_kv_open(p->kv_dir.p ? SLD_ARENA_JOIN(&a, p->kv_dir, SLD_STR("/"), name, SLD_STR(".kv")) : SLD_STR_NONE);
        sld_map_set(&p->kvs, name, kv);
        sld_arena_fini(&a);
    }
    return kv;
}

static void take_plugin(struct process *p, const Solder__Worker__Plugin *m)
{
    Solder__Worker__Frame f = SOLDER__WORKER__FRAME__INIT;
    Solder__Worker__Loaded loaded = SOLDER__WORKER__LOADED__INIT;
    struct sld_plugin *states[LOOPS_MAX] = {0};
    struct sld_err err = {0};
    struct sld_plugin_limits limits;
    struct sld_plugin_bundle *b = wk_plugin_read(m, &limits);
    enum sld_rc rc = SLD_OK;
    for (size_t i = 0; i < p->loop_count && !rc; i++)
        rc = sld_plugin_load(b, &limits, &states[i], &err);
    for (size_t i = 0; i < p->loop_count; i++) {
        if (rc) {
            SLD_UNREF(states[i]);
            continue;
        }
        sld_plugin_counters_share(states[i], counters_of(p, sld_str_c(m->name)));
        sld_plugin_kv_share(states[i], kv_of(p, sld_str_c(m->name)));
        wk_loop_plugin(p->loops[i], sld_str_c(m->name), states[i], m->open);
    }
    SLD_UNREF(b);
    loaded.name = m->name;
    loaded.hash = m->hash;
    loaded.error = rc ? err.msg : loaded.error;
    f.says_case = SOLDER__WORKER__FRAME__SAYS_LOADED;
    f.loaded = &loaded;
    wk_link_send(p->link, &f);
}

static void drop_plugin(struct process *p, struct sld_str name)
{
    struct sld_plugin_counters *c = sld_map_remove(&p->counters, name);
    SLD_UNREF(c);
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_plugin(p->loops[i], name, NULL, false);
}

static void take_conf(struct process *p, const Solder__Worker__Conf *c)
{
    struct sld_blob *b = sld_blob_create_secret(sld_str_n((const char *)c->value.data, c->value.len));
    for (size_t i = 0; i < p->loop_count; i++)
        wk_loop_conf(p->loops[i], sld_str_c(c->id), b);
    SLD_UNREF(b);
}

static void on_frame(void *user, const Solder__Worker__Frame *f)
{
    struct process *p = user;
    if (!p->loop_count && f->says_case != SOLDER__WORKER__FRAME__SAYS_START)
        return; // it could not begin; the server was told
    switch (f->says_case) {
    case SOLDER__WORKER__FRAME__SAYS_START:
        if (!p->loop_count)
            start(p, f->start);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PLUGIN:
        take_plugin(p, f->plugin);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PLUGIN_GONE:
        drop_plugin(p, sld_str_c(f->plugin_gone));
        break;
    case SOLDER__WORKER__FRAME__SAYS_CONF:
        take_conf(p, f->conf);
        break;
    case SOLDER__WORKER__FRAME__SAYS_CONF_GONE:
        for (size_t i = 0; i < p->loop_count; i++)
            wk_loop_conf(p->loops[i], sld_str_c(f->conf_gone), NULL);
        break;
    case SOLDER__WORKER__FRAME__SAYS_FINDER:
        wk_take_finder(&p->found, f->finder);
        break;
    case SOLDER__WORKER__FRAME__SAYS_FINDER_GONE:
        if (p->found.thread)
            sld_found_thread_remove(p->found.thread, sld_str_c(f->finder_gone));
        break;
    case SOLDER__WORKER__FRAME__SAYS_WANT:
        wk_take_want(&p->found, f->want);
        break;
    case SOLDER__WORKER__FRAME__SAYS_BACKENDS:
        wk_take_backends(&p->found, f->backends);
        break;
    case SOLDER__WORKER__FRAME__SAYS_RECORD:
        for (size_t i = 0; i < p->loop_count; i++)
            wk_loop_record(p->loops[i], sld_str_c(f->record->plugin), f->record->count, f->record->number);
        break;
    case SOLDER__WORKER__FRAME__SAYS_TLS:
        take_tls(p, f->tls);
        break;
    case SOLDER__WORKER__FRAME__SAYS_SYNC:
        ask_number(p, f->sync);
        break;
    case SOLDER__WORKER__FRAME__SAYS_PING:
        ask_pong(p, f->ping);
        break;
    default:
        SLD_LOG(SLD_WARN, "worker", "frame_unknown", SLD_KI("kind", f->says_case));
        finish(p, BAD);
    }
}

static void on_end(void *user, const char *why)
{
    (void)why; // the server ended; nobody is there to be told
    finish(user, 0);
}

int sld_worker_main(void)
{
    struct process p = {0};
    struct wk_link_events ev = {.on_frame = on_frame, .on_end = on_end, .user = &p};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "solder-worker");
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGINT, SIG_IGN); // of a terminal: the server ends us
    p.main = sld_loop_create("worker");
    p.link = wk_link_create(p.main, CONTROL, &ev);
    p.timer = sld_timer_create(p.main, on_timer, &p);
    p.found = (struct wk_found){NULL, p.main, p.link, on_found_report, kv_of, counters_of, &p};
    sld_loop_run(p.main);
    for (size_t i = 0; i < p.loop_count; i++)
        wk_loop_stop(p.loops[i]);
    sld_found_thread_destroy(p.found.thread);
    struct syncing *last = sync_of(&p);
    sync_all(last);
    sync_done(last);
    wk_link_destroy(p.link);
    sld_timer_destroy(p.timer);
    sld_loop_destroy(p.main);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&p.counters, &at));)
        SLD_UNREF(s->value);
    sld_map_fini(&p.counters);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&p.kvs, &at));)
        SLD_UNREF(s->value);
    sld_map_fini(&p.kvs);
    SLD_UNREF(p.found_report);
    sld_arena_fini(&p.arena);
    sld_umap_fini(&p.numbers);
    for (size_t i = 0; i < p.loop_count; i++) {
        SLD_UNREF(p.reports[i]);
        wk_loop_free(p.loops[i]);
    }
    return p.exit_code;
}
