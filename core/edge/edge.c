// The face of the room: options in, information out.
#include "edge/inside.h"

#include <stdio.h>
#include <unistd.h>

#include "edge/keeper.h"

enum {
    DIR_MAX_BYTES = 90, // with a socket's name it must fit an address
    BOOTSTRAP_MAX_BYTES = 64 * 1024,
    PRINTED_MAX_BYTES = 4096,
};

static struct sld_str or_default(struct sld_edge *e, struct sld_str s, struct sld_str other)
{
    return sld_arena_str(&e->arena, s.n ? s : other);
}

static uint64_t or_number(uint64_t v, uint64_t other)
{
    return v ? v : other;
}

static const char *in_dir(struct sld_edge *e, const char *name)
{
    return sld_arena_fmt(&e->arena, "%s/%s", e->dir, name).p;
}

static const char *const *copy_argv(struct sld_edge *e, const char *const *argv)
{
    static const char *const own[] = {"/proc/self/exe", "keeper", NULL};
    size_t n = 0;
    if (!argv)
        return own;
    while (argv[n])
        n++;
    const char **out = SLD_ARENA_ARRAY(&e->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = sld_arena_cstr(&e->arena, sld_str_c(argv[i]));
    return out;
}

static void take_options(struct sld_edge *e, const struct sld_edge_options *o)
{
    e->o = *o;
    e->o.envoy = or_default(e, o->envoy, SLD_STR("envoy"));
    e->o.log_level = or_default(e, o->log_level, SLD_STR("warning"));
    e->o.drain_ms = or_number(o->drain_ms, 10 * 1000);
    e->o.term_ms = or_number(o->term_ms, 5 * 1000);
    e->o.backoff_min_ms = or_number(o->backoff_min_ms, 100);
    e->o.backoff_max_ms = or_number(o->backoff_max_ms, 30 * 1000);
    e->o.stdout_fd = o->stdout_fd ? o->stdout_fd : STDOUT_FILENO;
    e->o.keeper_argv = copy_argv(e, o->keeper_argv);
    e->dir = sld_arena_cstr(&e->arena, o->run_dir);
    e->bootstrap_path = in_dir(e, "bootstrap.json");
    e->keeper_path = in_dir(e, KEEPER_SOCKET);
    e->admin_path = in_dir(e, "admin.sock");
}

static enum sld_rc check_options(const struct sld_edge_options *o, struct sld_err *err)
{
    static const char *const levels[] = {"trace", "debug",    "info", "warning", "warn",
                                         "error", "critical", "off",  ""};
    if (o->run_dir.n == 0 || o->run_dir.n > DIR_MAX_BYTES || memchr(o->run_dir.p, 0, o->run_dir.n))
        return sld_err_set(err, SLD_INVALID,
                           "Envoy's run directory must have 1 to %d bytes, because sockets lie in "
                           "it: %.*s",
                           (int)DIR_MAX_BYTES, SLD_FMT(o->run_dir));
    for (size_t i = 0; i < SLD_ARRAY_LEN(levels); i++) {
        if (sld_str_eq(o->log_level.p ? o->log_level : SLD_STR(""), sld_str_c(levels[i])))
            return SLD_OK;
    }
    return sld_err_set(err, SLD_INVALID,
                       "Envoy has no log level %.*s; it has trace, debug, info, warning, error, "
                       "critical, off",
                       SLD_FMT(o->log_level));
}

// Writes the bootstrap and computes the hash by which a running Envoy is known to be the same.
static enum sld_rc write_bootstrap(struct sld_edge *e, struct sld_err *err)
{
    struct sld_buf text;
    struct sld_bootstrap_options b = e->o.bootstrap;
    b.admin = sld_arena_fmt(&e->arena, "unix:%s", e->admin_path);
    sld_buf_init(&text, BOOTSTRAP_MAX_BYTES);
    enum sld_rc rc = sld_bootstrap_print(&text, &b, SLD_TEXT_JSON, err);
    if (rc == SLD_OK)
        rc = edge_rundir_write(e->bootstrap_path, sld_buf_str(&text), err);
    if (rc == SLD_OK) {
        sld_buf_addf(&text, "%.*s %.*s %u", SLD_FMT(e->o.envoy), SLD_FMT(e->o.log_level),
                     e->o.concurrency);
        sld_hash_text(sld_hash_bytes(sld_buf_str(&text)), e->hash);
    }
    sld_buf_fini(&text);
    // It borrows what the caller may free now.
    e->o.bootstrap = (struct sld_bootstrap_options){0};
    return rc;
}

enum sld_rc sld_edge_start(struct sld_loop *l, const struct sld_edge_options *o,
                           const struct sld_edge_events *events, struct sld_edge **out,
                           struct sld_err *err)
{
    sld_loop_assert_owner(l);
    enum sld_rc rc = check_options(o, err);
    if (rc != SLD_OK)
        return rc;
    struct sld_edge *e = SLD_NEW(struct sld_edge);
    e->loop = l;
    e->ev = *events;
    e->lock_fd = e->pidfd = -1;
    e->first = e->quiet = true;
    sld_buf_init(&e->printed, PRINTED_MAX_BYTES);
    take_options(e, o);
    e->timer = sld_timer_create(l, edge_on_timer, e);
    e->probe = sld_timer_create(l, edge_on_probe, e);
    e->http = sld_http_client_create(l, 1);
    rc = edge_rundir_open(e->dir, &e->lock_fd, err);
    if (rc == SLD_OK)
        rc = write_bootstrap(e, err);
    if (rc == SLD_OK)
        rc = edge_begin(e, err);
    e->quiet = false;
    if (rc != SLD_OK) {
        sld_edge_destroy(e);
        return rc;
    }
    *out = e;
    return SLD_OK;
}

void sld_edge_destroy(struct sld_edge *e)
{
    if (!e)
        return;
    sld_loop_assert_owner(e->loop);
    sld_child_destroy(e->child);
    edge_link_close(e->link);
    sld_poll_destroy(e->pid_poll);
    edge_probe_stop(e);
    sld_http_client_destroy(e->http);
    sld_timer_destroy(e->timer);
    sld_timer_destroy(e->probe);
    if (e->pidfd >= 0)
        close(e->pidfd);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    sld_buf_fini(&e->printed);
    sld_arena_fini(&e->arena);
    sld_xfree(e);
}

void sld_edge_info(struct sld_edge *e, struct sld_edge_info *out)
{
    sld_loop_assert_owner(e->loop);
    int64_t up = e->pid ? sld_wall_ms() - e->started_ms : 0;
    *out = (struct sld_edge_info){
        .state = (enum sld_edge_state)e->state,
        .live = e->live,
        .adopted = e->pid && e->adopted,
        .crash_loop = e->failures >= EDGE_CRASH_LOOP_FAILURES,
        .pid = e->pid,
        .keeper_pid = e->link ? edge_link_keeper_pid(e->link) : 0,
        .restarts = e->restarts,
        .uptime_ms = up > 0 ? (uint64_t)up : 0,
        .log_lines_lost = e->lost,
        .program = e->program,
        .version = e->pid ? e->running_version : e->version,
        .last_exit = e->last_exit,
        .error = e->error.msg,
        .admin_socket = e->admin_path,
    };
}
