// The tasks of all plugins that discover, and the secrets of those that give some: what it takes to run them, and running them.
#include "plugin/backends.h"
#include "plugin/declare.h"
#include "plugin/discover.h"
#include "plugin/kv.h"

enum { CONF_DEPTH_MAX = 100 };

// ---- Plans ----

static void plan_free(struct sld_obj *o)
{
    struct sld_discover_plan *p = (struct sld_discover_plan *)o;
    SLD_UNREF(p->bundle);
    SLD_UNREF(p->kv);
    SLD_UNREF(p->counters);
    sld_arena_fini_secret(&p->arena);
    sld_xfree(p);
}

struct sld_discover_plan *sld_discover_plan_create(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits,
                                                   struct sld_str conf, const struct sld_str *files, size_t n)
{
    struct sld_discover_plan *p = SLD_NEW(struct sld_discover_plan);
    struct sld_hasher h;
    sld_hasher_init(&h);
    p->bundle = sld_obj_ref(b);
    p->name = b->name;
    p->limits = *limits;
    p->conf = sld_arena_str(&p->arena, conf);
    p->files = SLD_ARENA_ARRAY(&p->arena, struct sld_str, n);
    p->file_count = n;
    sld_hasher_add(&h, sld_str_n((const char *)limits, offsetof(struct sld_plugin_limits, publish_ms))); // no gaps up to there
    sld_hasher_add_u64(&h, limits->publish_ms);
    sld_hasher_add(&h, conf);
    for (size_t i = 0; i < n; i++) {
        p->files[i] = sld_arena_str(&p->arena, files[i]);
        sld_hasher_add_u64(&h, files[i].n);
        sld_hasher_add(&h, files[i]);
    }
    sld_obj_init(&p->obj, plan_free, sld_hash_mix(b->obj.hash, sld_hasher_done(&h)));
    return p;
}

static bool has_secret(const struct sld_conf *c)
{
    bool has = c->type == SLD_CONF_SECRET_REF || (c->item && has_secret(c->item));
    for (size_t i = 0; i < c->field_count && !has; i++)
        has = has_secret(&c->fields[i]);
    return has;
}

bool pl_needs_secrets(const struct sld_plugin_slot *slot)
{
    return slot->declared && slot->declared->config && has_secret(&slot->plugin->conf);
}

static struct sld_discover_plan *plan_of(const struct sld_plugin_state *st)
{
    const Gloo__Plugin *d = st->slot->declared;
    struct sld_plugin *p = st->slot->plugin;
    struct sld_arena a = {0};
    struct sld_str conf = SLD_STR(""), *files = NULL;
    size_t n = 0;
    if (d && d->config) {
        Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
        v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v.struct_value = d->config;
        conf = sld_msg_encode(&a, &v.base);
    }
    for (size_t i = 0; d && i < d->n_files; i++)
        SLD_PUSH(&a, files, n, sld_str_c(d->files[i]));
    struct sld_discover_plan *plan = sld_discover_plan_create(p->host->bundle, &p->host->limits, conf, files, n);
    plan->hooks = p->info.hooks & SLD_HOOKS_OF_TASKS;
    plan->needs = p->info.needs;
    plan->needs_secrets = pl_needs_secrets(st->slot);
    sld_arena_fini(&a);
    return plan;
}

struct listing {
    struct sld_arena arena;
    struct sld_discover_plan **items;
    size_t count;
};

static void list(void *arg, const struct sld_plugin_state *st)
{
    struct listing *l = arg;
    if (st->slot && st->slot->plugin && (st->slot->plugin->info.hooks & SLD_HOOKS_OF_TASKS))
        SLD_PUSH(&l->arena, l->items, l->count, plan_of(st));
}

static void plans_free(struct sld_obj *o)
{
    struct sld_discover_plans *p = (struct sld_discover_plans *)o;
    for (size_t i = 0; i < p->count; i++)
        SLD_UNREF(p->items[i]);
    sld_xfree(p->items);
    sld_xfree(p);
}

