// solder get --from: documents as a store has them.
#include <stdio.h>

#include "app/get.h"
#include "app/table.h"

struct list {
    struct sld_edit e;
    enum sld_get_format format;
    struct sld_str name; // absent: all
    struct sld_str *cells;
    size_t cell_count, count;
};

static const char *const titles[] = {"NAMESPACE", "NAME", "KIND", "VERSION", "PLACE"};
enum { COLUMNS = 5 };

static void add_row(struct list *l, const struct sld_store_doc *d)
{
    struct sld_arena *a = &l->e.arena;
    const struct sld_str row[COLUMNS] = {sld_arena_str(a, d->id.ns), sld_arena_str(a, d->id.name),
                                         sld_str_c(sld_kind_info(d->id.kind)->name),
                                         sld_arena_str(a, d->version), sld_arena_str(a, d->place)};
    for (size_t i = 0; i < COLUMNS; i++)
        SLD_PUSH(a, l->cells, l->cell_count, row[i]);
}

// The document as a tree that says whole who it is, and at which version; secret values as ***.
static struct sld_node *tree_of(struct sld_arena *a, const struct sld_store_doc *d)
{
    const struct sld_kind_info *k = sld_kind_info(d->id.kind);
    struct sld_object *o = sld_edit_stored(d);
    struct sld_buf b;
    sld_buf_init(&b, 64U << 20);
    sld_doc_print(&b, sld_object_msg(o), SLD_TEXT_JSON_COMPACT, true);
    SLD_UNREF(o);
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    enum sld_rc rc =
        sld_doc_read(a, sld_arena_str(a, sld_buf_str(&b)), &sld_doc_limits_default, &docs, &n, &code, NULL);
    sld_buf_fini(&b);
    if (rc || !n || !docs[0].root)
        return NULL;
    struct sld_node *root = sld_node_map(a), *spec = sld_node_map(a), *meta = NULL;
    for (size_t i = 0; i < docs[0].root->count; i++) {
        const struct sld_node_pair *p = &docs[0].root->pairs[i];
        if (sld_str_eq(p->key->text, SLD_STR("metadata")))
            meta = p->value;
        else
            sld_node_set(a, spec, p->key->text, p->value);
    }
    meta = meta ? meta : sld_node_map(a);
    sld_node_set(a, meta, SLD_STR("resourceVersion"), sld_node_scalar(a, d->version, true));
    sld_node_set(a, root, SLD_STR("apiVersion"),
                 sld_node_scalar(a, sld_arena_fmt(a, "%s/%s", k->group, k->version), false));
    sld_node_set(a, root, SLD_STR("kind"), sld_node_scalar(a, sld_str_c(k->name), false));
    sld_node_set(a, root, SLD_STR("metadata"), meta);
    sld_node_set(a, root, SLD_STR("spec"), spec);
    return root;
}

static void print_tree(struct list *l, const struct sld_store_doc *d)
{
    struct sld_arena a = {0};
    struct sld_buf b;
    sld_buf_init(&b, 64U << 20);
    if (!l->name.p && l->format == SLD_GET_YAML)
        sld_buf_addz(&b, "---\n");
    else if (!l->name.p && l->count)
        sld_buf_addz(&b, ",\n");
    const struct sld_node *n = tree_of(&a, d);
    if (n)
        sld_doc_print_node(&b, n, l->format == SLD_GET_YAML ? SLD_TEXT_YAML : SLD_TEXT_JSON);
    fwrite(b.p, 1, b.n, stdout);
    sld_buf_fini(&b);
    sld_arena_fini_secret(&a);
}

static void on_document(const struct sld_store_doc *d, void *arg)
{
    struct list *l = arg;
    if (l->name.p && !sld_str_eq(l->name, d->id.name))
        return;
    if (l->format == SLD_GET_TABLE)
        add_row(l, d);
    else if (l->format == SLD_GET_NAME)
        printf("%s/%.*s/%.*s\n", sld_kind_info(d->id.kind)->plural, SLD_FMT(d->id.ns),
               SLD_FMT(d->id.name));
    else
        print_tree(l, d);
    l->count++;
}

static int list_all(struct list *l, const struct sld_kind_info *kind, struct sld_str ns)
{
    struct sld_edit *e = &l->e;
    struct sld_err err = {0};
    bool array = l->format == SLD_GET_JSON && !l->name.p;
    if (sld_edit_open(e, "from", &err))
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    if (array)
        fputs("[\n", stdout);
    enum sld_rc rc = e->store->ops->each(e->store, kind ? kind->kind : SLD_KIND_COUNT,
                                         ns.n ? ns : SLD_STR_NONE, on_document, l, &err);
    if (array)
        fputs("]\n", stdout);
    if (rc)
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    if (l->format == SLD_GET_TABLE && l->count)
        sld_table_print(sld_args_has(e->args, "no-headers") ? NULL : titles, l->cells, l->count,
                        COLUMNS);
    if (!l->count && l->name.p) {
        sld_err_set(&err, SLD_NOT_FOUND, "there is no %s %.*s in namespace %.*s of %.*s", kind->name,
                    SLD_FMT(l->name), SLD_FMT(ns), SLD_FMT(e->store_name));
        return sld_edit_fail(e, NULL, &err, SLD_EXIT_FINDINGS);
    }
    if (!l->count && l->format == SLD_GET_TABLE)
        fputs("nothing found\n", stderr);
    return SLD_EXIT_OK;
}

int sld_get_stored(const struct sld_args *args, const struct sld_kind_info *kind, struct sld_str ns,
                   struct sld_str name, enum sld_get_format format)
{
    struct list l = {.format = format, .name = name};
    struct sld_err err = {0};
    int code = sld_edit_init(&l.e, args, &err) ? sld_edit_fail(&l.e, NULL, &err, SLD_EXIT_USAGE)
                                               : list_all(&l, kind, ns);
    sld_edit_fini(&l.e);
    return code;
}
