// The discovery of services in Consul: settings, data centers, wishes, and what is told.
#include "source/consul/services_inside.h"

#include "net/dns.h"
#include "source/consul/services.h"

enum {
    WAIT_MS =
        300 * 1000, // of blocking queries: a hundred of them are a question each three seconds
    DRAIN_MS = 10 * 1000,
    DNS_MS = 5 * 1000,
    DCS_MS = 60 * 1000, // between looks at the data centers
    DCS_RETRY_MS = 1000,
    DCS_RETRY_DOUBLINGS = 4,
    MISSING_MAX = 2,  // looks without a data center before it is gone
    PATROL_MS = 2500, // a cold part is probed each so often, changed or not
};

static struct svc *svc_of(struct sld_discovery *d)
{
    return SLD_CONTAINER_OF(d, struct svc, base);
}

// ---- Settings ----

static uint64_t ms_of(const Google__Protobuf__Duration *d, uint64_t otherwise)
{
    int64_t ms = d ? sld_duration_ms(d) : 0;
    return d && ms >= 0 ? (uint64_t)ms : otherwise;
}

static enum sld_consul_consistency consistency_of(const Gloo__Settings *s)
{
    if (!s->consuldiscovery)
        return SLD_CONSUL_DEFAULT;
    switch (s->consuldiscovery->consistencymode) {
    case GLOO__CONSUL_CONSISTENCY_MODES__StaleMode:
        return SLD_CONSUL_STALE;
    case GLOO__CONSUL_CONSISTENCY_MODES__ConsistentMode:
        return SLD_CONSUL_CONSISTENT;
    default:
        return SLD_CONSUL_DEFAULT;
    }
}

static void config_make(struct svc_config *c, const Gloo__Settings *s)
{
    const Gloo__ConsulConfiguration *consul = s->consul;
    const Gloo__ConsulServiceOptions *own = s->solder ? s->solder->consul_services : NULL;
    const Gloo__ConsulConfiguration__ServiceDiscoveryOptions *d =
        consul ? consul->service_discovery : NULL;
    *c = (struct svc_config){
        .health = own ? own->health : GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__PASSING,
        .consistency = consistency_of(s),
        .drain_ms = ms_of(own ? own->drain_time : NULL, DRAIN_MS),
        .dns_ms = ms_of(consul ? consul->dns_polling_interval : NULL, DNS_MS),
        .wait_ms = ms_of(consul ? consul->wait_time : NULL, 0),
    };
    c->wait_ms = c->wait_ms ? c->wait_ms : WAIT_MS;
    c->dns_ms = c->dns_ms ? c->dns_ms : DNS_MS;
    c->dns =
        sld_arena_str(&c->arena, consul && consul->dns_address[0] ? sld_str_c(consul->dns_address)
                                                                  : SLD_STR("127.0.0.1:8600"));
    c->dc_count = d ? d->n_data_centers : 0;
    c->dcs = SLD_ARENA_ARRAY(&c->arena, struct sld_str, c->dc_count);
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < c->dc_count; i++) {
        c->dcs[i] = sld_arena_str(&c->arena, sld_str_c(d->data_centers[i]));
        sld_hasher_add_u64(&h, c->dcs[i].n);
        sld_hasher_add(&h, c->dcs[i]);
    }
    sld_hasher_add_u64(&h, (uint64_t)c->health << 8 | (uint64_t)c->consistency);
    sld_hasher_add_u64(&h, c->drain_ms);
    sld_hasher_add_u64(&h, c->dns_ms);
    sld_hasher_add_u64(&h, c->wait_ms);
    sld_hasher_add(&h, c->dns);
    c->hash = sld_hasher_done(&h);
}

static bool enabled(const Gloo__Settings *s)
{
    return s->consul && s->consul->service_discovery;
}

// ---- Names ----

static struct sld_str name_key(const void *item)
{
    return ((const struct svc_name *)item)->text;
}

static struct sld_str host_key(const void *item)
{
    return ((const struct svc_host *)item)->name;
}

