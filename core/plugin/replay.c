// Recorded requests meet another version of their plugin, in a world where nobody answers.
#include "plugin/author.h"
#include "plugin/load.h"
#include "plugin/record.h"
#include "plugin/world.h"

enum { PASS_MAX_MS = 24 * 3600 * 1000 };

struct replay {
    struct sld_replay_run *run;
    struct sld_plugin *p;
    struct pl_world *world;
    int64_t now_ms;   // of the world
    bool asked;       // others, by the request at work
    struct sld_arena arena; // of one line
};

// A request on its way.
struct one {
    struct sld_exchange x;
    struct sld_req_peer peer;
    struct sld_authorize call;
    bool over;
    enum sld_rc rc;
    struct sld_err err;
};

// ---- Reading ----

static struct sld_node *get(const struct sld_node *n, const char *key)
{
    return n ? sld_node_get(n, sld_str_c(key)) : NULL;
}

static struct sld_str text(const struct sld_node *n, const char *key)
{
    return sld_node_text(get(n, key));
}

static int64_t number(const struct sld_node *n, const char *key)
{
    int64_t v = 0;
    return sld_str_i64(text(n, key), &v) ? v : 0;
}

static enum sld_rc read_line(struct replay *r, struct sld_str line, size_t at, struct sld_node **out, struct sld_err *err)
{
    struct sld_document *docs;
    size_t n = 0;
    enum sld_code code;
    struct sld_err why = {0};
    enum sld_rc rc = sld_doc_read(&r->arena, line, &sld_doc_limits_default, &docs, &n, &code, &why);
    if (rc)
        return sld_err_set(err, SLD_INVALID, "line %zu cannot be read: %s", at, why.msg);
    *out = n ? docs[0].root : NULL;
    if (!text(*out, "plugin").n || !get(*out, "request") || !get(*out, "decision"))
        return sld_err_set(err, SLD_INVALID, "line %zu is no record of solder plugin record", at);
    return SLD_OK;
}

static void read_peer(struct replay *r, struct one *o, const struct sld_node *peer)
{
    const struct sld_node *uris = get(peer, "uri_sans"), *names = get(peer, "dns_sans");
    if (!peer)
        return;
    o->x.peer = &o->peer;
    o->x.peer_read = true; // there is no certificate behind it
    o->x.subject = text(peer, "subject");
    o->peer.principal = uris && uris->count ? sld_node_text(uris->items[0]) : SLD_STR("");
    for (size_t i = 0; names && i < names->count; i++)
        SLD_PUSH(&r->arena, o->x.dns_names, o->x.dns_name_count, sld_node_text(names->items[i]));
}

static void read_request(struct replay *r, struct one *o, const struct sld_node *q)
{
    struct sld_exchange *x = &o->x;
    const struct sld_node *headers = get(q, "headers");
    struct sld_str path = text(q, "path");
    ptrdiff_t mark = sld_str_index(path, '?');
    x->arena = &r->arena;
    x->method = text(q, "method");
    x->path = mark < 0 ? path : sld_str_sub(path, 0, (size_t)mark);
    x->query = mark < 0 ? SLD_STR("") : sld_str_sub(path, (size_t)mark + 1, path.n);
    x->host = text(q, "host");
    x->scheme = text(q, "scheme");
    x->id = text(q, "id");
    x->source = text(q, "source");
    x->sni = text(q, "sni");
    x->route = text(q, "route");
    for (size_t i = 0; headers && i < headers->count; i++) {
        const struct sld_node *h = headers->items[i];
        if (h->count != 2)
            continue;
        struct sld_pair p = {sld_node_text(h->items[0]), sld_node_text(h->items[1])};
        SLD_PUSH(&r->arena, x->headers, x->header_count, p);
    }
    if (r->p->info.request_body.mode == SLD_BODY_BUFFERED)
        x->body = text(q, "body").p ? text(q, "body") : SLD_STR("");
    read_peer(r, o, get(q, "peer"));
}

// What stands for the text of a secret, which no record has.
static void hide(struct sld_arena *a, const struct sld_conf *c, Google__Protobuf__Value *v)
{
    if (c->type == SLD_CONF_LIST && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE) {
        for (size_t i = 0; i < v->list_value->n_values; i++)
            hide(a, c->item, v->list_value->values[i]);
        return;
    }
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return;
    Google__Protobuf__Struct *s = v->struct_value;
    if (c->type == SLD_CONF_SECRET_REF) {
        Google__Protobuf__Struct__FieldsEntry *e =
            SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
        e->key = SLD_MSG_STR(a, SLD_STR(SLD_CONF_SECRET_TEXT));
        e->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
        e->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        e->value->string_value = SLD_MSG_STR(a, SLD_STR("***"));
        SLD_PUSH(a, s->fields, s->n_fields, e);
        return;
    }
    for (size_t i = 0; i < s->n_fields; i++) {
        if (c->type == SLD_CONF_MAP)
            hide(a, c->item, s->fields[i]->value);
        for (size_t k = 0; c->type == SLD_CONF_RECORD && k < c->field_count; k++) {
            if (sld_str_eq(c->fields[k].name, sld_str_c(s->fields[i]->key)))
                hide(a, &c->fields[k], s->fields[i]->value);
        }
    }
}

