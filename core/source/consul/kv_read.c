// Answers of Consul about keys, read without building a tree.
#include "codec/scan.h"
#include "source/consul/kv_inside.h"

static bool read_item(struct sld_scan *s, struct kv_item *it)
{
    struct sld_str member;
    *it = (struct kv_item){0};
    sld_scan_object(s);
    while (sld_scan_member(s, &member)) {
        if (sld_str_eq(member, SLD_STR("Key")))
            it->key = sld_scan_str(s);
        else if (sld_str_eq(member, SLD_STR("ModifyIndex")))
            it->index = sld_scan_u64(s);
        else if (sld_str_eq(member, SLD_STR("Value")))
            it->value = sld_scan_str(s);
        else
            sld_scan_skip(s);
    }
    return it->key.n && it->index;
}

bool kv_read_items(struct sld_arena *a, struct sld_str body, struct kv_item **out, size_t *n)
{
    struct sld_scan s;
    struct kv_item it;
    bool ok = true;
    *out = NULL;
    *n = 0;
    sld_scan_init(&s, body, a);
    ok = sld_scan_type(&s) == SLD_SCAN_ARRAY;
    sld_scan_array(&s);
    while (ok && sld_scan_item(&s)) {
        ok = read_item(&s, &it);
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
