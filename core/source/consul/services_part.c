// The instances of a wanted service in one data center: asked by a watch of its own, or, when there
// are too many of those, when something else tells that they changed.
#include "source/consul/services_inside.h"

#include <stdlib.h>

#include "codec/text.h"
#include "net/dns.h"

enum {
    RETRY_MS = 1000,
    REST_MS = 10 * 1000,  // a watch whose service changed so lately is not given to another
    UNSEEN_MS = 5 * 1000, // so long the catalog may list a service without instances
    DOUBT_MS = 30 * 1000, // a disappearance that is not believed is looked at again
};

static struct svc *svc_of(const struct svc_part *p)
{
    return p->entry->dc->svc;
}

// ---- Known, failing ----

static bool resolved(const struct svc_part *p)
{
    return p->known || p->failing;
}

static void resolve(struct svc_part *p, bool known, bool failing)
{
    bool before = resolved(p);
    struct svc *s = svc_of(p);
    p->known = known;
    p->failing = failing;
    if (before == resolved(p))
        return;
    s->unknown += before ? 1U : 0U;
    s->unknown -= before ? 0U : 1U;
    if (!before) {
        svc_tell_instances(p->entry->name);
        svc_check_synced(s);
    }
}

// ---- Time ----

void svc_time(struct svc_part *p, uint64_t at_ns)
{
    struct svc *s = svc_of(p);
    uint64_t now = sld_mono_ns();
    if (p->timed_ns && p->timed_ns <= at_ns)
        return;
    p->timed_ns = at_ns;
    if (sld_list_empty(&p->timed))
        sld_list_push(&s->timed, &p->timed);
    // Until the earliest: a later one starts the timer anew when that one fires.
    uint64_t earliest = at_ns;
    SLD_LIST_EACH (it, &s->timed) {
        uint64_t at = SLD_CONTAINER_OF(it, struct svc_part, timed)->timed_ns;
        earliest = at < earliest ? at : earliest;
    }
    sld_timer_start(s->tick, earliest > now ? (earliest - now) / SVC_MS + 1 : 0);
}

static uint64_t in_ms(uint64_t ms)
{
    return sld_mono_ns() + ms * SVC_MS;
}

// ---- The set ----

static struct sld_hash who_of(const struct sld_instance *it)
{
    return sld_hash_mix(sld_hash_bytes(it->node), sld_hash_bytes(it->id));
}

static bool usable(const struct svc_config *cfg, const struct svc_instance *i)
{
    switch (cfg->health) {
    case GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__IGNORED:
        return true;
    case GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__WARNING:
        return i->health != SVC_CRITICAL;
    default:
        return i->health == SVC_PASSING;
    }
}

struct build {
    struct svc_part *p;
    struct sld_instances *set;
    struct sld_arena arena;
    const struct sld_instance *before; // of the part's set; NULL until needed
    struct svc_drain *drains; // own
    size_t drain_count;
    struct svc_host **hosts; // own
    size_t host_count;
    uint64_t next_ns; // the earliest end
};

// When the instance, which is not usable any more, is to be dropped; 0: it is not there.
static uint64_t drain_end(struct build *b, struct sld_hash who, uint64_t now)
{
    const struct svc_part *p = b->p;
    for (size_t i = 0; i < p->drain_count; i++) {
        if (sld_hash_eq(p->drains[i].who, who))
            return p->drains[i].until_ns > now ? p->drains[i].until_ns : 0;
    }
    uint64_t ms = svc_of(p)->cfg.drain_ms;
    if (!ms || !p->set)
        return 0;
    if (!b->before)
        b->before = sld_instances_items(&b->arena, p->set);
    for (size_t i = 0; i < p->set->count; i++) {
        if (sld_hash_eq(who_of(&b->before[i]), who))
            return now + ms * SVC_MS;
    }
    return 0;
}

static void add_drain(struct build *b, struct sld_hash who, uint64_t until_ns)
{
    b->drains = sld_xrealloc(b->drains, (b->drain_count + 1) * sizeof(*b->drains));
    b->drains[b->drain_count++] = (struct svc_drain){who, until_ns};
    if (!b->next_ns || until_ns < b->next_ns)
        b->next_ns = until_ns;
}

