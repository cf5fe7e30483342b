// How long a change takes until every connected Envoy has acknowledged it.
//
// Whether all have is looked up when Envoys say something, and for the case that nobody tells of that
// now and then. A look costs by the number of Envoys, so the time between two is at least ten times
// what the last one took.
#include "admin/inside.h"

enum { SHARE = 10, LOOK_MS = 250 };

struct standing {
    size_t clients, behind;
};

static void look_at(const struct sld_xds_client_info *c, void *arg)
{
    struct standing *s = arg;
    s->clients++;
    s->behind += !c->converged;
}

void converge_round(struct sld_admin *a, const struct sld_admin_round *r)
{
    if (!r->changed || a->converge.since_ns)
        return; // a round that comes while an older one waits is done when all is
    a->converge.since_ns = r->since_ns ? r->since_ns : sld_mono_ns() - r->duration_ns;
    converge_look(a);
}

void converge_look(struct sld_admin *a)
{
    struct standing s = {0};
    uint64_t now = sld_mono_ns();
    if (now < a->converge.not_before_ns) {
        sld_timer_start(a->converge.timer, (a->converge.not_before_ns - now) / 1000000 + 1);
        return;
    }
    sld_xds_clients(a->opt.xds, look_at, &s);
    uint64_t after = sld_mono_ns();
    a->converge.not_before_ns = after + (after - now) * SHARE;
    if (s.behind) {
        sld_timer_start(a->converge.timer, LOOK_MS);
        return;
    }
    if (s.clients)
        histogram_add(a->converge.buckets, &a->converge.seconds,
                      (double)(now - a->converge.since_ns) / 1e9);
    a->converge.since_ns = 0;
}
