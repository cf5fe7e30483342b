// Documents of -f, and the store they are about.
#include "app/edit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/builtin.h"
#include "app/client.h"
#include "app/findings.h"
#include "source/dir/dir.h"

enum { TEXT_MAX_BYTES = 64 * 1024 * 1024 };

int sld_edit_fail(const struct sld_edit *e, const struct sld_ident *id, const struct sld_err *err,
                  int code)
{
    if (id)
        fprintf(stderr, "solder %s: %s/%.*s/%.*s: %s\n", e->args->cmd->name,
                sld_kind_info(id->kind)->plural, SLD_FMT(id->ns), SLD_FMT(id->name), err->msg);
    else
        fprintf(stderr, "solder %s: %s\n", e->args->cmd->name, err->msg);
    return code;
}

void sld_edit_say(struct sld_ident id, const char *word)
{
    printf("%s/%.*s/%.*s %s\n", sld_kind_info(id.kind)->plural, SLD_FMT(id.ns), SLD_FMT(id.name),
           word);
}

enum sld_rc sld_edit_init(struct sld_edit *e, const struct sld_args *args, struct sld_err *err)
{
    e->args = args;
    e->ns = sld_str_c(sld_args_get(args, "namespace"));
    const char *file = sld_args_get(args, "settings");
    enum sld_rc rc = file ? sld_settings_read(file, &e->settings_file, err) : SLD_OK;
    if (!rc)
        e->settings = sld_settings_merge(
            &e->arena, e->settings_file ? sld_object_msg(e->settings_file) : NULL, NULL);
    return rc;
}

void sld_edit_close(struct sld_edit *e)
{
    if (e->store)
        e->store->ops->close(e->store);
    e->store = NULL;
}

void sld_edit_fini(struct sld_edit *e)
{
    sld_edit_close(e);
    SLD_UNREF(e->settings_file);
    sld_arena_fini_secret(&e->arena);
}

// ---- The store ----

// The first store of the running server.
static enum sld_rc ask_server(struct sld_edit *e, struct sld_str *out, struct sld_err *err)
{
    struct sld_node *root;
    enum sld_rc rc = sld_client_get_json(&e->arena, e->args, SLD_STR("/v1/sources"), &root, err);
    if (rc)
        return sld_err_wrap(err, "which store? --config names one");
    const struct sld_node *list = sld_node_get(root, SLD_STR("sources"));
    for (size_t i = 0; list && i < list->count; i++) {
        *out = sld_node_text(sld_node_get(list->items[i], SLD_STR("store")));
        struct sld_str holds = sld_node_text(sld_node_get(list->items[i], SLD_STR("holds")));
        if (out->n && sld_str_eq(holds, SLD_STR("configuration")))
            return SLD_OK;
    }
    return sld_err_set(err, SLD_INVALID,
                       "the server has no source that can be written; --config names a store");
}

enum sld_rc sld_edit_open(struct sld_edit *e, const char *flag, struct sld_err *err)
{
    const char *given = sld_args_get(e->args, flag);
    struct sld_str address = sld_str_c(given);
    enum sld_rc rc = given ? SLD_OK : ask_server(e, &address, err);
    if (rc)
        return rc;
    const struct sld_source_ops *ops = sld_builtin_source(address);
    if (!ops)
        return sld_err_set(err, SLD_INVALID, "%.*s is no store; give a directory or consul://HOST:PORT/ROOT",
                           SLD_FMT(address));
    if (!ops->store)
        return sld_err_set(err, SLD_INVALID, "%.*s is read only", SLD_FMT(address));
    e->store_name = address;
    return ops->store->open(address, e->settings, &e->store, err);
}

// ---- Documents ----

// Reading one -f.
struct reading {
    struct sld_edit *e;
    struct sld_str source; // what origins begin with
    struct sld_str path, bytes;
    const struct sld_document *doc;
    struct sld_err *err;
    enum sld_rc rc;
};