bool sld_discover_plans_renew(struct sld_discover_plans **p, const struct sld_plugin_set *s)
{
    struct listing l = {0};
    sld_plugin_set_each(s, list, &l);
    struct sld_hash hash = {0};
    for (size_t i = 0; i < l.count; i++)
        hash = sld_hash_mix(hash, l.items[i]->obj.hash);
    struct sld_discover_plans *new = SLD_NEW(struct sld_discover_plans);
    new->items = sld_xcalloc(l.count + 1, sizeof(struct sld_discover_plan *));
    new->count = l.count;
    for (size_t i = 0; i < l.count; i++)
        new->items[i] = l.items[i];
    sld_arena_fini(&l.arena);
    sld_obj_init(&new->obj, plans_free, hash);
    bool same = *p && sld_hash_eq((*p)->obj.hash, hash);
    if (same) {
        SLD_UNREF(new);
        return false;
    }
    SLD_UNREF(*p);
    *p = new;
    return true;
}

bool sld_discover_plans_told(const struct sld_discover_plans *p, const struct sld_map *sources)
{
    bool all = true;
    struct sld_arena a = {0};
    for (size_t i = 0; p && i < p->count && all; i++)
        all = !(p->items[i]->hooks & (1U << SLD_HOOK_DISCOVER)) || sld_map_has(sources, SLD_ARENA_JOIN(&a, SLD_STR(SLD_FOUND_PREFIX), p->items[i]->name));
    sld_arena_fini(&a);
    return all;
}

// ---- Running them ----

struct finder {
    struct sld_finders *all;
    struct sld_discover_plan *plan; // own reference: as of the task, or what did not load
    struct sld_discover *task;      // NULL: no version of it loaded, or it does not discover
    struct sld_resolver *resolver;  // the same of the hook secret
    struct sld_plugin *plugin;      // own reference: the version that runs
};

struct sld_finders {
    struct sld_reactor *reactor;
    struct sld_finders_events ev;
    struct sld_map finders; // by name of the plugin
    struct sld_map wants;   // "<plugin>/<ref>": secrets
    struct sld_plugin_backends *backends; // own reference, or NULL
};

static void on_put(void *user, struct sld_str name, struct sld_blob *bytes)
{
    const struct finder *f = user;
    f->all->ev.on_put(f->all->ev.user, f->plan->name, name, bytes);
}

static void on_gone(void *user, struct sld_str name)
{
    const struct finder *f = user;
    f->all->ev.on_gone(f->all->ev.user, f->plan->name, name);
}

static void on_synced(void *user)
{
    const struct finder *f = user;
    f->all->ev.on_synced(f->all->ev.user, f->plan->name);
}

static void on_problem(void *user, struct sld_str message)
{
    const struct finder *f = user;
    f->all->ev.on_problem(f->all->ev.user, f->plan->name, message);
}

struct sld_finders *sld_finders_create(struct sld_reactor *r, const struct sld_finders_events *ev)
{
    struct sld_finders *f = SLD_NEW(struct sld_finders);
    f->reactor = r;
    f->ev = *ev;
    return f;
}

static void want_all(struct finder *f)
{
    struct sld_str plugin;
    size_t at = 0;
    for (struct sld_map_slot *e; (e = sld_map_next(&f->all->wants, &at));) {
        struct sld_str ref = e->key;
        if (sld_str_cut(&ref, '/', &plugin) && sld_str_eq(plugin, f->plan->name))
            sld_resolver_want(f->resolver, ref, true);
    }
}

static void begin(struct finder *f, struct sld_plugin *p)
{
    struct sld_discover_events ev = {.on_put = on_put, .on_gone = on_gone, .on_synced = on_synced, .on_problem = on_problem, .user = f};
    struct sld_arena a = {0};
    const Google__Protobuf__Value *conf = NULL;
    unsigned hooks = sld_plugin_info(p)->hooks;
    sld_plugin_grant_files(p, f->plan->files, f->plan->file_count);
    sld_plugin_backends_set(p, f->all->backends);
    if (f->plan->kv)
        sld_plugin_kv_share(p, f->plan->kv);
    if (f->plan->counters)
        sld_plugin_counters_share(p, f->plan->counters);
    if (f->plan->conf.n)
        conf = sld_msg_decode(&a, &google__protobuf__value__descriptor, f->plan->conf, CONF_DEPTH_MAX, NULL);
    sld_discover_stop(f->task);
    sld_resolver_destroy(f->resolver);
    f->task = NULL;
    f->resolver = NULL;
    SLD_UNREF(f->plugin);
    f->plugin = sld_obj_ref(p);
    if (hooks & (1U << SLD_HOOK_DISCOVER)) {
        f->all->ev.on_begin(f->all->ev.user, f->plan->name);
        f->task = sld_discover_start(p, f->all->reactor, conf, &ev);
    }
    if (hooks & (1U << SLD_HOOK_SECRET)) {
        f->resolver = sld_resolver_create(p, f->all->reactor, conf, f->all->ev.on_secret, f->all->ev.user);
        want_all(f);
    }
    sld_arena_fini_secret(&a);
}

