// solder plugin test: runs the specs of a plugin, in this process.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/commands.h"
#include "app/findings.h"
#include "app/plugin.h"
#include "plugin/author.h"
#include "plugin/shape.h"

enum { SNAPSHOT_MAX = 1 << 20 };

struct test {
    const struct sld_args *args;
    struct sld_arena arena;
    struct sld_str folder;
    bool update;
    size_t passed, failed;
    uint64_t ns;
    struct sld_buf junit; // the cases
    size_t lines, lines_ran;
};

// ---- The world of specs ----

static void on_out(const struct sld_out *o, void *arg)
{
    sld_offline_out_json(arg, o);
}

static enum sld_rc translate(void *user, struct sld_plugin *plugin, struct sld_str text, int64_t now_s, struct sld_buf *json,
                             struct sld_err *err)
{
    (void)user;
    struct sld_plugin_slot *slot = sld_plugin_slot_create(sld_obj_ref(plugin), SLD_STR(""));
    struct sld_offline_unit unit = {.source = SLD_STR("spec"), .path = SLD_STR("documents"), .bytes = text};
    struct sld_offline_options opt = {.units = &unit, .unit_count = 1, .now_s = now_s, .plugin = slot};
    struct sld_offline off = {0};
    opt.plugin_name = sld_plugin_info(plugin)->name;
    enum sld_rc rc = sld_offline_load(&off, &opt, err);
    if (!rc) {
        struct sld_findings f = {.least = SLD_WARNING};
        struct sld_json j;
        sld_json_init(&j, json);
        sld_json_begin(&j, '{');
        sld_json_key(&j, "xds");
        sld_json_begin(&j, '[');
        sld_translate_outs(off.translate, on_out, &j);
        sld_json_end(&j, ']');
        sld_findings_collect(&f, &off);
        sld_json_key(&j, "findings");
        sld_findings_list_json(&f, &j);
        sld_json_end(&j, '}');
        sld_findings_fini(&f);
    }
    sld_offline_fini(&off);
    SLD_UNREF(slot);
    return rc;
}

static enum sld_rc write_snapshot(struct sld_arena *a, struct sld_str folder, const char *path, struct sld_str text)
{
    mkdir(sld_arena_fmt(a, "%.*s/spec/snapshots", SLD_FMT(folder)).p, 0777);
    FILE *f = fopen(path, "we");
    if (!f || fwrite(text.p, 1, text.n, f) != text.n || fclose(f)) {
        fprintf(stderr, "solder plugin test: %s: %s\n", path, strerror(errno));
        return SLD_NOT_FOUND;
    }
    return SLD_OK;
}

static enum sld_rc snapshot(void *user, struct sld_str name, struct sld_str text, struct sld_buf *was)
{
    struct test *t = user;
    const char *path = sld_arena_fmt(&t->arena, "%.*s/spec/snapshots/%.*s.txt", SLD_FMT(t->folder), SLD_FMT(name)).p;
    FILE *f = fopen(path, "re");
    bool there = f != NULL;
    char *room = f ? sld_buf_reserve(was, SNAPSHOT_MAX) : NULL;
    if (room)
        was->n += fread(room, 1, SNAPSHOT_MAX, f);
    if (f)
        fclose(f);
    if (there && sld_str_eq(sld_buf_str(was), text))
        return SLD_OK;
    if (t->update)
        return write_snapshot(&t->arena, t->folder, path, text);
    return there ? SLD_CONFLICT : SLD_NOT_FOUND;
}

// ---- What is told ----

static void add_xml(struct sld_buf *b, struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\n')
            sld_buf_addf(b, "&#%d;", c);
        else if (c >= 0x20)
            sld_buf_addc(b, (char)c);
    }
}

static void on_result(void *user, const struct sld_spec_result *r)
{
    struct test *t = user;
    struct sld_str name = r->name.n ? r->name : SLD_STR("(the file does not load)");
    t->passed += r->ok;
    t->failed += !r->ok;
    t->ns += r->ns;
    printf("%s %.*s (%.1f ms)\n", r->ok ? "ok  " : "FAIL", SLD_FMT(name), (double)r->ns / 1e6);
    if (!r->ok)
        printf("     %.*s\n", SLD_FMT(r->words));
    sld_buf_addz(&t->junit, "  <testcase classname=\"");
    add_xml(&t->junit, r->file);
    sld_buf_addz(&t->junit, "\" name=\"");
    add_xml(&t->junit, name);
    sld_buf_addf(&t->junit, "\" time=\"%.6f\"", (double)r->ns / 1e9);
    if (r->ok) {
        sld_buf_addz(&t->junit, "/>\n");
        return;
    }
    sld_buf_addz(&t->junit, ">\n    <failure message=\"");
    add_xml(&t->junit, r->words);
    sld_buf_addz(&t->junit, "\"/>\n  </testcase>\n");
}

static void on_cover(void *user, const struct sld_spec_cover *c)
{
    struct test *t = user;
    t->lines += c->count;
    t->lines_ran += c->ran;
    printf("%6.1f%% %.*s", c->count ? 100.0 * (double)c->ran / (double)c->count : 100.0, SLD_FMT(c->file));
    for (size_t i = 0; i < c->missed_count; i++) {
        size_t to = i;
        while (to + 1 < c->missed_count && c->missed[to + 1] == c->missed[to] + 1)
            to++;
        printf("%s%d", i ? ", " : "  not run: ", c->missed[i]);
        if (to > i)
            printf("-%d", c->missed[to]);
        i = to;
    }
    putchar('\n');
}

