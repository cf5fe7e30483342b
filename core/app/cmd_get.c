// solder get: resources and their statuses, as the server has them.
#include <stdio.h>
#include <stdlib.h>

#include "app/client.h"
#include "app/commands.h"
#include "model/model.h"

enum format { TABLE, YAML, JSON, NAME };

struct get {
    const struct sld_args *args;
    struct sld_arena arena;
    enum format format;
    const struct sld_kind_info *kind;
    struct sld_str ns;
};

static int fail(const char *command, const struct sld_err *err)
{
    fprintf(stderr, "solder %s: %s\n", command, err->msg);
    return err->rc == SLD_INVALID ? SLD_EXIT_USAGE : SLD_EXIT_FINDINGS;
}

static bool read_format(const char *word, enum format *out)
{
    static const char *const names[] = {"table", "yaml", "json", "name"};
    *out = TABLE;
    for (size_t i = 0; word && i < SLD_ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]))
            continue;
        *out = (enum format)i;
        return true;
    }
    return !word;
}

static struct sld_str text(const struct sld_node *n, const char *key)
{
    struct sld_str s = sld_node_text(sld_node_get(n, sld_str_c(key)));
    return s.p ? s : SLD_STR("");
}

// ---- Tables ----

enum { COLUMNS = 6 };

struct row {
    struct sld_str cell[COLUMNS];
};

static void print_rows(const struct row *rows, size_t n, size_t columns, bool header)
{
    static const char *const titles[COLUMNS] = {"NAMESPACE", "NAME",   "KIND",
                                                "STATE",     "ORIGIN", "REASON"};
    size_t width[COLUMNS] = {0};
    for (size_t c = 0; c < columns; c++) {
        width[c] = header ? strlen(titles[c]) : 0;
        for (size_t i = 0; i < n; i++)
            width[c] = rows[i].cell[c].n > width[c] ? rows[i].cell[c].n : width[c];
    }
    for (size_t c = 0; header && c < columns; c++)
        printf("%-*s%s", c + 1 < columns ? (int)width[c] : 0, titles[c],
               c + 1 < columns ? "   " : "\n");
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < columns; c++)
            printf("%-*.*s%s", c + 1 < columns ? (int)width[c] : 0, SLD_FMT(rows[i].cell[c]),
                   c + 1 < columns ? "   " : "\n");
    }
}

// A reason on one line.
static struct sld_str one_line(struct sld_arena *a, struct sld_str s)
{
    char *p = sld_arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] == '\n' || p[i] == '\t')
            p[i] = ' ';
    }
    return sld_str_n(p, s.n);
}

// The state as people are told it: also whether it is that of the present document.
static struct sld_str state_text(struct sld_arena *a, const struct sld_node *o)
{
    bool last_good = sld_str_eq(text(o, "lastGood"), SLD_STR("true"));
    bool stale = text(o, "staleSince").n > 0;
    return sld_arena_fmt(a, "%.*s%s%s", SLD_FMT(text(o, "state")), last_good ? " (last good)" : "",
                         stale ? " (stale)" : "");
}

static void add_rows(struct get *g, const struct sld_node *items, struct row **rows, size_t *n)
{
    for (size_t i = 0; items && i < items->count; i++) {
        const struct sld_node *o = items->items[i];
        struct row r = {{
            text(o, "namespace"),
            text(o, "name"),
            text(o, "kind"),
            state_text(&g->arena, o),
            text(o, "origin"),
            one_line(&g->arena, text(o, "reason")),
        }};
        SLD_PUSH(&g->arena, *rows, *n, r);
    }
}

// ---- Lists ----

static struct sld_str list_path(struct get *g, struct sld_str resume)
{
    struct sld_arena *a = &g->arena;
    struct sld_str p = sld_arena_fmt(a, "/v1/objects?kind=%s", g->kind ? g->kind->plural : "");
    if (!g->kind)
        p = SLD_STR("/v1/objects?limit=5000");
    if (g->ns.n)
        p = sld_arena_fmt(a, "%.*s&namespace=%.*s", SLD_FMT(p),
                          SLD_FMT(sld_client_escape(a, g->ns)));
    if (g->format == YAML || g->format == JSON)
        p = sld_arena_fmt(a, "%.*s&spec=true", SLD_FMT(p));
    if (resume.n)
        p = sld_arena_fmt(a, "%.*s&continue=%.*s", SLD_FMT(p),
                          SLD_FMT(sld_client_escape(a, resume)));
    return p;
}

