// /v1/findings: what is wrong, everywhere.
#include "admin/inside.h"

void finding_put(struct sld_json *j, const struct sld_finding *f, const struct sld_ident *id)
{
    char code[16];
    struct sld_buf b;
    sld_buf_init(&b, sizeof(code));
    sld_buf_addf(&b, "SLD%04d", (int)f->code);
    sld_json_begin(j, '{');
    put_str(j, "code", sld_buf_str(&b));
    sld_buf_fini(&b);
    put_c(j, "severity", sld_severity_name(f->severity));
    if (id) {
        put_c(j, "kind", sld_kind_info(id->kind)->name);
        put_str(j, "namespace", id->ns);
        put_str(j, "name", id->name);
    }
    put_str(j, "origin", f->origin);
    if (f->line > 0) {
        put_int(j, "line", (uint64_t)f->line);
        put_int(j, "column", (uint64_t)(f->column > 0 ? f->column : 1));
    }
    put_str(j, "path", f->path.n ? f->path : SLD_STR_NONE);
    put_str(j, "message", f->message);
    put_c(j, "title", sld_code_title(f->code));
    put_c(j, "remedy", sld_code_remedy(f->code));
    sld_json_end(j, '}');
}

struct sld_finding *findings_located(struct sld_arena *a, const struct sld_raw *raw,
                                     const struct sld_status *s)
{
    struct sld_finding *f = SLD_ARENA_ARRAY(a, struct sld_finding, s->count);
    for (size_t i = 0; i < s->count; i++)
        f[i] = s->findings[i];
    if (raw)
        sld_raw_locate_all(raw, f, s->count);
    return f;
}

struct report {
    const struct sld_admin_model *m;
    struct answer *out;
    struct sld_json j;
    struct sld_str ns;
    enum sld_severity least;
    uint64_t limit, count;
    // Problems come first: "problem/<index>" in "continue"; then objects by key.
    size_t after_problem;
    enum sld_kind after_kind;
    struct sld_str after;
    struct sld_arena last;
    struct sld_str resume;
    bool more;
};

static bool page_full(const struct report *r)
{
    return r->count >= r->limit || r->out->body.n > PAGE_BYTES;
}

// ---- Problems of files and sources ----

static void put_problem(struct report *r, struct sld_arena *a, const struct sld_problem *p)
{
    struct sld_finding f = {.code = p->code, .severity = p->severity, .message = p->message,
                            .line = p->line, .column = p->column};
    f.origin = p->path.n ? sld_arena_fmt(a, "%.*s/%.*s", SLD_FMT(p->source), SLD_FMT(p->path))
                         : p->source;
    finding_put(&r->j, &f, NULL);
    r->count++;
}

static void put_problems(struct report *r)
{
    size_t n = 0;
    const struct sld_problem *p = sld_intake_problems(r->m->intake, &n);
    for (size_t i = r->after_problem; i < n && !r->more; i++) {
        struct sld_arena a = {0};
        if (p[i].severity >= r->least) {
            if (page_full(r))
                r->more = true;
            else
                put_problem(r, &a, &p[i]);
        }
        if (!r->more) {
            sld_arena_fini(&r->last);
            r->resume = sld_arena_fmt(&r->last, "problem/%zu", i + 1);
        }
        sld_arena_fini(&a);
    }
}

// ---- Findings of objects ----

static bool worth(const struct report *r, const struct sld_status *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->findings[i].severity >= r->least)
            return true;
    }
    return false;
}

static void put_object(const struct sld_object *o, const struct sld_status *s, void *arg)
{
    struct report *r = arg;
    if (r->more || !o || !s || (r->ns.p && !sld_str_eq(r->ns, o->id.ns)) || !worth(r, s))
        return;
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, o->id);
    bool before = r->after_kind != SLD_KIND_COUNT &&
                  (o->id.kind < r->after_kind ||
                   (o->id.kind == r->after_kind && sld_str_cmp(key, r->after) <= 0));
    r->more = !before && page_full(r);
    if (!before && !r->more) {
        // An object's findings stay on one page; they are few.
        const struct sld_finding *f = findings_located(&a, object_raw(r->m, o, key), s);
        for (size_t i = 0; i < s->count; i++) {
            if (f[i].severity < r->least)
                continue;
            finding_put(&r->j, &f[i], &o->id);
            r->count++;
        }
        sld_arena_fini(&r->last);
        r->resume = sld_arena_str(&r->last, key);
    }
    sld_arena_fini(&a);
}

// ---- Parameters ----

static bool read_severity(const struct call *c, enum sld_severity *least, struct answer *out)
{
    struct sld_str word = call_param(c, "severity");
    *least = SLD_NOTE;
    for (int i = SLD_NOTE; word.p && i <= SLD_ERROR; i++) {
        if (!sld_str_ieq(word, sld_str_c(sld_severity_name((enum sld_severity)i))))
            continue;
        *least = (enum sld_severity)i;
        return true;
    }
    if (word.p)
        answer_problem(out, PROBLEM_BAD_PARAMETER, "write error, warning or note",
                       "severity=%.*s is no severity", SLD_FMT(sld_str_sub(word, 0, 256)));
    return !word.p;
}

// False: a problem. *PROBLEMS: whether the page begins with those.
static bool read_continue(const struct call *c, struct report *r, bool *problems)
{
    static const struct sld_str prefix = SLD_STR_INIT("problem/");
    struct sld_str word = call_param(c, "continue");
    struct sld_ident id;
    uint64_t n = 0;
    *problems = true;
    if (!word.p)
        return true;
    if (sld_str_starts(word, prefix) &&
        sld_str_u64(sld_str_sub(word, prefix.n, word.n), &n) && n <= SIZE_MAX) {
        r->after_problem = (size_t)n;
        return true;
    }
    if (sld_ident_parse(word, &id)) {
        *problems = false;
        r->after_kind = id.kind;
        r->after = word;
        return true;
    }
    answer_problem(r->out, PROBLEM_BAD_PARAMETER, "give the text that the page before ended with",
                   "continue=%.*s is not of this list", SLD_FMT(sld_str_sub(word, 0, 256)));
    return false;
}

void v1_findings(const struct sld_admin_model *m, const struct call *c, struct answer *out)
{
    struct report r = {.m = m, .out = out, .limit = LIMIT_DEFAULT, .after_kind = SLD_KIND_COUNT};
    enum sld_kind kind = SLD_KIND_COUNT;
    struct sld_str word = call_param(c, "kind");
    bool problems;
    if ((word.p && !call_kind(word, &kind, out)) || !read_severity(c, &r.least, out) ||
        !call_u64(c, "limit", 1, LIMIT_MAX, &r.limit, out) || !read_continue(c, &r, &problems))
        return;
    r.ns = call_param(c, "namespace");
    answer_json(out, &r.j);
    put_int(&r.j, "index", m->index);
    sld_json_key(&r.j, "items");
    sld_json_begin(&r.j, '[');
    if (problems && m->intake && !word.p && !r.ns.p)
        put_problems(&r);
    sld_translate_each(m->translate, kind, put_object, &r);
    sld_json_end(&r.j, ']');
    if (r.more)
        put_str(&r.j, "continue", r.resume);
    answer_json_end(out, &r.j);
    sld_arena_fini(&r.last);
}
