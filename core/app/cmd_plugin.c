// solder plugin: what authors of plugins need; only record asks a server.
#include "app/plugin.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/builtin.h"
#include "app/commands.h"
#include "plugin/author.h"

static const struct sld_command *const subs[] = {
    &sld_cmd_plugin_check,
    &sld_cmd_plugin_doc,
    &sld_cmd_plugin_new,
    &sld_cmd_plugin_record,
    &sld_cmd_plugin_run,
    &sld_cmd_plugin_test,
};

const struct sld_command sld_cmd_plugin = {
    .name = "plugin",
    .args = "COMMAND",
    .help = "Writes, checks, tests and documents plugins in Lua.",
    .subs = subs,
    .sub_count = SLD_ARRAY_LEN(subs),
};

// ---- What they share ----

int sld_plugin_cli_read(const char *path, struct sld_plugin_bundle **out)
{
    struct sld_err err = {0};
    char *whole = realpath(path, NULL); // so that "." has a name
    enum sld_rc rc = sld_plugin_bundle_read(sld_str_c(whole ? whole : path), out, &err);
    sld_xfree(whole);
    if (rc)
        fprintf(stderr, "solder plugin: %s\n", err.msg);
    return rc ? SLD_EXIT_USAGE : SLD_EXIT_OK;
}

struct sld_str sld_plugin_cli_place(struct sld_arena *a, const char *path, struct sld_str file)
{
    struct sld_str p = sld_str_c(path);
    if (sld_str_ends(p, SLD_STR(".lua")))
        return p;
    while (p.n > 1 && p.p[p.n - 1] == '/')
        p.n--;
    return sld_str_eq(p, SLD_STR(".")) ? file : SLD_ARENA_JOIN(a, p, SLD_STR("/"), file);
}

// ---- check ----

static void print_faults(const char *path, const struct sld_plugin_faults *f)
{
    struct sld_arena a = {0};
    for (size_t i = 0; i < f->count; i++) {
        const struct sld_plugin_fault *x = &f->items[i];
        char line[16] = "";
        if (x->line)
            snprintf(line, sizeof(line), ":%d", x->line);
        struct sld_str place = sld_plugin_cli_place(&a, path, x->file);
        printf("%.*s%s: %s: %.*s\n", SLD_FMT(place), line, sld_severity_name(x->severity), SLD_FMT(x->words));
    }
    sld_arena_fini(&a);
}

static int check_one(const char *path)
{
    struct sld_plugin_bundle *b;
    int code = sld_plugin_cli_read(path, &b);
    if (code)
        return code;
    struct sld_plugin_faults f = {0};
    sld_plugin_lint(b, &sld_plugin_limits_default, &f, NULL);
    print_faults(path, &f);
    fprintf(stderr, "%s: %zu errors, %zu warnings\n", path, f.errors, f.count - f.errors);
    code = f.errors ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
    sld_plugin_faults_fini(&f);
    SLD_UNREF(b);
    return code;
}

static int run_check(struct sld_args *a)
{
    int code = SLD_EXIT_OK;
    for (size_t i = 0; i < (a->pos_count ? a->pos_count : 1); i++) {
        int one = check_one(a->pos_count ? a->pos[i] : ".");
        code = one > code ? one : code;
    }
    return code;
}

const struct sld_command sld_cmd_plugin_check = {
    .name = "plugin check",
    .args = "[DIR...]",
    .help = "Tells what is wrong with plugins, without running their hooks.",
    .more = "Looks at the syntax of all files, at names that nobody defined, at fields that the configuration, the message\n"
            "or the context does not have, at needs that are not declared, and loads the plugin. DIR is a plugin's folder or\n"
            "file; default is the folder one is in.\n"
            "Prints file:line: severity: what is wrong. Exit code 0: no errors; 1: errors found; 2: could not look.",
    .max_pos = 64,
    .run = run_check,
};

// ---- doc ----

static int run_doc(struct sld_args *a)
{
    const char *path = a->pos_count ? a->pos[0] : ".", *luals = sld_args_get(a, "luals");
    struct sld_plugin_bundle *b;
    struct sld_plugin *p = NULL;
    if (luals)
        return sld_plugin_cli_luals(luals, true);
    if (sld_args_has(a, "library"))
        return sld_plugin_cli_library(sld_args_has(a, "html"));
    if (sld_args_has(a, "html"))
        return sld_usage("--html is a form of --library");
    struct sld_err err = {0};
    int code = sld_plugin_cli_read(path, &b);
    if (code)
        return code;
    if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err)) {
        fprintf(stderr, "solder plugin doc: %s; see solder plugin check\n", err.msg);
        code = SLD_EXIT_FINDINGS;
    } else {
        struct sld_buf out;
        sld_buf_init(&out, 16U << 20);
        if (sld_args_has(a, "schema"))
            sld_plugin_print_schema(&out, p);
        else
            sld_plugin_print_manual(&out, p);
        fwrite(out.p, 1, out.n, stdout);
        if (out.n && out.p[out.n - 1] != '\n')
            putchar('\n');
        sld_buf_fini(&out);
    }
    SLD_UNREF(p);
    SLD_UNREF(b);
    return code;
}

static const struct sld_flag doc_flags[] = {
    {.name = "html", .help = "with --library: as a page of HTML"},
    {.name = "library", .help = "the manual of plugins, their hooks, ceilings and solder.*, instead"},
    {.name = "luals", .arg = "DIR", .help = "write definitions of plugins, Envoy's messages and solder.* for editors with LuaLS into this folder instead"},
    {.name = "schema", .help = "the JSON Schema of the configuration instead, for editors"},
};

const struct sld_command sld_cmd_plugin_doc = {
    .name = "plugin doc",
    .args = "[DIR]",
    .help = "Prints a plugin's manual in Markdown, made of its schema; or that of all plugins.",
    .flags = doc_flags,
    .flag_count = SLD_ARRAY_LEN(doc_flags),
    .max_pos = 1,
    .run = run_doc,
};
