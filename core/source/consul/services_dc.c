// A data center: its catalog, and what has to be asked when that moved.
#include "source/consul/services_inside.h"

enum {
    LINGER_MS = 60 * 1000,    // a wanted service stays so long after it left the catalog
    HOLD_MS = 10 * 60 * 1000, // so long nothing disappears after Consul lost its state
    SWEEP_REST_MS = 1000,     // between sweeps at least, and nine times as long as one took
    SWEEP_SHARE = 9,
};

// ---- Entries ----

static void set_denied(struct svc_entry *e, bool denied)
{
    struct svc_name *n = e->name;
    struct sld_arena a = {0};
    bool any = false;
    e->denied = denied;
    for (const struct svc_entry *x = n->entries; x; x = x->next)
        any = any || x->denied;
    if (n->denied == any)
        return;
    n->denied = any;
    svc_problem(n->svc, n->text, SLD_SOURCE_STALE,
                any ? sld_arena_fmt(&a,
                                    "the token may not see service %.*s any more, so its instances "
                                    "stay as they were; give it service:read and node:read",
                                    SLD_FMT(n->text))
                    : SLD_STR_NONE);
    sld_arena_fini(&a);
}

static void entry_free(struct svc_entry *e)
{
    struct svc_name *n = e->name;
    if (e->part)
        svc_part_destroy(e->part);
    svc_doubt_drop(e);
    set_denied(e, false);
    for (struct svc_entry **at = &n->entries; *at; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            break;
        }
    }
    sld_list_remove(&e->link);
    SLD_UNREF(e->past);
    sld_xfree(e->tags);
    sld_xfree(e);
}

// The same, and what people and routes know of it.
static void entry_remove(struct svc_entry *e)
{
    struct svc_name *n = e->name;
    entry_free(e);
    svc_tell_service(n);
    svc_tell_instances(n);
    svc_name_drop(n);
}

static struct svc_entry *entry_get(struct svc_dc *dc, struct sld_str name)
{
    struct svc_name *n = svc_name_get(dc->svc, name);
    for (struct svc_entry *e = n->entries; e; e = e->next) {
        if (e->dc == dc)
            return e;
    }
    struct svc_entry *e = SLD_NEW(struct svc_entry);
    e->name = n;
    e->dc = dc;
    e->next = n->entries;
    n->entries = e;
    sld_list_init(&e->doubt.link);
    sld_list_push(&dc->entries, &e->link);
    if (n->wanted)
        svc_part_create(e);
    return e;
}

static struct sld_hash tags_hash(const struct sld_str *tags, size_t n)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < n; i++) {
        sld_hasher_add_u64(&h, tags[i].n);
        sld_hasher_add(&h, tags[i]);
    }
    return sld_hasher_done(&h);
}

static void set_tags(struct svc_entry *e, const struct sld_str *tags, size_t n)
{
    size_t bytes = n * sizeof(*tags);
    for (size_t i = 0; i < n; i++)
        bytes += tags[i].n;
    sld_xfree(e->tags);
    e->tags = n ? sld_xalloc(bytes) : NULL;
    char *at = n ? (char *)(e->tags + n) : NULL;
    for (size_t i = 0; i < n; i++) {
        memcpy(at, tags[i].p, tags[i].n);
        e->tags[i] = sld_str_n(at, tags[i].n);
        at += tags[i].n;
    }
    e->tag_count = n;
    e->hash = tags_hash(tags, n);
}

void svc_dc_restore(struct svc_dc *dc, const struct sld_service *s, struct sld_instances *past)
{
    struct svc_entry *e = entry_get(dc, s->name);
    e->name->past = true;
    SLD_UNREF(e->past);
    e->past = sld_obj_ref(past);
    set_tags(e, s->tags, s->tag_count);
}

static void on_service(void *user, struct sld_str name, const struct sld_str *tags, size_t n)
{
    struct svc_dc *dc = user;
    struct svc_entry *e = entry_get(dc, name);
    bool is_new = !e->seen, back = e->gone_ns || (e->seen && e->seen != dc->seen - 1);
    bool same = sld_hash_eq(tags_hash(tags, n), e->hash);
    e->seen = dc->seen;
    e->gone_ns = 0;
    dc->listed++;
    svc_doubt_drop(e);
    set_denied(e, false);
    if (!is_new && !back && same)
        return;
    set_tags(e, tags, n);
    svc_tell_service(e->name);
    if (e->part)
        svc_part_due(e->part, SVC_FETCH);
}

void svc_want_changed(struct svc_name *n)
{
    for (struct svc_entry *e = n->entries, *next; e; e = next) {
        next = e->next;
        if (n->wanted && !e->part)
            svc_part_create(e);
        if (!n->wanted && e->part)
            svc_part_destroy(e->part);
        if (!n->wanted && e->seen != e->dc->seen)
            entry_free(e);
    }
    svc_tell_service(n);
}

// ---- Disappearances ----

