// The worker, as the server has it: where Envoys reach it, and what it is told.
#include "app/server_inside.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOOPS = 4, // by default, at most
    // An Envoy that has not got its new routes yet may ask by old names.
    FORGET_MS = 10 * 60 * 1000,
    FORGOTTEN_MAX = 10000,
    RECORD_MAX_BYTES = 16 << 20,
};

enum sld_rc server_worker_find(struct server *s, struct sld_err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = s->opt->worker_threads ? (size_t)s->opt->worker_threads : cores > 0 && cores < LOOPS ? (size_t)cores : LOOPS;
    if (n > SERVER_LOOPS_MAX)
        return sld_err_set(err, SLD_LIMIT, "more than %d --worker-threads", SERVER_LOOPS_MAX);
    for (; s->worker_loops < n; s->worker_loops++)
        s->worker_addresses[s->worker_loops] = app_worker_address(&s->arena, s->run_dir, s->worker_loops);
    return SLD_OK;
}

static void on_change(void *user)
{
    struct server *s = user;
    if (s->admin)
        sld_admin_progress(s->admin);
}

// The folder of what plugins keep; absent, which is logged, when it cannot be made: then they keep it in memory.
static struct sld_str kv_dir(struct server *s)
{
    struct sld_str dir = sld_arena_fmt(&s->arena, "%s/kv", server_state_dir(s));
    struct sld_err err = {0};
    if (mkdir(dir.p, 0700) == 0 || errno == EEXIST)
        return dir;
    sld_err_errno(&err, errno, "%s cannot be made", dir.p);
    SLD_LOG(SLD_LOG_ERROR, "app", "kv_unusable", SLD_KC("msg", err.msg));
    return SLD_STR_NONE;
}

void server_worker_create(struct server *s)
{
    struct sld_worker_options o = {
        .addresses = s->worker_addresses,
        .address_count = s->worker_loops,
        .log_level = SLD_INFO,
        .kv_dir = kv_dir(s),
        .found = server_found_events(s),
        .on_change = on_change,
        .user = s,
    };
    if (s->opt->log_level)
        sld_log_level_parse(sld_str_c(s->opt->log_level), &o.log_level);
    s->worker = sld_worker_create(s->io, &o);
}

static void forget(struct server *s, struct sld_str id)
{
    uint64_t due = sld_mono_ns() / 1000000 + FORGET_MS;
    if (sld_map_count(&s->forgotten) < FORGOTTEN_MAX)
        sld_map_set(&s->forgotten, id, (void *)(uintptr_t)due); // a number, not an address
    else
        sld_worker_set_conf(s->worker, id, SLD_STR(""), NULL);
}

void server_worker_news(struct server *s, const struct sld_model_news *n)
{
    if (n->workers_changed)
        sld_worker_set_plugins(s->worker, n->workers, n->worker_count);
    for (size_t i = 0; i < n->conf_count; i++) {
        const struct sld_request_conf *c = n->confs[i].conf;
        if (sld_str_starts(n->confs[i].id, SLD_STR(SLD_TASK_CONF_PREFIX))) {
            server_found_conf(s, n->confs[i].id, c);
            continue;
        }
        if (!c) {
            forget(s, n->confs[i].id);
            continue;
        }
        sld_map_remove(&s->forgotten, c->id);
        sld_worker_set_conf(s->worker, c->id, c->plugin, c->value);
    }
    if (n->workers_changed || n->conf_count)
        sld_worker_sync(s->worker);
}

void server_worker_look(struct server *s)
{
    size_t at = 0;
    uint64_t now = sld_mono_ns() / 1000000;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->forgotten, &at));) {
        if ((uintptr_t)e->value > now)
            continue;
        sld_worker_set_conf(s->worker, e->key, SLD_STR(""), NULL);
        sld_map_remove(&s->forgotten, e->key);
    }
}

struct sld_str server_worker_reason(struct server *s)
{
    struct sld_worker_info *i = sld_worker_info(s->worker);
    s->worker_had |= i->state == SLD_WORKER_RUNNING;
    bool idle = i->state == SLD_WORKER_IDLE;
    SLD_UNREF(i);
    return s->worker_had || idle ? SLD_STR_NONE : SLD_STR("the worker has not got its plugins yet");
}

// ---- Records ----

static void record_end(void *user)
{
    struct server *s = user;
    struct sld_admin_query *q = s->record.query;
    if (!q)
        return;
    sld_worker_record_end(s->worker);
    s->record.query = NULL;
    sld_timer_stop(s->record.timer);
    sld_admin_recorded(q, sld_buf_str(&s->record.lines));
    sld_buf_fini(&s->record.lines);
}

static void on_record(void *user, struct sld_str line)
{
    struct server *s = user;
    if (s->record.lines.n + line.n > RECORD_MAX_BYTES)
        s->record.left = 1;
    else
        sld_buf_add(&s->record.lines, line);
    if (--s->record.left == 0)
        record_end(s);
}

enum sld_rc server_worker_record(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *server)
{
    struct server *s = server;
    struct sld_worker_info *i = sld_worker_info(s->worker);
    bool there = sld_worker_stats(i, plugin) != NULL;
    SLD_UNREF(i);
    if (!there)
        return SLD_NOT_FOUND;
    if (s->record.query)
        return SLD_AGAIN;
    s->record.query = q;
    s->record.left = count;
    sld_buf_init_secret(&s->record.lines, RECORD_MAX_BYTES);
    if (!s->record.timer)
        s->record.timer = sld_timer_create(s->io, record_end, s);
    sld_timer_start(s->record.timer, ms);
    sld_worker_record(s->worker, plugin, count, on_record, s);
    return SLD_OK;
}

void server_worker_close(struct server *s)
{
    record_end(s);
    sld_timer_destroy(s->record.timer);
    sld_worker_destroy(s->worker);
    s->worker = NULL;
    sld_map_fini(&s->forgotten);
}
