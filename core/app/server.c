// The server: start and stop order, and what passes between the rooms on the io thread.
#include "app/server_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "app/notify.h"
#include "app/settings.h"

// ---- What the model thread tells ----

static void begin_serving(struct server *s, const struct sld_model_news *n)
{
    s->served_ns = sld_mono_ns();
    sld_xds_server_begin(s->xds_server);
    SLD_LOG(n->restored ? SLD_WARN : SLD_INFO, "app", "serving", SLD_KB("restored", n->restored),
            SLD_KI("round", n->round.number),
            SLD_KI("translate_ms", n->round.duration_ns / 1000000));
    sld_notify_ready(n->restored ? "serving the last accepted state: a source has not been read"
                                 : "serving");
}

// Roles that gateways name are known, whether anything is served there or not; the supervised Envoy
// gets that of the write namespace in force.
static void take_views(struct server *s, const struct sld_model_news *n)
{
    for (size_t i = 0; i < n->view_count; i++)
        sld_xds_declare(s->xds, n->views[i]);
    if (!s->role.n || !n->write_ns.n || sld_str_eq(n->write_ns, sld_str_c(s->now_ns)))
        return;
    snprintf(s->now_ns, sizeof(s->now_ns), "%.*s", SLD_FMT(n->write_ns));
    struct sld_str proxy = s->role, ns;
    sld_str_cut(&proxy, '~', &ns);
    struct sld_arena a = {0};
    struct sld_str view = sld_arena_fmt(&a, "%s~%.*s", s->now_ns, SLD_FMT(proxy));
    sld_xds_declare(s->xds, view);
    sld_xds_alias(s->xds, s->role, view);
    sld_arena_fini(&a);
}

// What comes of threads and streams while they end is of no use any more.
static bool ending(const struct server *s)
{
    return !s->admin;
}

static void on_news(void *user, struct sld_model_news *n)
{
    struct server *s = user;
    if (ending(s))
        return;
    size_t changed = n->batch ? n->batch->count : 0;
    sld_xds_set_linger(s->xds, n->linger_ns);
    sld_log_set_level(n->log_level);
    // Before the changes: whoever moves to another view must not be told to empty the old one
    // first.
    take_views(s, n);
    server_worker_news(s, n); // before routes that name it
    if (n->batch)
        sld_xds_server_apply(s->xds_server, n->batch);
    sld_state_set_history(s->state, n->history);
    if (n->ready && !s->served_ns)
        begin_serving(s, n);
    if (n->round.number) {
        struct sld_admin_round r = {.generation = n->round.number,
                                    .duration_ns = n->round.duration_ns,
                                    .since_ns = n->since_ns,
                                    .wall_ms = sld_wall_ms(),
                                    .computed = n->round.computed,
                                    .cut = n->round.cut,
                                    .changed = changed};
        sld_admin_round(s->admin, &r);
    }
    if (n->index != s->index) {
        s->index = n->index;
        sld_admin_changed(s->admin, n->index + 1); // the API's indices begin at 1
    }
    server_sources_status(s, n);
    server_sources_want(s, n);
    server_found_news(s, n);
    if (n->second_look)
        server_sources_reread(s, n->second_look[0] ? sld_str_c(n->second_look) : SLD_STR_NONE);
}

static void on_settings(void *user, struct sld_arena_obj *settings, uint64_t version, const struct sld_model_held *held,
                        size_t held_count)
{
    struct server *s = user;
    if (ending(s))
        return;
    SLD_UNREF(s->settings);
    s->settings = sld_obj_ref(settings);
    server_sources_configure(s, held, held_count);
    server_found_backends(s);
    sld_model_thread_settings_taken(s->model, version);
}

static void on_refused(void *user, struct sld_str view, const struct sld_xds_resource *r,
                       struct sld_str build, struct sld_str words)
{
    struct server *s = user;
    SLD_LOG(SLD_WARN, "app", "envoy_refused", SLD_KC("type", sld_xds_type_name(r->type)),
            SLD_KS("name", r->name), SLD_KS("build", build),
            SLD_KS("words", r->secret ? sld_xds_hidden_words : words));
    sld_model_thread_verdict(s->model, false, view, r, build, words);
}

