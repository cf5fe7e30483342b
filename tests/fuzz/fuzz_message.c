// Any bytes as a message: decoding stays in the arena's ceiling; encoding what was decoded, and
// decoding that, comes back to the same bytes.
#include "codec/doc.h"

#include "test.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CEILING = 1 << 22, DEPTH = 50 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_arena a = {0}, work = {0};
    struct sld_report r = {.arena = &work};
    struct sld_str wire = {(const char *)data, size};
    size_t changes;
    sld_arena_limit(&a, CEILING);
    ProtobufCMessage *m = sld_msg_decode(&a, &sldtest__tree__descriptor, wire, DEPTH, NULL);
    SLD_INV(a.used_bytes <= CEILING);
    if (m) {
        struct sld_buf out;
        struct sld_str bytes = sld_msg_encode(&work, m);
        ProtobufCMessage *again = sld_msg_decode(&work, m->descriptor, bytes, DEPTH, NULL);
        SLD_INV(again && sld_msg_equal(m, again));
        SLD_INV(sld_msg_equal(m, sld_msg_copy(&work, m)));
        sld_msg_diff(&work, m, again, &changes);
        SLD_INV(changes == 0);
        sld_msg_check(&r, m, 0, NULL);
        sld_buf_init(&out, 1 << 24);
        sld_doc_print(&out, m, SLD_TEXT_JSON, true);
        sld_buf_fini(&out);
    }
    sld_arena_fini(&a);
    sld_arena_fini(&work);
    return 0;
}
