// Instances whose address is a name: it is looked up by Consul's DNS again and again, and what was
// found last stays when it cannot be.
#include "source/consul/services_inside.h"

#include "net/dns.h"

// All parts that have the host among their instances.
static void rebuild_parts(struct svc_host *h, struct sld_list *parts)
{
    SLD_LIST_EACH (it, parts) {
        struct svc_part *p = SLD_CONTAINER_OF(it, struct svc_part, link);
        for (size_t i = 0; i < p->host_count; i++) {
            if (p->hosts[i] == h) {
                svc_part_rebuild(p);
                break;
            }
        }
    }
}

static bool same(const struct svc_host *h, const struct sld_dns_answer *a)
{
    bool is = h->count == a->count;
    for (size_t i = 0; is && i < a->count; i++)
        is = sld_str_eq(h->addresses[i], a->addresses[i]);
    return is;
}

static void tell(struct svc *s, struct sld_str words)
{
    if (s->told_dns == (words.p != NULL))
        return;
    s->told_dns = words.p != NULL;
    svc_problem(s, SLD_STR("consul.dnsAddress"), SLD_SOURCE_STALE, words);
}

static bool any_failing(const struct svc *s)
{
    size_t at = 0;
    for (const struct svc_host *h; (h = sld_set_next(&s->hosts, &at));) {
        if (h->failing)
            return true;
    }
    return false;
}

static void on_answer(void *user, const struct sld_dns_answer *a)
{
    struct svc_host *h = user;
    struct svc *s = h->svc;
    h->lookup = NULL;
    h->failing = a->err != NULL;
    if (a->err) {
        tell(s, sld_str_c(a->err->msg));
        return;
    }
    if (!any_failing(s))
        tell(s, SLD_STR_NONE);
    if (same(h, a))
        return;
    sld_arena_fini(&h->arena);
    h->addresses = SLD_ARENA_ARRAY(&h->arena, struct sld_str, a->count);
    h->count = a->count;
    for (size_t i = 0; i < a->count; i++)
        h->addresses[i] = sld_arena_str(&h->arena, a->addresses[i]);
    h->refs++; // while parts let go of it and take it again
    // A part that changes moves to the end of its list, where it is met once more: nothing changes
    // then.
    rebuild_parts(h, &s->watched);
    rebuild_parts(h, &s->cold);
    svc_host_release(h);
}

static void start(struct svc_host *h)
{
    if (h->svc->dns && !h->lookup)
        h->lookup = sld_dns_lookup(h->svc->dns, h->name, on_answer, h);
}

struct svc_host *svc_host_get(struct svc *s, struct sld_str name)
{
    struct svc_host *h = sld_set_get(&s->hosts, name);
    if (h) {
        h->refs++;
        return h;
    }
    if (!s->dns)
        return NULL;
    h = SLD_NEW(struct svc_host);
    char *copy = sld_xcalloc(1, name.n + 1);
    memcpy(copy, name.p, name.n);
    h->name = sld_str_n(copy, name.n);
    h->svc = s;
    h->refs = 1;
    sld_set_add(&s->hosts, h);
    start(h);
    if (sld_set_count(&s->hosts) == 1)
        sld_timer_start(s->dns_timer, s->cfg.dns_ms);
    return h;
}

void svc_host_release(struct svc_host *h)
{
    struct svc *s = h->svc;
    if (--h->refs)
        return;
    sld_set_remove(&s->hosts, h);
    sld_dns_cancel(h->lookup);
    if (h->failing && !any_failing(s))
        tell(s, SLD_STR_NONE);
    sld_arena_fini(&h->arena);
    sld_xfree((char *)(uintptr_t)h->name.p);
    sld_xfree(h);
}

void svc_on_hosts(void *user)
{
    struct svc *s = user;
    size_t at = 0;
    for (struct svc_host *h; (h = sld_set_next(&s->hosts, &at));)
        start(h);
    if (sld_set_count(&s->hosts))
        sld_timer_start(s->dns_timer, s->cfg.dns_ms);
}

static void forget_lookups(struct svc *s)
{
    size_t at = 0;
    for (struct svc_host *h; (h = sld_set_next(&s->hosts, &at));)
        h->lookup = NULL; // ended with the resolver
}

void svc_hosts_configure(struct svc *s)
{
    struct sld_dns *dns = NULL;
    struct sld_err err;
    if (sld_dns_create(s->loop, s->cfg.dns, &dns, &err)) {
        tell(s, sld_str_c(err.msg));
        return; // the former serves
    }
    sld_dns_destroy(s->dns);
    forget_lookups(s);
    s->dns = dns;
    tell(s, SLD_STR_NONE);
    svc_on_hosts(s);
}

void svc_hosts_fini(struct svc *s)
{
    sld_dns_destroy(s->dns);
    s->dns = NULL;
    sld_timer_destroy(s->dns_timer);
    sld_set_fini(&s->hosts);
}
