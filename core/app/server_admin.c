// What admin asks of the server: readiness, sources, the supervised Envoy, and the way to the model
// thread.
#include "app/server_inside.h"

#include <stdio.h>

// A query on its way, with what only io knows.
struct asked {
    struct server *s;
    struct sld_worker_info *worker; // own reference
};

static void query_back(struct sld_message *m)
{
    struct sld_admin_query *q = SLD_CONTAINER_OF(m, struct sld_admin_query, msg);
    struct asked *a = q->user;
    SLD_UNREF(a->worker);
    sld_xfree(a);
    sld_admin_query_done(q);
}

static void query_run(struct sld_message *m)
{
    struct sld_admin_query *q = SLD_CONTAINER_OF(m, struct sld_admin_query, msg);
    const struct asked *a = q->user;
    struct server *s = a->s;
    struct sld_admin_model am = {
        .translate = sld_model_thread_translate(s->model),
        .intake = sld_model_thread_intake(s->model),
        .plugins = sld_model_thread_plugin_set(s->model),
        .worker = a->worker,
        .memo = s->memo,
        .index = sld_model_thread_index(s->model) + 1,
        .write_ns = sld_translate_write_ns(sld_model_thread_translate(s->model)),
    };
    sld_admin_answer(&am, q);
    q->msg = (struct sld_message){.run = query_back, .drop = query_back};
    sld_loop_post(s->io, &q->msg);
}

static void query(struct sld_admin_query *q, void *user)
{
    struct server *s = user;
    struct asked *a = SLD_NEW(struct asked);
    *a = (struct asked){s, sld_worker_info(s->worker)};
    q->user = a;
    q->msg = (struct sld_message){.run = query_run, .drop = query_back};
    sld_loop_post(sld_model_thread_loop(s->model), &q->msg);
}

struct converged {
    struct sld_str role;
    bool seen, all;
};

static void on_client(const struct sld_xds_client_info *c, void *arg)
{
    struct converged *v = arg;
    if (!sld_str_eq(c->role, v->role))
        return;
    v->all = v->seen ? v->all && c->converged : c->converged;
    v->seen = true;
}

static struct sld_str envoy_reason(struct server *s)
{
    if (!s->served_ns)
        return SLD_STR_NONE;
    struct sld_edge_info info;
    sld_edge_info(s->edge, &info);
    if (s->envoy_took && info.live)
        return SLD_STR_NONE;
    if (s->envoy_took)
        return info.last_exit[0] ? sld_str_c(info.last_exit) : SLD_STR("Envoy is not up");
    struct converged v = {.role = s->role};
    sld_xds_clients(s->xds, on_client, &v);
    if (info.live && v.seen && v.all) {
        s->envoy_took = true;
        return SLD_STR_NONE;
    }
    if (info.live && (sld_mono_ns() - s->served_ns) / 1000000000 >= s->opt->envoy_timeout_s) {
        SLD_LOG(SLD_WARN, "app", "envoy_slow",
                SLD_KC("msg", "Envoy has not taken the whole configuration in time"));
        s->envoy_took = true;
        return SLD_STR_NONE;
    }
    if (info.error[0])
        return sld_str_c(info.error);
    return v.seen ? SLD_STR("Envoy has not taken the whole configuration yet")
                  : SLD_STR("Envoy is not connected yet");
}

// Which source is waited for, and why.
static struct sld_str unread(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources) {
        const struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c->synced)
            continue;
        snprintf(s->unread, sizeof(s->unread), "%s was not read yet%s%s", c->name,
                 c->problem[0] ? ": " : "", c->problem);
        return sld_str_c(s->unread);
    }
    return SLD_STR("not everything that was read is translated yet");
}

static size_t checks(struct sld_admin_check *out, size_t max, void *user)
{
    struct server *s = user;
    size_t n = 0;
    SLD_INV(max >= 4);
    out[n++] = (struct sld_admin_check){"serving", s->served_ns != 0, false,
                                        s->served_ns ? SLD_STR("") : unread(s)};
    if (s->edge) {
        struct sld_str why = envoy_reason(s);
        out[n++] = (struct sld_admin_check){"envoy", s->served_ns && !why.p, false,
                                            why.p ? why : SLD_STR("nothing is served yet")};
    }
    if (s->worker) {
        struct sld_str why = server_worker_reason(s);
        out[n++] = (struct sld_admin_check){"worker", !why.p, false, why.p ? why : SLD_STR("")};
    }
    out[n++] =
        (struct sld_admin_check){"shutdown", !s->stopping, false, SLD_STR("Solder is stopping")};
    return n;
}

