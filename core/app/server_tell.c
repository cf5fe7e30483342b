// What the server's sources tell the model thread, and what they are told of it: what is wanted, and
// statuses.
#include "app/server_inside.h"

#include <stdio.h>

// ---- What a source tells ----

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct source *c = user;
    c->last_sync_ms = c->synced ? sld_wall_ms() : 0;
    sld_model_thread_put(c->s->model, sld_str_c(c->name), path, bytes, settled);
}

static void on_gone(void *user, struct sld_str path)
{
    struct source *c = user;
    sld_model_thread_gone(c->s->model, sld_str_c(c->name), path);
}

static void on_synced(void *user)
{
    struct source *c = user;
    if (!c->synced)
        SLD_LOG(SLD_INFO, "app", "source_synced", SLD_KC("source", c->name));
    c->synced = true;
    c->last_sync_ms = sld_wall_ms();
    sld_model_thread_synced(c->s->model, sld_str_c(c->name));
}

// Everybody who gives secrets on demand has answered for KEY.
static bool all_answered(struct server *s, struct sld_str key)
{
    SLD_LIST_EACH (it, &s->sources) {
        const struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c->ops && c->ops->want && !sld_map_has(&c->answered, key))
            return false;
    }
    return true;
}

static void on_answered(void *user, struct sld_str key)
{
    struct source *c = user;
    if (!sld_map_has(&c->s->wanted[SLD_WANT_SECRET], key))
        return;
    sld_map_set(&c->answered, key, c);
    if (all_answered(c->s, key))
        sld_model_thread_answered(c->s->model, key);
}

void server_sources_answered(struct server *s)
{
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&s->wanted[SLD_WANT_SECRET], &at));) {
        if (all_answered(s, slot->key))
            sld_model_thread_answered(s->model, slot->key);
    }
}

static void set_up(struct source *c)
{
    if (!c->up)
        SLD_LOG(SLD_INFO, "app", "source_up", SLD_KC("source", c->name),
                SLD_KI("stale_ms", sld_wall_ms() - c->stale_since_ms));
    c->up = true;
    c->stale_since_ms = 0;
    c->problem[0] = 0;
}

static void set_down(struct source *c, struct sld_str why)
{
    if (c->up)
        c->stale_since_ms = sld_wall_ms();
    c->up = false;
    snprintf(c->problem, sizeof(c->problem), "%.*s", SLD_FMT(why));
    char since[32];
    sld_time_text(c->stale_since_ms, since);
    SLD_LOG(SLD_WARN, "app", "source_down", SLD_KC("source", c->name), SLD_KC("since", since),
            SLD_KS("reason", why));
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct source *c = user;
    if (!path.n && message.p && code != SLD_EXPIRES_SOON)
        set_down(c, message);
    else if (!path.n)
        set_up(c);
    sld_model_thread_problem(c->s->model, sld_str_c(c->name), path, code, message);
}

struct sld_source_events server_source_events(struct source *c)
{
    return (struct sld_source_events){.on_put = on_put,
                                      .on_gone = on_gone,
                                      .on_synced = on_synced,
                                      .on_problem = on_problem,
                                      .on_answered = on_answered,
                                      .user = c,
                                      .restored = c->restored};
}

void server_source_problem(struct source *c, struct sld_str why)
{
    on_problem(c, SLD_STR(""), SLD_SOURCE_STALE, why);
}

// ---- What a discovery tells ----

enum { TOLD_SERVICE = 1, TOLD_INSTANCES = 2 };

// Keeps which services were told, so that they can be taken back.
static void told_set(struct source *c, struct sld_str name, uintptr_t what, bool yes)
{
    uintptr_t before = (uintptr_t)sld_map_get(&c->told, name);
    uintptr_t now = yes ? before | what : before & ~what;
    if (now)
        sld_map_set(&c->told, name, (void *)now); // a number, not an address
    else
        sld_map_remove(&c->told, name);
}

static void on_service(void *user, struct sld_str name, struct sld_service *service)
{
    struct source *c = user;
    told_set(c, name, TOLD_SERVICE, service != NULL);
    sld_model_thread_service(c->s->model, sld_str_c(c->discovery_ops->name), name, service);
    c->service_sent = sld_model_thread_sent(c->s->model);
}

