// Raw documents: kept once, decoded when asked for.
#include "model/inside.h"

// Words of a document are found by 32 bits.
enum { RAW_MAX_BYTES = 1024 * 1024 * 1024 };

static void raw_free(struct sld_obj *o)
{
    struct sld_raw *raw = (struct sld_raw *)o;
    if (raw->secret && raw->text.n)
        sld_wipe((char *)(uintptr_t)raw->text.p, raw->text.n);
    sld_xfree(raw);
}

// Where S is in WHOLE, or nowhere. The names of most documents stand in their text, and the path ends the origin: no
// copies of these.
static bool within(struct sld_str whole, struct sld_str s, struct sld_raw_part *out)
{
    const char *p = s.n ? memmem(whole.p, whole.n, s.p, s.n) : NULL;
    if (p)
        *out = (struct sld_raw_part){(uint32_t)(p - whole.p), (uint32_t)s.n};
    return p != NULL;
}

// Copies S to *AT with a NUL; an absent S becomes empty.
static struct sld_raw_part put(const char *base, char **at, struct sld_str s)
{
    struct sld_raw_part out = {(uint32_t)(*at - base), (uint32_t)s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    (*at)[s.n] = 0;
    *at += s.n + 1;
    return out;
}

static struct sld_hash raw_hash(const struct sld_raw *raw)
{
    struct sld_ident id = sld_raw_ident(raw);
    const struct sld_str parts[] = {sld_raw_origin(raw), sld_raw_path(raw), sld_raw_default_ns(raw), id.ns, id.name};
    struct sld_hash text = sld_hash_bytes(raw->text);
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, text.lo);
    sld_hasher_add_u64(&h, text.hi);
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        sld_hasher_add_u64(&h, parts[i].n);
        sld_hasher_add(&h, parts[i]);
    }
    sld_hasher_add_u64(&h, (uint64_t)raw->kind);
    sld_hasher_add_u64(&h, (uint64_t)raw->line);
    sld_hasher_add_u64(&h, (uint64_t)raw->item);
    return sld_hasher_done(&h);
}

struct sld_raw *sld_raw_create(struct sld_ident id, struct sld_str text, int line, long item,
                               struct sld_str origin, const struct sld_doc_place *place)
{
    const struct sld_str parts[] = {place->path, place->default_ns, id.ns, id.name};
    struct sld_raw_part found[SLD_ARRAY_LEN(parts)] = {0};
    bool in_origin[SLD_ARRAY_LEN(parts)];
    size_t n = text.n + origin.n + 2;
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        in_origin[i] = within(origin, parts[i], &found[i]);
        if (!in_origin[i] && !within(text, parts[i], &found[i]))
            n += parts[i].n + 1;
    }
    SLD_PRE(n < RAW_MAX_BYTES && item >= INT32_MIN && item <= INT32_MAX);
    struct sld_raw *raw = sld_xcalloc(1, sizeof(*raw) + n);
    struct sld_raw_part *fields[] = {&raw->path_part, &raw->default_ns_part, &raw->ns_part, &raw->name_part};
    char *base = (char *)(raw + 1), *at = base;
    raw->text = sld_raw_slice(raw, put(base, &at, text)); // at 0
    raw->origin_part = put(base, &at, origin);
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        *fields[i] = found[i].n ? found[i] : put(base, &at, parts[i]);
        if (in_origin[i])
            fields[i]->at += raw->origin_part.at;
    }
    raw->kind = id.kind;
    raw->line = line;
    raw->item = (int32_t)item;
    raw->secret = id.kind == SLD_KIND_SECRET;
    sld_obj_init(&raw->obj, raw_free, raw_hash(raw));
    return raw;
}

struct pick {
    long item;
    const struct sld_node *node;
};

static void pick_item(const struct sld_node *doc, long index, void *arg)
{
    struct pick *p = arg;
    if (index == p->item)
        p->node = doc;
}

static void tree_fini(struct sld_arena *a, const struct sld_raw *raw)
{
    if (raw->secret)
        sld_arena_fini_secret(a);
    else
        sld_arena_fini(a);
}