static void print_item(const struct get *g, const struct sld_node *o, size_t index)
{
    if (g->format == NAME) {
        const struct sld_kind_info *k = sld_kind_find(text(o, "kind"));
        printf("%s/%.*s/%.*s\n", k ? k->plural : "", SLD_FMT(text(o, "namespace")),
               SLD_FMT(text(o, "name")));
        return;
    }
    struct sld_buf b;
    sld_buf_init(&b, 64U << 20);
    if (g->format == YAML)
        sld_buf_addz(&b, "---\n");
    else if (index)
        sld_buf_addz(&b, ",\n");
    const struct sld_node *object = sld_node_get(o, SLD_STR("object"));
    if (object)
        sld_doc_print_node(&b, object, g->format == YAML ? SLD_TEXT_YAML : SLD_TEXT_JSON);
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
}

static int list(struct get *g)
{
    struct row *rows = NULL;
    size_t n = 0, printed = 0;
    struct sld_str resume = SLD_STR_NONE;
    struct sld_err err = {0};
    if (g->format == JSON)
        fputs("[\n", stdout);
    do {
        struct sld_node *root;
        if (sld_client_get_json(&g->arena, g->args, list_path(g, resume), &root, &err))
            return fail(g->args->cmd->name, &err);
        const struct sld_node *items = sld_node_get(root, SLD_STR("items"));
        if (g->format == TABLE)
            add_rows(g, items, &rows, &n);
        for (size_t i = 0; g->format != TABLE && items && i < items->count; i++)
            print_item(g, items->items[i], printed++);
        resume = text(root, "continue");
    } while (resume.n);
    if (g->format == JSON)
        fputs("]\n", stdout);
    if (g->format == TABLE && n)
        print_rows(rows, n, COLUMNS, !sld_args_has(g->args, "no-headers"));
    if (g->format == TABLE && !n)
        fputs("nothing found\n", stderr);
    return SLD_EXIT_OK;
}

// ---- One ----

static int one(struct get *g, struct sld_str name)
{
    struct sld_arena *a = &g->arena;
    struct sld_err err = {0};
    struct sld_str ns = g->ns.n ? g->ns : SLD_STR("gloo-system"), body;
    struct sld_str path =
        sld_arena_fmt(a, "/v1/objects/%s/%.*s/%.*s", g->kind->plural,
                      SLD_FMT(sld_client_escape(a, ns)), SLD_FMT(sld_client_escape(a, name)));
    if (g->format == YAML || g->format == JSON) {
        path = sld_arena_fmt(a, "%.*s?format=%s", SLD_FMT(path),
                             g->format == YAML ? "yaml" : "resource");
        if (sld_client_get(a, g->args, path, &body, &err))
            return fail(g->args->cmd->name, &err);
        fwrite(body.p, 1, body.n, stdout);
        if (body.n && body.p[body.n - 1] != '\n')
            putchar('\n');
        return SLD_EXIT_OK;
    }
    struct sld_node *root;
    if (sld_client_get_json(a, g->args, path, &root, &err))
        return fail(g->args->cmd->name, &err);
    if (g->format == NAME) {
        printf("%s/%.*s/%.*s\n", g->kind->plural, SLD_FMT(ns), SLD_FMT(name));
        return SLD_EXIT_OK;
    }
    struct row r = {{ns, name, sld_str_c(g->kind->name), state_text(a, root), text(root, "origin"),
                     one_line(a, text(root, "reason"))}};
    print_rows(&r, 1, COLUMNS, !sld_args_has(g->args, "no-headers"));
    return SLD_EXIT_OK;
}

static int run(struct sld_args *args)
{
    struct get g = {.args = args};
    if (!read_format(sld_args_get(args, "output"), &g.format))
        return sld_usage("-o takes table, yaml, json or name, not %s",
                         sld_args_get(args, "output"));
    g.ns = sld_str_c(sld_args_get(args, "namespace"));
    g.kind = strcmp(args->pos[0], "all") ? sld_kind_find(sld_str_c(args->pos[0])) : NULL;
    if (!g.kind && strcmp(args->pos[0], "all"))
        return sld_unknown_kind(args->pos[0]);
    if (!g.kind && args->pos_count > 1)
        return sld_usage("a name needs a kind: solder get KIND NAME");
    int code = args->pos_count > 1 ? one(&g, sld_str_c(args->pos[1])) : list(&g);
    sld_arena_fini(&g.arena);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    {.name = "namespace",
     .letter = 'n',
     .arg = "NS",
     .env = "SOLDER_NAMESPACE",
     .help = "namespace; default all, for one resource gloo-system"},
    {.name = "no-headers", .help = "a table without its first line"},
    {.name = "output",
     .letter = 'o',
     .arg = "FORMAT",
     .help = "table (default), yaml, json or name"},
};

const struct sld_command sld_cmd_get = {
    .name = "get",
    .args = "KIND [NAME]",
    .help = "Shows resources and their statuses, as a running server has them.",
    .more = "KIND is a kind, its plural or short name (vs, rt, us, ug, gw), or all.\n"
            "solder get vs\nsolder get upstream petstore -n gloo-system -o yaml\n\n"
            "Exit code 0: shown; 1: not there, or no answer; 2: wrong usage.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 2,
    .run = run,
};