struct svc_name *svc_name_get(struct svc *s, struct sld_str text)
{
    struct svc_name *n = sld_set_get(&s->names, text);
    if (n)
        return n;
    n = sld_xcalloc(1, sizeof(*n) + text.n + 1);
    char *copy = (char *)(n + 1);
    memcpy(copy, text.p, text.n);
    n->text = sld_str_n(copy, text.n);
    n->svc = s;
    sld_set_add(&s->names, n);
    return n;
}

void svc_name_drop(struct svc_name *n)
{
    if (n->entries || n->wanted)
        return;
    sld_set_remove(&n->svc->names, n);
    SLD_UNREF(n->service);
    sld_xfree(n);
}

// ---- What is told ----

void svc_problem(struct svc *s, struct sld_str what, enum sld_code code, struct sld_str message)
{
    if (!s->closing)
        s->ev.on_problem(s->ev.user, what, code, message);
}

// Whether each data center's catalog is known, or, unless ALL, cannot be for now.
static bool catalogs_known(const struct svc *s, bool all)
{
    if (!s->dcs_known)
        return false;
    SLD_LIST_EACH (it, &s->dcs) {
        const struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        if (!dc->known && (all || !dc->failing))
            return false;
    }
    return true;
}

static bool any_catalog_known(const struct svc *s)
{
    SLD_LIST_EACH (it, &s->dcs) {
        if (SLD_CONTAINER_OF(it, struct svc_dc, link)->known)
            return true;
    }
    return false;
}

static struct sld_instances *instances_of(const struct svc_name *n, bool *past);

// Keeps over restarts what was told of N, or that there is nothing.
static void remember(struct svc_name *n)
{
    struct sld_discovery_memory *m = n->svc->ev.memory;
    if (!m || !n->wanted)
        return;
    bool past;
    struct sld_instances *set = n->entries ? instances_of(n, &past) : NULL;
    if (set && n->service)
        sld_discovery_memory_set(m, n->service, set);
    else if (!n->entries)
        sld_discovery_memory_forget(m, n->text);
    SLD_UNREF(set);
}

// Whether enough is known of N to speak of it.
static bool may_tell(const struct svc_name *n)
{
    return (n->past && n->entries) || catalogs_known(n->svc, n->entries == NULL);
}

static struct sld_service *service_of(const struct svc_name *n)
{
    struct sld_arena a = {0};
    struct sld_str *tags = NULL, *dcs = NULL;
    size_t tags_n = 0, dcs_n = 0;
    for (const struct svc_entry *e = n->entries; e; e = e->next) {
        for (size_t i = 0; i < e->tag_count; i++)
            SLD_PUSH(&a, tags, tags_n, e->tags[i]);
        SLD_PUSH(&a, dcs, dcs_n, e->dc->name);
    }
    struct sld_service *service = sld_service_create(n->text, tags, tags_n, dcs, dcs_n);
    sld_arena_fini(&a);
    return service;
}

void svc_tell_service(struct svc_name *n)
{
    struct svc *s = n->svc;
    if (s->quiet || !may_tell(n))
        return;
    if (!n->entries) {
        bool told = n->service != NULL;
        SLD_UNREF(n->service);
        n->service = NULL;
        if (told)
            s->ev.on_service(s->ev.user, n->text, NULL);
        return;
    }
    struct sld_service *service = service_of(n);
    if (!n->service || !sld_hash_eq(service->obj.hash, n->service->obj.hash)) {
        SLD_UNREF(n->service);
        n->service = sld_obj_ref(service);
        s->marked = s->marked && s->synced; // somebody may want it now
        s->ev.on_service(s->ev.user, n->text, service);
        remember(n);
    }
    SLD_UNREF(service);
}

// The instances of all data centers, some of which may be of the PAST; NULL: some are not known yet, or none is.
static struct sld_instances *instances_of(const struct svc_name *n, bool *past)
{
    *past = false;
    size_t known = 0;
    const struct svc_part *one = NULL;
    if (!may_tell(n) || !(n->past || any_catalog_known(n->svc)))
        return NULL;
    for (const struct svc_entry *e = n->entries; e; e = e->next) {
        const struct svc_part *p = e->part;
        if (!p || (!p->set && !p->failing))
            return NULL;
        known += p->set != NULL;
        *past |= p->past;
        one = p->set ? p : one;
    }
    if (n->entries && !known)
        return NULL;
    if (known == 1)
        return sld_obj_ref(one->set);
    struct sld_instances *all = sld_instances_create();
    struct sld_arena a = {0};
    for (const struct svc_entry *e = n->entries; e; e = e->next) {
        const struct sld_instances *set = e->part->set;
        const struct sld_instance *items = set ? sld_instances_items(&a, set) : NULL;
        for (size_t i = 0; items && i < set->count; i++)
            sld_instances_add(all, &items[i]);
    }
    sld_arena_fini(&a);
    sld_instances_seal(all);
    return all;
}

