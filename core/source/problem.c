// What is wrong with units and sources: remarks beside them, gathered into one sorted list when it
// is asked for.
#include "source/intake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// Enough to mend a file by; a million bad documents shall not fill the memory.
enum { REMARKS_MAX = 100, MESSAGE_MAX = 1024, PROBLEMS_MAX = 10000 };

struct problem_list {
    struct sld_arena arena; // of the messages made here
    struct sld_problem *items;
    size_t count, cap;
    bool valid;
};

void remarks_add(struct remarks *r, enum sld_severity severity, enum sld_code code, int line,
                 int column, const char *fmt, ...)
{
    if (r->count == REMARKS_MAX)
        return;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->items = sld_xrealloc(r->items, r->cap * sizeof(*r->items));
    }
    char text[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    size_t len = strlen(text) + 1;
    r->items[r->count++] = (struct remark){
        .severity = severity,
        .code = code,
        .line = line,
        .column = column,
        .message = memcpy(sld_xalloc(len), text, len),
    };
}

void remarks_clear(struct remarks *r)
{
    for (size_t i = 0; i < r->count; i++)
        sld_xfree(r->items[i].message);
    sld_xfree(r->items);
    *r = (struct remarks){0};
}

void problems_changed(struct sld_intake *in)
{
    if (!in->problems) {
        in->problems = SLD_NEW(struct problem_list);
        in->problems->valid = true;
    }
    if (!in->problems->valid)
        return; // told already and not read since
    in->problems->valid = false;
    in->ev.on_problems(in->ev.user);
}

void problems_fini(struct sld_intake *in)
{
    if (!in->problems)
        return;
    sld_arena_fini(&in->problems->arena);
    sld_xfree(in->problems->items);
    sld_xfree(in->problems);
    in->problems = NULL;
}

struct remarked *unit_wrong(struct unit *u)
{
    if (!u->wrong) {
        u->wrong = SLD_NEW(struct remarked);
        u->wrong->unit = u;
        sld_list_push(&u->origin->in->remarked, &u->wrong->in_remarked);
    }
    return u->wrong;
}

void unit_unremark(struct unit *u)
{
    if (!u->wrong)
        return;
    sld_list_remove(&u->wrong->in_remarked);
    remarks_clear(&u->wrong->own);
    remarks_clear(&u->wrong->trouble);
    sld_xfree(u->wrong);
    u->wrong = NULL;
}

void unit_remarked(struct unit *u)
{
    if (u->wrong && !u->wrong->own.count && !u->wrong->trouble.count)
        unit_unremark(u);
    problems_changed(u->origin->in);
}

static void list_add(struct problem_list *l, struct sld_problem p)
{
    if (l->count == PROBLEMS_MAX)
        return;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->items = sld_xrealloc(l->items, l->cap * sizeof(*l->items));
    }
    l->items[l->count++] = p;
}

static void list_remarks(struct problem_list *l, const char *source, const char *path,
                         const struct remarks *r)
{
    for (size_t i = 0; i < r->count; i++) {
        list_add(l, (struct sld_problem){
                        .source = sld_str_c(source),
                        .path = sld_str_c(path),
                        .severity = r->items[i].severity,
                        .code = r->items[i].code,
                        .line = r->items[i].line,
                        .column = r->items[i].column,
                        .message = sld_str_c(r->items[i].message),
                    });
    }
}

// Every standing claim on O but the winner's.
static void list_contested(struct problem_list *l, const struct object *o)
{
    const struct claim *winner = object_winner(o);
    if (!winner)
        return;
    for (const struct claim *c = o->claims; c; c = c->next) {
        if (c->loss || c == winner)
            continue;
        list_add(l, (struct sld_problem){
                        .source = sld_str_c(c->unit->origin->name),
                        .path = sld_str_c(c->unit->path),
                        .severity = SLD_ERROR,
                        .code = SLD_DOC_DUPLICATE,
                        .line = c->raw->line,
                        .column = 1,
                        .message = sld_arena_fmt(
                            &l->arena,
                            "%s %.*s.%.*s stands in %.*s:%d and in %.*s:%d; the first is in force",
                            sld_kind_info(c->raw->kind)->name, SLD_FMT(sld_raw_ident(c->raw).ns),
                            SLD_FMT(sld_raw_ident(c->raw).name), SLD_FMT(sld_raw_origin(winner->raw)), winner->raw->line,
                            SLD_FMT(sld_raw_origin(c->raw)), c->raw->line),
                    });
    }
}

