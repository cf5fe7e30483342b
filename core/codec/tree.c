// Messages to trees.
#include "codec/tree.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"
#include "codec/time.h"
#include "codec/walk.h"

#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

struct tree {
    struct sld_arena *a;
    bool redact; // sensitive fields are to be hidden
    bool hidden; // inside a sensitive field
};

static struct sld_node *message_tree(struct tree *t, const ProtobufCMessage *m);
static void add_fields(struct tree *t, struct sld_node *map, const ProtobufCMessage *m);

static struct sld_node *scalar(struct tree *t, struct sld_str s, bool quoted)
{
    return sld_node_scalar(t->a, s, quoted);
}

static struct sld_node *hidden(struct tree *t)
{
    return scalar(t, SLD_STR("***"), true);
}

static struct sld_node *container(struct tree *t, enum sld_node_type type, size_t capacity)
{
    struct sld_node *n = SLD_ARENA_NEW(t->a, struct sld_node);
    n->type = type;
    if (type == SLD_NODE_SEQ)
        n->items = SLD_ARENA_ARRAY(t->a, struct sld_node *, capacity);
    else if (type == SLD_NODE_MAP)
        n->pairs = SLD_ARENA_ARRAY(t->a, struct sld_node_pair, capacity);
    return n;
}

// Adds a pair to a mapping that has room.
static void add_pair(struct tree *t, struct sld_node *map, struct sld_str key,
                     struct sld_node *value)
{
    map->pairs[map->count++] = (struct sld_node_pair){scalar(t, key, true), value};
}

// The shortest decimal form that reads back as V.
static struct sld_node *number(struct tree *t, double v, bool is_float)
{
    char text[40];
    if (isnan(v) || isinf(v))
        return scalar(t,
                      isnan(v) ? SLD_STR("NaN")
                      : v > 0  ? SLD_STR("Infinity")
                               : SLD_STR("-Infinity"),
                      true);
    // Without its fraction, readers would take it for the integer 0.
    if (!(v < 0) && !(v > 0) && signbit(v))
        return scalar(t, SLD_STR("-0.0"), false);
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (is_float ? !((float)back < (float)v || (float)back > (float)v)
                     : !(back < v || back > v))
            break;
    }
    return scalar(t, sld_str_c(text), false);
}

static struct sld_node *integer(struct tree *t, const void *p, ProtobufCType type)
{
    char text[24];
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        snprintf(text, sizeof(text), "%" PRId32, (int32_t)walk_u32(p));
        return scalar(t, sld_str_c(text), false);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        snprintf(text, sizeof(text), "%" PRIu64, walk_u64(p));
        return scalar(t, sld_str_c(text), true);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)walk_u64(p));
        return scalar(t, sld_str_c(text), true);
    default:
        snprintf(text, sizeof(text), "%" PRIu32, walk_u32(p));
        return scalar(t, sld_str_c(text), false);
    }
}

static struct sld_node *enum_value(struct tree *t, const ProtobufCEnumDescriptor *e, const void *p)
{
    if (e == &google__protobuf__null_value__descriptor)
        return container(t, SLD_NODE_NULL, 0);
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(e, (int)walk_u32(p));
    return v ? scalar(t, sld_str_c(v->name), true) : integer(t, p, PROTOBUF_C_TYPE_INT32);
}

static struct sld_node *value_tree(struct tree *t, const ProtobufCFieldDescriptor *f, const void *p)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return walk_msg(p) ? message_tree(t, walk_msg(p)) : container(t, SLD_NODE_MAP, 0);
    if (t->hidden)
        return hidden(t);
    double d;
    float v;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return scalar(t, walk_str(p), true);
    case PROTOBUF_C_TYPE_BYTES:
        return scalar(t, sld_base64_encode(t->a, walk_bytes(p)), true);
    case PROTOBUF_C_TYPE_BOOL:
        return scalar(t, walk_u32(p) ? SLD_STR("true") : SLD_STR("false"), false);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_value(t, f->descriptor, p);
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&d, p, sizeof(d));
        return number(t, d, false);
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&v, p, sizeof(v));
        return number(t, (double)v, true);
    default:
        return integer(t, p, f->type);
    }
}