void svc_tell_instances(struct svc_name *n)
{
    struct svc *s = n->svc;
    if (!n->wanted || s->quiet)
        return;
    bool past;
    struct sld_instances *set = instances_of(n, &past);
    if (set && (!sld_hash_eq(set->obj.hash, n->told_set) || past != n->told_past)) {
        n->told_set = set->obj.hash;
        n->told_past = past;
        s->ev.on_instances(s->ev.user, n->text, set, past);
        remember(n);
    }
    SLD_UNREF(set);
}

void svc_tell_all(struct svc *s)
{
    size_t at = 0;
    if (!catalogs_known(s, false))
        return;
    for (struct svc_name *n; (n = sld_set_next(&s->names, &at));) {
        n->past = false;
        svc_tell_service(n);
        svc_tell_instances(n);
        svc_name_drop(n);
    }
    svc_check_synced(s);
}

void svc_check_synced(struct svc *s)
{
    if (s->synced || s->quiet || !s->marked || s->unknown || !catalogs_known(s, false) ||
        !any_catalog_known(s))
        return;
    s->synced = true;
    if (s->ev.memory)
        sld_discovery_memory_forget_old(s->ev.memory);
    s->ev.on_synced(s->ev.user);
}

void svc_tell_problems(struct svc *s)
{
    size_t failing = 0;
    const struct svc_dc *one = NULL;
    SLD_LIST_EACH (it, &s->dcs) {
        const struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        failing += dc->failing;
        one = dc->failing ? dc : one;
    }
    bool all = s->dc_count ? failing == s->dc_count : s->dc_words != NULL;
    if (all != s->told_down) {
        s->told_down = all;
        const char *words = one ? one->words : s->dc_words;
        svc_problem(s, SLD_STR(""), SLD_SOURCE_STALE, all ? sld_str_c(words) : SLD_STR_NONE);
    }
    SLD_LIST_EACH (it, &s->dcs) {
        struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        bool tell = dc->failing && !all;
        if (tell == dc->told_failing)
            continue;
        dc->told_failing = tell;
        struct sld_arena a = {0};
        svc_problem(s, sld_arena_fmt(&a, "data center %.*s", SLD_FMT(dc->name)), SLD_SOURCE_STALE,
                    tell ? sld_str_c(dc->words) : SLD_STR_NONE);
        sld_arena_fini(&a);
    }
    svc_check_synced(s);
}

// ---- Data centers ----

static bool allowed(const struct svc_config *c, struct sld_str name)
{
    for (size_t i = 0; i < c->dc_count; i++) {
        if (sld_str_eq(c->dcs[i], name))
            return true;
    }
    return c->dc_count == 0;
}

static struct svc_dc *dc_named(struct svc *s, struct sld_str name)
{
    SLD_LIST_EACH (it, &s->dcs) {
        struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        if (sld_str_eq(dc->name, name))
            return dc;
    }
    return NULL;
}

static bool has(const struct sld_str *list, size_t n, struct sld_str s)
{
    for (size_t i = 0; i < n; i++) {
        if (sld_str_eq(list[i], s))
            return true;
    }
    return false;
}

// One that is named in the settings and that Consul does not know.
static void tell_unknown_dcs(struct svc *s, const struct sld_str *list, size_t n)
{
    struct sld_arena a = {0};
    struct sld_str words = SLD_STR_NONE;
    for (size_t i = 0; i < s->cfg.dc_count && !words.p; i++) {
        if (!has(list, n, s->cfg.dcs[i]))
            words =
                sld_arena_fmt(&a,
                              "Consul knows no data center %.*s; correct the name, or connect the "
                              "data centers",
                              SLD_FMT(s->cfg.dcs[i]));
    }
    if (s->told_dcs != (words.p != NULL)) {
        s->told_dcs = words.p != NULL;
        svc_problem(s, SLD_STR("consul.serviceDiscovery.dataCenters"), SLD_SOURCE_STALE, words);
    }
    sld_arena_fini(&a);
}