uint64_t svc_dc_holds(const struct svc_dc *dc)
{
    return dc->reborn_ns ? dc->reborn_ns + HOLD_MS * SVC_MS : 0;
}

// The catalog has the entry no more.
static void missing(struct svc_entry *e)
{
    // Of what the last process knew nobody said yet who wants it.
    if (e->gone_ns || (e->past && !e->dc->svc->marked))
        return;
    if (!e->name->wanted)
        entry_remove(e);
    else if (!svc_dc_holds(e->dc))
        svc_doubt_ask(e);
}

static void look_for_missing(struct svc_dc *dc)
{
    SLD_LIST_EACH (it, &dc->entries) {
        struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
        if (e->seen != dc->seen)
            missing(e);
    }
}

void svc_dc_settle(struct svc_dc *dc)
{
    if (!dc->known || !dc->svc->marked)
        return;
    look_for_missing(dc);
    SLD_LIST_EACH (it, &dc->entries) {
        struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
        SLD_UNREF(e->past);
        e->past = NULL;
    }
}

// When lingering services and held ones are looked at next.
static void dc_time(struct svc_dc *dc)
{
    uint64_t now = sld_mono_ns(), due = svc_dc_holds(dc);
    SLD_LIST_EACH (it, &dc->entries) {
        struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
        uint64_t at = e->gone_ns ? e->gone_ns + LINGER_MS * SVC_MS : 0;
        due = at && (!due || at < due) ? at : due;
    }
    if (due)
        sld_timer_start(dc->linger, due > now ? (due - now) / SVC_MS + 1 : 0);
}

static void on_linger(void *user)
{
    struct svc_dc *dc = user;
    uint64_t now = sld_mono_ns();
    if (dc->reborn_ns && now >= svc_dc_holds(dc)) {
        dc->reborn_ns = 0;
        look_for_missing(dc);
    }
    SLD_LIST_EACH (it, &dc->entries) {
        struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
        if (e->gone_ns && now >= e->gone_ns + LINGER_MS * SVC_MS)
            entry_remove(e);
    }
    dc_time(dc);
}

void svc_entry_verdict(struct svc_entry *e, enum svc_verdict v)
{
    bool is_missing = e->seen != e->dc->seen;
    if (v != SVC_UNKNOWN)
        set_denied(e, v == SVC_DENIED);
    if (!is_missing || svc_dc_holds(e->dc))
        return;
    if (v == SVC_SEEN && !e->gone_ns) {
        e->gone_ns = sld_mono_ns();
        dc_time(e->dc);
    }
    if (e->part)
        svc_part_believe(e->part, v == SVC_SEEN);
}

// ---- Sweeps ----

static void sweep_start(struct svc_dc *dc)
{
    struct svc *s = dc->svc;
    dc->sweep_due = false;
    dc->sweep_ns = sld_mono_ns();
    size_t n = 0;
    // Counted first: probes are told while they are put.
    SLD_LIST_EACH (it, &s->cold) {
        struct svc_part *p = SLD_CONTAINER_OF(it, struct svc_part, link);
        n += p->entry->dc == dc && p->due == SVC_IDLE && !p->call;
    }
    dc->sweeping = n;
    SLD_LIST_EACH (it, &s->cold) {
        struct svc_part *p = SLD_CONTAINER_OF(it, struct svc_part, link);
        if (p->entry->dc == dc && p->due == SVC_IDLE && !p->call)
            svc_part_due(p, SVC_PROBE);
    }
}

static void sweep_soon(struct svc_dc *dc)
{
    uint64_t now = sld_mono_ns();
    dc->sweep_due = true;
    if (dc->sweeping)
        return;
    sld_timer_start(dc->sweep,
                    dc->next_sweep_ns > now ? (dc->next_sweep_ns - now) / SVC_MS + 1 : 0);
}

static void on_sweep(void *user)
{
    struct svc_dc *dc = user;
    if (dc->sweep_due && !dc->sweeping)
        sweep_start(dc);
}

void svc_dc_probed(struct svc_dc *dc)
{
    if (!dc->sweeping || --dc->sweeping)
        return;
    uint64_t now = sld_mono_ns(), rest = (now - dc->sweep_ns) * SWEEP_SHARE;
    dc->next_sweep_ns = now + (rest > SWEEP_REST_MS * SVC_MS ? rest : SWEEP_REST_MS * SVC_MS);
    if (dc->sweep_due)
        sweep_soon(dc);
}

// ---- The catalog ----

static void set_failing(struct svc_dc *dc, bool failing, struct sld_str words)
{
    struct svc *s = dc->svc;
    sld_xfree(dc->words);
    dc->words = NULL;
    if (failing) {
        dc->words = sld_xcalloc(1, words.n + 1);
        memcpy(dc->words, words.p, words.n);
    }
    dc->failing = failing;
    svc_tell_problems(s);
    if (failing && !dc->known)
        svc_tell_all(s);
}

