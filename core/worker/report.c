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

void wk_stats_add(struct sld_arena *a, Solder__Worker__Stats *sum, const Solder__Worker__Stats *s)
{
    sum->checks += s->checks;
    sum->shed += s->shed;
    sum->unknown += s->unknown;
    sum->in_flight += s->in_flight;
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
    }
}
