// Findings and the table of their codes.
#include "base/finding.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 4096 };

struct code_info {
    enum sld_code code;
    const char *title, *remedy;
};

static const struct code_info codes[] = {
#define SLD_CODE(id, number, title, remedy) {SLD_##id, title, remedy},
#include "base/codes.h"
#undef SLD_CODE
};

static const struct code_info *code_info(enum sld_code c)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(codes); i++) {
        if (codes[i].code == c)
            return &codes[i];
    }
    return NULL;
}

const char *sld_code_title(enum sld_code c)
{
    const struct code_info *i = code_info(c);
    return i ? i->title : NULL;
}

const char *sld_code_remedy(enum sld_code c)
{
    const struct code_info *i = code_info(c);
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
    return SLD_ARENA_JOIN(a, prefix, path.p[0] == '[' ? SLD_STR("") : SLD_STR("."), path);
}

// Whether one of severity SEV is kept: drops the last of the mildest ones when there are too many.
static bool make_room(struct sld_report *r, enum sld_severity sev)
{
    if (r->count < SLD_REPORT_MAX)
        return true;
    size_t mildest = 0;
    for (size_t i = 1; i < r->count; i++) {
        if (r->items[i].severity <= r->items[mildest].severity)
            mildest = i;
    }
    if (r->items[mildest].severity >= sev)
        return false;
    r->count--;
    memmove(&r->items[mildest], &r->items[mildest + 1], (r->count - mildest) * sizeof(*r->items));
    return true;
}

// The text of a finding, cut if it is too long.
static struct sld_str text_of(struct sld_arena *a, const char *fmt, va_list ap)
{
    char text[TEXT_MAX + 4]; // so that the cut knows whether it is within a character
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    SLD_INV(n >= 0);
    return sld_arena_str(a, sld_str_utf8_cut(sld_str_c(text), TEXT_MAX));
}

void sld_report_add(struct sld_report *r, enum sld_severity sev, enum sld_code code,
                    struct sld_str path, const char *fmt, ...)
{
    if (sev == SLD_ERROR)
        r->errors++;
    else if (sev == SLD_WARNING)
        r->warnings++;
    if (!make_room(r, sev))
        return;
    va_list ap;
    va_start(ap, fmt);
    struct sld_finding f = {
        .code = code,
        .severity = sev,
        .path = join(r->arena, r->prefix, path),
        .message = text_of(r->arena, fmt, ap),
    };
    va_end(ap);
    SLD_PUSH(r->arena, r->items, r->count, f);
}

// "[INDEX]", written into OUT.
enum { INDEX_MAX = 24 };
static struct sld_str bracketed(char out[INDEX_MAX], long index)
{
    size_t at = INDEX_MAX;
    out[--at] = ']';
    do
        out[--at] = (char)('0' + index % 10);
    while (index /= 10);
    out[--at] = '[';
    return sld_str_n(out + at, INDEX_MAX - at);
}

struct sld_str sld_report_enter(struct sld_report *r, const char *part, long index)
{
    struct sld_str before = r->prefix, p = sld_str_c(part), none = SLD_STR("");
    char text[INDEX_MAX];
    bool dot = before.n && p.n && p.p[0] != '[';
    r->prefix = SLD_ARENA_JOIN(r->arena, before, dot ? SLD_STR(".") : none, p.p ? p : none,
                               index >= 0 ? bracketed(text, index) : none);
    return before;
}

void sld_report_leave(struct sld_report *r, struct sld_str previous)
{
    r->prefix = previous;
}
