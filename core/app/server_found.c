// Plugins that discover, as sources of the server: one for each, which comes and goes with it; and those that give secrets, as
// one source for all of them, which is there while some plugin does.
#include "app/server_inside.h"

#include "codec/text.h"
#include "plugin/backends.h"
#include "plugin/found.h"
#include "plugin/gives.h"
#include "secret/vault/vault.h"
#include "source/consul/consul.h"

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

static struct source *given(struct server *s)
{
    return server_source_find(s, SLD_STR(SLD_GIVES_ADDRESS));
}

static void on_secret(void *user, const struct sld_secret_news *n)
{
    struct source *c = given(user);
    if (c && c->source)
        sld_gives_take(c->source, n);
}

struct sld_finders_events server_found_events(struct server *s)
{
    return (struct sld_finders_events){on_begin, on_put, on_gone, on_synced, on_problem, on_secret, s};
}

// ---- Which there are ----

static void on_restored(struct sld_str source, struct sld_raw *raw, void *arg)
{
    struct server *s = arg;
    (void)raw;
    if (sld_str_starts(source, SLD_STR(SLD_FOUND_PREFIX)) && !server_source_find(s, source))
        server_source_add_found(s, source, false);
}

// A certificate of theirs was in service: it is awaited, instead of missing.
static void on_certificate(struct sld_ident id, struct sld_hash chain, void *arg)
{
    (void)chain;
    if (sld_str_starts(id.name, SLD_STR(SLD_PLUGIN_REF)) && !given(arg))
        server_source_add_given(arg, false);
}

void server_found_restore(struct server *s)
{
    sld_state_each(s->state, on_restored, s);
    sld_state_each_certificate(s->state, on_certificate, s);
}

static void on_want(void *user, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    struct server *s = user;
    sld_worker_want(s->worker, plugin, ref, wanted);
}

void server_given_opened(struct source *c)
{
    sld_gives_attach(c->source, on_want, c->s);
    sld_gives_plans(c->source, c->s->plans, c->s->found_settled);
}

static bool gives(const struct sld_discover_plans *p)
{
    for (size_t i = 0; p && i < p->count; i++) {
        if (p->items[i]->hooks & (1U << SLD_HOOK_SECRET))
            return true;
    }
    return false;
}

// The source of secrets goes when nobody gives any, and none is on its way.
static void renew_given(struct server *s)
{
    struct source *c = given(s);
    if (!c && gives(s->plans))
        server_source_add_given(s, true);
    else if (c && !gives(s->plans) && s->found_settled)
        server_source_drop(c);
    else if (c && c->source)
        sld_gives_plans(c->source, s->plans, s->found_settled);
}

// A configuration that refers to secrets is told apart from the plan, with their texts; the task begins when it is there.
static void set_finder(struct server *s, struct sld_discover_plan *p)
{
    const struct sld_blob *conf = p->needs_secrets ? sld_map_get(&s->task_confs, p->name) : NULL;
    if (!p->needs_secrets) {
        sld_worker_set_finder(s->worker, p);
    } else if (conf) {
        struct sld_discover_plan *own = sld_discover_plan_create(p->bundle, &p->limits, conf->data, p->files, p->file_count);
        sld_worker_set_finder(s->worker, own);
        SLD_UNREF(own);
    }
}

static void run(struct server *s, struct sld_discover_plan *p)
{
    struct sld_arena a = {0};
    struct sld_str name = SLD_ARENA_JOIN(&a, SLD_STR(SLD_FOUND_PREFIX), p->name);
    if ((p->hooks & (1U << SLD_HOOK_DISCOVER)) && !server_source_find(s, name))
        server_source_add_found(s, name, true);
    struct source *c = source_of(s, p->name);
    if (c)
        sld_found_patience(c->source, p->limits.publish_ms);
    set_finder(s, p);
    sld_arena_fini(&a);
}