static void take_dcs(struct svc *s, const struct sld_str *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (allowed(&s->cfg, list[i]) && !dc_named(s, list[i]))
            svc_dc_create(s, list[i]);
    }
    bool news = !s->dcs_known; // catalogs may be known already
    SLD_LIST_EACH (it, &s->dcs) {
        struct svc_dc *dc = SLD_CONTAINER_OF(it, struct svc_dc, link);
        dc->missing = has(list, n, dc->name) ? 0 : dc->missing + 1;
        if (dc->missing < MISSING_MAX && allowed(&s->cfg, dc->name))
            continue;
        news = true;
        svc_dc_destroy(dc);
    }
    tell_unknown_dcs(s, list, n);
    s->dcs_known = true;
    if (news)
        svc_tell_all(s);
}

static void ask_dcs(void *user);

static void dcs_failed(struct svc *s, const struct sld_err *err)
{
    unsigned doublings =
        s->dc_failures < DCS_RETRY_DOUBLINGS ? s->dc_failures : DCS_RETRY_DOUBLINGS;
    uint64_t ms = (uint64_t)DCS_RETRY_MS << doublings;
    s->dc_failures++;
    sld_timer_start(s->dc_timer, ms / 2 + sld_random_below(ms));
    size_t n = strlen(err->msg);
    sld_xfree(s->dc_words);
    s->dc_words = sld_xcalloc(1, n + 1);
    memcpy(s->dc_words, err->msg, n);
    svc_tell_problems(s);
}

static void on_dcs(void *user, const struct sld_consul_answer *a)
{
    struct svc *s = user;
    struct sld_arena arena = {0};
    struct sld_str *list;
    size_t n;
    s->dc_call = NULL;
    if (a->err) {
        dcs_failed(s, a->err);
        return;
    }
    if (svc_read_texts(&arena, a->body, &list, &n) && n) {
        s->dc_failures = 0;
        sld_xfree(s->dc_words);
        s->dc_words = NULL;
        take_dcs(s, list, n);
        svc_tell_problems(s);
        sld_timer_start(s->dc_timer, DCS_MS - DCS_MS / 8 + sld_random_below(DCS_MS / 4));
    } else {
        struct sld_err err;
        sld_err_set(&err, SLD_IO, "Consul's list of data centers is broken or was cut");
        dcs_failed(s, &err);
    }
    sld_arena_fini(&arena);
}

static void ask_dcs(void *user)
{
    struct svc *s = user;
    struct sld_consul_query q = {.path = SLD_STR("/v1/catalog/datacenters")};
    if (!s->dc_call)
        s->dc_call = sld_consul_ask(s->consul, &q, on_dcs, s);
}

// ---- Wishes ----

// "stale", "consistent", "uncached" behind the service's name, as translate gives them.
static size_t how_of(struct sld_str how)
{
    size_t i = 0;
    struct sld_str word;
    while (how.n && sld_str_cut(&how, ',', &word)) {
        if (sld_str_eq(word, SLD_STR("stale")))
            i += 2 * (size_t)SLD_CONSUL_STALE;
        else if (sld_str_eq(word, SLD_STR("consistent")))
            i += 2 * (size_t)SLD_CONSUL_CONSISTENT;
        else if (sld_str_eq(word, SLD_STR("uncached")))
            i += 1;
    }
    return i < SVC_HOWS ? i : 0;
}

static bool asked(const struct svc_name *n, enum sld_consul_consistency c)
{
    return n->asks[2 * (size_t)c] || n->asks[2 * (size_t)c + 1];
}

enum sld_consul_consistency svc_consistency(const struct svc_name *n)
{
    if (asked(n, SLD_CONSUL_CONSISTENT))
        return SLD_CONSUL_CONSISTENT;
    return asked(n, SLD_CONSUL_DEFAULT) ? SLD_CONSUL_DEFAULT : SLD_CONSUL_STALE;
}

