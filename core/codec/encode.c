// Messages to wire bytes. Written from the end to the front, so that the length of a submessage is
// known when its length prefix is written, without a counting pass.
//
// protobuf-c's own packer is not used: it leaves out -0.0 and empty map keys and keeps maps
// unsorted.
#include <stdlib.h>

#include "codec/walk.h"

struct out {
    char *p;        // owned
    size_t cap, at; // bytes [at, cap) are written
};

static void put_message(struct out *o, const ProtobufCMessage *m);

static void put(struct out *o, const void *p, size_t n)
{
    if (n > o->at) {
        size_t used = o->cap - o->at;
        size_t cap = o->cap ? o->cap * 2 : 512;
        while (cap - used < n)
            cap *= 2;
        char *bigger = sld_xalloc(cap);
        if (used)
            memcpy(bigger + cap - used, o->p + o->at, used);
        sld_xfree(o->p);
        *o = (struct out){bigger, cap, cap - used};
    }
    o->at -= n;
    if (n)
        memcpy(o->p + o->at, p, n);
}

static void put_varint(struct out *o, uint64_t v)
{
    unsigned char b[10];
    size_t n = 0;
    for (; v > 0x7f; v >>= 7)
        b[n++] = (unsigned char)((v & 0x7f) | 0x80);
    b[n++] = (unsigned char)v;
    put(o, b, n);
}

static void put_tag(struct out *o, uint32_t id, ProtobufCWireType type)
{
    put_varint(o, (uint64_t)id << 3 | (uint64_t)type);
}

static uint64_t extend(uint32_t v)
{
    return (uint64_t)(int64_t)(int32_t)v;
}

// Writes the value at P of type T without its tag; the wire type it has.
static ProtobufCWireType put_value(struct out *o, const void *p, ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        put_varint(o, extend(walk_u32(p)));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_UINT32:
        put_varint(o, walk_u32(p));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_BOOL:
        put_varint(o, walk_u32(p) != 0);
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_SINT32: {
        uint32_t v = walk_u32(p);
        put_varint(o, (v << 1) ^ (uint32_t)((int32_t)v < 0 ? -1 : 0));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        put_varint(o, walk_u64(p));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    case PROTOBUF_C_TYPE_SINT64: {
        uint64_t v = walk_u64(p);
        put_varint(o, (v << 1) ^ (uint64_t)((int64_t)v < 0 ? -1 : 0));
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        put(o, p, 4);
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        put(o, p, 8);
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES: {
        struct sld_str s = t == PROTOBUF_C_TYPE_STRING ? walk_str(p) : walk_bytes(p);
        put(o, s.p, s.n);
        put_varint(o, s.n);
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        size_t before = o->cap - o->at;
        if (walk_msg(p))
            put_message(o, walk_msg(p));
        put_varint(o, o->cap - o->at - before);
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    }
    }
    SLD_UNREACHABLE();
}

static void put_field(struct out *o, const ProtobufCFieldDescriptor *f, const void *p)
{
    put_tag(o, f->id, put_value(o, p, f->type));
}

static int entry_cmp(const void *a, const void *b)
{
    return walk_entry_cmp(walk_msg(a), walk_msg(b));
}

static bool entries_sorted(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (entry_cmp(walk_item(m, f, i - 1), walk_item(m, f, i)) > 0)
            return false;
    }
    return true;
}

static void put_map(struct out *o, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                    size_t n)
{
    const char *items = walk_item(m, f, 0);
    char *sorted = NULL;
    // M may be shared and frozen, so it is not sorted in place.
    if (!entries_sorted(m, f, n)) {
        sorted = sld_xalloc(n * sizeof(void *));
        memcpy(sorted, items, n * sizeof(void *));
        qsort(sorted, n, sizeof(void *), entry_cmp);
        items = sorted;
    }
    for (size_t i = n; i-- > 0;) {
        const ProtobufCMessage *entry = walk_msg(items + i * sizeof(void *));
        const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
        size_t before = o->cap - o->at;
        put_field(o, &fields[1], walk_at(entry, &fields[1]));
        put_field(o, &fields[0], walk_at(entry, &fields[0]));
        put_varint(o, o->cap - o->at - before);
        put_tag(o, f->id, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    }
    sld_xfree(sorted);
}

static void put_repeated(struct out *o, const ProtobufCMessage *m,
                         const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(m, f);
    bool packed = (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;
    size_t before = o->cap - o->at;
    for (size_t i = n; i-- > 0;) {
        if (packed)
            put_value(o, walk_item(m, f, i), f->type);
        else
            put_field(o, f, walk_item(m, f, i));
    }
    if (packed && n) {
        put_varint(o, o->cap - o->at - before);
        put_tag(o, f->id, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    }
}

static void put_unknown(struct out *o, const ProtobufCMessage *m)
{
    for (unsigned i = m->n_unknown_fields; i-- > 0;) {
        const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
        put(o, u->data, u->len);
        put_tag(o, u->tag, u->wire_type);
    }
}

static void put_message(struct out *o, const ProtobufCMessage *m)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    put_unknown(o, m);
    for (unsigned i = m->descriptor->n_fields; i-- > 0;) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!walk_set(m, f))
            continue;
        if (!walk_repeated(f))
            put_field(o, f, walk_at(m, f));
        else if (walk_is_map(info, i))
            put_map(o, m, f, walk_count(m, f));
        else
            put_repeated(o, m, f);
    }
}

struct sld_str sld_msg_encode(struct sld_arena *a, const ProtobufCMessage *m)
{
    struct out o = {0};
    put_message(&o, m);
    struct sld_str bytes = sld_str_n(o.cap ? o.p + o.at : "", o.cap - o.at);
    bytes = sld_arena_str(a, bytes);
    sld_xfree(o.p);
    return bytes;
}

struct sld_hash sld_msg_hash(const ProtobufCMessage *m)
{
    struct out o = {0};
    put_message(&o, m);
    struct sld_hash h = sld_hash_bytes(sld_str_n(o.cap ? o.p + o.at : "", o.cap - o.at));
    sld_xfree(o.p);
    return h;
}

bool sld_msg_equal(const ProtobufCMessage *x, const ProtobufCMessage *y)
{
    if (x == y)
        return true;
    if (!x || !y || x->descriptor != y->descriptor)
        return false;
    struct out o = {0}, p = {0};
    put_message(&o, x);
    put_message(&p, y);
    size_t n = o.cap - o.at;
    bool same = n == p.cap - p.at && (n == 0 || memcmp(o.p + o.at, p.p + p.at, n) == 0);
    sld_xfree(o.p);
    sld_xfree(p.p);
    return same;
}

void sld_msg_sort_maps(ProtobufCMessage *m)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE || !walk_set(m, f))
            continue;
        if (!walk_repeated(f)) {
            sld_msg_sort_maps(walk_msg(walk_at(m, f)));
            continue;
        }
        size_t n = walk_count(m, f);
        for (size_t k = 0; k < n; k++)
            sld_msg_sort_maps(walk_msg(walk_item(m, f, k)));
        if (walk_is_map(info, i))
            qsort(walk_item(m, f, 0), n, sizeof(void *), entry_cmp);
    }
}