static const struct sld_discover_plan *find_plan(const struct sld_discover_plans *p, struct sld_str name)
{
    for (size_t i = 0; p && i < p->count; i++) {
        if (sld_str_eq(p->items[i]->name, name))
            return p->items[i];
    }
    return NULL;
}

static bool discovers(const struct sld_discover_plans *p, struct sld_str name)
{
    const struct sld_discover_plan *one = find_plan(p, name);
    return one && (one->hooks & (1U << SLD_HOOK_DISCOVER));
}

void server_found_conf(struct server *s, struct sld_str id, const struct sld_request_conf *c)
{
    struct sld_str name = sld_str_sub(id, sizeof(SLD_TASK_CONF_PREFIX) - 1, id.n);
    if (!c)
        return; // a secret went, and the task goes on with what it had; or the plugin did
    struct sld_blob *was = sld_map_set(&s->task_confs, name, sld_obj_ref(c->value));
    SLD_UNREF(was);
    for (size_t i = 0; s->plans && i < s->plans->count; i++) {
        if (sld_str_eq(s->plans->items[i]->name, name))
            set_finder(s, s->plans->items[i]);
    }
}

static void fill(struct sld_plugin_backend *b, enum sld_rc rc, struct sld_arena *a, const struct sld_err *err)
{
    if (rc)
        b->problem = sld_arena_str(a, sld_str_c(err->msg));
}

void server_found_backends(struct server *s)
{
    unsigned needs = 0;
    for (size_t i = 0; s->plans && i < s->plans->count; i++)
        needs |= s->plans->items[i]->needs;
    if (!(needs & (1U << SLD_NEED_CONSUL | 1U << SLD_NEED_VAULT)))
        return; // nobody may ask, and nobody gets a token
    struct sld_plugin_backends *b = sld_plugin_backends_create();
    const Gloo__Settings *set = s->settings->root;
    struct sld_err err = {0};
    if (needs & (1U << SLD_NEED_CONSUL))
        fill(&b->consul, sld_consul_reach(&b->arena, set, &b->consul.at, &err), &b->arena, &err);
    if (needs & (1U << SLD_NEED_VAULT))
        fill(&b->vault, sld_vault_reach(&b->arena, set, &b->vault.at, &err), &b->arena, &err);
    sld_worker_set_backends(s->worker, b);
    SLD_UNREF(b);
}

// Those whose plugin is gone, or finds nothing any more, go.
static void drop(struct server *s)
{
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        struct sld_str name = sld_str_c(c->name), plugin = sld_str_sub(name, sizeof(SLD_FOUND_PREFIX) - 1, name.n);
        if (c->role != SLD_ROLE_FOUND || discovers(s->plans, plugin))
            continue;
        server_source_drop(c);
    }
}

void server_found_news(struct server *s, const struct sld_model_news *n)
{
    bool first = n->complete && !s->found_settled;
    if (n->plans) {
        struct sld_discover_plans *was = s->plans;
        s->plans = sld_obj_ref(n->plans);
        for (size_t i = 0; was && i < was->count; i++) {
            if (find_plan(s->plans, was->items[i]->name))
                continue;
            struct sld_blob *conf = sld_map_remove(&s->task_confs, was->items[i]->name);
            SLD_UNREF(conf);
            sld_worker_remove_finder(s->worker, was->items[i]->name);
        }
        SLD_UNREF(was);
        server_found_backends(s);
        for (size_t i = 0; i < s->plans->count; i++)
            run(s, s->plans->items[i]);
    }
    s->found_settled |= n->complete;
    if (s->found_settled && (first || n->plans))
        drop(s); // before, a document that declares a plugin may be on its way
    if (first || n->plans)
        renew_given(s);
}

void server_found_stop(struct server *s)
{
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->task_confs, &at));)
        SLD_UNREF(e->value);
    sld_map_fini(&s->task_confs);
    SLD_UNREF(s->plans);
}
