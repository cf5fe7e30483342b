// Reads the bytes of a unit into the objects they say.
//
// An item of a Kubernetes List gets text of its own where that can be cut out of the List's, so
// that one item's edit is one object's change and a List of thousands is not kept thousands of
// times.
#include "source/intake.h"

#include "source/ahead.h"

// Lists that cannot be cut keep their whole text with each item up to this sum; beyond it items are
// printed anew and lose their place in the file.
enum { WHOLE_LISTS_BYTES = 4 * 1024 * 1024, ITEM_MAX_BYTES = 64 * 1024 * 1024 };

struct each {
    struct reading *r;
    const struct sld_document *doc;
    const struct unit *unit;
    size_t at; // offset of line LINE of the file in the document's text
    int line;
};

static bool node_eq(const struct sld_node *a, const struct sld_node *b)
{
    if (a->type != b->type || a->count != b->count || a->quoted != b->quoted)
        return false;
    if (a->type == SLD_NODE_SCALAR && !sld_str_eq(a->text, b->text))
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->type == SLD_NODE_SEQ && !node_eq(a->items[i], b->items[i]))
            return false;
        if (a->type == SLD_NODE_MAP && (!sld_str_eq(a->pairs[i].key->text, b->pairs[i].key->text) ||
                                        !node_eq(a->pairs[i].value, b->pairs[i].value)))
            return false;
    }
    return true;
}

// The line of S that begins at AT, with its end.
static struct sld_str line_at(struct sld_str s, size_t at)
{
    struct sld_str rest = sld_str_sub(s, at, s.n);
    ptrdiff_t end = sld_str_index(rest, '\n');
    return end < 0 ? rest : sld_str_sub(rest, 0, (size_t)end + 1);
}

