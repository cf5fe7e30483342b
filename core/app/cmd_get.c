// solder get: resources and their statuses, as the server has them; of secrets also what the stores
// tell of them.
#include <stdio.h>
#include <stdlib.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/get.h"
#include "app/plugin_state.h"
#include "app/table.h"
#include "model/model.h"

struct get_row {
    struct sld_str ns, name, kind, state, origin, version, expires, reason;
};

struct get {
    const struct sld_args *args;
    struct sld_arena arena;
    enum sld_get_format format;
    const struct sld_kind_info *kind; // NULL: all
    struct sld_str ns;
    struct get_row *rows;
    size_t row_count;
};

static int fail(const char *command, const struct sld_err *err)
{
    fprintf(stderr, "solder %s: %s\n", command, err->msg);
    return err->rc == SLD_INVALID ? SLD_EXIT_USAGE : SLD_EXIT_FINDINGS;
}

static bool read_format(const char *word, enum sld_get_format *out)
{
    static const char *const names[] = {"table", "yaml", "json", "name"};
    *out = SLD_GET_TABLE;
    for (size_t i = 0; word && i < SLD_ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]))
            continue;
        *out = (enum sld_get_format)i;
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

// The state as people are told it: also whether it is that of the present document.
static struct sld_str state_text(struct sld_arena *a, const struct sld_node *o)
{
    bool last_good = sld_str_eq(text(o, "lastGood"), SLD_STR("true"));
    bool stale = text(o, "staleSince").n > 0;
    return sld_arena_fmt(a, "%.*s%s%s", SLD_FMT(text(o, "state")), last_good ? " (last good)" : "",
                         stale ? " (stale)" : "");
}

// One row for O; NS, NAME and KIND are its.
static void add_row(struct get *g, const struct sld_node *o, struct sld_str ns, struct sld_str name,
                    const char *kind)
{
    struct sld_arena *a = &g->arena;
    struct get_row r = {.ns = ns,
                        .name = name,
                        .kind = sld_str_c(kind),
                        .state = state_text(a, o),
                        .origin = text(o, "origin"),
                        .expires = text(o, "expires"),
                        .reason = sld_table_line(a, text(o, "reason"))};
    SLD_PUSH(a, g->rows, g->row_count, r);
}

static void print_rows(const struct get *g, bool secrets)
{
    static const char *const titles[] = {"NAMESPACE", "NAME",    "KIND",    "STATE",
                                         "ORIGIN",    "VERSION", "EXPIRES", "REASON"};
    static const char *const plain[] = {"NAMESPACE", "NAME", "KIND", "STATE", "ORIGIN", "REASON"};
    struct sld_arena a = {0};
    struct sld_str *cells = SLD_ARENA_ARRAY(&a, struct sld_str, g->row_count * 8 + 1);
    size_t n = 0;
    for (size_t i = 0; i < g->row_count; i++) {
        const struct get_row *r = &g->rows[i];
        cells[n++] = r->ns;
        cells[n++] = r->name;
        cells[n++] = r->kind;
        cells[n++] = r->state;
        cells[n++] = r->origin;
        if (secrets) {
            cells[n++] = r->version;
            cells[n++] = r->expires;
        }
        cells[n++] = r->reason;
    }
    bool header = !sld_args_has(g->args, "no-headers");
    sld_table_print(!header ? NULL : secrets ? titles : plain, cells, g->row_count,
                    secrets ? 8 : 6);
    sld_arena_fini(&a);
}

// ---- Secrets ----

// What a source holds that is a secret or keeps it there: joined with the row of its object, or one of
// its own.
static void add_fact(struct get *g, const struct sld_node *f, struct sld_str only)
{
    struct sld_str name = text(f, "name"), ns = SLD_STR(""), rest = name;
    struct sld_str kind = text(f, "kind"), expires = text(f, "expires");
    bool of_object = !sld_str_eq(kind, SLD_STR("token")) && sld_str_cut(&rest, '/', &ns) && rest.n;
    if (!of_object)
        ns = SLD_STR("");
    if ((g->ns.n && !sld_str_eq(ns, g->ns)) || (only.n && !(of_object && sld_str_eq(rest, only))))
        return;
    for (size_t i = 0; of_object && i < g->row_count; i++) {
        struct get_row *r = &g->rows[i];
        if (!sld_str_eq(r->ns, ns) || !sld_str_eq(r->name, rest))
            continue;
        r->version = text(f, "version");
        // Two ends: the lease and the certificate. The first counts.
        if (expires.n && (!r->expires.n || sld_str_cmp(expires, r->expires) < 0))
            r->expires = expires;
        if (!r->reason.n)
            r->reason = text(f, "problem");
        return;
    }
    struct get_row r = {.ns = ns,
                        .name = of_object ? rest : name,
                        .kind = kind,
                        .origin = text(f, "source"),
                        .version = text(f, "version"),
                        .expires = expires,
                        .reason = sld_table_line(&g->arena, text(f, "problem"))};
    SLD_PUSH(&g->arena, g->rows, g->row_count, r);
}

// ONLY: the name asked for, or absent.
static enum sld_rc add_facts(struct get *g, struct sld_str only, struct sld_err *err)
{
    struct sld_node *root;
    enum sld_rc rc =
        sld_client_get_json(&g->arena, g->args, SLD_STR("/v1/secrets"), &root, err);
    const struct sld_node *facts = rc ? NULL : sld_node_get(root, SLD_STR("facts"));
    for (size_t i = 0; facts && i < facts->count; i++)
        add_fact(g, facts->items[i], only);
    return rc;
}