struct sld_str tree_key(struct sld_arena *a, const ProtobufCMessage *entry)
{
    struct tree t = {a, false, false};
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    return sld_node_text(value_tree(&t, key, walk_at(entry, key)));
}

static int entry_cmp(const void *a, const void *b)
{
    return walk_entry_cmp(walk_msg(a), walk_msg(b));
}

static struct sld_node *map_tree(struct tree *t, const ProtobufCMessage *m,
                                 const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(m, f);
    ProtobufCMessage **entries = SLD_ARENA_ARRAY(t->a, ProtobufCMessage *, n);
    struct sld_node *out = container(t, SLD_NODE_MAP, n);
    if (n) {
        memcpy(entries, walk_item(m, f, 0), n * sizeof(*entries));
        qsort(entries, n, sizeof(*entries), entry_cmp);
    }
    for (size_t i = 0; i < n; i++) {
        const ProtobufCFieldDescriptor *value = &entries[i]->descriptor->fields[1];
        add_pair(t, out, tree_key(t->a, entries[i]),
                 value_tree(t, value, walk_at(entries[i], value)));
    }
    return out;
}

static struct sld_node *field_tree(struct tree *t, const ProtobufCMessage *m,
                                   const struct sld_msg_info *info, unsigned i)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
    bool before = t->hidden;
    t->hidden = before || (t->redact && info->fields[i].sensitive);
    struct sld_node *out;
    if (!walk_repeated(f)) {
        out = value_tree(t, f, walk_at(m, f));
    } else if (walk_is_map(info, i)) {
        out = map_tree(t, m, f);
    } else {
        size_t n = walk_count(m, f);
        out = container(t, SLD_NODE_SEQ, n);
        for (size_t k = 0; k < n; k++)
            out->items[out->count++] = value_tree(t, f, walk_item(m, f, k));
    }
    t->hidden = before;
    return out;
}

static void add_fields(struct tree *t, struct sld_node *map, const ProtobufCMessage *m)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        if (walk_set(m, &m->descriptor->fields[i]))
            add_pair(t, map, sld_str_c(info->fields[i].json_name), field_tree(t, m, info, i));
    }
}

static struct sld_node *any_tree(struct tree *t, const Google__Protobuf__Any *any)
{
    struct sld_str url = sld_str_c(any->type_url ? any->type_url : "");
    struct sld_str bytes = {(const char *)any->value.data, any->value.len};
    if (url.n == 0 && bytes.n == 0)
        return container(t, SLD_NODE_MAP, 0);
    const ProtobufCMessageDescriptor *desc = walk_any_type(url);
    enum { ANY_DEPTH = 100 };
    const ProtobufCMessage *m = desc ? sld_msg_decode(t->a, desc, bytes, ANY_DEPTH, NULL) : NULL;
    struct sld_node *out = container(t, SLD_NODE_MAP, 2 + (m ? desc->n_fields : 0));
    add_pair(t, out, SLD_STR("@type"), scalar(t, url, true));
    enum sld_wkt wkt = m ? sld_msg_info(desc)->wkt : SLD_WKT_NONE;
    if (!m)
        add_pair(t, out, SLD_STR("value"),
                 t->redact ? hidden(t) : scalar(t, sld_base64_encode(t->a, bytes), true));
    else if (wkt == SLD_WKT_NONE || wkt == SLD_WKT_EMPTY)
        add_fields(t, out, m);
    else
        add_pair(t, out, SLD_STR("value"), message_tree(t, m));
    return out;
}

static struct sld_node *struct_tree(struct tree *t, const Google__Protobuf__Struct *s)
{
    struct sld_node *out = container(t, SLD_NODE_MAP, s->n_fields);
    ProtobufCMessage **entries = SLD_ARENA_ARRAY(t->a, ProtobufCMessage *, s->n_fields);
    if (s->n_fields) {
        memcpy(entries, s->fields, s->n_fields * sizeof(*entries));
        qsort(entries, s->n_fields, sizeof(*entries), entry_cmp);
    }
    for (size_t i = 0; i < s->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *e =
            (const Google__Protobuf__Struct__FieldsEntry *)entries[i];
        add_pair(t, out, sld_str_c(e->key),
                 e->value ? message_tree(t, &e->value->base) : container(t, SLD_NODE_NULL, 0));
    }
    return out;
}