// Consul refuses to answer consistently from a cache.
bool svc_cached(const struct svc_name *n)
{
    for (size_t i = 1; i < SVC_HOWS; i += 2) {
        if (n->asks[i])
            return false;
    }
    return svc_consistency(n) != SLD_CONSUL_CONSISTENT;
}

static void that_was_all(struct svc *s)
{
    if (!s->marked) {
        s->marked = true;
        SLD_LIST_EACH (it, &s->dcs)
            svc_dc_settle(SLD_CONTAINER_OF(it, struct svc_dc, link));
    }
    svc_check_synced(s);
}

static void want(struct sld_discovery *d, struct sld_str what, bool wanted)
{
    struct svc *s = svc_of(d);
    struct sld_str text;
    if (!what.p) {
        that_was_all(s);
        return;
    }
    sld_str_cut(&what, '\n', &text);
    struct svc_name *n = svc_name_get(s, text);
    size_t how = how_of(what);
    if (!wanted && !n->asks[how]) {
        svc_name_drop(n);
        return;
    }
    enum sld_consul_consistency c = svc_consistency(n);
    bool cached = svc_cached(n);
    n->asks[how] += wanted ? 1U : 0U;
    n->asks[how] -= wanted ? 0U : 1U;
    n->wanted += wanted ? 1U : 0U;
    n->wanted -= wanted ? 0U : 1U;
    if (wanted ? n->wanted == 1 : n->wanted == 0) {
        svc_want_changed(n);
        svc_tell_instances(n);
    } else if (c != svc_consistency(n) || cached != svc_cached(n)) {
        for (struct svc_entry *e = n->entries; e; e = e->next)
            svc_part_restart(e->part);
    }
    if (!n->wanted) {
        if (!sld_hash_zero(n->told_set))
            s->ev.on_instances(s->ev.user, n->text, NULL, false);
        n->told_set = (struct sld_hash){0};
        n->told_past = false;
        if (s->ev.memory && s->synced)
            sld_discovery_memory_forget(s->ev.memory, n->text);
        svc_name_drop(n);
    }
}

// ---- The last process ----

static void on_kept(void *user, struct sld_service *service, struct sld_instances *instances)
{
    struct svc *s = user;
    for (size_t i = 0; i < service->datacenter_count; i++) {
        struct sld_str name = service->datacenters[i];
        if (!allowed(&s->cfg, name))
            continue;
        struct svc_dc *dc = dc_named(s, name);
        svc_dc_restore(dc ? dc : svc_dc_create(s, name), service, instances);
    }
}

// What was known is told before anything is asked.
static void on_past(void *user)
{
    struct svc *s = user;
    size_t at = 0;
    for (struct svc_name *n; (n = sld_set_next(&s->names, &at));)
        svc_tell_service(n);
    ask_dcs(s);
}

// ---- Life ----

static void on_patrol(void *user)
{
    struct svc *s = user;
    if (!sld_list_empty(&s->cold)) {
        struct svc_part *p = SLD_CONTAINER_OF(s->cold.next, struct svc_part, link);
        sld_list_remove(&p->link);
        sld_list_push(&s->cold, &p->link);
        if (!p->entry->dc->sweeping)
            svc_part_due(p, SVC_PROBE);
    }
    sld_timer_start(s->patrol, PATROL_MS);
}

static void svc_close(struct sld_discovery *d)
{
    if (!d)
        return;
    struct svc *s = svc_of(d);
    s->closing = s->quiet = true;
    sld_consul_cancel(s->dc_call);
    SLD_LIST_EACH (it, &s->dcs)
        svc_dc_destroy(SLD_CONTAINER_OF(it, struct svc_dc, link));
    svc_trust_fini(s);
    svc_hosts_fini(s);
    sld_timer_destroy(s->dc_timer);
    sld_timer_destroy(s->past_timer);
    sld_timer_destroy(s->tick);
    sld_timer_destroy(s->patrol);
    size_t at = 0;
    for (struct svc_name *n; (n = sld_set_next(&s->names, &at));) {
        sld_set_remove(&s->names, n);
        SLD_UNREF(n->service);
        sld_xfree(n);
    }
    sld_set_fini(&s->names);
    sld_consul_release(s->consul);
    sld_arena_fini(&s->cfg.arena);
    sld_xfree(s->dc_words);
    sld_xfree(s);
}