static void on_accepted(void *user, struct sld_str view, const struct sld_xds_resource *r,
                        struct sld_str build)
{
    struct server *s = user;
    if (ending(s))
        return;
    sld_model_thread_verdict(s->model, true, view, r, build, SLD_STR(""));
    sld_admin_progress(s->admin);
}

// Which builds of Envoy are connected now, if that changed.
static void tell_builds(struct server *s)
{
    struct sld_buf b;
    sld_buf_init(&b, 128 * 1024);
    sld_xds_builds_print(s->xds, &b);
    struct sld_str lines = sld_buf_str(&b);
    struct sld_hash hash = sld_hash_bytes(lines);
    if (lines.n && !b.full && !sld_hash_eq(hash, s->builds)) {
        sld_model_thread_builds(s->model, lines);
        s->builds = hash;
    }
    sld_buf_fini(&b);
}

static void on_clients(void *user)
{
    struct server *s = user;
    if (ending(s))
        return;
    sld_admin_progress(s->admin);
    tell_builds(s);
}

// ---- Stopping ----

static void finish(struct server *s)
{
    if (s->finished)
        return;
    s->finished = true;
    sld_loop_stop(s->io);
}

static void on_edge_state(enum sld_edge_state st, void *user)
{
    struct server *s = user;
    SLD_LOG(SLD_INFO, "app", "envoy_state", SLD_KC("state", sld_edge_state_name(st)));
    if (st == SLD_EDGE_STOPPED && s->stopping)
        finish(s);
    if (st == SLD_EDGE_FAILED) {
        struct sld_edge_info i;
        sld_edge_info(s->edge, &i);
        fprintf(stderr, "solder: Envoy cannot be started: %s\n", i.error);
        s->exit_code = 1;
        finish(s);
    }
}

static void on_term(int signum, void *user)
{
    struct server *s = user;
    SLD_LOG(SLD_INFO, "app", "signal", SLD_KI("signal", signum));
    s->stopping = true;
    sld_notify_stopping();
    if (!s->edge)
        finish(s);
    else
        sld_edge_stop(s->edge); // a second call skips the waiting
}

// A file that is half written does not load, and what was loaded goes on; its end is told too.
static void on_plugin_file(enum sld_fs_event ev, struct sld_str path, void *user)
{
    (void)path;
    struct server *s = user;
    if (ev != SLD_FS_WRITING)
        sld_model_thread_plugins(s->model);
}

static void look_at_settings(struct server *s, bool asked);

static void on_hup(int signum, void *user)
{
    (void)signum;
    struct server *s = user;
    look_at_settings(s, true);
    SLD_LOG(SLD_INFO, "app", "reread", SLD_KC("msg", "reading all sources again"));
    server_sources_reread(s, SLD_STR_NONE);
    sld_model_thread_plugins(s->model);
    sld_admin_reload(s->admin);
    server_reload_xds_tls(s);
    server_worker_reload_tls(s);
}

// Reads the settings file again when it changed, or when asked. What cannot be used is told of; the
// former settings stay.
static void look_at_settings(struct server *s, bool asked)
{
    struct stat st = {0};
    const char *file = s->opt->settings_file;
    if (!file)
        return;
    bool there = stat(file, &st) == 0;
    if (!asked && there && st.st_mtim.tv_sec == s->settings_time.tv_sec &&
        st.st_mtim.tv_nsec == s->settings_time.tv_nsec && st.st_ino == s->settings_inode)
        return;
    if (!asked && !there && !s->settings_inode)
        return;
    s->settings_time = st.st_mtim;
    s->settings_inode = st.st_ino;
    struct sld_object *o = NULL;
    struct sld_err err = {0};
    struct sld_str place = sld_str_c(file);
    if (sld_settings_read(file, &o, &err)) {
        SLD_LOG(SLD_WARN, "app", "settings_kept", SLD_KC("file", file), SLD_KC("reason", err.msg));
        struct sld_arena a = {0};
        sld_model_thread_problem(
            s->model, place, SLD_STR(""), SLD_SOURCE_STALE,
            sld_arena_fmt(&a, "%s; the former settings stay in force", err.msg));
        sld_arena_fini(&a);
        return;
    }
    sld_model_thread_problem(s->model, place, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR_NONE);
    sld_model_thread_settings(s->model, o);
    SLD_UNREF(o);
}

