#include "codec/edit.h"

#include "codec/walk.h"

enum { ANY_DEPTH_MAX = 64 };

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessage *m, unsigned field)
{
    SLD_PRE(field < m->descriptor->n_fields);
    return &m->descriptor->fields[field];
}

// ---- Reading ----

size_t sld_msg_count(const ProtobufCMessage *m, unsigned field)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    return walk_repeated(f) ? walk_count(m, f) : walk_set(m, f);
}

static struct sld_value read_number(const ProtobufCFieldDescriptor *f, const void *p)
{
    double d;
    float s;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return (struct sld_value){SLD_VALUE_INT, {.i = (int32_t)walk_u32(p)}};
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (struct sld_value){SLD_VALUE_INT, {.i = (int64_t)walk_u64(p)}};
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return (struct sld_value){SLD_VALUE_UINT, {.u = walk_u32(p)}};
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (struct sld_value){SLD_VALUE_UINT, {.u = walk_u64(p)}};
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&s, p, sizeof(s));
        return (struct sld_value){SLD_VALUE_DOUBLE, {.d = (double)s}};
    default:
        memcpy(&d, p, sizeof(d));
        return (struct sld_value){SLD_VALUE_DOUBLE, {.d = d}};
    }
}

static struct sld_value read_enum(const ProtobufCFieldDescriptor *f, const void *p)
{
    int number = (int)walk_u32(p);
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, number);
    return v ? (struct sld_value){SLD_VALUE_STRING, {.s = sld_str_c(v->name)}}
             : (struct sld_value){SLD_VALUE_INT, {.i = number}};
}

static struct sld_value read_value(const ProtobufCFieldDescriptor *f, const void *p)
{
    ProtobufCMessage *m;
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return (struct sld_value){SLD_VALUE_BOOL, {.b = walk_u32(p) != 0}};
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(f, p);
    case PROTOBUF_C_TYPE_STRING:
        return (struct sld_value){SLD_VALUE_STRING, {.s = walk_str(p)}};
    case PROTOBUF_C_TYPE_BYTES:
        return (struct sld_value){SLD_VALUE_BYTES, {.s = walk_bytes(p)}};
    case PROTOBUF_C_TYPE_MESSAGE:
        m = walk_msg(p);
        if (m && sld_msg_info(m->descriptor)->wkt == SLD_WKT_WRAPPER)
            return read_value(&m->descriptor->fields[0], walk_at(m, &m->descriptor->fields[0]));
        return m ? (struct sld_value){SLD_VALUE_MESSAGE, {.m = m}} : (struct sld_value){0};
    default:
        return read_number(f, p);
    }
}

struct sld_value sld_msg_get(const ProtobufCMessage *m, unsigned field, size_t i)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    if (walk_repeated(f)) {
        SLD_PRE(i < walk_count(m, f));
        return read_value(f, walk_item(m, f, i));
    }
    if (walk_in_oneof(f) && walk_case(m, f) != f->id)
        return (struct sld_value){0};
    return read_value(f, walk_at(m, f));
}

ptrdiff_t sld_msg_map_find(const ProtobufCMessage *m, unsigned field, struct sld_str key)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    for (size_t i = 0; i < walk_count(m, f); i++) {
        const ProtobufCMessage *e = walk_msg(walk_item(m, f, i));
        const ProtobufCFieldDescriptor *k = &e->descriptor->fields[0];
        if (k->type == PROTOBUF_C_TYPE_STRING && sld_str_eq(walk_str(walk_at(e, k)), key))
            return (ptrdiff_t)i;
    }
    return -1;
}

ProtobufCMessage *sld_msg_unpack(struct sld_arena *a, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *desc = walk_any_type(sld_str_c(any->type_url));
    struct sld_str bytes = {any->value.data ? (const char *)any->value.data : "", any->value.len};
    return desc ? sld_msg_decode(a, desc, bytes, ANY_DEPTH_MAX, NULL) : NULL;
}

// ---- Writing ----

