// Plugins: what state they are in, what their hooks did, what they died of.
#include "admin/inside.h"

#include "plugin/shape.h"
#include "worker/worker.h"

static const char *state_of(const struct sld_plugin_state *p)
{
    return p->slot->gone ? "Gone" : !p->slot->plugin ? "Broken" : p->slot->suspended ? "Suspended" : "Active";
}

static struct sld_str reason_of(const struct sld_plugin_state *p, const struct sld_worker_plugin_stats *w)
{
    return p->slot->error.n ? p->slot->error : p->refused.n ? p->refused : w ? w->refused : SLD_STR("");
}

static const struct sld_worker_plugin_stats *worker_of(const struct sld_admin_model *m, struct sld_str name)
{
    return m->worker ? sld_worker_stats(m->worker, name) : NULL;
}

static void keep_error(struct sld_plugin_stats *st, const struct sld_plugin_error *e)
{
    size_t at = 0;
    while (at < st->error_count && st->errors[at].wall_ms >= e->wall_ms)
        at++;
    if (at == SLD_PLUGIN_ERRORS)
        return;
    size_t n = st->error_count < SLD_PLUGIN_ERRORS ? st->error_count : SLD_PLUGIN_ERRORS - 1;
    memmove(st->errors + at + 1, st->errors + at, (n - at) * sizeof(*st->errors));
    st->errors[at] = *e;
    st->error_count = n + 1;
}

// What P did, in this process and (W, may be NULL) in the worker.
static void stats_of(const struct sld_plugin *p, const struct sld_worker_plugin_stats *w, struct sld_plugin_stats *st)
{
    sld_plugin_stats(p, st);
    for (size_t i = 0; w && i < w->call_count; i++) {
        struct sld_plugin_calls *c = &st->hooks[w->calls[i].hook];
        c->calls += w->calls[i].calls;
        c->errors += w->calls[i].errors;
        c->limits += w->calls[i].limits;
        c->total_ns += w->calls[i].total_ns;
        c->max_ns = w->calls[i].max_ns > c->max_ns ? w->calls[i].max_ns : c->max_ns;
    }
    for (size_t i = 0; w && i < w->error_count; i++)
        keep_error(st, &w->errors[i]);
    st->used_bytes += w ? w->used_bytes : 0;
    st->peak_bytes += w ? w->peak_bytes : 0;
}

static uint64_t denied_of(const struct sld_worker_plugin_stats *w, int hook)
{
    for (size_t i = 0; w && i < w->call_count; i++) {
        if ((int)w->calls[i].hook == hook)
            return w->calls[i].denied;
    }
    return 0;
}

// ---- /v1/plugins ----

static void put_hooks(struct sld_json *j, const struct sld_plugin_stats *st, const struct sld_worker_plugin_stats *w, unsigned hooks)
{
    sld_json_key(j, "hooks");
    sld_json_begin(j, '[');
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        const struct sld_plugin_calls *c = &st->hooks[h];
        if (!(hooks & (1U << h)))
            continue;
        sld_json_begin(j, '{');
        put_c(j, "name", sld_hook_name((enum sld_hook)h));
        put_int(j, "calls", c->calls);
        put_int(j, "errors", c->errors);
        put_int(j, "breaches", c->limits);
        if (h == SLD_HOOK_AUTHORIZE)
            put_int(j, "denied", denied_of(w, h));
        put_int(j, "meanMicros", c->calls ? c->total_ns / c->calls / 1000 : 0);
        put_int(j, "maxMicros", c->max_ns / 1000);
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
}