// Tells of a state directory that cannot be written, and when it can be again.
static void on_state_look(void *user)
{
    struct server *s = user;
    const char *now = sld_state_problem(s->state);
    sld_timer_start(s->state_look, STATE_LOOK_MS);
    look_at_settings(s, false);
    server_worker_look(s);
    if (++s->looks % CERTIFICATES_EACH == 0) {
        server_reload_xds_tls(s);
        server_worker_reload_tls(s);
    }
    if (s->looks % RETRY_EACH == 0)
        server_sources_retry(s);
    if (!strncmp(now ? now : "", s->state_problem, sizeof(s->state_problem) - 1))
        return;
    snprintf(s->state_problem, sizeof(s->state_problem), "%s", now ? now : "");
    sld_model_thread_problem(s->model, sld_str_c(server_state_dir(s)), SLD_STR(""), SLD_STATE_DIR,
                             sld_str_c(now));
}

static void on_restore_wait(void *user)
{
    struct server *s = user;
    sld_model_thread_serve_restored(s->model);
}

// ---- Starting ----

const Gloo__SolderSettings *server_own_settings(const struct server *s)
{
    const Gloo__Settings *f = s->settings_file ? sld_object_msg(s->settings_file) : NULL;
    return f ? f->solder : NULL;
}

const char *server_state_dir(const struct server *s)
{
    const Gloo__SolderSettings *set = server_own_settings(s);
    if (s->opt->state_dir)
        return s->opt->state_dir;
    return set && set->state_dir[0] ? set->state_dir : SLD_STATE_DIR_STANDARD;
}

static enum sld_rc open_state(struct server *s, struct sld_err *err)
{
    struct sld_err warn = {0};
    const Gloo__SolderSettings *set = server_own_settings(s);
    unsigned history = set && set->history ? set->history : 10;
    enum sld_rc rc =
        sld_state_open(s->io, sld_str_c(server_state_dir(s)), history, &s->state, &warn, err);
    if (rc)
        return sld_err_wrap(err, "state directory %s", server_state_dir(s));
    if (warn.msg[0]) {
        SLD_LOG(SLD_WARN, "app", "state_note", SLD_KC("msg", warn.msg));
        snprintf(s->state_note, sizeof(s->state_note), "%s", warn.msg);
    }
    return SLD_OK;
}

static void on_restored(struct sld_str source, struct sld_raw *raw, void *arg)
{
    struct server *s = arg;
    struct source *c = server_source_of(s, source, raw->kind);
    if (!c)
        return;
    c->restored++;
    sld_model_thread_restore(s->model, sld_str_c(c->name), raw);
}

// The Settings resource of the last run, if it came from a source that is there.
static void on_restored_settings(struct sld_str source, struct sld_raw *raw, void *arg)
{
    struct server *s = arg;
    struct sld_arena a = {0};
    struct sld_ident id = sld_raw_ident(raw);
    if (raw->kind == SLD_KIND_SETTINGS && sld_str_eq(sld_ident_key(&a, id), s->settings_key) &&
        server_source_find(s, source)) {
        SLD_UNREF(s->settings_restored);
        s->settings_restored = sld_object_decode(raw, NULL);
    }
    sld_arena_fini(&a);
}

// The settings before any source was read: of --settings, and those of the last run.
static void merge_settings(struct server *s)
{
    const struct sld_object *file = s->settings_file, *restored = s->settings_restored;
    struct sld_arena_obj *o = sld_arena_obj_create();
    o->root = sld_settings_merge(&o->arena, file ? sld_object_msg(file) : NULL,
                                 restored && restored->ok ? sld_object_msg(restored) : NULL);
    SLD_UNREF(s->settings);
    s->settings = o;
}

// Which sources there are, as far as flags, --settings and the last run tell.
static enum sld_rc find_sources(struct server *s, struct sld_err *err)
{
    merge_settings(s);
    enum sld_rc rc = server_sources_find(s, err);
    if (rc)
        return rc;
    server_sources_name(s);
    bool any = false;
    SLD_LIST_EACH (it, &s->sources)
        any |= SLD_CONTAINER_OF(it, struct source, link)->role == SLD_ROLE_CONFIG;
    if (!any)
        return sld_err_set(err, SLD_INVALID,
                           "run needs --config SOURCE, where the resources are, or a --settings "
                           "FILE that names one (directoryConfigSource, consulKvSource)");
    return SLD_OK;
}

