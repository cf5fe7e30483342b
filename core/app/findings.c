// What is wrong with resources, for people and tools.
#include "app/findings.h"

#include <stdlib.h>

// Whether ORIGIN lies in one of the places that are asked about.
static bool asked(const struct sld_findings *r, struct sld_str origin)
{
    for (size_t i = 0; i < r->place_count; i++) {
        struct sld_str p = r->places[i];
        if (sld_str_starts(origin, p) && (origin.n == p.n || origin.p[p.n] == '/'))
            return true;
    }
    return r->place_count == 0;
}

// A reference that leads nowhere is no mistake of its document: what it names may come.
static bool of_others(enum sld_code code)
{
    return code >= 200 && code < 300;
}

static void add(struct sld_findings *r, struct sld_findings_line l)
{
    if (!asked(r, l.origin))
        return;
    if (sld_str_starts(l.origin, SLD_STR("./")))
        l.origin = sld_str_sub(l.origin, 2, l.origin.n);
    if (l.severity == SLD_ERROR) {
        r->errors++;
        r->own_errors += !of_others(l.code);
    }
    if (l.severity == SLD_WARNING)
        r->warnings++;
    if (l.severity >= r->least)
        SLD_PUSH(&r->arena, r->lines, r->count, l);
}

// A secret that was not looked for may be there.
static void judge(struct sld_findings *r, struct sld_finding *f)
{
    if (f->code != SLD_REF_SECRET || f->severity != SLD_ERROR || !r->unread.p)
        return;
    f->severity = SLD_WARNING;
    f->message = sld_arena_fmt(&r->arena, "%.*s. It was not looked for in %.*s", SLD_FMT(f->message),
                               SLD_FMT(r->unread));
}

static void on_object(const struct sld_object *o, const struct sld_status *s, void *arg)
{
    struct sld_findings *r = arg;
    struct sld_str key = sld_ident_key(&r->arena, o->id);
    const struct sld_raw *raw = sld_translate_raw(r->t, key);
    struct sld_finding *all = SLD_ARENA_ARRAY(&r->arena, struct sld_finding, s->count + 1);
    if (s->count)
        memcpy(all, s->findings, s->count * sizeof(*all));
    sld_raw_locate_all(raw, all, s->count); // reads the document once
    for (size_t i = 0; i < s->count; i++) {
        struct sld_finding f = all[i];
        judge(r, &f);
        add(r,
            (struct sld_findings_line){
                .origin = f.origin.n ? f.origin : sld_raw_origin(raw),
                .line = f.line,
                .column = f.column,
                .severity = f.severity,
                .code = f.code,
                .object = sld_arena_fmt(&r->arena, "%s %.*s.%.*s", sld_kind_info(o->id.kind)->name,
                                        SLD_FMT(o->id.ns), SLD_FMT(o->id.name)),
                .path = f.path,
                .message = f.message,
            });
    }
}

static void add_problems(struct sld_findings *r, const struct sld_intake *in)
{
    size_t n;
    const struct sld_problem *p = sld_intake_problems(in, &n);
    for (size_t i = 0; i < n; i++) {
        struct sld_str origin =
            p[i].path.n
                ? sld_arena_fmt(&r->arena, "%.*s/%.*s", SLD_FMT(p[i].source), SLD_FMT(p[i].path))
                : p[i].source;
        add(r, (struct sld_findings_line){.origin = origin,
                             .line = p[i].line,
                             .column = p[i].column,
                             .severity = p[i].severity,
                             .code = p[i].code,
                             .message = p[i].message});
    }
}

static int by_place(const void *a, const void *b)
{
    const struct sld_findings_line *x = a, *y = b;
    int c = sld_str_cmp(x->origin, y->origin);
    if (!c)
        c = (x->line > y->line) - (x->line < y->line);
    if (!c)
        c = (x->column > y->column) - (x->column < y->column);
    if (!c)
        c = (int)x->code - (int)y->code;
    return c ? c : sld_str_cmp(x->message, y->message);
}

void sld_findings_collect(struct sld_findings *r, const struct sld_offline *off)
{
    r->t = off->translate;
    r->documents = off->documents;
    r->unread = off->unread;
    sld_translate_each(off->translate, SLD_KIND_COUNT, on_object, r);
    add_problems(r, off->intake);
    if (r->count)
        qsort(r->lines, r->count, sizeof(*r->lines), by_place);
}

void sld_findings_print(const struct sld_findings *r, FILE *to)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct sld_findings_line *l = &r->lines[i];
        char at[32] = ""; // a problem of the whole file has no place in it
        if (l->line)
            snprintf(at, sizeof(at), ":%d:%d", l->line, l->column);
        fprintf(to, "%.*s%s: %s SLD%04d: %.*s%s%.*s%s%.*s\n", SLD_FMT(l->origin), at,
               sld_severity_name(l->severity), (int)l->code, SLD_FMT(l->object),
               l->object.n ? ": " : "", SLD_FMT(l->path), l->path.n ? ": " : "",
               SLD_FMT(l->message));
    }
}

void sld_findings_list_json(const struct sld_findings *r, struct sld_json *j)
{
    sld_json_begin(j, '[');
    for (size_t i = 0; i < r->count; i++) {
        const struct sld_findings_line *l = &r->lines[i];
        char code[16];
        snprintf(code, sizeof(code), "SLD%04d", (int)l->code);
        sld_json_begin(j, '{');
        sld_json_key(j, "code");
        sld_json_str(j, sld_str_c(code));
        sld_json_key(j, "severity");
        sld_json_str(j, sld_str_c(sld_severity_name(l->severity)));
        sld_json_key(j, "origin");
        sld_json_str(j, l->origin);
        sld_json_key(j, "line");
        sld_json_int(j, l->line);
        sld_json_key(j, "column");
        sld_json_int(j, l->column);
        sld_json_key(j, "object");
        sld_json_str(j, l->object);
        sld_json_key(j, "path");
        sld_json_str(j, l->path);
        sld_json_key(j, "message");
        sld_json_str(j, l->message);
        sld_json_key(j, "remedy");
        sld_json_str(j, sld_str_c(sld_code_remedy(l->code)));
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
}

void sld_findings_print_json(const struct sld_findings *r)
{
    struct sld_buf b;
    sld_buf_init(&b, 256U << 20);
    struct sld_json j;
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "resources");
    sld_json_int(&j, (int64_t)r->documents);
    sld_json_key(&j, "errors");
    sld_json_int(&j, (int64_t)r->errors);
    sld_json_key(&j, "warnings");
    sld_json_int(&j, (int64_t)r->warnings);
    sld_json_key(&j, "findings");
    sld_findings_list_json(r, &j);
    sld_json_end(&j, '}');
    sld_buf_addc(&b, '\n');
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
}

void sld_findings_fini(struct sld_findings *r)
{
    sld_arena_fini(&r->arena);
}
