// Any text as YAML: reading stays in its ceilings; what decodes without an error prints as text
// that decodes to the same message.
#include "codec/doc.h"

#include "test.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sld_doc_limits limits = {1 << 16, 32, 20000, 50};

static void round_trip(struct sld_arena *a, const ProtobufCMessage *m)
{
    struct sld_buf out;
    struct sld_document *docs;
    struct sld_report r = {.arena = a};
    size_t n;
    sld_buf_init(&out, 1 << 24);
    sld_doc_print(&out, m, SLD_TEXT_YAML, false);
    // Long keys are beyond what YAML can say in one line.
    enum sld_rc rc =
        sld_doc_read(a, sld_buf_str(&out), &sld_doc_limits_default, &docs, &n, NULL, NULL);
    SLD_INV(rc == SLD_OK || out.n > 1024);
    if (rc == SLD_OK && n == 1) {
        void *back = sld_doc_decode(a, m->descriptor, docs[0].root, false, &r);
        SLD_INV(r.errors == 0 && sld_msg_equal(m, back));
    }
    sld_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_arena a = {0};
    struct sld_document *docs;
    struct sld_err err;
    enum sld_code code;
    size_t n;
    struct sld_str text = {(const char *)data, size};
    enum sld_rc rc = sld_doc_read(&a, text, &limits, &docs, &n, &code, &err);
    SLD_INV(rc == SLD_OK || err.line > 0);
    for (size_t i = 0; i < n; i++) {
        struct sld_report r = {.arena = &a};
        void *m = sld_doc_decode(&a, &sldtest__tree__descriptor, docs[i].root, false, &r);
        sld_msg_check(&r, m, 0, NULL);
        for (size_t k = 0; k < r.count; k++) {
            int line, column;
            sld_doc_locate(docs[i].text, docs[i].line, r.items[k].path, &line, &column);
        }
        if (r.errors == 0)
            round_trip(&a, m);
    }
    sld_arena_fini(&a);
    return 0;
}
