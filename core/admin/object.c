// /v1/objects: lists, and single objects.
#include "admin/inside.h"

const struct sld_raw *object_raw(const struct sld_admin_model *m, const struct sld_object *o,
                                 struct sld_str key)
{
    const struct sld_raw *raw = sld_translate_raw(m->translate, key);
    return raw ? raw : sld_object_raw(o);
}

static void put_origin(struct sld_json *j, struct sld_arena *a, const struct sld_raw *raw)
{
    if (raw)
        put_str(j, "origin", sld_arena_fmt(a, "%.*s:%d", SLD_FMT(sld_raw_origin(raw)), raw->line));
}

// Since when the source of RAW cannot be read, and why where WORDS. Its document may be another by
// now.
static void put_stale(struct sld_json *j, const struct sld_admin_model *m, const struct sld_raw *raw,
                      bool words)
{
    uint64_t since_ns = 0;
    struct sld_str why = SLD_STR_NONE;
    // The intake names an origin "<source>/<path>".
    if (!m->intake || !raw || sld_raw_origin(raw).n <= sld_raw_path(raw).n ||
        !sld_intake_stale(m->intake, sld_str_sub(sld_raw_origin(raw), 0, sld_raw_origin(raw).n - sld_raw_path(raw).n - 1),
                          &since_ns, &why))
        return;
    put_time(j, "staleSince", sld_wall_ms() - (int64_t)((sld_mono_ns() - since_ns) / 1000000));
    if (words)
        put_str(j, "staleReason", why);
}

// State and what goes with it; S may be NULL before the first round.
static void put_state(struct sld_json *j, const struct sld_status *s)
{
    put_c(j, "state", sld_status_state_name(s ? s->state : SLD_PENDING));
    put_str(j, "reason", s && s->reason.p ? s->reason : SLD_STR(""));
    put_bool(j, "lastGood", s && s->last_good);
    put_bool(j, "served", s && s->served);
    put_int(j, "errors", s ? s->errors : 0);
    put_int(j, "warnings", s ? s->warnings : 0);
}

static void put_expiry(struct sld_json *j, const struct sld_admin_model *m,
                       const struct sld_object *o, struct sld_str key)
{
    if (o->id.kind == SLD_KIND_SECRET)
        put_time(j, "expires", secret_expiry(m, key) * 1000);
}

// What the present document says in one word, so that who wrote it knows it again; of Secrets and of
// Settings, which may hold tokens, nothing, because it could be guessed by.
static void put_content(struct sld_json *j, const struct sld_object *present)
{
    char hash[17];
    if (!present || present->id.kind == SLD_KIND_SECRET || present->id.kind == SLD_KIND_SETTINGS)
        return;
    sld_hash_text(sld_msg_hash(sld_object_msg(present)), hash);
    put_c(j, "content", hash);
}

static void put_node(struct sld_json *j, const char *key, const struct sld_node *n)
{
    struct sld_buf text;
    sld_buf_init(&text, BODY_MAX_BYTES);
    sld_doc_print_node(&text, n, SLD_TEXT_JSON_COMPACT);
    sld_json_key(j, key);
    sld_json_raw(j, text.n ? sld_str_trim(sld_buf_str(&text)) : SLD_STR("null"));
    if (text.full)
        j->out->full = true; // the answer is cut as this is
    sld_buf_fini(&text);
}

// ---- Lists ----

struct listing {
    const struct sld_admin_model *m;
    struct answer *out;
    struct sld_json j;
    struct sld_str ns;         // absent = all
    int state;                 // -1 = all
    bool spec;
    uint64_t limit, count;
    enum sld_kind after_kind;  // SLD_KIND_COUNT = from the beginning
    struct sld_str after;      // key
    struct sld_arena last;     // of the last entry: its key
    struct sld_str last_key;
    bool more;
};

// Whether the list reaches O by its place in the order and by the filters.
static bool listed(struct listing *l, const struct sld_object *o, const struct sld_status *s,
                   struct sld_str key)
{
    if (l->after_kind != SLD_KIND_COUNT &&
        (o->id.kind < l->after_kind ||
         (o->id.kind == l->after_kind && sld_str_cmp(key, l->after) <= 0)))
        return false;
    if (l->ns.p && !sld_str_eq(l->ns, o->id.ns))
        return false;
    return l->state < 0 || l->state == (int)(s ? s->state : SLD_PENDING);
}