static Google__Protobuf__Value *read_conf(struct replay *r, const struct sld_node *n)
{
    struct sld_report report = {.arena = &r->arena};
    Google__Protobuf__Value *v = NULL;
    if (n)
        v = sld_msg_copy(&r->arena,
                         &((Google__Protobuf__Value *)sld_doc_decode(&r->arena, &google__protobuf__value__descriptor, n, true, &report))->base);
    if (!v || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        v = SLD_MSG(&r->arena, Google__Protobuf__Value, google__protobuf__value);
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v->struct_value = SLD_MSG(&r->arena, Google__Protobuf__Struct, google__protobuf__struct);
    }
    return v;
}

// ---- Asking ----

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct one *o = user;
    o->over = true;
    o->rc = rc;
    if (rc)
        o->err = *err;
}

static void on_http(void *user, const struct sld_http_call *call, struct sld_http_answer *out)
{
    (void)call, (void)out; // nobody answers
    ((struct replay *)user)->asked = true;
}

static void on_dns(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out)
{
    (void)type, (void)name, (void)out;
    ((struct replay *)user)->asked = true;
}

static void ask(struct replay *r, struct one *o, const Google__Protobuf__Value *conf)
{
    struct sld_err err = {0};
    int ref;
    enum sld_rc rc = sld_plugin_keep_conf(r->p, conf, &ref, &err);
    if (rc) {
        done(o, rc, &err);
        return;
    }
    o->call = (struct sld_authorize){.x = &o->x, .ref = ref, .deadline_ms = r->p->host->limits.request_ms, .done = done, .user = o};
    rc = sld_plugin_authorize(r->p, pl_world_reactor(r->world), &o->call, &err);
    if (rc && !o->over)
        done(o, rc, &err);
    while (!o->over && pl_world_step(r->world, r->p->host->limits.request_ms))
        continue;
    SLD_INV(o->over); // it has a deadline
    sld_plugin_drop_conf(r->p, ref);
}

// The clock goes on to WALL_MS; never back.
static void pass(struct replay *r, int64_t wall_ms)
{
    int64_t ms = wall_ms - r->now_ms;
    if (ms <= 0)
        return;
    pl_world_pass(r->world, ms < PASS_MAX_MS ? (uint64_t)ms : PASS_MAX_MS);
    r->now_ms = wall_ms;
}

// ---- Comparing ----

static struct sld_str json_of(struct sld_arena *a, const struct sld_node *n)
{
    struct sld_buf b;
    if (!n)
        return SLD_STR("");
    sld_buf_init(&b, SLD_RECORD_LINE_MAX);
    sld_doc_print_node(&b, n, SLD_TEXT_JSON_COMPACT);
    struct sld_str out = sld_arena_str(a, sld_str_trim(sld_buf_str(&b)));
    sld_buf_fini(&b);
    return out;
}

static void add_word(struct sld_arena *a, struct sld_str *list, const char *word)
{
    *list = sld_arena_fmt(a, "%.*s%s%s", SLD_FMT(*list), list->n ? ", " : "", word);
}

// What of decisions WAS and IS differs. The words of an error do not count: they say where in the file it was.
static struct sld_str differences(struct sld_arena *a, const struct sld_node *was, const struct sld_node *is)
{
    static const char *const parts[] = {"result", "status", "headers", "body", "bodyBytes", "edits", "metadata"};
    struct sld_str out = SLD_STR("");
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        if (!sld_str_eq(json_of(a, get(was, parts[i])), json_of(a, get(is, parts[i]))))
            add_word(a, &out, parts[i]);
    }
    return out;
}

static struct sld_str short_form(struct sld_arena *a, const struct sld_node *d)
{
    struct sld_str result = text(d, "result"), status = text(d, "status");
    return status.n ? sld_arena_fmt(a, "%.*s %.*s", SLD_FMT(result), SLD_FMT(status)) : result;
}