static struct svc_host *host_of(struct build *b, struct sld_str name)
{
    for (size_t i = 0; i < b->host_count; i++) {
        if (sld_str_eq(b->hosts[i]->name, name))
            return b->hosts[i];
    }
    struct svc_host *h = svc_host_get(svc_of(b->p), name);
    if (!h)
        return NULL;
    b->hosts = sld_xrealloc(b->hosts, (b->host_count + 1) * sizeof(*b->hosts));
    b->hosts[b->host_count++] = h;
    return h;
}

static void add_instance(struct build *b, const struct svc_instance *i, uint64_t now)
{
    struct sld_instance it = i->it;
    it.weight = i->health == SVC_WARNING ? i->weight_warning : i->weight_passing;
    if (!usable(&svc_of(b->p)->cfg, i)) {
        struct sld_hash who = who_of(&it);
        uint64_t until = drain_end(b, who, now);
        if (!until)
            return;
        it.draining = true;
        add_drain(b, who, until);
    }
    if (sld_is_ip(it.address, NULL)) {
        sld_instances_add(b->set, &it);
        return;
    }
    struct svc_host *h = it.address.n ? host_of(b, it.address) : NULL;
    it.hostname = it.address;
    for (size_t k = 0; h && k < h->count; k++) {
        it.address = h->addresses[k];
        sld_instances_add(b->set, &it);
    }
}

static void hosts_release(struct svc_part *p)
{
    for (size_t i = 0; i < p->host_count; i++)
        svc_host_release(p->hosts[i]);
    sld_xfree(p->hosts);
    p->hosts = NULL;
    p->host_count = 0;
}

// The part is moved behind those that changed before.
static void touched(struct svc_part *p)
{
    struct svc *s = svc_of(p);
    p->changed_ns = sld_mono_ns();
    if (!p->watch)
        return;
    sld_list_remove(&p->link);
    sld_list_push(&s->watched, &p->link);
}

// True when the set is another one now.
static bool take(struct svc_part *p, const struct svc_instance *items, size_t n,
                 struct sld_str body)
{
    struct build b = {.p = p, .set = sld_instances_create()};
    uint64_t now = sld_mono_ns();
    for (size_t i = 0; i < n; i++)
        add_instance(&b, &items[i], now);
    sld_arena_fini(&b.arena);
    sld_instances_seal(b.set);
    hosts_release(p);
    sld_xfree(p->drains);
    p->drains = b.drains;
    p->drain_count = b.drain_count;
    p->hosts = b.hosts;
    p->host_count = b.host_count;
    p->registered = n;
    struct sld_blob *keep = b.drain_count || b.host_count ? sld_blob_create(body) : NULL;
    SLD_UNREF(p->body);
    p->body = keep;
    if (b.next_ns)
        svc_time(p, b.next_ns);
    bool other = !p->set || !sld_hash_eq(p->set->obj.hash, b.set->obj.hash), changed = other || p->past;
    p->past = false;
    if (other) {
        SLD_UNREF(p->set);
        p->set = b.set;
        touched(p);
    } else {
        SLD_UNREF(b.set);
    }
    return changed;
}

static bool is_catalog(const struct svc_part *p)
{
    return svc_of(p)->cfg.health == GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__IGNORED;
}

static void tell_unseen(struct svc_part *p, bool unseen)
{
    struct svc_name *n = p->entry->name;
    struct sld_arena a = {0};
    if (n->unseen == unseen)
        return;
    n->unseen = unseen;
    svc_problem(svc_of(p), n->text, SLD_SOURCE_STALE,
                unseen
                    ? sld_arena_fmt(&a,
                                    "Consul lists service %.*s, but none of its instances may be "
                                    "seen; give the token node:read and service:read",
                                    SLD_FMT(n->text))
                    : SLD_STR_NONE);
    sld_arena_fini(&a);
}

// ---- Answers ----

// It is asked again when the data center had some rest, and so is everybody else.
static void failed(struct svc_part *p)
{
    enum { REST_MAX = 4 }; // doublings
    struct svc_dc *dc = p->entry->dc;
    if (!dc->resting) {
        uint64_t ms = (uint64_t)RETRY_MS << (dc->failures < REST_MAX ? dc->failures : REST_MAX);
        dc->failures++;
        dc->resting = true;
        sld_timer_start(dc->rest, ms / 2 + sld_random_below(ms));
    }
    p->due = SVC_FETCH;
    sld_list_push(&dc->fetches, &p->queue);
    resolve(p, p->known, true);
}

