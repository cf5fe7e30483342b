// The well-known messages whose JSON form is their own.
#include "codec/decode.h"
#include "codec/text.h"
#include "codec/time.h"

#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

static bool decode_duration(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                            const struct path *at)
{
    Google__Protobuf__Duration *out = (Google__Protobuf__Duration *)m;
    if (n->type != SLD_NODE_SCALAR)
        return dec_type(d, at, "a duration such as \"1.5s\"", n);
    if (sld_duration_parse(n->text, &out->seconds, &out->nanos))
        return true;
    return dec_fail(d, at, SLD_FIELD_FORMAT,
                    "\"%.*s\" is no duration; write it with a unit, as in \"1.5s\" or \"500ms\"",
                    SLD_FMT(sld_str_sub(n->text, 0, 60)));
}

static bool decode_timestamp(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                             const struct path *at)
{
    Google__Protobuf__Timestamp *out = (Google__Protobuf__Timestamp *)m;
    if (n->type != SLD_NODE_SCALAR)
        return dec_type(d, at, "a time", n);
    if (sld_time_parse(n->text, &out->seconds, &out->nanos))
        return true;
    return dec_fail(d, at, SLD_FIELD_FORMAT,
                    "\"%.*s\" is no time; write it as in \"2026-01-02T15:04:05Z\"",
                    SLD_FMT(sld_str_sub(n->text, 0, 60)));
}

static bool decode_field_mask(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                              const struct path *at)
{
    Google__Protobuf__FieldMask *out = (Google__Protobuf__FieldMask *)m;
    if (n->type != SLD_NODE_SCALAR)
        return dec_type(d, at, "field names with commas between them", n);
    struct sld_str rest = n->text.n ? n->text : SLD_STR_NONE, part;
    while (sld_str_cut(&rest, ',', &part)) {
        char *name = sld_arena_alloc(d->a, part.n * 2 + 1), *to = name;
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];
            if (c >= 'A' && c <= 'Z') {
                *to++ = '_';
                c = (char)(c - 'A' + 'a');
            }
            *to++ = c;
        }
        SLD_PUSH(d->a, out->paths, out->n_paths, name);
    }
    return true;
}

static bool decode_struct(struct dec *d, Google__Protobuf__Struct *out, const struct sld_node *n,
                          const struct path *at);
static bool decode_value(struct dec *d, Google__Protobuf__Value *out, const struct sld_node *n,
                         const struct path *at);

static bool decode_list(struct dec *d, Google__Protobuf__ListValue *out, const struct sld_node *n,
                        const struct path *at)
{
    if (n->type != SLD_NODE_SEQ)
        return dec_type(d, at, "a list", n);
    bool ok = true;
    out->n_values = n->count;
    out->values = n->count ? SLD_ARENA_ARRAY(d->a, Google__Protobuf__Value *, n->count) : NULL;
    for (size_t i = 0; i < n->count; i++) {
        struct path here = {at, SLD_STR_NONE, (long)i, false};
        out->values[i] = SLD_MSG(d->a, Google__Protobuf__Value, google__protobuf__value);
        ok &= decode_value(d, out->values[i], n->items[i], &here);
    }
    return ok;
}

static bool decode_plain(struct dec *d, Google__Protobuf__Value *out, const struct sld_node *n,
                         const struct path *at)
{
    bool b;
    if (!n->quoted && dec_bool_word(n->text, &b)) {
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        out->bool_value = b;
        return true;
    }
    if (!n->quoted && dec_double(n, &out->number_value)) {
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        return true;
    }
    if (n->text.n && memchr(n->text.p, 0, n->text.n))
        return dec_fail(d, at, SLD_FIELD_FORMAT, "the text has a NUL character");
    out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    out->string_value = sld_arena_cstr(d->a, n->text);
    return true;
}

static bool decode_value(struct dec *d, Google__Protobuf__Value *out, const struct sld_node *n,
                         const struct path *at)
{
    switch (n->type) {
    case SLD_NODE_NULL:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        return true;
    case SLD_NODE_SEQ:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        out->list_value = SLD_MSG(d->a, Google__Protobuf__ListValue, google__protobuf__list_value);
        return decode_list(d, out->list_value, n, at);
    case SLD_NODE_MAP:
        out->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        out->struct_value = SLD_MSG(d->a, Google__Protobuf__Struct, google__protobuf__struct);
        return decode_struct(d, out->struct_value, n, at);
    case SLD_NODE_SCALAR:
        break;
    }
    return decode_plain(d, out, n, at);
}

