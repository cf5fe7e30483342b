// Looking into the flow: tables, what an object is part of, views.
#include "admin/inside.h"

enum { TABLES_MAX = 256 };

void v1_graph(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct sld_table_stats *t = SLD_ARENA_ARRAY(c->arena, struct sld_table_stats, TABLES_MAX);
    size_t n = sld_flow_stats(sld_translate_flow(m->translate), t, TABLES_MAX);
    struct sld_json j;
    answer_json(out, &j);
    sld_json_key(&j, "tables");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < n && i < TABLES_MAX; i++) {
        sld_json_begin(&j, '{');
        put_c(&j, "name", t[i].name);
        put_int(&j, "rank", t[i].rank);
        put_int(&j, "rows", t[i].rows);
        put_int(&j, "computed", t[i].computed);
        put_int(&j, "cut", t[i].cut);
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    answer_json_end(out, &j);
}

// ---- Explaining ----

enum { READS_SHOWN = 100 };

// A virtual host with something of the object in it.
struct host {
    struct sld_str gateway, vs;
};

struct parts {
    struct sld_json *j;
    struct sld_str key;
    struct sld_arena *arena;
    struct sld_flow *flow;
    struct host *hosts;
    size_t host_count;
    size_t reads;
};

static void add_host(struct sld_str gateway, struct sld_str vs, void *arg)
{
    struct parts *p = arg;
    SLD_PUSH(p->arena, p->hosts, p->host_count, ((struct host){gateway, vs}));
}

static bool has_owner(const struct sld_out *o, struct sld_str key)
{
    for (size_t i = 0; i < o->owner_count; i++) {
        if (sld_str_eq(sld_str_c(o->owners[i]), key))
            return true;
    }
    return false;
}

// A route table holds virtual hosts, each made of many objects; only its gateway is its owner.
static bool holds_host(const struct sld_out *o, const struct host *h)
{
    return o->type == SLD_OUT_ROUTE && has_owner(o, h->gateway);
}

static void put_hosts(const struct sld_out *o, const struct parts *p)
{
    bool any = false;
    for (size_t i = 0; i < p->host_count; i++) {
        if (!holds_host(o, &p->hosts[i]))
            continue;
        if (!any) {
            sld_json_key(p->j, "virtualHostsOf");
            sld_json_begin(p->j, '[');
        }
        any = true;
        sld_json_str(p->j, p->hosts[i].vs);
    }
    if (any)
        sld_json_end(p->j, ']');
}

static void put_part(const struct sld_out *o, void *arg)
{
    struct parts *p = arg;
    bool part = has_owner(o, p->key);
    for (size_t i = 0; i < p->host_count && !part; i++)
        part = holds_host(o, &p->hosts[i]);
    if (!part)
        return;
    sld_json_begin(p->j, '{');
    put_c(p->j, "type", sld_out_type_name(o->type));
    put_str(p->j, "view", o->view);
    put_str(p->j, "name", o->name);
    put_int(p->j, "bytes", sld_out_size(o));
    put_bool(p->j, "secret", o->secret);
    sld_json_key(p->j, "madeOf");
    sld_json_begin(p->j, '[');
    for (size_t i = 0; i < o->owner_count; i++)
        sld_json_str(p->j, sld_str_c(o->owners[i]));
    sld_json_end(p->j, ']');
    put_hosts(o, p);
    sld_json_end(p->j, '}');
}

// Keys of rows are those of objects, several with line breaks between them.
static struct sld_str key_text(const struct parts *p, sld_id key)
{
    char *text = sld_arena_cstr(p->arena, sld_flow_key_str(p->flow, key));
    for (char *c = text; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    return sld_str_c(text);
}

static void put_read(enum sld_read_kind kind, const char *what, sld_id key, void *arg)
{
    static const char *const kinds[] = {[SLD_READ_ROW] = "row",
                                        [SLD_READ_EXISTS] = "whether it is there",
                                        [SLD_READ_ENTRY] = "rows of an index",
                                        [SLD_READ_TABLE] = "all rows"};
    struct parts *p = arg;
    if (p->reads++ >= READS_SHOWN)
        return;
    sld_json_begin(p->j, '{');
    put_c(p->j, "kind", kinds[kind]);
    put_c(p->j, "of", what);
    if (key)
        put_str(p->j, "key", key_text(p, key));
    sld_json_end(p->j, '}');
}

static void put_step(const struct sld_trace *s, void *arg)
{
    struct parts *p = arg;
    sld_json_begin(p->j, '{');
    put_c(p->j, "table", sld_table_name(s->table));
    put_str(p->j, "row", key_text(p, s->parent));
    sld_json_key(p->j, "made");
    sld_json_begin(p->j, '[');
    for (size_t i = 0; i < s->made_count; i++)
        sld_json_str(p->j, key_text(p, s->made[i]));
    sld_json_end(p->j, ']');
    sld_json_key(p->j, "read");
    sld_json_begin(p->j, '[');
    p->reads = 0;
    sld_flow_reads(s->table, s->parent, put_read, p);
    sld_json_end(p->j, ']');
    if (p->reads > READS_SHOWN)
        put_int(p->j, "readInAll", p->reads);
    if (s->round) {
        sld_json_key(p->j, "because");
        sld_json_begin(p->j, '{');
        put_int(p->j, "round", s->round);
        put_c(p->j, "table", s->cause_table);
        put_str(p->j, "key", key_text(p, s->cause_key));
        sld_json_end(p->j, '}');
    }
    sld_json_end(p->j, '}');
}

void v1_explain(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct sld_ident id = {.ns = c->args[1], .name = c->args[2]};
    struct sld_json j;
    if (!call_kind(c->args[0], &id.kind, out))
        return;
    struct parts p = {.j = &j,
                      .key = sld_ident_key(c->arena, id),
                      .arena = c->arena,
                      .flow = sld_translate_flow(m->translate)};
    if (!sld_translate_document(m->translate, p.key)) {
        answer_problem(out, PROBLEM_NO_OBJECT, "/v1/objects lists what there is",
                       "there is no object %.*s", SLD_FMT(sld_str_sub(p.key, 0, 512)));
        return;
    }
    sld_translate_vhosts(m->translate, p.key, add_host, &p);
    answer_json(out, &j);
    put_str(&j, "object", p.key);
    sld_json_key(&j, "resources");
    sld_json_begin(&j, '[');
    sld_translate_outs(m->translate, put_part, &p);
    sld_json_end(&j, ']');
    sld_json_key(&j, "steps");
    sld_json_begin(&j, '[');
    sld_flow_trace(p.flow, sld_flow_key(p.flow, p.key), put_step, &p);
    sld_json_end(&j, ']');
    answer_json_end(out, &j);
}

// ---- Views ----

static void put_view(struct sld_str view, void *arg)
{
    sld_json_str(arg, view);
}

void v1_views(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct sld_json j;
    (void)c;
    answer_json(out, &j);
    sld_json_key(&j, "views");
    sld_json_begin(&j, '[');
    sld_translate_views(m->translate, put_view, &j);
    sld_json_end(&j, ']');
    put_str(&j, "fallback", sld_fallback_view);
    answer_json_end(out, &j);
}