static void on_instances(void *user, struct sld_str name, struct sld_instances *instances, bool past)
{
    struct source *c = user;
    told_set(c, name, TOLD_INSTANCES, instances != NULL);
    sld_model_thread_instances(c->s->model, sld_str_c(c->discovery_ops->name), name, instances, past);
}

struct sld_discovery_events server_discovery_events(struct source *c)
{
    return (struct sld_discovery_events){.on_service = on_service,
                                         .on_instances = on_instances,
                                         .on_synced = on_synced,
                                         .on_problem = on_problem,
                                         .user = c,
                                         .memory = c->memory};
}

void server_source_take_back(struct source *c)
{
    struct sld_str registry = sld_str_c(c->discovery_ops->name);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&c->told, &at));) {
        uintptr_t what = (uintptr_t)slot->value;
        if (what & TOLD_INSTANCES)
            sld_model_thread_instances(c->s->model, registry, slot->key, NULL, false);
        if (what & TOLD_SERVICE)
            sld_model_thread_service(c->s->model, registry, slot->key, NULL);
    }
    sld_map_fini(&c->told);
}

// ---- Wants ----

bool server_source_is_open(const struct source *c)
{
    return c->source || c->discovery;
}

// What C is told when KEY of KIND is wanted; absent when that is none of its business.
static struct sld_str want_name(const struct source *c, enum sld_want_kind kind, struct sld_str key)
{
    if (kind == SLD_WANT_SECRET)
        return c->source && c->ops->want ? key : SLD_STR_NONE;
    struct sld_str registry;
    if (!c->discovery || !sld_str_cut(&key, '\n', &registry) ||
        !sld_str_eq(registry, sld_str_c(c->discovery_ops->name)))
        return SLD_STR_NONE;
    return key;
}

// NAME absent: that was all for now.
static void tell_want(struct source *c, struct sld_str name, bool wanted)
{
    if (c->discovery)
        c->discovery_ops->want(c->discovery, name, wanted);
    else if (c->source && c->ops->want)
        c->ops->want(c->source, name, wanted);
}

// Tells C, which was opened a moment ago, everything that is wanted.
void server_source_tell_wanted(struct source *c)
{
    for (int k = 0; k < (int)SLD_ARRAY_LEN(c->s->wanted); k++) {
        size_t at = 0;
        for (struct sld_map_slot *slot; (slot = sld_map_next(&c->s->wanted[k], &at));) {
            struct sld_str name = want_name(c, (enum sld_want_kind)k, slot->key);
            if (name.p)
                tell_want(c, name, true);
        }
    }
    if (c->s->complete)
        tell_want(c, SLD_STR_NONE, true);
}

void server_sources_want(struct server *s, const struct sld_model_news *n)
{
    for (size_t i = 0; i < n->want_count; i++) {
        const struct sld_want_change *w = &n->wants[i];
        if (w->wanted)
            sld_map_set(&s->wanted[w->kind], w->key, s);
        else
            sld_map_remove(&s->wanted[w->kind], w->key);
        SLD_LIST_EACH (it, &s->sources) {
            struct source *c = SLD_CONTAINER_OF(it, struct source, link);
            struct sld_str name = want_name(c, w->kind, w->key);
            if (w->kind == SLD_WANT_SECRET)
                sld_map_remove(&c->answered, w->key);
            if (name.p)
                tell_want(c, name, w->wanted);
        }
    }
    s->complete |= n->complete;
    if (!s->complete)
        return;
    SLD_LIST_EACH (it, &s->sources) {
        struct source *c = SLD_CONTAINER_OF(it, struct source, link);
        if (c->service_sent <= n->handled) // else these news do not know yet what C told of
            tell_want(c, SLD_STR_NONE, true);
    }
}

// ---- Statuses ----

void server_sources_status(struct server *s, const struct sld_model_news *n)
{
    for (size_t i = 0; i < n->status_count; i++) {
        const struct sld_model_status *t = &n->statuses[i];
        struct source *c = server_source_find(s, t->source);
        if (c && c->source && c->ops->status)
            c->ops->status(c->source, t->path, t->id, t->status, n->reporter_ns);
    }
}