static size_t sources(struct sld_admin_source *out, size_t max, void *user)
{
    struct server *s = user;
    struct sld_arena *a = &s->answer;
    sld_arena_fini(a); // of the answer before
    size_t n = 0;
    SLD_LIST_EACH (it, &s->sources) {
        const struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (n == max)
            break;
        struct sld_source_writer writer = {0};
        if (!c->source || !c->ops->writer || !c->ops->writer(c->source, &writer))
            writer = (struct sld_source_writer){0};
        struct sld_source_counts counts = {0};
        bool counted = c->source && c->ops->counts;
        if (counted)
            c->ops->counts(c->source, &counts);
        out[n++] = (struct sld_admin_source){
            .name = sld_str_c(c->name),
            .writer = writer,
            .counted = counted,
            .counts = counts,
            .type = c->discovery_ops ? c->discovery_ops->name
                    : c->ops         ? c->ops->name
                                     : "unknown",
            .holds = sld_source_role_name(c->role),
            .setting = c->named,
            .store = c->ops && c->ops->store
                         ? sld_source_absolute(a, sld_str_c(c->address), s->settings->root)
                         : SLD_STR_NONE,
            .stale_since_ms = c->stale_since_ms,
            .up = c->up,
            .synced = c->synced,
            .last_sync_ms = c->last_sync_ms,
            .problem = c->up ? SLD_STR_NONE : sld_str_c(c->problem),
        };
    }
    if (n < max) {
        bool up = !s->state_problem[0];
        out[n++] =
            (struct sld_admin_source){.name = sld_str_c(server_state_dir(s)),
                                      .type = "state",
                                      .up = up,
                                      .synced = true,
                                      .problem = up ? SLD_STR_NONE : sld_str_c(s->state_problem)};
    }
    return n;
}

enum { FACTS_MAX = 20000 }; // of one source

static void facts(void (*fn)(struct sld_str source, const struct sld_source_fact *f, void *arg),
                  void *arg, void *user)
{
    struct server *s = user;
    struct sld_source_fact *list = NULL;
    SLD_LIST_EACH (it, &s->sources) {
        const struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        bool of_source = c->source && c->ops->facts;
        if (!of_source && !(c->discovery && c->discovery_ops->facts))
            continue;
        if (!list)
            list = sld_xcalloc(FACTS_MAX, sizeof(*list));
        size_t n = of_source ? c->ops->facts(c->source, list, FACTS_MAX)
                             : c->discovery_ops->facts(c->discovery, list, FACTS_MAX);
        for (size_t i = 0; i < n; i++)
            fn(sld_str_c(c->name), &list[i], arg);
    }
    sld_xfree(list);
}

static void edge_state(struct sld_admin_edge *out, void *user)
{
    struct server *s = user;
    *out = (struct sld_admin_edge){0};
    if (!s->edge)
        return;
    struct sld_edge_info i;
    sld_edge_info(s->edge, &i);
    *out = (struct sld_admin_edge){
        .supervised = true,
        .up = i.live,
        .pid = i.pid,
        .restarts = i.restarts,
        .version = sld_str_c(i.version),
        .state = sld_str_c(sld_edge_state_name(i.state)),
        .problem = i.error[0]                  ? sld_str_c(i.error)
                   : i.last_exit[0] && !i.live ? sld_str_c(i.last_exit)
                                               : SLD_STR_NONE,
    };
}

static size_t metrics(struct sld_source_metric *out, size_t max, void *user)
{
    (void)user;
    size_t n = 0;
    for (size_t i = 0; i < sld_builtin_secret_store_count; i++) {
        const struct sld_secret_store_ops *ops = sld_builtin_secret_stores[i];
        n += ops->metrics ? ops->metrics(out + n, max - n) : 0;
    }
    return n;
}

struct sld_admin_host server_admin_host(struct server *s)
{
    return (struct sld_admin_host){.query = query,
                                   .checks = checks,
                                   .sources = sources,
                                   .edge = edge_state,
                                   .facts = facts,
                                   .record = server_worker_record,
                                   .metrics = metrics,
                                   .user = s};
}
