// Reads the bytes of a unit into the objects they say.
#include "source/intake.h"

struct each {
    struct reading *r;
    const struct sld_document *doc;
    const struct unit *unit;
};

static void document_add(const struct sld_node *node, long index, void *arg)
{
    struct each *e = arg;
    struct reading *r = e->r;
    struct sld_doc_place place = {
        .path = sld_str_c(e->unit->path),
        .default_ns = sld_str_c(e->unit->origin->in->default_ns),
    };
    struct said s = {.text = e->doc->text, .line = e->doc->line, .item = index};
    enum sld_code code = SLD_DOC_IDENTITY;
    struct sld_err err = {0};
    enum sld_rc rc = sld_model_identify(node, &place, &s.id, &code, &err);
    int line = node->line ? node->line : e->doc->line;
    if (rc == SLD_OK) {
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

void reading_init(struct reading *r, const struct unit *u, struct sld_str bytes)
{
    *r = (struct reading){0};
    r->blank = sld_str_trim(bytes).n == 0;
    r->unterminated = bytes.n > 0 && bytes.p[bytes.n - 1] != '\n';
    if (r->blank)
        return;
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code = SLD_YAML_SYNTAX;
    struct sld_err err = {0};
    if (sld_doc_read(&r->arena, bytes, &sld_doc_limits_default, &docs, &n, &code, &err) != SLD_OK) {
        r->failed = true;
        remarks_add(&r->remarks, SLD_ERROR, code, err.line, err.column, "%s", err.msg);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct each e = {.r = r, .doc = &docs[i], .unit = u};
        if (docs[i].root)
            sld_model_each(docs[i].root, document_add, &e);
    }
}

void reading_fini(struct reading *r)
{
    remarks_clear(&r->remarks);
    sld_arena_fini(&r->arena);
}