// Whether Consul knows less than it did: while we looked, or, of the first answer, since the last
// process.
static bool reborn(const struct svc_dc *dc, const struct sld_consul_answer *a)
{
    const struct sld_discovery_memory *m = dc->svc->ev.memory;
    return a->went_back || (m && !dc->known && a->index < sld_discovery_memory_mark(m, dc->name));
}

static void on_catalog(void *user, const struct sld_consul_answer *a)
{
    struct svc_dc *dc = user;
    struct sld_arena arena = {0};
    if (reborn(dc, a)) {
        dc->reborn_ns = sld_mono_ns();
        SLD_LOG(SLD_WARN, "source", "consul_lost_state", SLD_KS("datacenter", dc->name),
                SLD_KI("index", a->index));
    }
    dc->seen++;
    dc->listed = 0;
    bool ok = svc_read_services(&arena, a->body, on_service, dc);
    sld_arena_fini(&arena);
    if (!ok) {
        // What was read of it is true; what was not is not missing.
        SLD_LIST_EACH (it, &dc->entries) {
            struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
            e->seen = e->seen == dc->seen - 1 ? dc->seen : e->seen;
        }
        set_failing(dc, true, SLD_STR("Consul's list of services is broken or was cut"));
        sld_consul_watch_refuse(dc->catalog, "Consul's list of services is broken or was cut");
        return;
    }
    if (dc->svc->ev.memory && !svc_dc_holds(dc))
        sld_discovery_memory_set_mark(dc->svc->ev.memory, dc->name, a->index);
    if (dc->failing)
        set_failing(dc, false, SLD_STR_NONE);
    look_for_missing(dc);
    dc_time(dc);
    if (!dc->known) {
        dc->known = true;
        svc_tell_all(dc->svc);
        svc_dc_settle(dc);
    }
    sweep_soon(dc);
}

static void on_catalog_problem(void *user, enum sld_rc rc, struct sld_str message)
{
    struct svc_dc *dc = user;
    set_failing(dc, rc != SLD_OK, message);
    if (rc == SLD_OK && dc->svc->colds)
        sweep_soon(dc);
}

static void catalog_start(struct svc_dc *dc)
{
    struct svc *s = dc->svc;
    struct sld_consul_param params[] = {{SLD_STR("dc"), dc->name}};
    struct sld_consul_watch_options o = {.query = {.path = SLD_STR("/v1/catalog/services"),
                                                   .params = params,
                                                   .param_count = 1,
                                                   .consistency = s->cfg.consistency},
                                         .wait_ms = s->cfg.wait_ms,
                                         .every_index = true,
                                         .on_answer = on_catalog,
                                         .on_problem = on_catalog_problem,
                                         .user = dc};
    dc->catalog = sld_consul_watch_start(s->consul, &o);
}

// ---- Life ----

struct svc_dc *svc_dc_create(struct svc *s, struct sld_str name)
{
    struct svc_dc *dc = SLD_NEW(struct svc_dc);
    char *copy = sld_xcalloc(1, name.n + 1);
    memcpy(copy, name.p, name.n);
    dc->name = sld_str_n(copy, name.n);
    dc->svc = s;
    sld_list_init(&dc->entries);
    sld_list_init(&dc->fetches);
    sld_list_init(&dc->probes);
    sld_list_push(&s->dcs, &dc->link);
    s->dc_count++;
    dc->linger = sld_timer_create(s->loop, on_linger, dc);
    dc->sweep = sld_timer_create(s->loop, on_sweep, dc);
    dc->rest = sld_timer_create(s->loop, svc_on_rest, dc);
    svc_checks_init(&dc->critical, dc, "critical");
    svc_checks_init(&dc->warning, dc, "warning");
    catalog_start(dc);
    return dc;
}

void svc_dc_destroy(struct svc_dc *dc)
{
    struct svc *s = dc->svc;
    sld_consul_watch_stop(dc->catalog);
    SLD_LIST_EACH (it, &dc->entries) {
        struct svc_entry *e = SLD_CONTAINER_OF(it, struct svc_entry, link);
        if (s->quiet)
            entry_free(e);
        else
            entry_remove(e);
    }
    svc_checks_fini(&dc->critical);
    svc_checks_fini(&dc->warning);
    sld_timer_destroy(dc->linger);
    sld_timer_destroy(dc->sweep);
    sld_timer_destroy(dc->rest);
    sld_list_remove(&dc->link);
    s->dc_count--;
    struct sld_arena a = {0};
    if (dc->told_failing)
        svc_problem(s, sld_arena_fmt(&a, "data center %.*s", SLD_FMT(dc->name)), SLD_SOURCE_STALE,
                    SLD_STR_NONE);
    sld_arena_fini(&a);
    sld_xfree(dc->words);
    sld_xfree((char *)(uintptr_t)dc->name.p);
    sld_xfree(dc);
}

void svc_dc_reread(struct svc_dc *dc)
{
    sld_consul_watch_again(dc->catalog);
}