static bool missing(const struct svc_part *p)
{
    return p->entry->seen != p->entry->dc->seen;
}

// No instances any more: that counts when the catalog, too, has the service no more, and the token
// may see it. The catalog's answer comes at the same time.
static void vanished(struct svc_part *p)
{
    p->doubtful = true;
    if (missing(p))
        svc_doubt_ask(p->entry);
    svc_time(p, in_ms(UNSEEN_MS));
}

static bool answered(struct svc_part *p, struct sld_str body)
{
    struct sld_arena a = {0};
    struct svc_instance *items;
    size_t n;
    bool changed = false, ok = svc_read_instances(&a, body, is_catalog(p), &items, &n);
    if (!ok) {
        SLD_LOG(SLD_WARN, "source", "consul_answer_broken", SLD_KS("service", p->entry->name->text),
                SLD_KI("bytes", body.n));
        if (p->watch)
            sld_consul_watch_refuse(p->watch, "Consul's answer is broken or was cut");
        else
            failed(p);
    } else if (n == 0 && p->registered) {
        vanished(p);
    } else {
        p->doubtful = n == 0 && !missing(p);
        if (p->doubtful)
            svc_time(p, in_ms(UNSEEN_MS));
        else
            tell_unseen(p, false);
        changed = take(p, items, n, body);
        resolve(p, true, false);
    }
    sld_arena_fini(&a);
    if (changed)
        svc_tell_instances(p->entry->name);
    return changed;
}

void svc_part_believe(struct svc_part *p, bool believe)
{
    if (!p->doubtful)
        return;
    if (!believe) {
        svc_time(p, in_ms(DOUBT_MS));
        return;
    }
    p->doubtful = false;
    tell_unseen(p, false);
    if (take(p, NULL, 0, SLD_STR("[]")))
        svc_tell_instances(p->entry->name);
}

void svc_part_rebuild(struct svc_part *p)
{
    struct sld_arena a = {0};
    struct svc_instance *items;
    size_t n;
    if (!p->body)
        return;
    struct sld_blob *body = sld_obj_ref(p->body);
    bool ok = svc_read_instances(&a, body->data, is_catalog(p), &items, &n);
    SLD_INV(ok); // it was read before
    bool changed = take(p, items, n, body->data);
    SLD_UNREF(body);
    sld_arena_fini(&a);
    if (changed)
        svc_tell_instances(p->entry->name);
}

// ---- Asking ----

struct question {
    struct sld_arena arena;
    struct sld_consul_param params[2];
    struct sld_consul_query q;
};

// A probe asks for the index alone: its filter lets nothing through.
static void question(const struct svc_part *p, bool probe, struct question *out)
{
    const struct svc_name *n = p->entry->name;
    bool catalog = is_catalog(p);
    *out = (struct question){0};
    out->params[0] = (struct sld_consul_param){SLD_STR("dc"), p->entry->dc->name};
    out->params[1] = (struct sld_consul_param){
        SLD_STR("filter"), catalog ? SLD_STR("ServiceID == \"\"") : SLD_STR("Service.ID == \"\"")};
    out->q.path = sld_arena_fmt(&out->arena, "/v1/%s/service/%.*s", catalog ? "catalog" : "health",
                                SLD_FMT(n->text));
    out->q.params = out->params;
    out->q.param_count = probe ? 2 : 1;
    out->q.consistency = svc_consistency(n);
}

static void on_watch(void *user, const struct sld_consul_answer *a)
{
    struct svc_part *p = user;
    answered(p, a->body);
    p->index = a->index;
}

static void on_watch_problem(void *user, enum sld_rc rc, struct sld_str message)
{
    struct svc_part *p = user;
    (void)message; // the data center's catalog says it for all
    resolve(p, p->known, rc != SLD_OK);
}

static bool room(const struct svc *s)
{
    return s->watches < SVC_WATCHES_MAX && sld_consul_watch_room(s->consul) > SVC_WATCHES_LEFT;
}

static void unqueue(struct svc_part *p)
{
    if (p->due == SVC_PROBE)
        svc_dc_probed(p->entry->dc);
    sld_list_remove(&p->queue);
    p->due = SVC_IDLE;
    if (!p->call)
        return;
    sld_consul_cancel(p->call);
    p->call = NULL;
    svc_of(p)->calls--;
}

