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

struct parts {
    struct sld_json *j;
    struct sld_str key;
};

static void put_part(const struct sld_out *o, void *arg)
{
    struct parts *p = arg;
    bool part = false;
    for (size_t i = 0; i < o->owner_count && !part; i++)
        part = sld_str_eq(o->owners[i], p->key);
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
        sld_json_str(p->j, o->owners[i]);
    sld_json_end(p->j, ']');
    sld_json_end(p->j, '}');
}

void v1_explain(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct sld_ident id = {.ns = c->args[1], .name = c->args[2]};
    struct sld_json j;
    if (!call_kind(c->args[0], &id.kind, out))
        return;
    struct parts p = {&j, sld_ident_key(c->arena, id)};
    if (!sld_translate_document(m->translate, p.key)) {
        answer_problem(out, PROBLEM_NO_OBJECT, "/v1/objects lists what there is",
                       "there is no object %.*s", SLD_FMT(sld_str_sub(p.key, 0, 512)));
        return;
    }
    answer_json(out, &j);
    put_str(&j, "object", p.key);
    sld_json_key(&j, "resources");
    sld_json_begin(&j, '[');
    sld_translate_outs(m->translate, put_part, &p);
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
