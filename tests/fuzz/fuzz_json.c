// Any text as JSON: what is read prints as JSON that reads to the same tree; it is
// read from one end to the other too.
#include "codec/read.h"

#include "../unit/codec/scan_all.h"
#include "test.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sld_doc_limits limits = {1 << 16, 32, 20000, 50};

static bool read_tree(struct sld_arena *a, struct sld_str text, const struct sld_doc_limits *l,
                      struct sld_node **root)
{
    struct sld_err err;
    enum sld_code code;
    struct reader r = {a, l, 0, &code, &err};
    return read_json(&r, text, root);
}

static void print(struct sld_buf *out, const struct sld_node *root)
{
    sld_buf_init(out, 1 << 24);
    sld_doc_print_node(out, root, SLD_TEXT_JSON);
}

static void scan(struct sld_arena *a, struct sld_str text)
{
    struct sld_scan s;
    sld_scan_init(&s, text, a);
    read_all(&s);
    bool whole = sld_scan_end(&s);
    sld_scan_init(&s, text, a);
    sld_scan_skip(&s);
    SLD_INV(sld_scan_end(&s) || !whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_arena a = {0};
    struct sld_node *root, *again;
    struct sld_str text = {(const char *)data, size};
    // The encoding is checked before a reader sees the text.
    bool readable = size && sld_str_utf8(text, NULL) && !memchr(data, 0, size);
    scan(&a, text);
    if (readable && read_tree(&a, text, &limits, &root)) {
        struct sld_buf first, second;
        struct sld_report r = {.arena = &a};
        print(&first, root);
        SLD_INV(read_tree(&a, sld_buf_str(&first), &sld_doc_limits_default, &again));
        print(&second, again);
        SLD_INV(sld_str_eq(sld_buf_str(&first), sld_buf_str(&second)));
        sld_doc_decode(&a, &sldtest__tree__descriptor, root, true, &r);
        sld_buf_fini(&first);
        sld_buf_fini(&second);
    }
    sld_arena_fini(&a);
    return 0;
}
