#include "source/consul/item.h"

#include "codec/text.h"

bool consul_item_scan(struct sld_scan *s, struct consul_item *out)
{
    struct sld_str name;
    *out = (struct consul_item){.value = SLD_STR("")};
    sld_scan_object(s);
    while (sld_scan_member(s, &name)) {
        if (sld_str_eq(name, SLD_STR("Key")))
            out->key = sld_scan_str(s);
        else if (sld_str_eq(name, SLD_STR("Value")))
            out->value = sld_scan_str(s);
        else if (sld_str_eq(name, SLD_STR("Session")))
            out->session = sld_scan_str(s);
        else if (sld_str_eq(name, SLD_STR("ModifyIndex")))
            out->index = sld_scan_u64(s);
        else
            sld_scan_skip(s);
    }
    out->value = out->value.n ? out->value : SLD_STR(""); // of a key without one: null
    if (!s->bad && (!out->key.n || !out->index))
        s->bad = true;
    return !s->bad;
}

bool consul_item_read(struct sld_scan *s, struct sld_arena *a, struct consul_item *out)
{
    bool ok = consul_item_scan(s, out);
    if (ok && out->value.n && !sld_base64_decode(a, out->value, &out->value))
        s->bad = true;
    return !s->bad;
}