static struct sld_str notes_of(struct replay *r, const struct sld_node *q)
{
    struct sld_arena *a = &r->arena;
    const struct sld_node *headers = get(q, "headers");
    struct sld_str out = SLD_STR("");
    for (size_t i = 0; headers && i < headers->count; i++) {
        const struct sld_node *h = headers->items[i];
        if (h->count == 2 && sld_str_eq(sld_node_text(h->items[1]), SLD_STR("***")))
            add_word(a, &out, sld_arena_fmt(a, "%.*s is hidden", SLD_FMT(sld_node_text(h->items[0]))).p);
    }
    if (sld_str_find(text(q, "path"), SLD_STR("=***")) >= 0)
        add_word(a, &out, "query is hidden");
    if (get(q, "bodyBytes"))
        add_word(a, &out, "body is cut");
    if (r->asked)
        add_word(a, &out, "asks others");
    return out;
}

static enum sld_rc replay_line(struct replay *r, struct sld_str line, size_t at, struct sld_err *err)
{
    struct sld_arena *a = &r->arena;
    struct sld_node *n, *again;
    enum sld_rc rc = read_line(r, line, at, &n, err);
    if (rc)
        return rc;
    if (!sld_str_eq(text(n, "plugin"), r->p->info.name)) {
        r->run->others++;
        return SLD_OK;
    }
    const struct sld_node *q = get(n, "request");
    struct one *o = SLD_ARENA_NEW(a, struct one);
    Google__Protobuf__Value *conf = read_conf(r, get(n, "conf"));
    struct sld_record record = {0};
    r->asked = false;
    hide(a, &r->p->conf, conf);
    read_request(r, o, q);
    pass(r, number(n, "time"));
    sld_record_begin(&record, r->p, &o->x, NULL, r->now_ms);
    ask(r, o, conf);
    struct sld_str now = sld_record_end(&record, &o->x, o->rc, &o->err);
    rc = now.p ? read_line(r, sld_arena_str(a, now), at, &again, err) : sld_err_set(err, SLD_LIMIT, "line %zu: the decision is too large", at);
    sld_record_fini(&record);
    if (rc)
        return rc;
    const struct sld_node *was = get(n, "decision"), *is = get(again, "decision");
    struct sld_replay_result result = {
        .line = at,
        .method = text(q, "method"),
        .path = text(q, "path"),
        .was = short_form(a, was),
        .is = short_form(a, is),
        .differs = differences(a, was, is),
        .before = json_of(a, was),
        .now = json_of(a, is),
        .notes = notes_of(r, q),
    };
    *(result.differs.n ? &r->run->differ : &r->run->same) += 1;
    r->run->on_result(r->run->user, &result);
    return SLD_OK;
}

static enum sld_rc replay_all(struct replay *r, struct sld_str records, struct sld_err *err)
{
    struct sld_str line;
    enum sld_rc rc = SLD_OK;
    for (size_t at = 1; !rc && sld_str_cut(&records, '\n', &line); at++) {
        if (!sld_str_trim(line).n)
            continue;
        rc = replay_line(r, line, at, err);
        sld_arena_reset(&r->arena);
    }
    if (!rc && !r->run->same && !r->run->differ)
        rc = sld_err_set(err, SLD_NOT_FOUND, "no record is of plugin %.*s", SLD_FMT(r->p->info.name));
    return rc;
}

// The time of the first record.
static int64_t begin_of(struct replay *r, struct sld_str records)
{
    struct sld_str line;
    struct sld_node *n;
    struct sld_err err = {0};
    int64_t ms = 0;
    if (sld_str_cut(&records, '\n', &line) && sld_str_trim(line).n && !read_line(r, line, 1, &n, &err))
        ms = number(n, "time");
    sld_arena_reset(&r->arena);
    return ms;
}

enum sld_rc sld_plugin_replay(struct sld_str path, struct sld_str records, struct sld_replay_run *run, struct sld_err *err)
{
    struct replay r = {.run = run};
    struct sld_plugin_bundle *b;
    enum sld_rc rc = sld_plugin_bundle_read(path, &b, err);
    if (rc)
        return rc;
    rc = sld_plugin_load(b, run->limits, &r.p, err);
    if (!rc && !(sld_plugin_worker_hooks(r.p) & (1U << SLD_HOOK_AUTHORIZE)))
        rc = sld_err_set(err, SLD_INVALID, "plugin %.*s has no hook authorize that runs in Solder: only of those are there records",
                         SLD_FMT(b->name));
    if (!rc) {
        r.now_ms = begin_of(&r, records);
        r.world = pl_world_create(r.now_ms);
        pl_world_on_http(r.world, on_http, &r);
        pl_world_on_dns(r.world, on_dns, &r);
        rc = replay_all(&r, records, err);
    }
    SLD_UNREF(r.p); // with what waits in the world
    pl_world_destroy(r.world);
    sld_arena_fini_secret(&r.arena);
    SLD_UNREF(b);
    return rc;
}