// Gives the part a watch of its own.
static void warm(struct svc_part *p)
{
    struct svc *s = svc_of(p);
    struct question q;
    question(p, false, &q);
    q.q.cached = svc_cached(p->entry->name);
    struct sld_consul_watch_options o = {.query = q.q,
                                         .wait_ms = s->cfg.wait_ms,
                                         .index = p->known ? p->index : 0,
                                         .on_answer = on_watch,
                                         .on_problem = on_watch_problem,
                                         .user = p};
    unqueue(p);
    p->watch = sld_consul_watch_start(s->consul, &o);
    sld_arena_fini(&q.arena);
    sld_list_remove(&p->link);
    sld_list_push(&s->watched, &p->link);
    s->watches++;
    s->colds--;
}

static void chill(struct svc_part *p)
{
    struct svc *s = svc_of(p);
    sld_consul_watch_stop(p->watch);
    p->watch = NULL;
    sld_list_remove(&p->link);
    sld_list_push(&s->cold, &p->link);
    s->watches--;
    s->colds++;
}

static void checks_update(struct svc *s)
{
    SLD_LIST_EACH (it, &s->dcs) {
        struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        svc_checks_update(&dc->critical);
        svc_checks_update(&dc->warning);
    }
}

// The cold part changed: what changes once changes again, so it gets a watch, if need be that of
// the one that was quiet for longest.
static void promote(struct svc_part *p)
{
    struct svc *s = svc_of(p);
    if (p->watch)
        return;
    if (!room(s) && !sld_list_empty(&s->watched)) {
        struct svc_part *quiet = SLD_CONTAINER_OF(s->watched.next, struct svc_part, link);
        if (!quiet->known || sld_mono_ns() - quiet->changed_ns < REST_MS * SVC_MS)
            return;
        chill(quiet);
    }
    if (room(s))
        warm(p);
    checks_update(s);
}

void svc_on_rest(void *user)
{
    struct svc_dc *dc = user;
    dc->resting = false;
    svc_pump(dc->svc);
}

static void fetched(struct svc_part *p, enum svc_due what, const struct sld_consul_answer *a)
{
    bool news = a->index != p->index;
    p->entry->dc->failures = a->err ? p->entry->dc->failures : 0;
    if (a->err) {
        failed(p);
    } else if (what == SVC_PROBE) {
        resolve(p, p->known, false);
        if (news)
            svc_part_due(p, SVC_FETCH);
    } else {
        bool first = !p->known;
        p->index = a->index;
        resolve(p, p->known, false);
        if (answered(p, a->body) && !first)
            promote(p);
    }
}

static void on_call(void *user, const struct sld_consul_answer *a)
{
    struct svc_part *p = user;
    struct svc *s = svc_of(p);
    enum svc_due what = p->due;
    bool again = p->again;
    p->call = NULL;
    p->due = SVC_IDLE;
    p->again = false;
    s->calls--;
    if (what == SVC_PROBE)
        svc_dc_probed(p->entry->dc);
    fetched(p, what, a);
    if (again && !p->watch)
        svc_part_due(p, SVC_FETCH);
    svc_pump(s);
}

void svc_part_due(struct svc_part *p, enum svc_due due)
{
    struct svc_dc *dc = p->entry->dc;
    if (p->watch)
        return;
    if (p->call) {
        p->again = true;
        return;
    }
    if (p->due >= due)
        return;
    if (p->due == SVC_PROBE)
        svc_dc_probed(dc);
    p->due = due;
    sld_list_remove(&p->queue);
    sld_list_push(due == SVC_FETCH ? &dc->fetches : &dc->probes, &p->queue);
    svc_pump(dc->svc);
}

// What is to be asked next; NULL: nothing.
static struct svc_part *next_question(struct svc *s)
{
    SLD_LIST_EACH (it, &s->dcs) {
        struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        struct sld_list *from = !sld_list_empty(&dc->fetches) ? &dc->fetches : &dc->probes;
        if (!dc->resting && !sld_list_empty(from))
            return SLD_CONTAINER_OF(from->next, struct svc_part, queue);
    }
    return NULL;
}