// A message of M's type in which only FIELD is set, from NODE; NULL with findings.
static ProtobufCMessage *decoded(struct sld_arena *a, const ProtobufCMessage *m, unsigned field,
                                 const struct sld_node *node, struct sld_report *r)
{
    struct sld_str name = sld_str_c(sld_msg_info(m->descriptor)->fields[field].json_name);
    struct sld_node key = {.type = SLD_NODE_SCALAR, .text = name}, value = *node;
    struct sld_node_pair pair = {&key, &value};
    struct sld_node map = {.type = SLD_NODE_MAP, .pairs = &pair, .count = 1};
    size_t errors = r->errors;
    ProtobufCMessage *out = sld_doc_decode(a, m->descriptor, &map, false, r);
    return r->errors == errors ? out : NULL;
}

bool sld_msg_set(struct sld_arena *a, ProtobufCMessage *m, unsigned field, const struct sld_node *node,
                 struct sld_report *r)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    ProtobufCMessage *one = decoded(a, m, field, node, r);
    if (!one)
        return false;
    sld_msg_field_clear(m, field);
    if (walk_set(one, f) && walk_in_oneof(f)) {
        walk_set_case(m, f, 0);
        memset(walk_mut(m, f), 0, walk_size(f->type));
    }
    sld_msg_fill(m, one);
    // A text that is not set is "", not nothing.
    if (!walk_set(m, f) && !walk_in_oneof(f) && !walk_repeated(f))
        memcpy(walk_mut(m, f), walk_at(one, f), walk_size(f->type));
    return true;
}

// Room for one more element of F in a new array; the old one may be shared.
static void *push(struct sld_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(m, f), size = walk_size(f->type);
    char *array = sld_arena_alloc(a, (n + 1) * size);
    if (n)
        memcpy(array, walk_item(m, f, 0), n * size);
    memcpy(walk_mut(m, f), &array, sizeof(array));
    walk_set_count(m, f, n + 1);
    return array + n * size;
}

bool sld_msg_set_item(struct sld_arena *a, ProtobufCMessage *m, unsigned field, size_t i, const struct sld_node *node,
                      struct sld_report *r)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    SLD_PRE(walk_repeated(f) && i <= walk_count(m, f));
    struct sld_node item = *node, *items = &item;
    struct sld_node list = {.type = SLD_NODE_SEQ, .items = &items, .count = 1};
    ProtobufCMessage *one = decoded(a, m, field, &list, r);
    if (!one)
        return false;
    void *to = i == walk_count(m, f) ? push(a, m, f) : walk_item(m, f, i);
    memcpy(to, walk_item(one, f, 0), walk_size(f->type));
    return true;
}

bool sld_msg_map_set(struct sld_arena *a, ProtobufCMessage *m, unsigned field, struct sld_str key,
                     const struct sld_node *node, struct sld_report *r)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    SLD_PRE(walk_repeated(f));
    ptrdiff_t at = sld_msg_map_find(m, field, key);
    if (node->type == SLD_NODE_NULL) {
        if (at >= 0)
            sld_msg_remove_item(m, field, (size_t)at);
        return true;
    }
    struct sld_node name = {.type = SLD_NODE_SCALAR, .text = key, .quoted = true}, value = *node;
    struct sld_node_pair pair = {&name, &value};
    struct sld_node map = {.type = SLD_NODE_MAP, .pairs = &pair, .count = 1};
    ProtobufCMessage *one = decoded(a, m, field, &map, r);
    if (!one)
        return false;
    void *to = at < 0 ? push(a, m, f) : walk_item(m, f, (size_t)at);
    memcpy(to, walk_item(one, f, 0), walk_size(f->type));
    return true;
}

void sld_msg_remove_item(ProtobufCMessage *m, unsigned field, size_t i)
{
    const ProtobufCFieldDescriptor *f = field_of(m, field);
    size_t n = walk_count(m, f), size = walk_size(f->type);
    SLD_PRE(walk_repeated(f) && i < n);
    char *at = walk_item(m, f, i);
    memmove(at, at + size, (n - i - 1) * size);
    walk_set_count(m, f, n - 1);
}
