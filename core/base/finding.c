// Findings and the table of their codes.
#include "base/finding.h"

#include <stdarg.h>
#include <stdio.h>

static const struct sld_code_info codes[] = {
#define SLD_CODE(id, number, title, remedy) {SLD_##id, #id, title, remedy},
#include "base/codes.h"
#undef SLD_CODE
};

const struct sld_code_info *sld_code_table(size_t *n)
{
    *n = SLD_ARRAY_LEN(codes);
    return codes;
}

static const struct sld_code_info *code_info(enum sld_code c)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(codes); i++) {
        if (codes[i].code == c)
            return &codes[i];
    }
    return NULL;
}

const char *sld_code_title(enum sld_code c)
{
    const struct sld_code_info *i = code_info(c);
    return i ? i->title : NULL;
}

const char *sld_code_remedy(enum sld_code c)
{
    const struct sld_code_info *i = code_info(c);
    return i ? i->remedy : NULL;
}

const char *sld_severity_name(enum sld_severity s)
{
    return s == SLD_ERROR ? "error" : s == SLD_WARNING ? "warning" : "note";
}

// PREFIX and PATH joined by a dot where both are there and PATH does not begin with a bracket.
static struct sld_str join(struct sld_arena *a, struct sld_str prefix, struct sld_str path)
{
    if (prefix.n == 0)
        return sld_arena_str(a, path.p ? path : SLD_STR(""));
    if (path.n == 0)
        return sld_arena_str(a, prefix);
    return sld_arena_fmt(a, "%.*s%s%.*s", SLD_FMT(prefix), path.p[0] == '[' ? "" : ".",
                         SLD_FMT(path));
}

void sld_report_add(struct sld_report *r, enum sld_severity sev, enum sld_code code,
                    struct sld_str path, const char *fmt, ...)
{
    if (sev == SLD_ERROR)
        r->errors++;
    else if (sev == SLD_WARNING)
        r->warnings++;
    if (r->count >= SLD_REPORT_MAX)
        return;
    struct sld_buf text;
    sld_buf_init(&text, 4096);
    va_list ap;
    va_start(ap, fmt);
    sld_buf_vaddf(&text, fmt, ap);
    va_end(ap);
    struct sld_finding f = {
        .code = code,
        .severity = sev,
        .path = join(r->arena, r->prefix, path),
        .message = sld_arena_str(r->arena, sld_buf_str(&text)),
    };
    sld_buf_fini(&text);
    SLD_PUSH(r->arena, r->items, r->count, f);
}

struct sld_str sld_report_enter(struct sld_report *r, const char *part, long index)
{
    struct sld_str before = r->prefix;
    r->prefix = join(r->arena, before, sld_str_c(part));
    if (index >= 0)
        r->prefix = sld_arena_fmt(r->arena, "%.*s[%ld]", SLD_FMT(r->prefix), index);
    return before;
}

void sld_report_leave(struct sld_report *r, struct sld_str previous)
{
    r->prefix = previous;
}