static enum sld_rc svc_open(struct sld_loop *io, const Gloo__Settings *settings,
                            const struct sld_discovery_events *ev, struct sld_discovery **out,
                            struct sld_err *err)
{
    struct sld_consul *consul;
    enum sld_rc rc = sld_consul_get(io, SLD_STR_NONE, settings, &consul, err);
    if (rc)
        return rc;
    struct svc *s = SLD_NEW(struct svc);
    s->base.ops = &sld_consul_discovery_ops;
    s->loop = io;
    s->consul = consul;
    s->ev = *ev;
    s->names.key = name_key;
    s->hosts.key = host_key;
    sld_list_init(&s->dcs);
    sld_list_init(&s->watched);
    sld_list_init(&s->cold);
    sld_list_init(&s->timed);
    sld_list_init(&s->doubts);
    config_make(&s->cfg, settings);
    s->dc_timer = sld_timer_create(io, ask_dcs, s);
    s->past_timer = sld_timer_create(io, on_past, s);
    s->tick = sld_timer_create(io, svc_on_tick, s);
    s->patrol = sld_timer_create(io, on_patrol, s);
    s->doubt_timer = sld_timer_create(io, svc_on_doubts, s);
    s->dns_timer = sld_timer_create(io, svc_on_hosts, s);
    svc_hosts_configure(s);
    if (ev->memory)
        sld_discovery_memory_each(ev->memory, on_kept, s);
    sld_timer_start(s->past_timer, 0);
    sld_timer_start(s->patrol, PATROL_MS);
    *out = &s->base;
    return SLD_OK;
}

// All that was learnt under other settings is learnt anew; what was told stays until then.
static void relearn(struct svc *s)
{
    s->dcs_known = false;
    s->quiet = true; // nothing is told of what goes
    SLD_LIST_EACH (it, &s->dcs)
        svc_dc_destroy(SLD_CONTAINER_OF(it, struct svc_dc, link));
    s->quiet = false;
    size_t at = 0;
    for (struct svc_name *n; (n = sld_set_next(&s->names, &at));)
        n->past = false;
    sld_consul_cancel(s->dc_call);
    s->dc_call = NULL;
    sld_timer_start(s->dc_timer, 0);
}

static void configure(struct sld_discovery *d, const Gloo__Settings *settings)
{
    struct svc *s = svc_of(d);
    struct sld_err err;
    bool bad = sld_consul_configure(s->consul, settings, &err) != SLD_OK;
    if (bad || s->told_config)
        svc_problem(s, SLD_STR("consul"), SLD_SOURCE_STALE,
                    bad ? sld_str_c(err.msg) : SLD_STR_NONE);
    s->told_config = bad;
    struct svc_config cfg;
    config_make(&cfg, settings);
    if (sld_hash_eq(cfg.hash, s->cfg.hash)) {
        sld_arena_fini(&cfg.arena);
        return;
    }
    sld_arena_fini(&s->cfg.arena);
    s->cfg = cfg;
    svc_hosts_configure(s);
    relearn(s);
}

static void reread(struct sld_discovery *d)
{
    struct svc *s = svc_of(d);
    sld_timer_start(s->dc_timer, 0);
    SLD_LIST_EACH (it, &s->dcs)
        svc_dc_reread(SLD_CONTAINER_OF(it, struct svc_dc, link));
    SLD_LIST_EACH (it, &s->watched)
        sld_consul_watch_again(SLD_CONTAINER_OF(it, struct svc_part, link)->watch);
    SLD_LIST_EACH (it, &s->cold)
        svc_part_due(SLD_CONTAINER_OF(it, struct svc_part, link), SVC_FETCH);
}

const struct sld_discovery_ops sld_consul_discovery_ops = {
    .name = "consul",
    .help = "services and their instances in Consul, by consul.serviceDiscovery of the Settings",
    .enabled = enabled,
    .open = svc_open,
    .configure = configure,
    .want = want,
    .reread = reread,
    .close = svc_close,
};
