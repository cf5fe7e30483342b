// Any text as an answer of Consul about keys: what is read are keys with an index, and names are cut
// into parts that hold each of them once.
#include "codec/text.h"
#include "source/consul/kv_inside.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int by_text(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

// The distinct ones of NAMES, sorted.
static size_t sort(struct sld_str *names, size_t n)
{
    size_t distinct = 0;
    if (n)
        qsort(names, n, sizeof(names[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        if (!distinct || !sld_str_eq(names[i], names[distinct - 1]))
            names[distinct++] = names[i];
    }
    return distinct;
}

static void cut(struct sld_str *names, size_t n, size_t max)
{
    struct kv_cut cuts[KV_PARTS_MAX];
    size_t count = kv_cut(names, n, max, cuts), held = 0;
    SLD_INV(count >= 1 && count <= max);
    for (size_t i = 0; i < count; i++) {
        held += cuts[i].count;
        for (size_t k = 0; k < cuts[i].count; k++) {
            struct sld_str name = names[cuts[i].first + k];
            SLD_INV(cuts[i].exact ? sld_str_eq(name, cuts[i].prefix)
                                  : sld_str_starts(name, cuts[i].prefix));
        }
    }
    SLD_INV(held == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_arena a = {0};
    struct sld_str text = {(const char *)data, size}, *names = NULL, value;
    struct consul_item *items = NULL;
    size_t n = 0;
    if (kv_read_items(&a, text, &items, &n)) {
        names = SLD_ARENA_ARRAY(&a, struct sld_str, n);
        for (size_t i = 0; i < n; i++) {
            SLD_INV(items[i].key.n > 0 && items[i].index > 0);
            (void)sld_base64_decode(&a, items[i].value, &value);
            names[i] = items[i].key;
        }
        cut(names, sort(names, n), 1 + size % KV_PARTS_MAX);
    }
    if (kv_read_names(&a, text, &names, &n))
        cut(names, sort(names, n), 1 + size % KV_PARTS_MAX);
    sld_arena_fini(&a);
    return 0;
}