// No version of it loaded, or the former goes on.
static void broken(struct finder *f, struct sld_str why)
{
    size_t at = 0;
    on_problem(f, why);
    for (struct sld_map_slot *e; !f->resolver && (e = sld_map_next(&f->all->wants, &at));) {
        struct sld_secret_news n = {.ref = e->key, .problem = why};
        if (sld_str_cut(&n.ref, '/', &n.plugin) && sld_str_eq(n.plugin, f->plan->name))
            f->all->ev.on_secret(f->all->ev.user, &n);
    }
}

void sld_finders_set(struct sld_finders *all, struct sld_discover_plan *plan)
{
    struct finder *f = sld_map_get(&all->finders, plan->name);
    if (f && sld_hash_eq(f->plan->obj.hash, plan->obj.hash))
        return;
    if (!f) {
        f = SLD_NEW(struct finder);
        f->all = all;
        sld_map_set(&all->finders, plan->name, f);
    }
    SLD_UNREF(f->plan);
    f->plan = sld_obj_ref(plan);
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    if (sld_plugin_load(plan->bundle, &plan->limits, &p, &err))
        broken(f, sld_str_c(err.msg));
    else
        begin(f, p);
    SLD_UNREF(p);
}

static void finder_free(struct finder *f)
{
    if (!f)
        return;
    sld_discover_stop(f->task);
    sld_resolver_destroy(f->resolver);
    SLD_UNREF(f->plugin);
    SLD_UNREF(f->plan);
    sld_xfree(f);
}

void sld_finders_remove(struct sld_finders *f, struct sld_str plugin)
{
    finder_free(sld_map_remove(&f->finders, plugin));
}

void sld_finders_want(struct sld_finders *f, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    struct sld_arena a = {0};
    struct sld_str key = SLD_ARENA_JOIN(&a, plugin, SLD_STR("/"), ref);
    const struct finder *finder = sld_map_get(&f->finders, plugin);
    if (wanted)
        sld_map_set(&f->wants, key, f);
    else
        sld_map_remove(&f->wants, key);
    if (finder && finder->resolver)
        sld_resolver_want(finder->resolver, ref, wanted);
    sld_arena_fini(&a);
}

void sld_finders_backends(struct sld_finders *f, struct sld_plugin_backends *b)
{
    struct sld_plugin_backends *own = sld_obj_ref(b);
    size_t at = 0;
    SLD_UNREF(f->backends);
    f->backends = own;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&f->finders, &at));) {
        struct finder *one = slot->value;
        if (one->plugin)
            sld_plugin_backends_set(one->plugin, b);
    }
}

void sld_finders_each(const struct sld_finders *f,
                      void (*fn)(void *arg, struct sld_str name, const struct sld_plugin *p, size_t published, int64_t published_ms), void *arg)
{
    size_t n;
    struct sld_str *names = sld_map_sorted_keys(&f->finders, &n);
    for (size_t i = 0; i < n; i++) {
        const struct finder *one = sld_map_get(&f->finders, names[i]);
        int64_t ms = 0;
        size_t published = one->task ? sld_discover_published(one->task, &ms) : 0;
        if (one->plugin)
            fn(arg, names[i], one->plugin, published, ms);
    }
    sld_xfree(names);
}

void sld_finders_destroy(struct sld_finders *f)
{
    if (!f)
        return;
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&f->finders, &at));)
        finder_free(slot->value);
    sld_map_fini(&f->finders);
    sld_map_fini(&f->wants);
    SLD_UNREF(f->backends);
    sld_xfree(f);
}
