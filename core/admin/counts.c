// What the model thread remembers between queries, and its part of the metrics. Objects are counted
// again only when the index moved; a certificate is read again only when its secret changed.
#include "admin/inside.h"

#include "codec/x509.h"

#include "secret.pb-c.h"

enum { STATES = SLD_STATUS_WARNING + 1, TABLES_MAX = 256 };

struct expiry {
    struct sld_hash hash; // of the secret
    int64_t not_after;    // 0: no certificate
    uint64_t seen;        // counting that met it last
    struct sld_str ns, name; // in the memory of this
};

struct sld_admin_memo {
    uint64_t index;    // of the counting; 0 = none yet
    uint64_t counting; // number of the present one
    uint64_t objects[SLD_KIND_COUNT][STATES];
    uint64_t quarantined, findings[SLD_ERROR + 1];
    struct sld_map expiries; // by key of the secret
};

struct sld_admin_memo *sld_admin_memo_create(void)
{
    return SLD_NEW(struct sld_admin_memo);
}

void sld_admin_memo_destroy(struct sld_admin_memo *m)
{
    size_t at = 0;
    if (!m)
        return;
    for (struct sld_map_slot *s; (s = sld_map_next(&m->expiries, &at));)
        sld_xfree(s->value);
    sld_map_fini(&m->expiries);
    sld_xfree(m);
}

// ---- Counting ----

static int64_t read_expiry(const struct sld_object *o)
{
    const Gloo__Secret *s = sld_object_msg(o);
    struct sld_arena a = {0};
    struct sld_cert_facts facts = {0};
    bool ok = false;
    if (s->kind_case == GLOO__SECRET__KIND_TLS && s->tls->cert_chain && *s->tls->cert_chain)
        ok = sld_cert_read(&a, sld_str_c(s->tls->cert_chain), &facts, NULL) == SLD_OK;
    int64_t out = ok ? facts.not_after : 0;
    sld_arena_fini(&a);
    return out;
}

static void count_secret(struct sld_admin_memo *m, const struct sld_object *o)
{
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, o->id);
    struct expiry *e = sld_map_get(&m->expiries, key);
    if (!e) {
        e = sld_xcalloc(1, sizeof(*e) + o->id.ns.n + o->id.name.n);
        char *text = (char *)(e + 1);
        memcpy(text, o->id.ns.p, o->id.ns.n);
        memcpy(text + o->id.ns.n, o->id.name.p, o->id.name.n);
        e->ns = (struct sld_str){text, o->id.ns.n};
        e->name = (struct sld_str){text + o->id.ns.n, o->id.name.n};
        sld_map_set(&m->expiries, key, e);
    }
    if (!sld_hash_eq(e->hash, o->obj.hash)) {
        e->hash = o->obj.hash;
        e->not_after = read_expiry(o);
    }
    e->seen = m->counting;
    sld_arena_fini(&a);
}

static void count_object(const struct sld_object *o, const struct sld_status *s, void *arg)
{
    struct sld_admin_memo *m = arg;
    if (!o)
        return;
    m->objects[o->id.kind][s ? s->state : SLD_PENDING]++;
    if (o->id.kind == SLD_KIND_SECRET)
        count_secret(m, o);
    if (!s)
        return;
    m->quarantined += s->last_good;
    m->findings[SLD_ERROR] += s->errors;
    m->findings[SLD_WARNING] += s->warnings;
    for (size_t i = 0; i < s->count; i++)
        m->findings[SLD_NOTE] += s->findings[i].severity == SLD_NOTE;
}

static void refresh(struct sld_admin_memo *m, const struct sld_admin_model *model)
{
    size_t at = 0;
    if (m->counting && m->index == model->index)
        return;
    memset(m->objects, 0, sizeof(m->objects));
    memset(m->findings, 0, sizeof(m->findings));
    m->quarantined = 0;
    m->index = model->index;
    m->counting++;
    sld_translate_each(model->translate, SLD_KIND_COUNT, count_object, m);
    for (struct sld_map_slot *s; (s = sld_map_next(&m->expiries, &at));) {
        struct expiry *e = s->value;
        if (e->seen == m->counting)
            continue;
        sld_map_remove(&m->expiries, s->key);
        sld_xfree(e);
    }
}