static void restore_settings(struct server *s)
{
    sld_state_each(s->state, on_restored_settings, s);
    if (!s->settings_restored)
        return;
    merge_settings(s);
    server_sources_name(s);
}

static void on_refusal_restored(struct sld_ident id, struct sld_hash hash, struct sld_str build,
                                struct sld_str words, void *arg)
{
    struct server *s = arg;
    sld_model_thread_restore_refusal(s->model, id, hash, build, words);
}

static void on_certificate_restored(struct sld_ident id, struct sld_hash chain, void *arg)
{
    struct server *s = arg;
    sld_model_thread_restore_certificate(s->model, id, chain);
}

static enum sld_rc start_model(struct server *s, struct sld_err *err)
{
    const Gloo__Settings *file = s->settings_file ? sld_object_msg(s->settings_file) : NULL;
    struct sld_model_options o = {
        .settings_file = s->settings_file,
        .settings = s->settings_restored,
        .settings_key = s->settings_key,
        .state = s->state,
        .plugins = s->opt->plugins,
        .worker_addresses = s->worker_told,
        .worker_address_count = s->worker_loops,
        .worker_reach = server_worker_reach(s),
        .guards = sld_arena_fmt(&s->arena, "%s/guards", server_state_dir(s)),
        .log_level = SLD_INFO,
        .log_fixed = s->opt->log_level != NULL,
        .on_news = on_news,
        .on_settings = on_settings,
        .user = s,
    };
    if (s->opt->log_level && !sld_log_level_parse(sld_str_c(s->opt->log_level), &o.log_level))
        return sld_err_set(err, SLD_INVALID, "--log-level takes debug, info, warn or error, not %s",
                           s->opt->log_level);
    sld_log_set_level(o.log_level);
    s->write_ns = file && file->discovery_namespace[0] ? sld_str_c(file->discovery_namespace)
                                                       : SLD_STR("gloo-system");
    o.default_ns = s->write_ns;
    sld_intake_options_default(&o.intake);
    s->memo = sld_admin_memo_create();
    enum sld_rc rc = server_worker_create(s, err);
    if (rc)
        return rc;
    s->model = sld_model_thread_start(s->io, &o);
    return SLD_OK;
}

static enum sld_rc start_edge(struct server *s, struct sld_err *err)
{
    if (!s->opt->envoy)
        return SLD_OK;
    const char *proxy = s->opt->envoy_proxy ? s->opt->envoy_proxy : "gateway-proxy";
    s->role = sld_arena_fmt(&s->arena, "%.*s~%s", SLD_FMT(s->write_ns), proxy);
    struct sld_edge_options o = {
        .run_dir = s->run_dir,
        .envoy = s->opt->envoy[0] ? sld_str_c(s->opt->envoy) : SLD_STR_NONE,
        .bootstrap = {.role = s->role,
                      .xds = sld_arena_fmt(&s->arena, "unix:%.*s/xds.sock", SLD_FMT(s->run_dir))},
    };
    struct sld_edge_events ev = {.on_state = on_edge_state, .user = s};
    return sld_edge_start(s->io, &o, &ev, &s->edge, err);
}