static struct sld_str origin_of(const struct reading *r, int line)
{
    struct sld_arena *a = &r->e->arena;
    if (sld_str_eq(r->source, SLD_STR(".")))
        return sld_arena_fmt(a, "%.*s:%d", SLD_FMT(r->path), line);
    return sld_arena_fmt(a, "%.*s/%.*s:%d", SLD_FMT(r->source), SLD_FMT(r->path), line);
}

static void add_document(const struct sld_node *node, long index, void *arg)
{
    struct reading *r = arg;
    struct sld_edit *e = r->e;
    struct sld_str none = SLD_STR("none"); // told by its address
    struct sld_doc_place place = {.path = r->path, .default_ns = none};
    struct sld_edit_doc d = {.node = node, .path = r->path};
    struct sld_err why = {0};
    enum sld_code code = SLD_DOC_IDENTITY;
    if (r->rc)
        return;
    d.origin = origin_of(r, node->line ? node->line : r->doc->line);
    enum sld_rc rc = sld_model_identify(node, &place, &d.id, &code, &why);
    if (rc == SLD_NOT_FOUND && code == SLD_DOC_FOREIGN) {
        fprintf(stderr, "%.*s: skipped: %s\n", SLD_FMT(d.origin), why.msg);
        e->skipped++;
        return;
    }
    if (rc) {
        r->rc = sld_err_set(r->err, SLD_INVALID, "%.*s: %s", SLD_FMT(d.origin), why.msg);
        return;
    }
    if (d.id.ns.p == none.p && !e->ns.n) {
        r->rc =
            sld_err_set(r->err, SLD_INVALID,
                        "%.*s: %s %.*s has no namespace; set metadata.namespace, or give one by "
                        "-n",
                        SLD_FMT(d.origin), sld_kind_info(d.id.kind)->name, SLD_FMT(d.id.name));
        return;
    }
    if (d.id.ns.p == none.p)
        d.id.ns = e->ns;
    d.id.ns = sld_arena_str(&e->arena, d.id.ns);
    d.id.name = sld_arena_str(&e->arena, d.id.name);
    if (index < 0)
        d.text = r->doc->text;
    SLD_PUSH(&e->arena, e->docs, e->doc_count, d);
}

static void read_unit(struct reading *r, struct sld_str path, struct sld_str bytes)
{
    struct sld_edit *e = r->e;
    r->path = sld_arena_str(&e->arena, path);
    r->bytes = sld_arena_str(&e->arena, bytes);
    struct sld_offline_unit unit = {r->source, r->path, r->bytes};
    SLD_PUSH(&e->arena, e->units, e->unit_count, unit);
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    struct sld_err why = {0};
    if (sld_doc_read(&e->arena, r->bytes, &sld_doc_limits_default, &docs, &n, &code, &why)) {
        r->rc = sld_err_set(r->err, SLD_INVALID, "%.*s:%d: %s", SLD_FMT(origin_of(r, why.line)),
                            why.column, why.msg);
        return;
    }
    for (size_t i = 0; i < n && !r->rc; i++) {
        r->doc = &docs[i];
        if (docs[i].root)
            sld_model_each(docs[i].root, add_document, r);
    }
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct reading *r = user;
    (void)settled;
    if (!r->rc)
        read_unit(r, path, bytes->data);
}

static void on_gone(void *user, struct sld_str path)
{
    (void)user;
    (void)path;
}

static void on_synced(void *user)
{
    (void)user;
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct reading *r = user;
    (void)code;
    if (!r->rc && message.p)
        r->rc = sld_err_set(r->err, SLD_INVALID, "%.*s%s%.*s: %.*s", SLD_FMT(r->source),
                            path.n ? "/" : "", SLD_FMT(path), SLD_FMT(message));
}