void svc_pump(struct svc *s)
{
    struct svc_part *p;
    while (s->calls < SVC_CALLS_MAX && (p = next_question(s))) {
        struct question q;
        sld_list_remove(&p->queue);
        question(p, p->due == SVC_PROBE, &q);
        p->call = sld_consul_ask(s->consul, &q.q, on_call, p);
        s->calls++;
        sld_arena_fini(&q.arena);
    }
}

// ---- Ticks ----

static void drains_over(struct svc_part *p, uint64_t now)
{
    uint64_t next = 0;
    bool over = false;
    for (size_t i = 0; i < p->drain_count; i++) {
        over = over || p->drains[i].until_ns <= now;
        if (!next || p->drains[i].until_ns < next)
            next = p->drains[i].until_ns;
    }
    if (over)
        svc_part_rebuild(p);
    else if (next)
        svc_time(p, next);
}

static void still_doubtful(struct svc_part *p)
{
    if (missing(p)) {
        svc_doubt_ask(p->entry);
        svc_time(p, in_ms(DOUBT_MS));
    } else {
        tell_unseen(p, true);
    }
}

static void due(struct svc_part *p, uint64_t now)
{
    drains_over(p, now);
    if (p->doubtful)
        still_doubtful(p);
}

void svc_on_tick(void *user)
{
    struct svc *s = user;
    uint64_t now = sld_mono_ns(), earliest = 0;
    struct sld_list ripe;
    sld_list_init(&ripe);
    SLD_LIST_EACH (it, &s->timed) {
        struct svc_part *p = SLD_CONTAINER_OF(it, struct svc_part, timed);
        if (p->timed_ns <= now) {
            sld_list_remove(&p->timed);
            sld_list_push(&ripe, &p->timed);
        } else if (!earliest || p->timed_ns < earliest) {
            earliest = p->timed_ns;
        }
    }
    if (earliest)
        sld_timer_start(s->tick, (earliest - now) / SVC_MS + 1);
    while (!sld_list_empty(&ripe)) {
        struct svc_part *p = SLD_CONTAINER_OF(ripe.next, struct svc_part, timed);
        sld_list_remove(&p->timed);
        p->timed_ns = 0;
        due(p, now);
    }
}

// ---- Life ----

// What the last process knew serves until there is an answer.
static void restore(struct svc_part *p)
{
    struct sld_arena a = {0};
    const struct sld_instances *past = p->entry->past;
    const struct sld_instance *items = sld_instances_items(&a, past);
    p->set = sld_instances_create();
    for (size_t i = 0; i < past->count; i++) {
        if (sld_str_eq(items[i].datacenter, p->entry->dc->name))
            sld_instances_add(p->set, &items[i]);
    }
    sld_instances_seal(p->set);
    p->past = true;
    sld_arena_fini(&a);
    p->registered = p->set->count;
}

struct svc_part *svc_part_create(struct svc_entry *e)
{
    struct svc *s = e->dc->svc;
    struct svc_part *p = SLD_NEW(struct svc_part);
    p->entry = e;
    e->part = p;
    sld_list_init(&p->link);
    sld_list_init(&p->queue);
    sld_list_init(&p->timed);
    sld_list_push(&s->cold, &p->link);
    s->colds++;
    s->unknown++;
    if (e->past)
        restore(p);
    if (room(s))
        warm(p);
    else
        svc_part_due(p, SVC_FETCH);
    checks_update(s);
    return p;
}

void svc_part_destroy(struct svc_part *p)
{
    struct svc *s = svc_of(p);
    tell_unseen(p, false);
    if (p->watch)
        chill(p);
    unqueue(p);
    s->colds--;
    s->unknown -= resolved(p) ? 0U : 1U;
    sld_list_remove(&p->link);
    sld_list_remove(&p->timed);
    hosts_release(p);
    SLD_UNREF(p->set);
    SLD_UNREF(p->body);
    sld_xfree(p->drains);
    p->entry->part = NULL;
    sld_xfree(p);
    svc_pump(s);
    // Whoever was cold may have the watch that is free now.
    if (!s->quiet && room(s) && !sld_list_empty(&s->cold))
        warm(SLD_CONTAINER_OF(s->cold.next, struct svc_part, link));
    checks_update(s);
}

void svc_part_restart(struct svc_part *p)
{
    if (p->watch) {
        chill(p);
        warm(p);
    }
}