static size_t indent_of(struct sld_str line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

// The text of a block-style item: its lines, with the dash blanked out. Absent when it is not
// written so.
static struct sld_str item_lines(struct each *e, const struct sld_node *node)
{
    struct sld_str text = e->doc->text;
    if (node->line < e->line || node->column < 1)
        return SLD_STR_NONE;
    for (; e->line < node->line && e->at < text.n; e->line++)
        e->at += line_at(text, e->at).n;
    struct sld_str first = line_at(text, e->at);
    size_t indent = (size_t)node->column - 1;
    if (first.n <= indent)
        return SLD_STR_NONE;
    for (size_t i = 0; i < indent; i++) {
        if (first.p[i] != ' ' && first.p[i] != '-')
            return SLD_STR_NONE;
    }
    size_t end = e->at + first.n;
    while (end < text.n) {
        struct sld_str line = line_at(text, end);
        if (indent_of(line) < indent && sld_str_trim(line).n > 0)
            break;
        end += line.n;
    }
    struct sld_str cut = sld_arena_str(&e->r->arena, sld_str_sub(text, e->at, end - e->at));
    memset((char *)(uintptr_t)cut.p, ' ', indent); // the copy is ours
    return cut;
}

// Gives S the text of item NODE alone, when reading that text gives the same item again.
static bool item_cut(struct each *e, const struct sld_node *node, struct said *s)
{
    struct sld_str text = item_lines(e, node);
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    struct sld_arena a = {0};
    bool same = text.p &&
                sld_doc_read(&a, text, &sld_doc_limits_default, &docs, &n, &code, NULL) == SLD_OK &&
                n == 1 && docs[0].root && node_eq(docs[0].root, node);
    sld_arena_fini_secret(&a);
    if (!same)
        return false;
    s->text = text;
    s->line = node->line;
    s->item = -1;
    return true;
}

static void item_text(struct each *e, const struct sld_node *node, struct said *s)
{
    struct reading *r = e->r;
    if (item_cut(e, node, s) || r->whole_lists + s->text.n <= WHOLE_LISTS_BYTES) {
        r->whole_lists += s->item < 0 ? 0 : s->text.n;
        return;
    }
    struct sld_buf b;
    sld_buf_init(&b, ITEM_MAX_BYTES);
    sld_doc_print_node(&b, node, SLD_TEXT_YAML);
    if (!b.full) {
        s->text = sld_arena_str(&r->arena, sld_buf_str(&b));
        s->item = -1;
        s->line = node->line ? node->line : s->line;
    }
    sld_buf_fini(&b);
}

static void document_add(const struct sld_node *node, long index, void *arg)
{
    struct each *e = arg;
    struct reading *r = e->r;
    struct sld_doc_place place = {
        .path = sld_str_c(e->unit->path),
        .default_ns = sld_str_c(e->unit->origin->in->default_ns),
        .keyed = e->unit->origin->keyed,
        .adopt_discovered = e->unit->origin->in->adopt || e->unit->origin->only == SLD_KIND_UPSTREAM, // our own
    };
    struct said s = {.node = node, .text = e->doc->text, .line = e->doc->line, .item = index};
    enum sld_code code = SLD_DOC_IDENTITY;
    struct sld_err err = {0};
    enum sld_rc rc = sld_model_identify(node, &place, &s.id, &code, &err);
    int line = node->line ? node->line : e->doc->line;
    enum sld_kind only = e->unit->origin->only;
    if (rc == SLD_OK && only != SLD_KIND_COUNT && s.id.kind != only) {
        rc = SLD_NOT_FOUND;
        code = SLD_DOC_FOREIGN;
        sld_err_set(&err, rc, "a %s is not read here, only %s", sld_kind_info(s.id.kind)->name,
                    sld_kind_info(only)->name);
    }
    if (rc == SLD_OK) {
        bool relative = s.id.ns.p == place.default_ns.p;
        if (relative && s.id.kind == SLD_KIND_SETTINGS)
            s.id.ns = sld_str_c(e->unit->origin->in->settings_ns);
        else
            r->relative |= relative;
        if (index >= 0)
            item_text(e, node, &s);
        SLD_PUSH(&r->arena, r->items, r->count, s);
    } else if (rc == SLD_NOT_FOUND && code == SLD_DOC_FOREIGN) {
        r->foreign++;
        if (e->unit->origin->in->opt.notes)
            remarks_add(&r->remarks, SLD_NOTE, code, line, node->column, "%s",
                        err.msg[0] ? err.msg : sld_code_title(code));
    } else {
        r->nameless++;
        remarks_add(&r->remarks, SLD_ERROR, code, line, node->column, "%s",
                    err.msg[0] ? err.msg : sld_code_title(code));
    }
}

static void documents_add(struct reading *r, const struct unit *u, const struct sld_document *docs,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct each e = {.r = r, .doc = &docs[i], .unit = u, .line = docs[i].line};
        if (docs[i].root)
            sld_model_each(docs[i].root, document_add, &e);
    }
}

// ---- Documents that are as they were ----
//
// An edit of a file of many documents is one of few: the others are known by their text and not
// read again. A line that begins with "---" separates documents wherever it stands, so a file can
// be cut without being read.

// Above this the ceilings for all documents of a text together could matter, which are not counted
// here.
enum { PARTS_MAX_BYTES = 1024 * 1024 };

struct parts {
    struct sld_document *items; // without roots
    size_t count;
};

static bool is_marker(struct sld_str line)
{
    return sld_str_starts(line, SLD_STR("---")) &&
           (line.n == 3 || line.p[3] == ' ' || line.p[3] == '\t' || line.p[3] == '\n');
}

// Cuts TEXT; false when that is not so simple.
static bool cut(struct sld_arena *a, struct sld_str text, struct parts *out)
{
    struct sld_str start = sld_str_trim(text);
    if (text.n > PARTS_MAX_BYTES || memchr(text.p, '\r', text.n) ||
        sld_str_find(text, SLD_STR("\xc2\x85")) >= 0 ||
        sld_str_find(text, SLD_STR("\xe2\x80\xa8")) >= 0 ||
        sld_str_find(text, SLD_STR("\xe2\x80\xa9")) >= 0 || start.p[0] == '{' ||
        start.p[0] == '[' || (unsigned char)start.p[0] == 0xef)
        return false;
    struct sld_document doc = {.text = text, .line = 1};
    bool begun = false; // the document has content or a marker
    size_t at = 0;
    for (int line = 1; at < text.n; line++) {
        struct sld_str l = line_at(text, at), content = sld_str_trim(l);
        if (l.p[0] == '%' || sld_str_starts(l, SLD_STR("...")))
            return false;
        bool marker = is_marker(l);
        if (marker && begun) {
            doc.text.n = (size_t)(l.p - doc.text.p);
            SLD_PUSH(a, out->items, out->count, doc);
            doc = (struct sld_document){.text = sld_str_sub(text, at, text.n), .line = line};
        }
        begun = begun || marker || (content.n && content.p[0] != '#');
        at += l.n;
    }
    SLD_PUSH(a, out->items, out->count, doc);
    return out->count <= sld_doc_limits_default.max_docs;
}

