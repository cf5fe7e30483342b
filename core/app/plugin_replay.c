// solder plugin test --replay: which decisions of recorded requests another version of a plugin would change.
#include <stdio.h>

#include "app/commands.h"
#include "app/plugin.h"
#include "app/table.h"
#include "codec/doc.h"
#include "plugin/author.h"
#include "source/file.h"

enum { RECORDS_MAX = 256 << 20, COLUMNS = 5, ROWS_MAX = 1000, ANSWER_MAX = 512 << 20 };

struct replay {
    struct sld_arena arena;
    bool as_json;
    struct sld_buf out;
    struct sld_json j;
    struct sld_str *cells; // of those that differ
    size_t cell_count;
};

static void put(struct sld_json *j, const char *key, struct sld_str s)
{
    sld_json_key(j, key);
    sld_json_str(j, s);
}

static void on_json(struct replay *r, const struct sld_replay_result *x)
{
    struct sld_json *j = &r->j;
    sld_json_begin(j, '{');
    sld_json_key(j, "line");
    sld_json_int(j, (int64_t)x->line);
    put(j, "method", x->method);
    put(j, "path", x->path);
    put(j, "differs", x->differs);
    put(j, "notes", x->notes);
    sld_json_key(j, "before");
    sld_json_raw(j, x->before);
    sld_json_key(j, "now");
    sld_json_raw(j, x->now);
    sld_json_end(j, '}');
}

static void on_result(void *user, const struct sld_replay_result *x)
{
    struct replay *r = user;
    struct sld_arena *a = &r->arena;
    if (r->as_json) {
        on_json(r, x);
        return;
    }
    if (!x->differs.n || r->cell_count >= ROWS_MAX * COLUMNS)
        return;
    struct sld_str request = sld_arena_fmt(a, "%.*s %.*s", SLD_FMT(x->method), SLD_FMT(sld_str_utf8_cut(x->path, 60)));
    struct sld_str change = sld_str_eq(x->was, x->is) ? x->was : sld_arena_fmt(a, "%.*s -> %.*s", SLD_FMT(x->was), SLD_FMT(x->is));
    const struct sld_str row[COLUMNS] = {sld_arena_fmt(a, "%zu", x->line), sld_table_line(a, request), sld_arena_str(a, change),
                                         sld_arena_str(a, x->differs), sld_table_line(a, x->notes)};
    for (size_t i = 0; i < COLUMNS; i++)
        SLD_PUSH(a, r->cells, r->cell_count, row[i]);
}

static int conclude(struct replay *r, const struct sld_replay_run *run)
{
    static const char *const titles[COLUMNS] = {"LINE", "REQUEST", "DECISION", "DIFFERS IN", "NOTES"};
    if (r->as_json) {
        sld_json_end(&r->j, ']');
        sld_json_key(&r->j, "same");
        sld_json_int(&r->j, (int64_t)run->same);
        sld_json_key(&r->j, "differ");
        sld_json_int(&r->j, (int64_t)run->differ);
        sld_json_end(&r->j, '}');
        fwrite(r->out.p, 1, r->out.n, stdout);
        putchar('\n');
    } else {
        if (r->cell_count)
            sld_table_print(titles, r->cells, r->cell_count / COLUMNS, COLUMNS);
        if (run->differ > r->cell_count / COLUMNS)
            printf("and %zu more\n", run->differ - r->cell_count / COLUMNS);
        printf("%zu requests: %zu decided as before, %zu differ\n", run->same + run->differ, run->same, run->differ);
    }
    if (run->others)
        fprintf(stderr, "solder plugin test: %zu lines are of other plugins\n", run->others);
    return run->differ ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
}

int sld_plugin_cli_replay(struct sld_str folder, const char *file, const char *output)
{
    struct replay r = {.as_json = output && !strcmp(output, "json")};
    struct sld_replay_run run = {.limits = &sld_plugin_limits_default, .on_result = on_result, .user = &r};
    struct sld_str records;
    struct sld_err err = {0};
    if (output && !r.as_json && strcmp(output, "table"))
        return sld_usage("-o: table or json, not %s", output);
    sld_buf_init(&r.out, ANSWER_MAX);
    sld_json_init(&r.j, &r.out);
    sld_json_begin(&r.j, '{');
    sld_json_key(&r.j, "requests");
    sld_json_begin(&r.j, '[');
    enum sld_rc rc = sld_file_read(&r.arena, file, file, RECORDS_MAX, &records, &err);
    if (!rc)
        rc = sld_plugin_replay(folder, records, &run, &err);
    int code = rc ? SLD_EXIT_USAGE : conclude(&r, &run);
    if (rc)
        fprintf(stderr, "solder plugin test: %s\n", err.msg);
    sld_buf_fini(&r.out);
    sld_arena_fini(&r.arena);
    return code;
}