static void put_errors(struct sld_json *j, const struct sld_plugin_stats *st)
{
    sld_json_key(j, "errors");
    sld_json_begin(j, '[');
    for (size_t i = 0; i < st->error_count; i++) {
        const struct sld_plugin_error *e = &st->errors[i];
        sld_json_begin(j, '{');
        put_time(j, "time", e->wall_ms);
        put_c(j, "hook", sld_hook_name(e->hook));
        put_c(j, "message", e->words);
        put_c(j, "stack", e->trace);
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
}

struct list {
    struct sld_json j;
    const struct sld_admin_model *m;
    struct sld_str only; // absent: all, in short
    size_t found;
};

static void put_plugin(void *arg, const struct sld_plugin_state *p)
{
    struct list *l = arg;
    struct sld_json *j = &l->j;
    char version[17];
    const struct sld_worker_plugin_stats *w = worker_of(l->m, p->name);
    if (l->only.p && !sld_str_eq(p->name, l->only))
        return;
    l->found++;
    if (!l->only.p)
        sld_json_begin(j, '{');
    put_str(j, "name", p->name);
    put_str(j, "document", p->document);
    put_c(j, "state", state_of(p));
    put_bool(j, "lastGood", p->slot->plugin && p->refused.n);
    if (reason_of(p, w).n)
        put_str(j, "reason", reason_of(p, w));
    if (p->retry_ns && p->slot->suspended) {
        uint64_t now = sld_mono_ns();
        put_int(j, "retrySeconds", p->retry_ns > now ? (p->retry_ns - now) / 1000000000 + 1 : 0);
    }
    if (p->slot->plugin) {
        const struct sld_plugin_info *i = sld_plugin_info(p->slot->plugin);
        struct sld_plugin_stats st;
        stats_of(p->slot->plugin, w, &st);
        sld_hash_text(((const struct sld_obj *)p->slot->plugin)->hash, version);
        put_str(j, "version", i->version);
        put_c(j, "hash", version);
        put_str(j, "origin", i->origin);
        put_str(j, "summary", i->summary);
        put_int(j, "memoryBytes", st.used_bytes);
        put_int(j, "memoryPeakBytes", st.peak_bytes);
        if (w && w->published_ms) {
            put_int(j, "published", w->published);
            put_time(j, "publishedAt", w->published_ms);
        }
        put_int(j, "memoryLimitBytes", st.limit_bytes);
        if (w)
            put_int(j, "suspendedLoops", w->suspended);
        put_hooks(j, &st, w, i->hooks);
        if (l->only.p)
            put_errors(j, &st);
    }
    if (!l->only.p)
        sld_json_end(j, '}');
}

static void put_worker(struct sld_json *j, const struct sld_worker_info *i)
{
    sld_json_key(j, "worker");
    sld_json_begin(j, '{');
    put_c(j, "state", sld_worker_state_name(i->state));
    put_int(j, "pid", (uint64_t)i->pid);
    put_int(j, "restarts", i->restarts);
    put_int(j, "configurations", i->confs);
    put_int(j, "requests", i->checks);
    put_int(j, "shed", i->shed);
    put_int(j, "unknown", i->unknown);
    put_int(j, "logged", i->logged);
    put_int(j, "logDropped", i->log_dropped);
    if (i->last.n)
        put_str(j, "lastEnd", i->last);
    sld_json_end(j, '}');
}

void v1_plugins(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct list l = {.m = m, .only = SLD_STR_NONE};
    (void)c;
    answer_json(out, &l.j);
    sld_json_key(&l.j, "items");
    sld_json_begin(&l.j, '[');
    if (m->plugins)
        sld_plugin_set_each(m->plugins, put_plugin, &l);
    sld_json_end(&l.j, ']');
    if (m->worker)
        put_worker(&l.j, m->worker);
    answer_json_end(out, &l.j);
}

void v1_plugin(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct list l = {.m = m, .only = c->args[0]};
    answer_json(out, &l.j);
    if (m->plugins)
        sld_plugin_set_each(m->plugins, put_plugin, &l);
    if (l.found)
        answer_json_end(out, &l.j);
    else
        answer_problem(out, PROBLEM_NO_OBJECT, "/v1/plugins lists what there is", "there is no plugin %.*s",
                       SLD_FMT(sld_str_sub(c->args[0], 0, 100)));
}

// ---- Metrics ----

struct family {
    struct sld_buf *b;
    const struct sld_admin_model *m;
    int which;
};

enum { CALLS, ERRORS, BREACHES, DENIED, SECONDS, SECONDS_MAX, MEMORY, STATE, FAMILIES };

static const struct {
    const char *name, *type, *help;
} families[FAMILIES] = {
    [CALLS] = {"solder_plugin_calls_total", "counter", "Calls of hooks, of the version in force."},
    [ERRORS] = {"solder_plugin_errors_total", "counter", "Calls of hooks that failed."},
    [BREACHES] = {"solder_plugin_breaches_total", "counter", "Calls of hooks that reached a ceiling."},
    [DENIED] = {"solder_plugin_denied_total", "counter", "Requests that a hook denied."},
    [SECONDS] = {"solder_plugin_call_seconds_total", "counter", "Time in hooks."},
    [SECONDS_MAX] = {"solder_plugin_call_seconds_max", "gauge", "The longest call of a hook."},
    [MEMORY] = {"solder_plugin_memory_bytes", "gauge", "Memory of plugins' states."},
    [STATE] = {"solder_plugin_state", "gauge", "1 for the state a plugin is in: Active, Broken or Suspended."},
};

static double value_of(const struct sld_plugin_calls *c, int which)
{
    switch (which) {
    case CALLS:
        return (double)c->calls;
    case ERRORS:
        return (double)c->errors;
    case BREACHES:
        return (double)c->limits;
    case SECONDS:
        return (double)c->total_ns / 1e9;
    default:
        return (double)c->max_ns / 1e9;
    }
}

static void put_metric(void *arg, const struct sld_plugin_state *p)
{
    const struct family *f = arg;
    const char *name = families[f->which].name;
    struct metric_label l[2] = {{"plugin", p->name}, {"state", sld_str_c(state_of(p))}};
    struct sld_plugin_stats st;
    if (f->which == STATE) {
        metric_put(f->b, name, l, 2, 1);
        return;
    }
    if (!p->slot->plugin)
        return;
    const struct sld_worker_plugin_stats *w = worker_of(f->m, p->name);
    stats_of(p->slot->plugin, w, &st);
    if (f->which == MEMORY)
        metric_put(f->b, name, l, 1, (double)st.used_bytes);
    for (int h = 0; h < SLD_HOOK_COUNT && f->which != MEMORY; h++) {
        l[1] = (struct metric_label){"hook", sld_str_c(sld_hook_name((enum sld_hook)h))};
        if (sld_plugin_info(p->slot->plugin)->hooks & (1U << h))
            metric_put(f->b, name, l, 2, f->which == DENIED ? (double)denied_of(w, h) : value_of(&st.hooks[h], f->which));
    }
}

static void put_worker_metrics(struct sld_buf *b, const struct sld_worker_info *i)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        {"solder_worker_up", "gauge", "1 while the worker has all that it is to have.", i->state == SLD_WORKER_RUNNING},
        {"solder_worker_restarts_total", "counter", "Times the worker was started again.", i->restarts},
        {"solder_worker_requests_total", "counter", "Requests that the worker was asked about since it began.", (double)i->checks},
        {"solder_worker_shed_total", "counter", "Those that were too many at once.", (double)i->shed},
        {"solder_worker_unknown_total", "counter", "Those whose configuration did not come.", (double)i->unknown},
        {"solder_worker_logged_total", "counter", "Entries of access logs that came to the worker.", (double)i->logged},
        {"solder_worker_log_dropped_total", "counter", "Those that a plugin did not get, or failed with.", (double)i->log_dropped},
        {"solder_worker_configurations", "gauge", "Configurations that the worker has.", (double)i->confs},
    };
    for (size_t k = 0; k < SLD_ARRAY_LEN(all); k++) {
        metric_family(b, all[k].name, all[k].type, all[k].help);
        metric_put(b, all[k].name, NULL, 0, all[k].value);
    }
}

static void put_published(struct sld_buf *b, const struct sld_worker_info *i)
{
    for (int when = 0; when < 2; when++) {
        const char *name = when ? "solder_plugin_last_publish_timestamp_seconds" : "solder_plugin_published_upstreams";
        metric_family(b, name, "gauge", when ? "When the plugin's task discover published last." : "Upstreams that the plugin's task discover published.");
        for (size_t k = 0; k < i->plugin_count; k++) {
            const struct sld_worker_plugin_stats *p = &i->plugins[k];
            struct metric_label l = {"plugin", p->name};
            if (p->published_ms)
                metric_put(b, name, &l, 1, when ? (double)p->published_ms / 1e3 : (double)p->published);
        }
    }
}

void metrics_plugins(struct sld_buf *b, const struct sld_admin_model *m)
{
    for (int i = 0; m->plugins && i < FAMILIES; i++) {
        struct family f = {b, m, i};
        metric_family(b, families[i].name, families[i].type, families[i].help);
        sld_plugin_set_each(m->plugins, put_metric, &f);
    }
    if (m->worker)
        put_worker_metrics(b, m->worker);
    if (m->worker)
        put_published(b, m->worker);
}