static enum sld_rc start(struct server *s, struct sld_err *err)
{
    const struct sld_server_options *o = s->opt;
    struct stat st = {0};
    if (o->settings_file && stat(o->settings_file, &st) == 0) {
        s->settings_time = st.st_mtim;
        s->settings_inode = st.st_ino;
    }
    enum sld_rc rc =
        o->settings_file ? sld_settings_read(o->settings_file, &s->settings_file, err) : SLD_OK;
    if (!rc)
        rc = sld_settings_key(&s->arena, o->settings_name, &s->settings_key, err);
    if (!rc)
        rc = find_sources(s, err);
    if (rc)
        return rc;
    s->io = sld_loop_create("io");
    struct sld_xds_events ev = {
        .on_refused = on_refused, .on_accepted = on_accepted, .on_clients = on_clients, .user = s};
    struct sld_xds_options xo;
    sld_xds_options_default(&xo);
    xo.fallback_view = sld_fallback_view;
    // The state directory first: who holds it is the one Solder here; then the ports, before
    // anything is read.
    rc = open_state(s, err);
    if (rc)
        return rc;
    restore_settings(s);
    server_found_restore(s);
    s->xds = sld_xds_create(&xo, &ev);
    rc = server_make_run_dir(s, err);
    if (!rc)
        rc = server_worker_find(s, err);
    if (!rc)
        rc = server_listen_xds(s, err);
    if (!rc)
        rc = server_listen_admin(s, err);
    if (!rc)
        rc = start_model(s, err);
    if (rc)
        return rc;
    if (o->plugins)
        s->plugins = sld_fswatch_create(s->io, sld_str_c(o->plugins), on_plugin_file, s);
    server_sources_tell(s);
    sld_model_thread_place(s->model, sld_str_c(server_state_dir(s)));
    if (o->settings_file)
        sld_model_thread_place(s->model, sld_str_c(o->settings_file));
    if (s->state_note[0])
        sld_model_thread_problem(s->model, sld_str_c(server_state_dir(s)), SLD_STR("accepted"),
                                 SLD_STATE_DIR, sld_str_c(s->state_note));
    sld_state_each_refusal(s->state, on_refusal_restored, s);
    sld_state_each_certificate(s->state, on_certificate_restored, s);
    sld_state_each(s->state, on_restored, s);
    rc = server_sources_open(s, err);
    if (rc)
        return rc;
    s->term = sld_signal_create(s->io, SIGTERM, on_term, s);
    s->intr = sld_signal_create(s->io, SIGINT, on_term, s);
    s->hup = sld_signal_create(s->io, SIGHUP, on_hup, s);
    s->restore_wait = sld_timer_create(s->io, on_restore_wait, s);
    sld_timer_start(s->restore_wait, RESTORE_WAIT_MS);
    s->state_look = sld_timer_create(s->io, on_state_look, s);
    sld_timer_start(s->state_look, STATE_LOOK_MS);
    return start_edge(s, err);
}

static void on_xds_stopped(void *user)
{
    struct server *s = user;
    sld_loop_stop(s->io);
}

static void stop(struct server *s)
{
    server_found_stop(s);
    server_sources_close(s);
    sld_fswatch_destroy(s->plugins);
    sld_admin_destroy(s->admin);
    s->admin = NULL;
    if (s->model)
        sld_model_thread_stop(s->model);
    sld_admin_memo_destroy(s->memo);
    sld_edge_destroy(s->edge);
    server_worker_close(s);
    sld_signal_destroy(s->term);
    sld_signal_destroy(s->intr);
    sld_signal_destroy(s->hup);
    sld_timer_destroy(s->restore_wait);
    sld_timer_destroy(s->state_look);
    if (s->xds_server) {
        sld_xds_server_stop(s->xds_server, on_xds_stopped, s);
        sld_loop_run(s->io);
        sld_xds_server_destroy(s->xds_server);
    }
    sld_xds_destroy(s->xds);
    sld_state_close(s->state);
    if (s->io)
        sld_loop_destroy(s->io);
    sld_model_thread_free(s->model);
    server_sources_fini(s);
    sld_arena_fini(&s->answer);
    SLD_UNREF(s->settings);
    SLD_UNREF(s->settings_restored);
    SLD_UNREF(s->settings_file);
    sld_arena_fini(&s->arena);
}

int sld_server_run(const struct sld_server_options *o)
{
    signal(SIGXFSZ, SIG_IGN); // a file size limit is an error like a full disk
    struct server s = {.opt = o};
    sld_list_init(&s.sources);
    struct sld_err err = {0};
    if (start(&s, &err)) {
        fprintf(stderr, "solder: %s\n", err.msg);
        s.exit_code = err.rc == SLD_INVALID ? SLD_EXIT_USAGE : SLD_EXIT_FINDINGS;
    } else {
        sld_loop_run(s.io);
    }
    stop(&s);
    return s.exit_code;
}