int64_t secret_expiry(const struct sld_admin_model *m, struct sld_str key)
{
    refresh(m->memo, m);
    const struct expiry *e = sld_map_get(&m->memo->expiries, key);
    return e ? e->not_after : 0;
}

// ---- Writing ----

static void put_objects(struct sld_buf *b, const struct sld_admin_memo *m)
{
    metric_family(b, "solder_resources", "gauge", "Objects by kind and state.");
    for (int k = 0; k < SLD_KIND_COUNT; k++) {
        uint64_t all = 0;
        for (int s = 0; s < STATES; s++)
            all += m->objects[k][s];
        for (int s = 0; all && s < STATES; s++) {
            struct metric_label l[] = {
                {"kind", sld_str_c(sld_kind_info((enum sld_kind)k)->name)},
                {"state", sld_str_c(sld_status_state_name((enum sld_status_state)s))},
            };
            metric_put(b, "solder_resources", l, 2, (double)m->objects[k][s]);
        }
    }
    metric_one(b, "solder_quarantined_resources", "gauge", (double)m->quarantined,
               "Objects of which the last accepted form is in force, not the present document.");
    metric_family(b, "solder_findings", "gauge", "Findings about objects by severity.");
    for (int s = SLD_NOTE; s <= SLD_ERROR; s++) {
        struct metric_label l = {"severity", sld_str_c(sld_severity_name((enum sld_severity)s))};
        metric_put(b, "solder_findings", &l, 1, (double)m->findings[s]);
    }
}

static void put_expiries(struct sld_buf *b, const struct sld_admin_memo *m)
{
    size_t n;
    struct sld_str *keys = sld_map_sorted_keys(&m->expiries, &n);
    metric_family(b, "solder_secret_expiry_timestamp_seconds", "gauge",
                  "Unix time at which the certificate of a secret expires.");
    for (size_t i = 0; i < n; i++) {
        const struct expiry *e = sld_map_get(&m->expiries, keys[i]);
        struct metric_label l[] = {{"namespace", e->ns}, {"name", e->name}};
        if (e->not_after)
            metric_put(b, "solder_secret_expiry_timestamp_seconds", l, 2, (double)e->not_after);
    }
    sld_xfree(keys);
}

static void put_intake(struct sld_buf *b, const struct sld_intake *in)
{
    struct sld_intake_stats s = {0};
    size_t n = 0;
    sld_intake_stats(in, &s);
    (void)sld_intake_problems(in, &n);
    metric_one(b, "solder_source_units", "gauge", (double)s.units,
               "Units (files, keys) that sources told of.");
    metric_one(b, "solder_source_foreign_documents", "gauge", (double)s.foreign,
               "Documents of kinds that are not read.");
    metric_one(b, "solder_source_duplicate_documents", "gauge", (double)s.duplicates,
               "Documents of objects that stand in another place too.");
    metric_one(b, "solder_source_held_objects", "gauge", (double)s.held,
               "Objects in force that their unit does not say any more.");
    metric_one(b, "solder_source_problems", "gauge", (double)n,
               "Problems of units and sources, such as files that cannot be read.");
}

static void put_flow(struct sld_buf *b, struct sld_flow *flow, struct sld_arena *a)
{
    struct sld_table_stats *t = SLD_ARENA_ARRAY(a, struct sld_table_stats, TABLES_MAX);
    size_t n = sld_flow_stats(flow, t, TABLES_MAX);
    n = n < TABLES_MAX ? n : TABLES_MAX;
    metric_family(b, "solder_flow_rows", "gauge", "Rows of the tables of the flow.");
    for (size_t i = 0; i < n; i++)
        metric_put(b, "solder_flow_rows", &(struct metric_label){"table", sld_str_c(t[i].name)}, 1,
                   (double)t[i].rows);
    metric_family(b, "solder_flow_steps_total", "counter", "Steps run for the tables of the flow.");
    for (size_t i = 0; i < n; i++)
        metric_put(b, "solder_flow_steps_total", &(struct metric_label){"table", sld_str_c(t[i].name)},
                   1, (double)t[i].computed);
}

void metrics_model(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    refresh(m->memo, m);
    out->index = 0;
    put_objects(&out->body, m->memo);
    put_expiries(&out->body, m->memo);
    if (m->intake)
        put_intake(&out->body, m->intake);
    put_flow(&out->body, sld_translate_flow(m->translate), c->arena);
    metrics_plugins(&out->body, m);
}