static enum sld_rc read_stdin(struct reading *r)
{
    struct sld_buf b;
    char room[65536];
    ssize_t n = 0;
    sld_buf_init(&b, SLD_DIR_MAX_FILE_BYTES);
    while (!b.full && (n = read(STDIN_FILENO, room, sizeof(room))) > 0)
        sld_buf_add(&b, sld_str_n(room, (size_t)n));
    r->source = SLD_STR(".");
    if (n < 0)
        r->rc = sld_err_errno(r->err, errno, "stdin");
    else if (b.full)
        r->rc = sld_err_set(r->err, SLD_LIMIT, "stdin is larger than %d MiB",
                            SLD_DIR_MAX_FILE_BYTES / (1024 * 1024));
    else
        read_unit(r, SLD_STR("stdin"), sld_buf_str(&b));
    sld_buf_fini(&b);
    return r->rc;
}

static enum sld_rc read_path(struct reading *r, const char *path)
{
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = r};
    if (!strcmp(path, "-"))
        return read_stdin(r);
    r->source = sld_offline_source_name(path);
    enum sld_rc rc = sld_dir_read(sld_str_c(path), &ev, r->err);
    return rc ? rc : r->rc;
}

enum sld_rc sld_edit_read(struct sld_edit *e, struct sld_err *err)
{
    enum sld_rc rc = SLD_OK;
    for (const char *const *at = sld_args_all(e->args, "file"); *at && !rc; at++) {
        struct reading r = {.e = e, .err = err};
        rc = read_path(&r, *at);
    }
    if (!rc && !e->doc_count)
        return sld_err_set(err, SLD_INVALID, "there is no document of ours in what -f names");
    return rc;
}

// ---- What documents say ----

static struct sld_object *decode(struct sld_ident id, struct sld_str text, struct sld_str path,
                                 struct sld_str origin)
{
    struct sld_doc_place place = {.path = path, .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, origin, &place);
    struct sld_object *o = sld_object_decode(raw, NULL);
    SLD_UNREF(raw);
    return o;
}