static bool decode_struct(struct dec *d, Google__Protobuf__Struct *out, const struct sld_node *n,
                          const struct path *at)
{
    if (n->type != SLD_NODE_MAP)
        return dec_type(d, at, "a mapping", n);
    bool ok = true;
    out->n_fields = n->count;
    out->fields =
        n->count ? SLD_ARENA_ARRAY(d->a, Google__Protobuf__Struct__FieldsEntry *, n->count) : NULL;
    for (size_t i = 0; i < n->count; i++) {
        struct sld_str key = n->pairs[i].key->text;
        struct path here = {at, key, -1, true};
        Google__Protobuf__Struct__FieldsEntry *e = SLD_MSG(
            d->a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
        if (key.n && memchr(key.p, 0, key.n))
            ok = dec_fail(d, at, SLD_FIELD_FORMAT, "a key has a NUL character");
        e->key = sld_arena_cstr(d->a, key);
        e->value = SLD_MSG(d->a, Google__Protobuf__Value, google__protobuf__value);
        ok &= decode_value(d, e->value, n->pairs[i].value, &here);
        out->fields[i] = e;
    }
    return ok;
}

static bool decode_any(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                       const struct path *at)
{
    Google__Protobuf__Any *out = (Google__Protobuf__Any *)m;
    if (n->type != SLD_NODE_MAP)
        return dec_type(d, at, "a mapping with \"@type\"", n);
    if (n->count == 0)
        return true;
    struct sld_str url = sld_node_text(sld_node_get(n, SLD_STR("@type")));
    if (!url.p)
        return dec_fail(d, at, SLD_FIELD_REQUIRED, "\"@type\" is missing");
    const ProtobufCMessageDescriptor *desc = walk_any_type(url);
    if (!desc)
        return dec_fail(d, at, SLD_FIELD_TYPE, "the type \"%.*s\" is not known here", SLD_FMT(url));
    ProtobufCMessage *inner = sld_msg_new(d->a, desc);
    const struct sld_msg_info *info = sld_msg_info(desc);
    const struct sld_node *value = sld_node_get(n, SLD_STR("value"));
    bool ok;
    if (info->wkt == SLD_WKT_NONE || (info->wkt == SLD_WKT_EMPTY && !value)) {
        ok = dec_fields(d, inner, n, at, SLD_STR("@type"));
    } else {
        struct path here = {at, SLD_STR("value"), -1, false};
        if (!value)
            return dec_fail(d, at, SLD_FIELD_REQUIRED, "\"value\" is missing");
        ok = dec_message(d, inner, value, &here);
    }
    struct sld_str bytes = sld_msg_encode(d->a, inner);
    out->type_url = sld_arena_cstr(d->a, url);
    out->value.len = bytes.n;
    out->value.data = (uint8_t *)sld_arena_cstr(d->a, bytes);
    return ok;
}

bool dec_known(struct dec *d, const struct sld_msg_info *info, ProtobufCMessage *m,
               const struct sld_node *n, const struct path *at)
{
    const ProtobufCFieldDescriptor *first = info->desc->fields;
    switch (info->wkt) {
    case SLD_WKT_ANY:
        return decode_any(d, m, n, at);
    case SLD_WKT_DURATION:
        return decode_duration(d, m, n, at);
    case SLD_WKT_TIMESTAMP:
        return decode_timestamp(d, m, n, at);
    case SLD_WKT_FIELD_MASK:
        return decode_field_mask(d, m, n, at);
    case SLD_WKT_STRUCT:
        return decode_struct(d, (Google__Protobuf__Struct *)m, n, at);
    case SLD_WKT_VALUE:
        return decode_value(d, (Google__Protobuf__Value *)m, n, at);
    case SLD_WKT_LIST:
        return decode_list(d, (Google__Protobuf__ListValue *)m, n, at);
    case SLD_WKT_WRAPPER:
        return dec_scalar(d, first, n, at, walk_mut(m, first));
    case SLD_WKT_EMPTY:
    case SLD_WKT_NONE:
        break;
    }
    return dec_fields(d, m, n, at, SLD_STR_NONE);
}
