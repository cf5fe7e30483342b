// /v1/envoys, /v1/sources and /v1/secrets: what lives on the io thread.
#include "admin/inside.h"

static void put_type(struct sld_json *j, enum sld_xds_type t, const struct sld_xds_type_stat *s)
{
    sld_json_key(j, sld_xds_type_name(t));
    sld_json_begin(j, '{');
    put_bool(j, "wildcard", s->wildcard);
    put_int(j, "subscribed", s->subscribed);
    put_int(j, "pushes", s->pushes);
    put_int(j, "acks", s->acks);
    put_int(j, "nacks", s->nacks);
    put_int(j, "bytes", s->bytes);
    put_int(j, "unacked", s->unacked);
    put_int(j, "behind", s->behind);
    put_int(j, "refused", s->refused);
    put_str(j, "lastError", s->last_error.n ? s->last_error : SLD_STR_NONE);
    sld_json_end(j, '}');
}

static void put_client(const struct sld_xds_client_info *c, void *arg)
{
    struct sld_json *j = arg;
    int64_t age_ms = (int64_t)((sld_mono_ns() - c->connected_ns) / 1000000);
    sld_json_begin(j, '{');
    put_str(j, "peer", c->peer);
    put_str(j, "nodeId", c->node_id);
    put_str(j, "role", c->role);
    put_str(j, "view", c->view);
    put_str(j, "build", c->build);
    put_c(j, "protocol", c->kind == SLD_XDS_DELTA_ADS ? "delta" : "sotw");
    put_time(j, "connectedAt", sld_wall_ms() - age_ms);
    put_bool(j, "converged", c->converged);
    sld_json_key(j, "types");
    sld_json_begin(j, '{');
    for (int t = 0; t < SLD_XDS_TYPE_COUNT; t++)
        put_type(j, (enum sld_xds_type)t, &c->types[t]);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
}

void v1_envoys(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_admin_edge e = {0};
    struct sld_json j;
    (void)c;
    a->opt.host.edge(&e, a->opt.host.user);
    answer_json(out, &j);
    sld_json_key(&j, "envoys");
    sld_json_begin(&j, '[');
    sld_xds_clients(a->opt.xds, put_client, &j);
    sld_json_end(&j, ']');
    if (e.supervised) {
        sld_json_key(&j, "supervised");
        sld_json_begin(&j, '{');
        put_bool(&j, "up", e.up);
        put_str(&j, "state", e.state);
        put_str(&j, "version", e.version);
        if (e.pid > 0)
            put_int(&j, "pid", (uint64_t)e.pid);
        put_int(&j, "restarts", e.restarts);
        put_str(&j, "problem", e.problem);
        sld_json_end(&j, '}');
    }
    answer_json_end(out, &j);
}

static void put_writer(struct sld_json *j, const struct sld_source_writer *w)
{
    sld_json_key(j, "statuses");
    sld_json_begin(j, '{');
    put_str(j, "lock", w->lock);
    put_bool(j, "ours", w->ours);
    put_str(j, "holder", w->holder);
    sld_json_end(j, '}');
}

void v1_sources(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_admin_source *s =
        SLD_ARENA_ARRAY(c->arena, struct sld_admin_source, SLD_ADMIN_SOURCES_MAX);
    size_t n = a->opt.host.sources(s, SLD_ADMIN_SOURCES_MAX, a->opt.host.user);
    struct sld_json j;
    answer_json(out, &j);
    sld_json_key(&j, "sources");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < n; i++) {
        sld_json_begin(&j, '{');
        put_str(&j, "name", s[i].name);
        put_c(&j, "type", s[i].type);
        put_c(&j, "holds", s[i].holds);
        put_c(&j, "setting", s[i].setting);
        put_str(&j, "store", s[i].store);
        put_bool(&j, "up", s[i].up);
        put_bool(&j, "synced", s[i].synced);
        put_time(&j, "lastSync", s[i].last_sync_ms);
        put_time(&j, "staleSince", s[i].stale_since_ms);
        put_str(&j, "problem", s[i].problem);
        if (s[i].writer.lock.p)
            put_writer(&j, &s[i].writer);
        if (s[i].counted) {
            put_int(&j, "objects", s[i].counts.objects);
            put_int(&j, "decoded", s[i].counts.decoded);
        }
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    answer_json_end(out, &j);
}

static void put_fact(struct sld_str source, const struct sld_source_fact *f, void *arg)
{
    struct sld_json *j = arg;
    sld_json_begin(j, '{');
    put_str(j, "source", source);
    put_str(j, "kind", f->kind);
    put_str(j, "name", f->name);
    put_str(j, "version", f->version);
    put_time(j, "expires", f->expires_s * 1000);
    put_time(j, "renews", f->renews_s * 1000);
    put_str(j, "problem", f->problem);
    sld_json_end(j, '}');
}

void v1_secrets(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_json j;
    (void)c;
    answer_json(out, &j);
    sld_json_key(&j, "facts");
    sld_json_begin(&j, '[');
    a->opt.host.facts(put_fact, &j, a->opt.host.user);
    sld_json_end(&j, ']');
    answer_json_end(out, &j);
}