static struct sld_node *list_tree(struct tree *t, const Google__Protobuf__ListValue *l)
{
    struct sld_node *out = container(t, SLD_NODE_SEQ, l->n_values);
    for (size_t i = 0; i < l->n_values; i++)
        out->items[out->count++] = message_tree(t, &l->values[i]->base);
    return out;
}

static struct sld_node *any_value_tree(struct tree *t, const Google__Protobuf__Value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return struct_tree(t, v->struct_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return list_tree(t, v->list_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return t->hidden ? hidden(t) : number(t, v->number_value, false);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return t->hidden ? hidden(t) : scalar(t, sld_str_c(v->string_value), true);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return t->hidden ? hidden(t)
                         : scalar(t, v->bool_value ? SLD_STR("true") : SLD_STR("false"), false);
    default:
        return container(t, SLD_NODE_NULL, 0);
    }
}

static struct sld_node *text_tree(struct tree *t, const ProtobufCMessage *m, enum sld_wkt wkt)
{
    struct sld_buf out;
    sld_buf_init(&out, 1 << 20);
    if (wkt == SLD_WKT_TIMESTAMP) {
        const Google__Protobuf__Timestamp *ts = (const Google__Protobuf__Timestamp *)m;
        sld_time_print(&out, ts->seconds, ts->nanos);
    } else if (wkt == SLD_WKT_DURATION) {
        const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)m;
        time_print_duration(&out, d->seconds, d->nanos);
    } else {
        const Google__Protobuf__FieldMask *f = (const Google__Protobuf__FieldMask *)m;
        for (size_t i = 0; i < f->n_paths; i++) {
            if (i)
                sld_buf_addc(&out, ',');
            for (const char *c = f->paths[i]; *c; c++) {
                bool up = *c == '_' && c[1] >= 'a' && c[1] <= 'z';
                sld_buf_addc(&out, up ? (char)(*++c - 'a' + 'A') : *c);
            }
        }
    }
    struct sld_node *n = t->hidden ? hidden(t) : scalar(t, sld_buf_str(&out), true);
    sld_buf_fini(&out);
    return n;
}

static struct sld_node *message_tree(struct tree *t, const ProtobufCMessage *m)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    switch (info->wkt) {
    case SLD_WKT_ANY:
        return any_tree(t, (const Google__Protobuf__Any *)m);
    case SLD_WKT_STRUCT:
        return struct_tree(t, (const Google__Protobuf__Struct *)m);
    case SLD_WKT_VALUE:
        return any_value_tree(t, (const Google__Protobuf__Value *)m);
    case SLD_WKT_LIST:
        return list_tree(t, (const Google__Protobuf__ListValue *)m);
    case SLD_WKT_DURATION:
    case SLD_WKT_TIMESTAMP:
    case SLD_WKT_FIELD_MASK:
        return text_tree(t, m, info->wkt);
    case SLD_WKT_WRAPPER:
        return value_tree(t, m->descriptor->fields, walk_at(m, m->descriptor->fields));
    case SLD_WKT_EMPTY:
    case SLD_WKT_NONE:
        break;
    }
    struct sld_node *out = container(t, SLD_NODE_MAP, m->descriptor->n_fields);
    add_fields(t, out, m);
    return out;
}

struct sld_node *tree_message(struct sld_arena *a, const ProtobufCMessage *m, bool redact)
{
    struct tree t = {a, redact, false};
    return message_tree(&t, m);
}

struct sld_node *tree_field(struct sld_arena *a, const ProtobufCMessage *m, unsigned field,
                            bool redact)
{
    struct tree t = {a, redact, false};
    return field_tree(&t, m, sld_msg_info(m->descriptor), field);
}

struct sld_node *tree_item(struct sld_arena *a, const ProtobufCMessage *m, unsigned field, size_t i,
                           bool redact)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[field];
    struct tree t = {a, redact, redact && info->fields[field].sensitive};
    if (!walk_is_map(info, field))
        return value_tree(&t, f, walk_item(m, f, i));
    const ProtobufCMessage *entry = walk_msg(walk_item(m, f, i));
    return value_tree(&t, &entry->descriptor->fields[1],
                      walk_at(entry, &entry->descriptor->fields[1]));
}