// Reads one part alone, with the places it has in the file.
static bool part_read(struct reading *r, const struct unit *u, struct sld_document *part)
{
    size_t before = (size_t)part->line - 1;
    char *padded = sld_arena_alloc(&r->arena, before + part->text.n + 1);
    memset(padded, '\n', before);
    memcpy(padded + before, part->text.p, part->text.n);
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    if (sld_doc_read(&r->arena, sld_str_n(padded, before + part->text.n), &sld_doc_limits_default,
                     &docs, &n, &code, NULL) != SLD_OK ||
        n > 1)
        return false;
    if (n == 0)
        return true;
    part->root = docs[0].root;
    documents_add(r, u, part, 1);
    return true;
}

static const struct claim *claim_of(const struct sld_umap *known, struct sld_str text)
{
    const struct claim *c = sld_umap_get(known, sld_hash64(text));
    return c && sld_str_eq(c->raw->text, text) ? c : NULL;
}

// True when R was made out of what unit U said and the parts of BYTES that are new.
static bool reading_by_parts(struct reading *r, const struct unit *u, struct sld_str bytes)
{
    struct parts parts = {0};
    if (sld_list_empty(&u->claims) || u->claims.next->next == &u->claims ||
        !cut(&r->arena, bytes, &parts))
        return false;
    struct sld_umap known = {0};
    SLD_LIST_EACH (it, &u->claims) {
        struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_unit);
        if (c->raw->item < 0)
            sld_umap_set(&known, sld_hash64(c->raw->text), c);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < parts.count; i++) {
        struct sld_document *part = &parts.items[i];
        const struct claim *c = claim_of(&known, part->text);
        if (!c) {
            ok = part_read(r, u, part);
            continue;
        }
        // The claim may have another word by the time this one counts.
        struct sld_ident id = {c->raw->kind, sld_arena_str(&r->arena, sld_raw_ident(c->raw).ns),
                               sld_arena_str(&r->arena, sld_raw_ident(c->raw).name)};
        struct said s = {.id = id, .text = part->text, .line = part->line, .item = -1};
        SLD_PUSH(&r->arena, r->items, r->count, s);
    }
    sld_umap_fini(&known);
    return ok;
}

// ---- All of a unit ----

void reading_init(struct reading *r, const struct unit *u, struct sld_str bytes, struct sld_ahead_text *text, bool anew)
{
    *r = (struct reading){.relative = u->bytes != NULL};
    r->blank = sld_str_trim(bytes).n == 0;
    r->unterminated = bytes.n > 0 && bytes.p[bytes.n - 1] != '\n';
    if (r->blank || (!anew && reading_by_parts(r, u, bytes)))
        return;
    // All of it, then, from the beginning.
    remarks_clear(&r->remarks);
    sld_arena_fini_secret(&r->arena);
    struct sld_ahead_docs all;
    if (text)
        sld_ahead_take(text, &all);
    else
        sld_ahead_read(bytes, &all);
    *r = (struct reading){.arena = all.arena, .unterminated = r->unterminated};
    if (all.rc) {
        r->failed = true;
        remarks_add(&r->remarks, SLD_ERROR, all.code, all.err->line, all.err->column, "%s", all.err->msg);
        return;
    }
    documents_add(r, u, all.docs, all.count);
}

void reading_fini(struct reading *r)
{
    remarks_clear(&r->remarks);
    sld_arena_fini_secret(&r->arena);
}
