// Plugins as a running server has them: state, counts, last errors.
#include "app/plugin_state.h"

#include <stdio.h>

#include "app/client.h"
#include "app/table.h"

static struct sld_str text(const struct sld_node *n, const char *key)
{
    struct sld_str s = sld_node_text(sld_node_get(n, sld_str_c(key)));
    return s.p ? s : SLD_STR("");
}

static uint64_t number(const struct sld_node *n, const char *key)
{
    uint64_t v = 0;
    return sld_str_u64(text(n, key), &v) ? v : 0;
}

static bool yes(const struct sld_node *n, const char *key)
{
    return sld_str_eq(text(n, key), SLD_STR("true"));
}

static int fail(const struct sld_args *args, const struct sld_err *err)
{
    fprintf(stderr, "solder %s: %s\n", args->cmd->name, err->msg);
    return SLD_EXIT_FINDINGS;
}

static struct sld_str state_text(struct sld_arena *a, const struct sld_node *p)
{
    return sld_arena_fmt(a, "%.*s%s", SLD_FMT(text(p, "state")), yes(p, "lastGood") ? " (last good)" : "");
}

static struct sld_str micros(struct sld_arena *a, uint64_t us)
{
    return us < 10000 ? sld_arena_fmt(a, "%lluus", (unsigned long long)us) : sld_arena_fmt(a, "%llums", (unsigned long long)us / 1000);
}

// ---- get ----

enum { COLUMNS = 10 };

static void add_row(struct sld_arena *a, const struct sld_node *p, struct sld_str *cells)
{
    const struct sld_node *hooks = sld_node_get(p, SLD_STR("hooks"));
    uint64_t calls = 0, errors = 0, total = 0, max = 0;
    for (size_t i = 0; hooks && i < hooks->count; i++) {
        const struct sld_node *h = hooks->items[i];
        uint64_t longest = number(h, "maxMicros");
        calls += number(h, "calls");
        errors += number(h, "errors");
        total += number(h, "calls") * number(h, "meanMicros");
        max = longest > max ? longest : max;
    }
    size_t n = 0;
    cells[n++] = text(p, "name");
    cells[n++] = text(p, "document").n ? text(p, "document") : text(p, "origin");
    cells[n++] = state_text(a, p);
    cells[n++] = text(p, "hash");
    cells[n++] = sld_arena_fmt(a, "%llu", (unsigned long long)calls);
    cells[n++] = sld_arena_fmt(a, "%llu", (unsigned long long)errors);
    cells[n++] = micros(a, calls ? total / calls : 0);
    cells[n++] = micros(a, max);
    cells[n++] = sld_arena_fmt(a, "%lluKiB", (unsigned long long)number(p, "memoryBytes") >> 10);
    cells[n++] = sld_table_line(a, text(p, "reason"));
}

int sld_get_plugins(const struct sld_args *args, struct sld_str name)
{
    static const char *const titles[COLUMNS] = {"NAME",   "FROM", "STATE", "VERSION", "CALLS",
                                                "ERRORS", "MEAN", "MAX",   "MEMORY",  "REASON"};
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_node *root;
    int code = SLD_EXIT_OK;
    if (sld_client_get_json(&a, args, SLD_STR("/v1/plugins"), &root, &err)) {
        code = fail(args, &err);
    } else {
        const struct sld_node *items = sld_node_get(root, SLD_STR("items"));
        size_t n = 0;
        struct sld_str *cells = SLD_ARENA_ARRAY(&a, struct sld_str, (items ? items->count : 0) * COLUMNS + 1);
        for (size_t i = 0; items && i < items->count; i++) {
            if (!name.n || sld_str_eq(text(items->items[i], "name"), name))
                add_row(&a, items->items[i], cells + n++ * COLUMNS);
        }
        if (n)
            sld_table_print(sld_args_has(args, "no-headers") ? NULL : titles, cells, n, COLUMNS);
        else
            fputs("nothing found\n", stderr);
        code = name.n && !n ? SLD_EXIT_FINDINGS : SLD_EXIT_OK;
    }
    sld_arena_fini(&a);
    return code;
}

// ---- describe ----

static void print_hooks(struct sld_arena *a, const struct sld_node *hooks)
{
    for (size_t i = 0; hooks && i < hooks->count; i++) {
        const struct sld_node *h = hooks->items[i];
        printf("  %.*s: %llu calls, %llu errors, %llu of them breaches; mean %s, longest %s\n", SLD_FMT(text(h, "name")),
               (unsigned long long)number(h, "calls"), (unsigned long long)number(h, "errors"),
               (unsigned long long)number(h, "breaches"), micros(a, number(h, "meanMicros")).p, micros(a, number(h, "maxMicros")).p);
    }
}

static void print_errors(const struct sld_node *errors)
{
    if (errors && errors->count)
        puts("Last errors:");
    for (size_t i = 0; errors && i < errors->count; i++) {
        const struct sld_node *e = errors->items[i];
        struct sld_str rest = text(e, "stack"), line;
        printf("  %.*s %.*s: %.*s\n", SLD_FMT(text(e, "time")), SLD_FMT(text(e, "hook")), SLD_FMT(text(e, "message")));
        while (rest.n && sld_str_cut(&rest, '\n', &line))
            printf("    %.*s\n", SLD_FMT(sld_str_trim(line)));
    }
}

int sld_describe_plugin(const struct sld_args *args, struct sld_str name)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_node *p;
    struct sld_str path = sld_arena_fmt(&a, "/v1/plugins/%.*s", SLD_FMT(sld_client_escape(&a, name)));
    if (sld_client_get_json(&a, args, path, &p, &err)) {
        sld_arena_fini(&a);
        return fail(args, &err);
    }
    printf("Plugin:    %.*s\n", SLD_FMT(name));
    if (text(p, "summary").n)
        printf("Summary:   %.*s\n", SLD_FMT(text(p, "summary")));
    if (text(p, "document").n)
        printf("Declared:  %.*s\n", SLD_FMT(text(p, "document")));
    printf("State:     %.*s\n", SLD_FMT(state_text(&a, p)));
    if (text(p, "reason").n)
        printf("Reason:    %.*s\n", SLD_FMT(text(p, "reason")));
    if (text(p, "retrySeconds").n)
        printf("Retry:     within %.*s s\n", SLD_FMT(text(p, "retrySeconds")));
    if (text(p, "hash").n) {
        printf("Version:   %.*s %.*s\nOrigin:    %.*s\n", SLD_FMT(text(p, "hash")), SLD_FMT(text(p, "version")),
               SLD_FMT(text(p, "origin")));
        printf("Memory:    %llu KiB, at most %llu so far, limit %llu\nHooks:\n", (unsigned long long)number(p, "memoryBytes") >> 10,
               (unsigned long long)number(p, "memoryPeakBytes") >> 10, (unsigned long long)number(p, "memoryLimitBytes") >> 10);
        print_hooks(&a, sld_node_get(p, SLD_STR("hooks")));
        print_errors(sld_node_get(p, SLD_STR("errors")));
    }
    sld_arena_fini(&a);
    return SLD_EXIT_OK;
}
