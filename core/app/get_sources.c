// solder get sources: where a running server has its configuration from.
#include <stdio.h>

#include "app/client.h"
#include "app/get.h"
#include "app/table.h"

enum { COLUMNS = 7 };

static struct sld_str text(const struct sld_node *n, const char *key)
{
    struct sld_str s = sld_node_text(sld_node_get(n, sld_str_c(key)));
    return s.p ? s : SLD_STR("");
}

static bool yes(const struct sld_node *n, const char *key)
{
    return sld_str_eq(text(n, key), SLD_STR("true"));
}

static struct sld_str state_of(const struct sld_node *s)
{
    if (yes(s, "up"))
        return yes(s, "synced") ? SLD_STR("read") : SLD_STR("being read");
    return yes(s, "synced") ? SLD_STR("stale") : SLD_STR("not read");
}

// Who writes statuses there; nothing where that needs no agreement.
static struct sld_str writer_of(const struct sld_node *s)
{
    const struct sld_node *w = sld_node_get(s, SLD_STR("statuses"));
    if (!w)
        return SLD_STR("");
    if (yes(w, "ours"))
        return SLD_STR("this one");
    return text(w, "holder").n ? text(w, "holder") : SLD_STR("nobody");
}

static void print_table(struct sld_arena *a, const struct sld_args *args, const struct sld_node *items)
{
    static const char *const titles[COLUMNS] = {"NAME",  "TYPE",          "HOLDS", "STATE",
                                                "SINCE", "STATUS WRITER", "REASON"};
    struct sld_str *cells = SLD_ARENA_ARRAY(a, struct sld_str, items->count * COLUMNS + 1);
    size_t n = 0;
    for (size_t i = 0; i < items->count; i++) {
        const struct sld_node *s = items->items[i];
        cells[n++] = text(s, "name");
        cells[n++] = text(s, "type");
        cells[n++] = text(s, "holds");
        cells[n++] = state_of(s);
        cells[n++] = text(s, "staleSince").n ? text(s, "staleSince") : text(s, "lastSync");
        cells[n++] = sld_table_line(a, writer_of(s));
        cells[n++] = sld_table_line(a, text(s, "problem"));
    }
    sld_table_print(sld_args_has(args, "no-headers") ? NULL : titles, cells, items->count, COLUMNS);
}

static void print_whole(const struct sld_node *items, enum sld_get_format format)
{
    struct sld_buf b;
    sld_buf_init(&b, (size_t)1 << 20);
    sld_doc_print_node(&b, items, format == SLD_GET_YAML ? SLD_TEXT_YAML : SLD_TEXT_JSON);
    fwrite(b.p, 1, b.n, stdout);
    if (b.n && b.p[b.n - 1] != '\n')
        putchar('\n');
    sld_buf_fini(&b);
}

int sld_get_sources(const struct sld_args *args, enum sld_get_format format)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_node *root;
    int code = SLD_EXIT_OK;
    const struct sld_node *items =
        sld_client_get_json(&a, args, SLD_STR("/v1/sources"), &root, &err) ? NULL
                                                                           : sld_node_get(root, SLD_STR("sources"));
    if (!items) {
        fprintf(stderr, "solder %s: %s\n", args->cmd->name, err.msg);
        code = SLD_EXIT_FINDINGS;
    } else if (format == SLD_GET_TABLE) {
        print_table(&a, args, items);
    } else if (format == SLD_GET_NAME) {
        for (size_t i = 0; i < items->count; i++)
            printf("%.*s\n", SLD_FMT(text(items->items[i], "name")));
    } else {
        print_whole(items, format);
    }
    sld_arena_fini(&a);
    return code;
}