static int write_junit(struct test *t, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f) {
        fprintf(stderr, "solder plugin test: %s: %s\n", path, strerror(errno));
        return SLD_EXIT_USAGE;
    }
    fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"solder plugin test\" tests=\"%zu\" failures=\"%zu\" time=\"%.6f\">\n",
            t->passed + t->failed, t->failed, (double)t->ns / 1e9);
    if (t->junit.n)
        fwrite(t->junit.p, 1, t->junit.n, f);
    fputs("</testsuite>\n", f);
    bool ok = !ferror(f);
    if (fclose(f) || !ok) {
        fprintf(stderr, "solder plugin test: %s cannot be written\n", path);
        return SLD_EXIT_USAGE;
    }
    return SLD_EXIT_OK;
}

static int conclude(struct test *t)
{
    const char *junit = sld_args_get(t->args, "junit"), *filter = sld_args_get(t->args, "filter");
    int code = junit ? write_junit(t, junit) : SLD_EXIT_OK;
    if (sld_args_has(t->args, "coverage"))
        printf("%6.1f%% of %zu lines ran\n", t->lines ? 100.0 * (double)t->lines_ran / (double)t->lines : 100.0, t->lines);
    printf("%zu passed, %zu failed in %.1f ms\n", t->passed, t->failed, (double)t->ns / 1e6);
    if (!t->passed && !t->failed) {
        fprintf(stderr, "solder plugin test: there is no test%s%s\n", filter ? " whose name has " : "", filter ? filter : "");
        return SLD_EXIT_FINDINGS;
    }
    return t->failed && !code ? SLD_EXIT_FINDINGS : code;
}

static int run(struct sld_args *args)
{
    const char *path = args->pos_count ? args->pos[0] : ".";
    char *whole = realpath(path, NULL); // so that "." has a name
    struct test t = {.args = args, .folder = sld_str_c(whole ? whole : path), .update = sld_args_has(args, "update")};
    struct sld_spec_world world = {.translate = translate, .snapshot = snapshot, .user = &t};
    struct sld_spec_run r = {
        .world = &world,
        .limits = &sld_plugin_limits_default,
        .filter = sld_str_c(sld_args_get(args, "filter")),
        .on_result = on_result,
        .on_cover = sld_args_has(args, "coverage") ? on_cover : NULL,
        .user = &t,
    };
    struct sld_err err = {0};
    int code;
    if (sld_args_has(args, "replay")) {
        code = sld_plugin_cli_replay(t.folder, sld_args_get(args, "replay"), sld_args_get(args, "output"));
        sld_xfree(whole);
        return code;
    }
    sld_buf_init(&t.junit, 64U << 20);
    enum sld_rc rc = sld_plugin_test(t.folder, &r, &err);
    if (rc) {
        fprintf(stderr, "solder plugin test: %s%s\n", err.msg,
                rc == SLD_INVALID || rc == SLD_LIMIT ? "; see solder plugin check" : "");
        code = rc == SLD_INVALID || rc == SLD_LIMIT ? SLD_EXIT_FINDINGS : SLD_EXIT_USAGE;
    } else {
        code = conclude(&t);
    }
    sld_buf_fini(&t.junit);
    sld_arena_fini(&t.arena);
    sld_xfree(whole);
    return code;
}

static const struct sld_flag flags[] = {
    {.name = "coverage", .help = "tell which lines of the plugin did not run"},
    {.name = "filter", .arg = "WORDS", .help = "only tests whose name has WORDS"},
    {.name = "junit", .arg = "FILE", .help = "write the results as JUnit's XML too"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .help = "of --replay: table (what differs; default) or json (all)"},
    {.name = "replay", .arg = "FILE", .help = "ask the plugin about the requests in FILE instead, as of solder plugin record"},
    {.name = "update", .help = "take snapshots anew where they differ or are not there"},
};

const struct sld_command sld_cmd_plugin_test = {
    .name = "plugin test",
    .args = "[DIR]",
    .help = "Runs the specs of a plugin, in milliseconds and without a server.",
    .more = "Runs spec/*_spec.lua of the plugin in folder DIR (default: the folder one is in), each in a state of its own with\n"
            "what plugins have, and solder.test beside it:\n\n"
            "  local t = require \"solder.test\"\n"
            "  t.describe(NAME, function)   t.it(NAME, function)   t.before_each(function)\n"
            "  t.equal(actual, expected)    t.matches(text, pattern)\n"
            "  t.raises(function, words)    t.snapshot(value, name)\n"
            "  t.expect_xds(documents, \"rds\", {...})      documents become a resource of which {...} is a part\n"
            "  t.expect_finding(documents, words)         t.expect_no_findings(documents)\n"
            "  t.translate(documents)       all that comes of them: {xds = {...}, findings = {...}}\n\n"
            "With --replay the plugin decides anew about recorded requests, and those are shown that it decides otherwise. Nobody answers\n"
            "what it asks others, and what was hidden is ***: NOTES tell where that may be the reason.\n\n"
            "Exit code 0: all passed; 1: some failed or differ, or the plugin does not load; 2: could not run.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .max_pos = 1,
    .run = run,
};
