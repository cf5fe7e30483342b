// Sums of what loops did.
#include "worker/inside.h"

static Solder__Worker__PluginStats *plugin_of(struct sld_arena *a, Solder__Worker__Stats *sum, const char *name)
{
    for (size_t i = 0; i < sum->n_plugins; i++) {
        if (!strcmp(sum->plugins[i]->name, name))
            return sum->plugins[i];
    }
    Solder__Worker__PluginStats *p = SLD_MSG(a, Solder__Worker__PluginStats, solder__worker__plugin_stats);
    p->name = SLD_MSG_STR(a, sld_str_c(name));
    SLD_PUSH(a, sum->plugins, sum->n_plugins, p);
    return p;
}

static void add_calls(struct sld_arena *a, Solder__Worker__PluginStats *sum, const Solder__Worker__Calls *c)
{
    Solder__Worker__Calls *into = NULL;
    for (size_t i = 0; i < sum->n_calls && !into; i++)
        into = strcmp(sum->calls[i]->hook, c->hook) ? NULL : sum->calls[i];
    if (!into) {
        into = SLD_MSG(a, Solder__Worker__Calls, solder__worker__calls);
        into->hook = SLD_MSG_STR(a, sld_str_c(c->hook));
        SLD_PUSH(a, sum->calls, sum->n_calls, into);
    }
    into->calls += c->calls;
    into->errors += c->errors;
    into->limits += c->limits;
    into->denied += c->denied;
    into->total_ns += c->total_ns;
    if (c->max_ns > into->max_ns)
        into->max_ns = c->max_ns;
}

static void add_failure(struct sld_arena *a, Solder__Worker__PluginStats *sum, Solder__Worker__Failure *f)
{
    size_t at = 0;
    while (at < sum->n_failures && sum->failures[at]->wall_ms >= f->wall_ms)
        at++;
    if (at == SLD_PLUGIN_ERRORS)
        return;
    SLD_PUSH(a, sum->failures, sum->n_failures, f);
    memmove(sum->failures + at + 1, sum->failures + at, (sum->n_failures - 1 - at) * sizeof(*sum->failures));
    sum->failures[at] = f;
    if (sum->n_failures > SLD_PLUGIN_ERRORS)
        sum->n_failures = SLD_PLUGIN_ERRORS;
}

Solder__Worker__PluginStats *wk_stats_of(struct sld_arena *a, struct sld_str name, const struct sld_plugin_calls sum[SLD_HOOK_COUNT],
                                         const struct sld_plugin_stats *st)
{
    Solder__Worker__PluginStats *out = SLD_MSG(a, Solder__Worker__PluginStats, solder__worker__plugin_stats);
    out->name = SLD_MSG_STR(a, name);
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        if (!sum[h].calls)
            continue;
        Solder__Worker__Calls *c = SLD_MSG(a, Solder__Worker__Calls, solder__worker__calls);
        c->hook = SLD_MSG_STR(a, sld_str_c(sld_hook_name((enum sld_hook)h)));
        c->calls = sum[h].calls;
        c->errors = sum[h].errors;
        c->limits = sum[h].limits;
        c->total_ns = sum[h].total_ns;
        c->max_ns = sum[h].max_ns;
        SLD_PUSH(a, out->calls, out->n_calls, c);
    }
    out->used_bytes = st->used_bytes;
    out->peak_bytes = st->peak_bytes;
    for (size_t i = 0; i < st->error_count; i++) {
        Solder__Worker__Failure *f = SLD_MSG(a, Solder__Worker__Failure, solder__worker__failure);
        f->wall_ms = st->errors[i].wall_ms;
        f->hook = SLD_MSG_STR(a, sld_str_c(sld_hook_name(st->errors[i].hook)));
        f->words = SLD_MSG_STR(a, sld_str_c(st->errors[i].words));
        f->trace = SLD_MSG_STR(a, sld_str_c(st->errors[i].trace));
        SLD_PUSH(a, out->failures, out->n_failures, f);
    }
    return out;
}

void wk_stats_add(struct sld_arena *a, Solder__Worker__Stats *sum, const Solder__Worker__Stats *s)
{
    sum->checks += s->checks;
    sum->shed += s->shed;
    sum->unknown += s->unknown;
    sum->in_flight += s->in_flight;
    sum->logged += s->logged;
    sum->log_dropped += s->log_dropped;
    for (size_t i = 0; i < s->n_plugins; i++) {
        const Solder__Worker__PluginStats *p = s->plugins[i];
        Solder__Worker__PluginStats *into = plugin_of(a, sum, p->name);
        for (size_t k = 0; k < p->n_calls; k++)
            add_calls(a, into, p->calls[k]);
        for (size_t k = 0; k < p->n_failures; k++)
            add_failure(a, into, p->failures[k]);
        into->used_bytes += p->used_bytes;
        into->peak_bytes += p->peak_bytes;
        into->suspended += p->suspended;
        into->published += p->published;
        into->published_ms = p->published_ms ? p->published_ms : into->published_ms;
    }
}
