// solder check: reads resources with the server's own code and tells what is wrong with them.
#include "app/builtin.h"
#include "app/commands.h"
#include "app/settings.h"
#include "app/offline.h"

#include <stdio.h>
#include <stdlib.h>

// One line of the report.
struct line {
    struct sld_str origin;
    int line, column;
    enum sld_severity severity;
    enum sld_code code;
    struct sld_str object; // "VirtualService gloo-system.default", or absent
    struct sld_str path, message;
};

struct report {
    const struct sld_translate *t;
    struct sld_arena arena;
    struct line *lines;
    size_t count, errors, warnings;
    enum sld_severity least;
};

static void add(struct report *r, struct line l)
{
    if (sld_str_starts(l.origin, SLD_STR("./")))
        l.origin = sld_str_sub(l.origin, 2, l.origin.n);
    if (l.severity == SLD_ERROR)
        r->errors++;
    if (l.severity == SLD_WARNING)
        r->warnings++;
    if (l.severity >= r->least)
        SLD_PUSH(&r->arena, r->lines, r->count, l);
}

static void on_object(const struct sld_object *o, const struct sld_status *s, void *arg)
{
    struct report *r = arg;
    struct sld_str key = sld_ident_key(&r->arena, o->id);
    const struct sld_raw *raw = sld_translate_raw(r->t, key);
    for (size_t i = 0; i < s->count; i++) {
        struct sld_finding f = s->findings[i];
        sld_raw_locate(raw, &f);
        add(r,
            (struct line){
                .origin = f.origin.n ? f.origin : raw->origin,
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

static void add_problems(struct report *r, const struct sld_intake *in)
{
    size_t n;
    const struct sld_problem *p = sld_intake_problems(in, &n);
    for (size_t i = 0; i < n; i++) {
        struct sld_str origin =
            p[i].path.n
                ? sld_arena_fmt(&r->arena, "%.*s/%.*s", SLD_FMT(p[i].source), SLD_FMT(p[i].path))
                : p[i].source;
        add(r, (struct line){.origin = origin,
                             .line = p[i].line,
                             .column = p[i].column,
                             .severity = p[i].severity,
                             .code = p[i].code,
                             .message = p[i].message});
    }
}

static int by_place(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int c = sld_str_cmp(x->origin, y->origin);
    if (!c)
        c = (x->line > y->line) - (x->line < y->line);
    if (!c)
        c = (x->column > y->column) - (x->column < y->column);
    if (!c)
        c = (int)x->code - (int)y->code;
    return c ? c : sld_str_cmp(x->message, y->message);
}

static void print_text(const struct report *r, size_t documents)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct line *l = &r->lines[i];
        char at[32] = ""; // a problem of the whole file has no place in it
        if (l->line)
            snprintf(at, sizeof(at), ":%d:%d", l->line, l->column);
        printf("%.*s%s: %s SLD%04d: %.*s%s%.*s%s%.*s\n", SLD_FMT(l->origin), at,
               sld_severity_name(l->severity), (int)l->code, SLD_FMT(l->object),
               l->object.n ? ": " : "", SLD_FMT(l->path), l->path.n ? ": " : "",
               SLD_FMT(l->message));
    }
    fprintf(stderr, "%zu resources, %zu errors, %zu warnings\n", documents, r->errors, r->warnings);
}

static void print_json(const struct report *r, size_t documents)
{
    struct sld_buf b;
    sld_buf_init(&b, 256U << 20);
    struct sld_json j;
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "resources");
    sld_json_int(&j, (int64_t)documents);
    sld_json_key(&j, "errors");
    sld_json_int(&j, (int64_t)r->errors);
    sld_json_key(&j, "warnings");
    sld_json_int(&j, (int64_t)r->warnings);
    sld_json_key(&j, "findings");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < r->count; i++) {
        const struct line *l = &r->lines[i];
        char code[16];
        snprintf(code, sizeof(code), "SLD%04d", (int)l->code);
        sld_json_begin(&j, '{');
        sld_json_key(&j, "code");
        sld_json_str(&j, sld_str_c(code));
        sld_json_key(&j, "severity");
        sld_json_str(&j, sld_str_c(sld_severity_name(l->severity)));
        sld_json_key(&j, "origin");
        sld_json_str(&j, l->origin);
        sld_json_key(&j, "line");
        sld_json_int(&j, l->line);
        sld_json_key(&j, "column");
        sld_json_int(&j, l->column);
        sld_json_key(&j, "object");
        sld_json_str(&j, l->object);
        sld_json_key(&j, "path");
        sld_json_str(&j, l->path);
        sld_json_key(&j, "message");
        sld_json_str(&j, l->message);
        sld_json_key(&j, "remedy");
        sld_json_str(&j, sld_str_c(sld_code_remedy(l->code)));
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    sld_json_end(&j, '}');
    sld_buf_addc(&b, '\n');
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
}

static int run(struct sld_args *a)
{
    const char *format = sld_args_get(a, "output");
    if (format && strcmp(format, "text") && strcmp(format, "json"))
        return sld_usage("-o takes text or json, not %s", format);
    struct sld_offline off = {0};
    struct sld_offline_options opt = {
        .paths = a->pos,
        .settings_file = sld_args_get(a, "settings"),
        .settings_name = sld_args_get(a, "settings-name"),
        .services = sld_args_get(a, "services"),
    };
    struct sld_err err = {0};
    struct report r = {.least = sld_args_has(a, "notes") ? SLD_NOTE : SLD_WARNING};
    int code = SLD_EXIT_USAGE;
    if (sld_offline_load(&off, &opt, &err)) {
        fprintf(stderr, "solder check: %s\n", err.msg);
    } else {
        r.t = off.translate;
        sld_translate_each(off.translate, SLD_KIND_COUNT, on_object, &r);
        add_problems(&r, off.intake);
        if (r.count)
            qsort(r.lines, r.count, sizeof(*r.lines), by_place);
        if (format && !strcmp(format, "json"))
            print_json(&r, off.documents);
        else
            print_text(&r, off.documents);
        code = r.errors ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
    }
    sld_arena_fini(&r.arena);
    sld_offline_fini(&off);
    return code;
}

static const struct sld_flag flags[] = {
    {.name = "notes", .help = "tell of ignored documents and objects without effect too"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "text (default) or json"},
    {.name = "services", .arg = "FILE", .help = "services and instances that discovery would find"},
    SLD_SETTINGS_FLAGS,
};

const struct sld_command sld_cmd_check = {
    .name = "check",
    .args = "PATH...",
    .help = "Tells what is wrong with the resources in directories or files, offline.",
    .more =
        "Prints file:line:column: severity code: object: field: what is wrong and how to mend it.\n"
        "Exit code 0: no errors; 1: errors found; 2: could not check.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 64,
    .run = run,
};