// The document of RAW as a tree; NULL with CODE and ERR when it cannot be read.
static const struct sld_node *raw_read(struct sld_arena *a, const struct sld_raw *raw,
                                       enum sld_code *code, struct sld_err *err)
{
    struct sld_document *docs = NULL;
    size_t n = 0;
    if (raw->tree)
        return raw->tree;
    if (sld_doc_read(a, raw->text, &sld_doc_limits_default, &docs, &n, code, err) != SLD_OK)
        return NULL;
    struct pick p = {.item = raw->item};
    if (n > 0 && docs[0].root)
        sld_model_each(docs[0].root, pick_item, &p);
    if (!p.node) {
        *code = SLD_YAML_SYNTAX;
        sld_err_set(err, SLD_INVALID, "the document is not there any more");
    }
    return p.node;
}

void *sld_raw_decode(struct sld_arena *a, const struct sld_raw *raw, const struct sld_umap *served,
                     struct sld_report *r)
{
    struct sld_arena tree = {0};
    enum sld_code code = SLD_YAML_SYNTAX;
    struct sld_err err = {0};
    void *msg;
    const struct sld_node *root = raw_read(&tree, raw, &code, &err);
    if (root) {
        msg = sld_model_decode(a, sld_raw_ident(raw), root, served, r);
    } else {
        struct sld_report unsaid = {.arena = &tree}; // what an empty document lacks
        sld_report_add(r, SLD_ERROR, code, SLD_STR(""), "%s", err.msg);
        msg = sld_model_decode(a, sld_raw_ident(raw), sld_node_map(&tree), NULL, &unsaid);
    }
    tree_fini(&tree, raw);
    return msg;
}

struct sld_raw *sld_raw_without_secrets(struct sld_raw *raw)
{
    enum { TEXT_MAX_BYTES = 4 * 1024 * 1024 };
    struct sld_arena a = {0};
    struct sld_report r = {.arena = &a};
    struct sld_buf text;
    struct sld_raw *out = NULL;
    ProtobufCMessage *m = sld_raw_decode(&a, raw, NULL, &r);
    sld_buf_init(&text, TEXT_MAX_BYTES);
    if (sld_msg_drop_sensitive(m)) {
        const struct sld_kind_info *k = sld_kind_info(raw->kind);
        const struct sld_doc_place place = {.path = sld_raw_path(raw), .default_ns = sld_raw_default_ns(raw)};
        sld_buf_addf(&text, "apiVersion: %s/%s\nkind: %s\n", k->group, k->version, k->name);
        sld_doc_print(&text, m, SLD_TEXT_YAML, false);
        out = sld_raw_create(sld_raw_ident(raw), sld_buf_str(&text), 1, -1, sld_raw_origin(raw), &place);
    }
    sld_buf_fini(&text);
    sld_arena_fini_secret(&a);
    return out ? out : sld_obj_ref(raw);
}

static void locate(const struct sld_node *root, const struct sld_node *flat,
                   const struct sld_raw *raw, struct sld_finding *f)
{
    int line = 0, column = 0, flat_line = 0, flat_column = 0;
    // A path is one of the flat form; findings about the outer form have one of the document.
    size_t steps = sld_node_locate(root, f->path, &line, &column);
    if (sld_node_locate(flat, f->path, &flat_line, &flat_column) >= steps && flat_line > 0) {
        line = flat_line;
        column = flat_column;
    }
    if (line > 0) {
        f->line = raw->line + line - 1;
        f->column = column;
    }
}

void sld_raw_locate_all(const struct sld_raw *raw, struct sld_finding *f, size_t n)
{
    struct sld_arena a = {0};
    struct sld_report ignored = {.arena = &a};
    enum sld_code code;
    struct sld_err err;
    const struct sld_node *root = raw_read(&a, raw, &code, &err);
    const struct sld_node *flat = root ? doc_flatten(&a, sld_raw_ident(raw), root, &ignored) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (f[i].origin.p && !sld_str_eq(f[i].origin, sld_raw_origin(raw)))
            continue; // about another place
        f[i].origin = sld_raw_origin(raw);
        if (f[i].line > 0)
            continue;
        f[i].line = raw->line;
        f[i].column = 1;
        if (root)
            locate(root, flat, raw, &f[i]);
    }
    tree_fini(&a, raw);
}

void sld_raw_locate(const struct sld_raw *raw, struct sld_finding *f)
{
    sld_raw_locate_all(raw, f, 1);
}