// One line for each source and namespace that does not count. Few of each, so pairs are looked up
// in a map by a text made of both.
static void list_unwatched(struct problem_list *l, const struct sld_intake *in)
{
    struct sld_map counts = {0};
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&in->unwatched, &at));) {
        const struct object *o = s->value;
        const struct claim *c = object_winner(o);
        if (!c)
            continue;
        struct sld_str key = sld_arena_fmt(&l->arena, "%s\n%.*s", c->unit->origin->name,
                                           SLD_FMT(sld_raw_ident(c->raw).ns));
        uintptr_t before = (uintptr_t)sld_map_get(&counts, key);
        sld_map_set(&counts, key, (void *)(before + 1)); // a number, not an address
    }
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&counts, &at));) {
        struct sld_str ns = sld_arena_str(&l->arena, s->key), source;
        sld_str_cut(&ns, '\n', &source);
        size_t n = (uintptr_t)s->value;
        list_add(l, (struct sld_problem){
                        .source = source,
                        .path = SLD_STR(""),
                        .severity = SLD_NOTE,
                        .code = SLD_NAMESPACE_UNWATCHED,
                        .message = sld_arena_fmt(
                            &l->arena,
                            "%zu object%s of namespace %.*s %s not count, because watchNamespaces "
                            "of the Settings does not name it",
                            n, n == 1 ? "" : "s", SLD_FMT(ns), n == 1 ? "does" : "do"),
                    });
    }
    sld_map_fini(&counts);
}

// Objects of a source that is not read any more, and that stay because others may be on their way.
static size_t awaited_count(const struct origin *s)
{
    size_t n = 0;
    bool awaited[SLD_KIND_COUNT];
    for (int k = 0; k < SLD_KIND_COUNT; k++)
        awaited[k] = intake_awaits(s->in, (enum sld_kind)k);
    SLD_LIST_EACH (it, &s->lost)
        n += awaited[SLD_CONTAINER_OF(it, struct loss, in_lost)->claim->raw->kind];
    return n;
}

static void list_origin(struct problem_list *l, const struct origin *s)
{
    list_remarks(l, s->name, "", &s->trouble);
    size_t stay = s->closing ? awaited_count(s) : 0;
    if (stay)
        list_add(l, (struct sld_problem){
                        .source = sld_str_c(s->name),
                        .path = SLD_STR(""),
                        .severity = SLD_WARNING,
                        .code = SLD_SOURCE_CLOSED,
                        .message = sld_arena_fmt(
                            &l->arena,
                            "nothing names this source any more; %zu objects of it go when every "
                            "other source that may have them has been read",
                            stay),
                    });
    if (!s->mass)
        return;
    list_add(l,
             (struct sld_problem){
                 .source = sld_str_c(s->name),
                 .path = SLD_STR(""),
                 .severity = SLD_ERROR,
                 .code = SLD_MASS_DELETION,
                 .message = sld_arena_fmt(&l->arena,
                                          "%zu of %zu objects vanished at once; they stay in force "
                                          "until a second look",
                                          s->mass_count, s->claim_count),
             });
}

static int problem_cmp(const void *a, const void *b)
{
    const struct sld_problem *x = a, *y = b;
    int c = sld_str_cmp(x->source, y->source);
    if (c == 0)
        c = sld_str_cmp(x->path, y->path);
    if (c == 0)
        c = x->line != y->line ? (x->line < y->line ? -1 : 1) : 0;
    if (c == 0)
        c = x->code != y->code ? (x->code < y->code ? -1 : 1) : 0;
    return c ? c : sld_str_cmp(x->message, y->message);
}

const struct sld_problem *sld_intake_problems(const struct sld_intake *in, size_t *n)
{
    struct problem_list *l = in->problems;
    *n = 0;
    if (!l)
        return NULL;
    if (!l->valid) {
        sld_arena_fini(&l->arena);
        l->count = 0;
        SLD_LIST_EACH (it, &in->remarked) {
            const struct remarked *w = SLD_CONTAINER_OF(it, struct remarked, in_remarked);
            list_remarks(l, w->unit->origin->name, w->unit->path, &w->trouble);
            list_remarks(l, w->unit->origin->name, w->unit->path, &w->own);
        }
        size_t at = 0;
        for (struct sld_umap_slot *s; (s = sld_umap_next(&in->contested, &at));)
            list_contested(l, s->value);
        at = 0;
        for (struct sld_map_slot *s; (s = sld_map_next(&in->origins, &at));)
            list_origin(l, s->value);
        list_unwatched(l, in);
        if (l->count)
            qsort(l->items, l->count, sizeof(*l->items), problem_cmp);
        l->valid = true;
    }
    *n = l->count;
    return l->items;
}