static struct sld_str print_node(struct sld_arena *a, const struct sld_node *node)
{
    struct sld_buf b;
    sld_buf_init(&b, TEXT_MAX_BYTES);
    sld_doc_print_node(&b, node, SLD_TEXT_YAML);
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

struct sld_object *sld_edit_object(const struct sld_edit_doc *d)
{
    struct sld_arena a = {0};
    struct sld_object *o =
        decode(d->id, d->text.p ? d->text : print_node(&a, d->node), d->path, d->origin);
    sld_arena_fini_secret(&a);
    return o;
}

struct sld_object *sld_edit_stored(const struct sld_store_doc *d)
{
    return decode(d->id, d->text, d->path, d->place);
}

struct sld_str sld_edit_version(const struct sld_edit_doc *d)
{
    struct sld_str v = sld_node_text(
        sld_node_get(sld_node_get(d->node, SLD_STR("metadata")), SLD_STR("resourceVersion")));
    return v.n ? v : SLD_STR_NONE;
}

static bool is_json(struct sld_str text)
{
    return text.n && (text.p[0] == '{' || text.p[0] == '[');
}

// Kubernetes' form in Gloo's.
static struct sld_str flat_text(struct sld_edit *e, const struct sld_edit_doc *d)
{
    struct sld_object *o = sld_edit_object(d);
    struct sld_buf b;
    sld_buf_init(&b, TEXT_MAX_BYTES);
    const ProtobufCMessage *m = sld_object_msg(o);
    sld_doc_print(&b, m, is_json(sld_str_trim(d->text)) ? SLD_TEXT_JSON : SLD_TEXT_YAML, false);
    struct sld_str out = sld_arena_str(&e->arena, sld_buf_str(&b));
    sld_buf_fini(&b);
    SLD_UNREF(o);
    return out;
}

struct sld_str sld_edit_text(struct sld_edit *e, const struct sld_edit_doc *d)
{
    struct sld_str text = d->text, line;
    bool flat = !sld_node_get(d->node, SLD_STR("apiVersion")) &&
                !sld_node_get(d->node, SLD_STR("kind")) && !sld_node_get(d->node, SLD_STR("spec"));
    if (!flat && e->store->ops->flat)
        return flat_text(e, d);
    // As it was written, with its comments; but without what parts it from others.
    while (text.n) {
        struct sld_str rest = text;
        sld_str_cut(&rest, '\n', &line);
        if (sld_str_trim(line).n && !sld_str_eq(sld_str_trim(line), SLD_STR("---")))
            break;
        text = rest;
    }
    bool json = is_json(text) && !e->store->ops->flat;
    bool marked = sld_str_find(text, SLD_STR("\n...")) >= 0 || sld_str_starts(text, SLD_STR("%")) ||
                  sld_str_starts(text, SLD_STR("---"));
    return text.n && !json && !marked ? text : print_node(&e->arena, d->node);
}

// ---- Checking ----

// Whether documents of KIND may hold values that are never shown.
static bool has_values(enum sld_kind kind)
{
    switch (kind) {
    case SLD_KIND_SECRET:
    case SLD_KIND_SETTINGS:
    case SLD_KIND_GATEWAY: // headers for collectors of access logs, and below
    case SLD_KIND_LISTENER_OPTION:
    case SLD_KIND_MATCHABLE_HTTP_GATEWAY:
    case SLD_KIND_MATCHABLE_TCP_GATEWAY:
    case SLD_KIND_PROXY:
        return true;
    default:
        return false;
    }
}

// True when a document has what is shown in place of values.
static bool is_masked(const struct sld_node *n)
{
    if (n->type == SLD_NODE_SCALAR)
        return sld_str_eq(n->text, SLD_STR("***"));
    for (size_t i = 0; i < n->count; i++) {
        if (is_masked(n->type == SLD_NODE_MAP ? n->pairs[i].value : n->items[i]))
            return true;
    }
    return false;
}

static bool check_masks(const struct sld_edit *e)
{
    bool good = true;
    for (size_t i = 0; i < e->doc_count; i++) {
        const struct sld_edit_doc *d = &e->docs[i];
        if (!has_values(d->id.kind) || !is_masked(d->node))
            continue;
        fprintf(stderr,
                "%.*s: error: the %s says *** where a value was; solder does not print "
                "values, so write it again\n",
                SLD_FMT(d->origin), sld_kind_info(d->id.kind)->name);
        good = false;
    }
    return good;
}

bool sld_edit_check(struct sld_edit *e)
{
    struct sld_offline off = {0};
    struct sld_err err = {0};
    struct sld_str *places = SLD_ARENA_ARRAY(&e->arena, struct sld_str, e->unit_count + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->unit_count; i++)
        places[n++] = sld_arena_fmt(&e->arena, "%.*s/%.*s", SLD_FMT(e->units[i].source),
                                    SLD_FMT(e->units[i].path));
    struct sld_offline_options opt = {
        .units = e->units,
        .unit_count = e->unit_count,
        .settings_file = sld_args_get(e->args, "settings"),
        .settings_name = sld_args_get(e->args, "settings-name"),
        .store = e->store,
        .store_name = sld_arena_fmt(&e->arena, "%.*s (store)", SLD_FMT(e->store_name)),
        .default_ns = e->ns,
    };
    struct sld_findings f = {.least = SLD_WARNING, .places = places, .place_count = n};
    bool good = false;
    if (sld_offline_load(&off, &opt, &err)) {
        sld_edit_fail(e, NULL, &err, 0);
    } else {
        sld_findings_collect(&f, &off);
        sld_findings_print(&f, stderr);
        good = check_masks(e) && !f.own_errors;
    }
    sld_findings_fini(&f);
    sld_offline_fini(&off);
    return good;
}
