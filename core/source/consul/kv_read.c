// Answers of Consul about keys, read without building a tree.
#include "source/consul/kv_inside.h"

bool kv_read_items(struct sld_arena *a, struct sld_str body, struct consul_item **out, size_t *n)
{
    struct sld_scan s;
    struct consul_item it;
    bool ok = true;
    *out = NULL;
    *n = 0;
    sld_scan_init(&s, body, a);
    ok = sld_scan_type(&s) == SLD_SCAN_ARRAY;
    sld_scan_array(&s);
    while (ok && sld_scan_item(&s)) {
        ok = consul_item_scan(&s, &it);
        if (ok)
            SLD_PUSH(a, *out, *n, it);
    }
    return ok && sld_scan_end(&s);
}

bool kv_read_names(struct sld_arena *a, struct sld_str body, struct sld_str **out, size_t *n)
{
    struct sld_scan s;
    *out = NULL;
    *n = 0;
    sld_scan_init(&s, body, a);
    bool ok = sld_scan_type(&s) == SLD_SCAN_ARRAY;
    sld_scan_array(&s);
    while (ok && sld_scan_item(&s)) {
        struct sld_str name = sld_scan_str(&s);
        ok = name.n > 0;
        SLD_PUSH(a, *out, *n, name);
    }
    return ok && sld_scan_end(&s);
}
