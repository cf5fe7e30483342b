// solder describe: one resource with its status, what is wrong with it, and what it says.
#include <stdio.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/plugin_state.h"
#include "model/model.h"

static struct sld_str text(const struct sld_node *n, const char *key)
{
    struct sld_str s = sld_node_text(sld_node_get(n, sld_str_c(key)));
    return s.p ? s : SLD_STR("");
}

static void print_findings(const struct sld_node *findings)
{
    if (!findings || !findings->count)
        return;
    puts("Findings:");
    for (size_t i = 0; i < findings->count; i++) {
        const struct sld_node *f = findings->items[i];
        struct sld_str origin = text(f, "origin"), line = text(f, "line"), path = text(f, "path");
        printf("  %.*s %.*s: %.*s%s%.*s\n", SLD_FMT(text(f, "severity")), SLD_FMT(text(f, "code")),
               SLD_FMT(path), path.n ? ": " : "", SLD_FMT(text(f, "message")));
        if (line.n)
            printf("    at %.*s%s%.*s:%.*s\n", SLD_FMT(origin), origin.n ? ":" : "line ",
                   SLD_FMT(line), SLD_FMT(text(f, "column")));
        printf("    remedy: %.*s\n", SLD_FMT(text(f, "remedy")));
    }
}

static void print_object(const struct sld_node *object)
{
    struct sld_buf b;
    sld_buf_init(&b, 64U << 20);
    sld_doc_print_node(&b, object, SLD_TEXT_YAML);
    puts("Resource:");
    struct sld_str rest = sld_buf_str(&b), line;
    while (rest.n && sld_str_cut(&rest, '\n', &line))
        printf("  %.*s\n", SLD_FMT(line));
    sld_buf_fini(&b);
}

// What was made of it, and why, as /v1/explain has it.
static void print_explained(const struct sld_node *root)
{
    const struct sld_node *outs = sld_node_get(root, SLD_STR("resources")),
                          *steps = sld_node_get(root, SLD_STR("steps"));
    puts("For Envoys:");
    for (size_t i = 0; outs && i < outs->count; i++) {
        const struct sld_node *o = outs->items[i];
        printf("  %.*s %.*s%s%.*s\n", SLD_FMT(text(o, "type")), SLD_FMT(text(o, "name")), text(o, "view").n ? " of " : "",
               SLD_FMT(text(o, "view")));
    }
    if (!outs || !outs->count)
        puts("  nothing");
    puts("Made by:");
    for (size_t i = 0; steps && i < steps->count; i++) {
        const struct sld_node *s = steps->items[i], *why = sld_node_get(s, SLD_STR("because"));
        const struct sld_node *read = sld_node_get(s, SLD_STR("read"));
        printf("  %.*s of %.*s\n", SLD_FMT(text(s, "table")), SLD_FMT(text(s, "row")));
        if (why)
            printf("    ran last in round %.*s, because of %.*s %.*s\n", SLD_FMT(text(why, "round")),
                   SLD_FMT(text(why, "table")), SLD_FMT(text(why, "key")));
        for (size_t k = 0; read && k < read->count; k++)
            printf("    read %.*s %.*s %.*s\n", SLD_FMT(text(read->items[k], "kind")), SLD_FMT(text(read->items[k], "of")),
                   SLD_FMT(text(read->items[k], "key")));
    }
}

static void print(const struct sld_kind_info *k, struct sld_str ns, const char *name,
                  const struct sld_node *root)
{
    bool last_good = sld_str_eq(text(root, "lastGood"), SLD_STR("true"));
    bool served = sld_str_eq(text(root, "served"), SLD_STR("true"));
    printf("Kind:      %s\nNamespace: %.*s\nName:      %s\nOrigin:    %.*s\nState:     %.*s\n",
           k->name, SLD_FMT(ns), name, SLD_FMT(text(root, "origin")), SLD_FMT(text(root, "state")));
    printf("In force:  %s\n", last_good ? "the last accepted form, not the present document"
                              : served  ? "the present document"
                                        : "nothing");
    if (text(root, "staleSince").n)
        printf("Stale:     its source cannot be read since %.*s, so this may not be its last word:\n"
               "           %.*s\n",
               SLD_FMT(text(root, "staleSince")), SLD_FMT(text(root, "staleReason")));
    print_findings(sld_node_get(root, SLD_STR("findings")));
    const struct sld_node *object = sld_node_get(root, SLD_STR("object"));
    if (object)
        print_object(object);
}

static int run(struct sld_args *args)
{
    const struct sld_kind_info *k = sld_kind_find(sld_str_c(args->pos[0]));
    if (!k)
        return sld_unknown_kind(args->pos[0]);
    if (k->kind == SLD_KIND_PLUGIN)
        return sld_describe_plugin(args, sld_str_c(args->pos[1]));
    const char *given = sld_args_get(args, "namespace");
    struct sld_str ns = sld_str_c(given ? given : "gloo-system");
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_node *root;
    struct sld_str who = sld_arena_fmt(&a, "%s/%.*s/%.*s", k->plural, SLD_FMT(sld_client_escape(&a, ns)),
                                       SLD_FMT(sld_client_escape(&a, sld_str_c(args->pos[1]))));
    bool explain = sld_args_has(args, "explain");
    enum sld_rc rc = sld_client_get_json(&a, args, SLD_ARENA_JOIN(&a, SLD_STR("/v1/objects/"), who), &root, &err);
    if (!rc)
        print(k, ns, args->pos[1], root);
    if (!rc && explain)
        rc = sld_client_get_json(&a, args, SLD_ARENA_JOIN(&a, SLD_STR("/v1/explain/"), who), &root, &err);
    if (!rc && explain)
        print_explained(root);
    if (rc)
        fprintf(stderr, "solder describe: %s\n", err.msg);
    int code = rc ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
    sld_arena_fini(&a);
    return code;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    {.name = "explain",
     .help = "also what is made of it for Envoys, by which steps, what they read and why they ran last"},
    {.name = "namespace",
     .letter = 'n',
     .arg = "NS",
     .env = "SOLDER_NAMESPACE",
     .help = "namespace; default gloo-system"},
};

const struct sld_command sld_cmd_describe = {
    .name = "describe",
    .args = "KIND NAME",
    .help = "Shows one resource with its status, what is wrong with it and how to mend it.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 2,
    .max_pos = 2,
    .run = run,
};