static void list_one(const struct sld_object *o, const struct sld_status *s, void *arg)
{
    struct listing *l = arg;
    struct sld_arena a = {0};
    if (l->more || !o)
        return;
    struct sld_str key = sld_ident_key(&a, o->id);
    if (!listed(l, o, s, key)) {
        sld_arena_fini(&a);
        return;
    }
    if (l->count >= l->limit || l->out->body.n > PAGE_BYTES) {
        l->more = true;
        sld_arena_fini(&a);
        return;
    }
    const struct sld_kind_info *info = sld_kind_info(o->id.kind);
    sld_json_begin(&l->j, '{');
    put_c(&l->j, "kind", info->name);
    put_str(&l->j, "namespace", o->id.ns);
    put_str(&l->j, "name", o->id.name);
    put_state(&l->j, s);
    put_int(&l->j, "findings", s ? s->count : 0);
    put_expiry(&l->j, l->m, o, key);
    put_origin(&l->j, &a, object_raw(l->m, o, key));
    put_stale(&l->j, l->m, object_raw(l->m, o, key), false);
    if (l->spec) {
        struct sld_node *n = resource_tree(&a, l->m, o, s, false);
        if (n)
            put_node(&l->j, "object", n);
    }
    sld_json_end(&l->j, '}');
    l->count++;
    sld_arena_fini(&l->last);
    l->last_key = sld_arena_str(&l->last, key);
    sld_arena_fini(&a);
}

static bool read_state(const struct call *c, int *state, struct answer *out)
{
    struct sld_str word = call_param(c, "state");
    *state = -1;
    if (!word.p)
        return true;
    for (int i = SLD_PENDING; i <= SLD_STATUS_WARNING; i++) {
        if (sld_str_ieq(word, sld_str_c(sld_status_state_name((enum sld_status_state)i))))
            *state = i;
    }
    if (*state >= 0)
        return true;
    answer_problem(out, PROBLEM_BAD_PARAMETER, "write Accepted, Pending, Rejected or Warning",
                   "state=%.*s is no state", SLD_FMT(sld_str_sub(word, 0, 256)));
    return false;
}

static bool read_continue(const struct call *c, struct listing *l, struct answer *out)
{
    struct sld_ident id;
    l->after = call_param(c, "continue");
    if (!l->after.p)
        return true;
    if (sld_ident_parse(l->after, &id)) {
        l->after_kind = id.kind;
        return true;
    }
    answer_problem(out, PROBLEM_BAD_PARAMETER, "give the text that the page before ended with",
                   "continue=%.*s is not of this list", SLD_FMT(sld_str_sub(l->after, 0, 256)));
    return false;
}

void v1_objects(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct listing l = {.m = m, .out = out, .limit = LIMIT_DEFAULT, .after_kind = SLD_KIND_COUNT};
    struct sld_str word = call_param(c, "kind");
    enum sld_kind kind = SLD_KIND_COUNT;
    if ((word.p && !call_kind(word, &kind, out)) || !read_state(c, &l.state, out) ||
        !call_u64(c, "limit", 1, LIMIT_MAX, &l.limit, out) || !call_bool(c, "spec", &l.spec, out) ||
        !read_continue(c, &l, out))
        return;
    l.ns = call_param(c, "namespace");
    answer_json(out, &l.j);
    put_int(&l.j, "index", m->index);
    sld_json_key(&l.j, "items");
    sld_json_begin(&l.j, '[');
    sld_translate_each(m->translate, kind, list_one, &l);
    sld_json_end(&l.j, ']');
    if (l.more)
        put_str(&l.j, "continue", l.last_key);
    answer_json_end(out, &l.j);
    sld_arena_fini(&l.last);
}

// ---- One ----

enum form { FORM_JSON, FORM_RESOURCE, FORM_YAML };

