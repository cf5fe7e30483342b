// Plugins that discover, as sources of the server: one for each, which comes and goes with it.
#include "app/server_inside.h"

#include "plugin/found.h"

static struct source *source_of(struct server *s, struct sld_str plugin)
{
    struct sld_arena a = {0};
    struct source *c = server_source_find(s, SLD_ARENA_JOIN(&a, SLD_STR(SLD_FOUND_PREFIX), plugin));
    sld_arena_fini(&a);
    return c && c->source ? c : NULL;
}

// ---- What the tasks tell ----

static void on_begin(void *user, struct sld_str plugin)
{
    struct source *c = source_of(user, plugin);
    if (c)
        sld_found_begin(c->source);
}

static void on_put(void *user, struct sld_str plugin, struct sld_str name, struct sld_blob *bytes)
{
    struct source *c = source_of(user, plugin);
    if (c)
        sld_found_put(c->source, name, bytes);
}

static void on_gone(void *user, struct sld_str plugin, struct sld_str name)
{
    struct source *c = source_of(user, plugin);
    if (c)
        sld_found_gone(c->source, name);
}

static void on_synced(void *user, struct sld_str plugin)
{
    struct source *c = source_of(user, plugin);
    if (c)
        sld_found_synced(c->source);
}

static void on_problem(void *user, struct sld_str plugin, struct sld_str message)
{
    struct source *c = source_of(user, plugin);
    if (c)
        sld_found_problem(c->source, message);
}

struct sld_finders_events server_found_events(struct server *s)
{
    return (struct sld_finders_events){on_begin, on_put, on_gone, on_synced, on_problem, s};
}

// ---- Which there are ----

static void on_restored(struct sld_str source, struct sld_raw *raw, void *arg)
{
    struct server *s = arg;
    (void)raw;
    if (sld_str_starts(source, SLD_STR(SLD_FOUND_PREFIX)) && !server_source_find(s, source))
        server_source_add_found(s, source, false);
}

void server_found_restore(struct server *s)
{
    sld_state_each(s->state, on_restored, s);
}

static void run(struct server *s, struct sld_discover_plan *p)
{
    struct sld_arena a = {0};
    struct sld_str name = SLD_ARENA_JOIN(&a, SLD_STR(SLD_FOUND_PREFIX), p->name);
    if (!server_source_find(s, name))
        server_source_add_found(s, name, true);
    sld_worker_set_finder(s->worker, p);
    sld_arena_fini(&a);
}

static bool planned(const struct sld_discover_plans *p, struct sld_str name)
{
    for (size_t i = 0; p && i < p->count; i++) {
        if (sld_str_eq(p->items[i]->name, name))
            return true;
    }
    return false;
}

// Those whose plugin is gone, or finds nothing any more, go.
static void drop(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        struct sld_str name = sld_str_c(c->name), plugin = sld_str_sub(name, sizeof(SLD_FOUND_PREFIX) - 1, name.n);
        if (c->role != SLD_ROLE_FOUND || planned(s->plans, plugin))
            continue;
        sld_worker_remove_finder(s->worker, plugin);
        server_source_drop(c);
    }
}

void server_found_news(struct server *s, const struct sld_model_news *n)
{
    bool first = n->complete && !s->found_settled;
    if (n->plans) {
        SLD_UNREF(s->plans);
        s->plans = sld_obj_ref(n->plans);
        for (size_t i = 0; i < s->plans->count; i++)
            run(s, s->plans->items[i]);
    }
    s->found_settled |= n->complete;
    if (s->found_settled && (first || n->plans))
        drop(s); // before, a document that declares a plugin may be on its way
}

void server_found_stop(struct server *s)
{
    SLD_UNREF(s->plans);
}
