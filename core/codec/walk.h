// Inside codec: reading and writing fields of protobuf-c structs by descriptor.
#pragma once

#include "codec/message.h"

static inline const void *walk_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (const char *)m + f->offset;
}

static inline void *walk_mut(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)m + f->offset;
}

// The number of elements of a repeated field.
static inline size_t walk_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t n;
    memcpy(&n, (const char *)m + f->quantifier_offset, sizeof(n));
    return n;
}

static inline void walk_set_count(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n)
{
    memcpy((char *)m + f->quantifier_offset, &n, sizeof(n));
}

static inline bool walk_repeated(const ProtobufCFieldDescriptor *f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static inline bool walk_in_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

// The field number of the arm that is set in F's oneof; 0 = none.
static inline uint32_t walk_case(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    uint32_t n;
    memcpy(&n, (const char *)m + f->quantifier_offset, sizeof(n));
    return n;
}

static inline void walk_set_case(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, uint32_t n)
{
    memcpy((char *)m + f->quantifier_offset, &n, sizeof(n));
}

// Bytes of one value of type T in a struct or array.
static inline size_t walk_size(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    }
    return 4;
}

// Element I of a repeated field.
static inline void *walk_item(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                              size_t i)
{
    char *array;
    memcpy(&array, walk_at(m, f), sizeof(array));
    return array + i * walk_size(f->type);
}

// Reading one value at P, an address inside a struct or array.
static inline uint32_t walk_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t walk_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline ProtobufCMessage *walk_msg(const void *p)
{
    ProtobufCMessage *m;
    memcpy(&m, p, sizeof(m));
    return m;
}

// A string; NULL counts as empty.
static inline struct sld_str walk_str(const void *p)
{
    const char *s;
    memcpy(&s, p, sizeof(s));
    return s ? sld_str_c(s) : SLD_STR("");
}

static inline struct sld_str walk_bytes(const void *p)
{
    ProtobufCBinaryData b;
    memcpy(&b, p, sizeof(b));
    return b.data ? (struct sld_str){(const char *)b.data, b.len} : SLD_STR("");
}

// True when the value at P of type T is proto3's default, by its bits (so -0.0 is not).
static inline bool walk_zero(const void *p, ProtobufCType t)
{
    const char *s;
    switch (t) {
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&s, p, sizeof(s));
        return !s || !*s;
    case PROTOBUF_C_TYPE_BYTES:
        return walk_bytes(p).n == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return walk_msg(p) == NULL;
    default:
        return walk_size(t) == 8 ? walk_u64(p) == 0 : walk_u32(p) == 0;
    }
}

// True when F is set in M.
static inline bool walk_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (walk_repeated(f))
        return walk_count(m, f) > 0;
    if (walk_in_oneof(f))
        return walk_case(m, f) == f->id;
    return !walk_zero(walk_at(m, f), f->type);
}

// True when repeated field I of INFO's message is a map.
static inline bool walk_is_map(const struct sld_msg_info *info, unsigned i)
{
    return info->fields[i].is_map;
}

// The order of two map entries: numbers by value, strings by bytes.
int walk_entry_cmp(const ProtobufCMessage *a, const ProtobufCMessage *b);

// Appends room for one element to a repeated field and counts it; the address of the new, zeroed
// element, or NULL when the arena's ceiling was reached. Only for arrays made by this function.
void *walk_append(struct sld_arena *a, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

// The descriptor of the message type a type URL names, or NULL.
const ProtobufCMessageDescriptor *walk_any_type(struct sld_str type_url);