static bool read_form(const struct call *c, enum form *form, struct answer *out)
{
    static const char *const names[] = {"json", "resource", "yaml"};
    struct sld_str word = call_param(c, "format");
    *form = FORM_JSON;
    for (size_t i = 0; word.p && i < SLD_ARRAY_LEN(names); i++) {
        if (!sld_str_eq(word, sld_str_c(names[i])))
            continue;
        *form = (enum form)i;
        return true;
    }
    if (word.p)
        answer_problem(out, PROBLEM_BAD_PARAMETER, "write json, resource or yaml",
                       "format=%.*s is no format", SLD_FMT(sld_str_sub(word, 0, 256)));
    return !word.p;
}

// The object that a path names; NULL, with a problem, when there is none.
static const struct sld_object *find(const struct sld_admin_model *m, const struct call *c,
                                     struct sld_str *key, struct answer *out)
{
    struct sld_ident id = {.ns = c->args[1], .name = c->args[2]};
    if (!call_kind(c->args[0], &id.kind, out))
        return NULL;
    *key = sld_ident_key(c->arena, id);
    const struct sld_object *o = sld_translate_object(m->translate, *key);
    if (!o)
        o = sld_translate_document(m->translate, *key);
    if (!o)
        answer_problem(out, PROBLEM_NO_OBJECT,
                       "/v1/objects lists what there is; /v1/findings tells of files that cannot be read",
                       "there is no %s %.*s in namespace %.*s", sld_kind_info(id.kind)->name,
                       SLD_FMT(sld_str_sub(id.name, 0, 256)), SLD_FMT(sld_str_sub(id.ns, 0, 256)));
    return o;
}

static void put_findings(struct sld_json *j, struct sld_arena *a, const struct sld_raw *raw,
                         const struct sld_status *s)
{
    sld_json_key(j, "findings");
    sld_json_begin(j, '[');
    const struct sld_finding *f = s ? findings_located(a, raw, s) : NULL;
    for (size_t i = 0; f && i < s->count; i++)
        finding_put(j, &f[i], NULL);
    sld_json_end(j, ']');
}

void v1_object(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct sld_str key = SLD_STR("");
    struct sld_json j;
    enum form form;
    bool document = false;
    if (!read_form(c, &form, out) || !call_bool(c, "document", &document, out))
        return;
    const struct sld_object *o = find(m, c, &key, out);
    if (!o)
        return;
    const struct sld_status *s = sld_translate_status(m->translate, key);
    const struct sld_object *present = sld_translate_document(m->translate, key);
    bool differs = document && present && !sld_hash_eq(present->obj.hash, o->obj.hash);
    // Without findings beside it, the document takes the object's place.
    if (differs && form != FORM_JSON)
        o = present;
    struct sld_node *n = resource_tree(c->arena, m, o, s, true);
    struct sld_node *d = differs && form == FORM_JSON
                             ? resource_tree(c->arena, m, present, NULL, true)
                             : NULL;
    if (!n || (differs && form == FORM_JSON && !d)) {
        answer_problem(out, PROBLEM_TOO_LARGE, "split the object", "the object is larger than %d MiB",
                       BODY_MAX_BYTES / (1024 * 1024));
        return;
    }
    if (form != FORM_JSON) {
        out->type = form == FORM_YAML ? "application/yaml" : "application/json";
        sld_doc_print_node(&out->body, n, form == FORM_YAML ? SLD_TEXT_YAML : SLD_TEXT_JSON);
        if (out->body.full)
            answer_problem(out, PROBLEM_TOO_LARGE, "split the object",
                           "the object is larger than %d MiB", BODY_MAX_BYTES / (1024 * 1024));
        return;
    }
    const struct sld_raw *raw = object_raw(m, o, key);
    answer_json(out, &j);
    put_int(&j, "index", m->index);
    put_state(&j, s);
    put_origin(&j, c->arena, raw);
    put_stale(&j, m, raw, true);
    put_expiry(&j, m, o, key);
    put_content(&j, present);
    put_bool(&j, "pending", sld_translate_changed(m->translate, key));
    put_findings(&j, c->arena, raw, s);
    put_node(&j, "object", n);
    if (d)
        put_node(&j, "document", d);
    answer_json_end(out, &j);
}
