// Side tables, making messages, and single fields.
#include "codec/message.h"

#include "codec/walk.h"

const struct sld_msg_info *sld_msg_info(const ProtobufCMessageDescriptor *desc)
{
    // The generator put the place in the table, from 1, into the descriptor.
    size_t at = (size_t)(uintptr_t)desc->reserved1;
    SLD_PRE(at > 0 && at <= sld_schema.count && sld_schema.msgs[at - 1].desc == desc);
    return &sld_schema.msgs[at - 1];
}

const struct sld_msg_info *sld_msg_find(struct sld_str full_name)
{
    size_t lo = 0, hi = sld_schema.count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = sld_str_cmp(full_name, sld_str_c(sld_schema.msgs[mid].desc->name));
        if (c == 0)
            return &sld_schema.msgs[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const ProtobufCMessageDescriptor *walk_any_type(struct sld_str type_url)
{
    size_t slash = type_url.n;
    while (slash > 0 && type_url.p[slash - 1] != '/')
        slash--;
    if (slash == 0)
        return NULL;
    const struct sld_msg_info *info = sld_msg_find(sld_str_sub(type_url, slash, type_url.n));
    return info ? info->desc : NULL;
}

void *sld_msg_new(struct sld_arena *a, const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *m = sld_arena_alloc(a, desc->sizeof_message);
    desc->message_init(m);
    return m;
}

Google__Protobuf__Any *sld_msg_any(struct sld_arena *a, const ProtobufCMessage *m)
{
    Google__Protobuf__Any *any = SLD_MSG(a, Google__Protobuf__Any, google__protobuf__any);
    struct sld_str bytes = sld_msg_encode(a, m);
    struct sld_str url = sld_arena_fmt(a, "type.googleapis.com/%s", m->descriptor->name);
    any->type_url = sld_arena_cstr(a, url);
    any->value.len = bytes.n;
    any->value.data = (uint8_t *)sld_arena_cstr(a, bytes);
    return any;
}

Google__Protobuf__BoolValue *sld_msg_bool(struct sld_arena *a, bool v)
{
    Google__Protobuf__BoolValue *w =
        SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value);
    w->value = v;
    return w;
}

Google__Protobuf__UInt32Value *sld_msg_u32(struct sld_arena *a, uint32_t v)
{
    Google__Protobuf__UInt32Value *w =
        SLD_MSG(a, Google__Protobuf__UInt32Value, google__protobuf__uint32_value);
    w->value = v;
    return w;
}

Google__Protobuf__UInt64Value *sld_msg_u64(struct sld_arena *a, uint64_t v)
{
    Google__Protobuf__UInt64Value *w =
        SLD_MSG(a, Google__Protobuf__UInt64Value, google__protobuf__uint64_value);
    w->value = v;
    return w;
}

Google__Protobuf__DoubleValue *sld_msg_double(struct sld_arena *a, double v)
{
    Google__Protobuf__DoubleValue *w =
        SLD_MSG(a, Google__Protobuf__DoubleValue, google__protobuf__double_value);
    w->value = v;
    return w;
}

Google__Protobuf__StringValue *sld_msg_string(struct sld_arena *a, struct sld_str v)
{
    Google__Protobuf__StringValue *w =
        SLD_MSG(a, Google__Protobuf__StringValue, google__protobuf__string_value);
    w->value = sld_arena_cstr(a, v);
    return w;
}

Google__Protobuf__Duration *sld_msg_duration_ms(struct sld_arena *a, int64_t ms)
{
    Google__Protobuf__Duration *d =
        SLD_MSG(a, Google__Protobuf__Duration, google__protobuf__duration);
    d->seconds = ms / 1000;
    d->nanos = (int32_t)(ms % 1000) * 1000000;
    return d;
}

int64_t sld_duration_ms(const Google__Protobuf__Duration *d)
{
    if (!d)
        return 0;
    int32_t half = d->nanos < 0 ? -500000 : 500000;
    return d->seconds * 1000 + (d->nanos + half) / 1000000;
}

bool sld_msg_field_set(const ProtobufCMessage *m, unsigned field)
{
    SLD_PRE(field < m->descriptor->n_fields);
    return walk_set(m, &m->descriptor->fields[field]);
}

int sld_msg_field_index(const struct sld_msg_info *info, struct sld_str name)
{
    size_t lo = 0, hi = info->name_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct sld_field_name *f = &info->names[mid];
        int c = name.n != f->len ? (name.n < f->len ? -1 : 1)
                : name.n         ? memcmp(name.p, f->name, name.n)
                                 : 0;
        if (c == 0)
            return f->field;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}

void sld_msg_field_clear(ProtobufCMessage *m, unsigned field)
{
    SLD_PRE(field < m->descriptor->n_fields);
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[field];
    if (walk_repeated(f)) {
        walk_set_count(m, f, 0);
        memset(walk_mut(m, f), 0, sizeof(void *));
        return;
    }
    if (walk_in_oneof(f)) {
        if (walk_case(m, f) != f->id)
            return;
        walk_set_case(m, f, 0);
    }
    memset(walk_mut(m, f), 0, walk_size(f->type));
}

void *walk_append(struct sld_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(m, f), size = walk_size(f->type);
    // The capacity is 4 or the next power of two of N, so it is stored nowhere.
    if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
        char *bigger = sld_arena_try_alloc(a, (n ? 2 * n : 4) * size);
        if (!bigger)
            return NULL;
        if (n)
            memcpy(bigger, walk_item(m, f, 0), n * size);
        memcpy(walk_mut(m, f), &bigger, sizeof(bigger));
    }
    walk_set_count(m, f, n + 1);
    return walk_item(m, f, n);
}

int walk_entry_cmp(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCFieldDescriptor *key = &a->descriptor->fields[0];
    const void *p = walk_at(a, key), *q = walk_at(b, key);
    if (key->type == PROTOBUF_C_TYPE_STRING)
        return sld_str_cmp(walk_str(p), walk_str(q));
    int64_t x, y;
    switch (key->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        x = (int32_t)walk_u32(p);
        y = (int32_t)walk_u32(q);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (walk_u64(p) > walk_u64(q)) - (walk_u64(p) < walk_u64(q));
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        x = (int64_t)walk_u64(p);
        y = (int64_t)walk_u64(q);
        break;
    default:
        x = walk_u32(p);
        y = walk_u32(q);
    }
    return (x > y) - (x < y);
}
