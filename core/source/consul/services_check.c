// Watches of all checks in one state: they tell which of the services that have no watch of their
// own changed their health.
#include "source/consul/services_inside.h"

// What a check says of a service or, of a node's, of all services there.
static void changed(struct svc_checks *c, struct sld_str node, struct sld_str service)
{
    struct svc *s = c->dc->svc;
    SLD_LIST_EACH (it, &s->cold) {
        struct svc_part *p = SLD_CONTAINER_OF(it, struct svc_part, link);
        bool hit = p->entry->dc == c->dc && !p->watch;
        if (hit && service.n)
            hit = sld_str_eq(p->entry->name->text, service);
        if (hit && !service.n && p->set)
            hit = sld_instances_have_node(p->set, node);
        if (hit)
            svc_part_due(p, SVC_FETCH);
    }
}

static void changed_key(struct svc_checks *c, struct sld_str key)
{
    struct sld_str node, check;
    if (sld_str_cut(&key, '\n', &node) && sld_str_cut(&key, '\n', &check))
        changed(c, node, key.p ? key : SLD_STR(""));
}

static void on_check(void *user, struct sld_str node, struct sld_str check, struct sld_str service)
{
    struct svc_checks *c = user;
    struct sld_buf key;
    sld_buf_init(&key, 1U << 16);
    sld_buf_addf(&key, "%.*s\n%.*s\n%.*s", SLD_FMT(node), SLD_FMT(check), SLD_FMT(service));
    bool known = sld_map_has(&c->seen, sld_buf_str(&key));
    sld_map_set(&c->seen, sld_buf_str(&key), (void *)c->answers); // a number, not an address
    if (!known)
        changed_key(c, sld_buf_str(&key));
    sld_buf_fini(&key);
}

static void on_rest(void *user)
{
    struct svc_checks *c = user;
    if (c->watch)
        sld_consul_watch_resume(c->watch);
}

static void on_answer(void *user, const struct sld_consul_answer *a)
{
    enum { BYTES_PER_MS = 1000, REST_MIN_MS = 100 };
    struct svc_checks *c = user;
    struct sld_arena arena = {0};
    c->answers++;
    if (svc_read_checks(&arena, a->body, on_check, c)) {
        size_t at = 0;
        for (struct sld_map_slot *slot; (slot = sld_map_next(&c->seen, &at));) {
            if ((uintptr_t)slot->value == c->answers)
                continue;
            changed_key(c, slot->key);
            sld_map_remove(&c->seen, slot->key);
        }
    }
    sld_arena_fini(&arena);
    // Where much fails for long, each look costs Consul all of it.
    uint64_t rest = a->body.n / BYTES_PER_MS;
    if (c->watch && rest >= REST_MIN_MS) {
        sld_consul_watch_pause(c->watch);
        sld_timer_start(c->rest, rest);
    }
}

static bool needed(const struct svc_checks *c)
{
    const struct svc *s = c->dc->svc;
    return !s->quiet && s->colds > 0 &&
           s->cfg.health != GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__IGNORED;
}

void svc_checks_update(struct svc_checks *c)
{
    struct svc *s = c->dc->svc;
    if (needed(c) == (c->watch != NULL))
        return;
    if (c->watch) {
        sld_consul_watch_stop(c->watch);
        c->watch = NULL;
        sld_map_fini(&c->seen);
        return;
    }
    struct sld_arena a = {0};
    struct sld_consul_param params[] = {{SLD_STR("dc"), c->dc->name}};
    struct sld_consul_watch_options o = {
        .query = {.path = sld_arena_fmt(&a, "/v1/health/state/%s", c->state),
                  .params = params,
                  .param_count = 1,
                  .consistency = s->cfg.consistency},
        .wait_ms = s->cfg.wait_ms,
        .on_answer = on_answer,
        .user = c};
    c->watch = sld_consul_watch_start(s->consul, &o);
    sld_arena_fini(&a);
}

void svc_checks_init(struct svc_checks *c, struct svc_dc *dc, const char *state)
{
    *c = (struct svc_checks){.dc = dc, .state = state};
    c->rest = sld_timer_create(dc->svc->loop, on_rest, c);
}

void svc_checks_fini(struct svc_checks *c)
{
    sld_consul_watch_stop(c->watch);
    sld_timer_destroy(c->rest);
    sld_map_fini(&c->seen);
}
