// Any text as a plugin: it loads or it does not, within its ceilings; what loads checks any configuration, prints its
// manual and its schema, and is looked at for mistakes. The first line is the configuration, the rest the plugin.
#include "plugin/author.h"
#include "plugin/schema.h"

#include "codec/doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sld_plugin_limits limits = {
    .memory_bytes = 4U << 20,
    .load_steps = 200000,
    .call_steps = 100000,
    .load_ms = 60000,
    .call_ms = 60000,
    .string_bytes = 50000,
    .subject_bytes = 5000,
    .coroutines = 20,
    .log_lines = 0,
};

static const Google__Protobuf__Value *value_of(struct sld_arena *a, struct sld_str text)
{
    static const struct sld_doc_limits few = {1 << 16, 32, 2000, 1};
    struct sld_document *docs;
    struct sld_err err = {0};
    enum sld_code code;
    size_t n = 0;
    struct sld_report r = {.arena = a};
    if (sld_doc_read(a, text, &few, &docs, &n, &code, &err) || !n || !docs[0].root)
        return NULL;
    return sld_doc_decode(a, &google__protobuf__value__descriptor, docs[0].root, false, &r);
}

static void use(struct sld_plugin *p, struct sld_arena *a, struct sld_str conf)
{
    struct sld_buf out;
    struct sld_report r = {.arena = a};
    struct sld_plugin_stats st;
    sld_plugin_check(p, &r, value_of(a, conf));
    sld_buf_init(&out, 1U << 20);
    sld_plugin_print_manual(&out, p);
    sld_buf_reset(&out);
    sld_plugin_print_schema(&out, p);
    if (!out.full) { // it is JSON
        struct sld_document *docs;
        enum sld_code code;
        struct sld_err err = {0};
        size_t n = 0;
        enum sld_rc rc = sld_doc_read(a, sld_buf_str(&out), &sld_doc_limits_default, &docs, &n, &code, &err);
        SLD_INV(rc == SLD_OK && n == 1);
    }
    sld_buf_fini(&out);
    sld_plugin_stats(p, &st);
    SLD_INV(st.peak_bytes <= limits.memory_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_arena a = {0};
    struct sld_str rest = {(const char *)data, size}, conf = SLD_STR("");
    struct sld_plugin_faults faults = {0};
    struct sld_plugin *p = NULL;
    sld_str_cut(&rest, '\n', &conf);
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("fuzz"), SLD_STR("fuzz"), rest.p ? rest : SLD_STR(""));
    sld_plugin_lint(b, &limits, &faults, &p);
    SLD_INV(p || faults.errors);
    if (p)
        use(p, &a, conf);
    sld_plugin_faults_fini(&faults);
    SLD_UNREF(p);
    SLD_UNREF(b);
    sld_arena_fini(&a);
    return 0;
}