static bool of_secrets(const struct get *g)
{
    return g->kind && g->kind->kind == SLD_KIND_SECRET;
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
    if (g->format == SLD_GET_YAML || g->format == SLD_GET_JSON)
        p = sld_arena_fmt(a, "%.*s&spec=true", SLD_FMT(p));
    if (resume.n)
        p = sld_arena_fmt(a, "%.*s&continue=%.*s", SLD_FMT(p),
                          SLD_FMT(sld_client_escape(a, resume)));
    return p;
}

static void print_item(const struct get *g, const struct sld_node *o, size_t index)
{
    if (g->format == SLD_GET_NAME) {
        const struct sld_kind_info *k = sld_kind_find(text(o, "kind"));
        printf("%s/%.*s/%.*s\n", k ? k->plural : "", SLD_FMT(text(o, "namespace")),
               SLD_FMT(text(o, "name")));
        return;
    }
    struct sld_buf b;
    sld_buf_init(&b, 64U << 20);
    if (g->format == SLD_GET_YAML)
        sld_buf_addz(&b, "---\n");
    else if (index)
        sld_buf_addz(&b, ",\n");
    const struct sld_node *object = sld_node_get(o, SLD_STR("object"));
    if (object)
        sld_doc_print_node(&b, object, g->format == SLD_GET_YAML ? SLD_TEXT_YAML : SLD_TEXT_JSON);
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
}

static int list(struct get *g)
{
    size_t printed = 0;
    struct sld_str resume = SLD_STR_NONE;
    struct sld_err err = {0};
    if (g->format == SLD_GET_JSON)
        fputs("[\n", stdout);
    do {
        struct sld_node *root;
        if (sld_client_get_json(&g->arena, g->args, list_path(g, resume), &root, &err))
            return fail(g->args->cmd->name, &err);
        const struct sld_node *items = sld_node_get(root, SLD_STR("items"));
        for (size_t i = 0; g->format == SLD_GET_TABLE && items && i < items->count; i++)
            add_row(g, items->items[i], text(items->items[i], "namespace"),
                    text(items->items[i], "name"),
                    sld_arena_cstr(&g->arena, text(items->items[i], "kind")));
        for (size_t i = 0; g->format != SLD_GET_TABLE && items && i < items->count; i++)
            print_item(g, items->items[i], printed++);
        resume = text(root, "continue");
    } while (resume.n);
    if (g->format == SLD_GET_JSON)
        fputs("]\n", stdout);
    if (g->format == SLD_GET_TABLE && of_secrets(g) && add_facts(g, SLD_STR_NONE, &err))
        return fail(g->args->cmd->name, &err);
    if (g->format == SLD_GET_TABLE && g->row_count)
        print_rows(g, of_secrets(g));
    if (g->format == SLD_GET_TABLE && !g->row_count)
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
    if (g->format == SLD_GET_YAML || g->format == SLD_GET_JSON) {
        path = sld_arena_fmt(a, "%.*s?format=%s", SLD_FMT(path),
                             g->format == SLD_GET_YAML ? "yaml" : "resource");
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
    if (g->format == SLD_GET_NAME) {
        printf("%s/%.*s/%.*s\n", g->kind->plural, SLD_FMT(ns), SLD_FMT(name));
        return SLD_EXIT_OK;
    }
    add_row(g, root, ns, name, g->kind->name);
    if (of_secrets(g) && add_facts(g, name, &err))
        return fail(g->args->cmd->name, &err);
    print_rows(g, of_secrets(g));
    return SLD_EXIT_OK;
}

static int run(struct sld_args *args)
{
    struct get g = {.args = args};
    if (!read_format(sld_args_get(args, "output"), &g.format))
        return sld_usage("-o takes table, yaml, json or name, not %s",
                         sld_args_get(args, "output"));
    g.ns = sld_str_c(sld_args_get(args, "namespace"));
    if (!strcmp(args->pos[0], "sources") && args->pos_count == 1 && !sld_args_has(args, "from"))
        return sld_get_sources(args, g.format);
    g.kind = strcmp(args->pos[0], "all") ? sld_kind_find(sld_str_c(args->pos[0])) : NULL;
    if (!g.kind && strcmp(args->pos[0], "all"))
        return sld_unknown_kind(args->pos[0]);
    if (!g.kind && args->pos_count > 1)
        return sld_usage("a name needs a kind: solder get KIND NAME");
    struct sld_str name = sld_str_c(args->pos_count > 1 ? args->pos[1] : NULL);
    if (sld_args_has(args, "from"))
        return sld_get_stored(args, g.kind, name.p && !g.ns.n ? SLD_STR("gloo-system") : g.ns, name,
                              g.format);
    if (g.kind && g.kind->kind == SLD_KIND_PLUGIN && g.format == SLD_GET_TABLE)
        return sld_get_plugins(args, name);
    int code = args->pos_count > 1 ? one(&g, sld_str_c(args->pos[1])) : list(&g);
    sld_arena_fini(&g.arena);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    {.name = "from",
     .arg = "STORE",
     .help = "read a directory or consul://HOST:PORT/ROOT instead of asking a server"},
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
    SLD_SETTINGS_FLAGS,
};

const struct sld_command sld_cmd_get = {
    .name = "get",
    .args = "KIND [NAME]",
    .help = "Shows resources and their statuses, as a running server has them.",
    .more = "KIND is a kind, its plural or short name (vs, rt, us, ug, gw), or all.\n"
            "solder get vs\nsolder get upstream petstore -n gloo-system -o yaml\n"
            "solder get secrets    (with versions and expiries, tokens and leases; never a value)\n"
            "solder get sources    (where configuration comes from, since when it is stale, who writes statuses)\n"
            "solder get plugins    (their states, versions, calls and errors; with -o their documents)\n\n"
            "Exit code 0: shown; 1: not there, or no answer; 2: wrong usage.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 2,
    .run = run,
};
