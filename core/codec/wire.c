// Wire bytes to messages. Depth, memory and text are checked while reading, so nothing has to be
// known about the bytes beforehand (protobuf-c's unpacker has no depth limit and takes any bytes as
// text).
#include <stdlib.h>

#include "codec/walk.h"

struct in {
    const unsigned char *p, *end;
    struct sld_arena *a;
    struct sld_err *err;
};

static bool read_message(struct in *in, ProtobufCMessage *m, unsigned depth);

static bool fail(struct in *in, enum sld_rc rc, const ProtobufCMessageDescriptor *desc,
                 const char *what)
{
    sld_err_set(in->err, rc, "%s: %s", desc->name, what);
    return false;
}

static bool read_varint(struct in *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && in->p < in->end; shift += 7) {
        unsigned char b = *in->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool read_bytes(struct in *in, size_t n, struct sld_str *out)
{
    if (n > (size_t)(in->end - in->p))
        return false;
    *out = (struct sld_str){(const char *)in->p, n};
    in->p += n;
    return true;
}

static bool read_prefixed(struct in *in, struct sld_str *out)
{
    uint64_t n;
    return read_varint(in, &n) && n <= (uint64_t)(in->end - in->p) &&
           read_bytes(in, (size_t)n, out);
}

static ProtobufCWireType wire_type(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

// Reads a number of type T, without its tag, to P.
static bool read_number(struct in *in, ProtobufCType t, void *p)
{
    struct sld_str raw;
    uint64_t v;
    uint32_t w;
    size_t size = walk_size(t);
    if (wire_type(t) != PROTOBUF_C_WIRE_TYPE_VARINT) {
        if (!read_bytes(in, size, &raw))
            return false;
        memcpy(p, raw.p, size);
        return true;
    }
    if (!read_varint(in, &v))
        return false;
    if (t == PROTOBUF_C_TYPE_SINT64) {
        v = (v >> 1) ^ (0 - (v & 1));
    } else if (t == PROTOBUF_C_TYPE_SINT32) {
        w = (uint32_t)v;
        v = (w >> 1) ^ (0 - (w & 1));
    } else if (t == PROTOBUF_C_TYPE_BOOL) {
        v = v != 0;
    }
    if (size == 8) {
        memcpy(p, &v, 8);
    } else {
        w = (uint32_t)v;
        memcpy(p, &w, 4);
    }
    return true;
}

static bool set_string(struct in *in, const ProtobufCMessageDescriptor *desc, struct sld_str s,
                       void *p)
{
    if (s.n && memchr(s.p, 0, s.n))
        return fail(in, SLD_INVALID, desc, "a string has a NUL byte");
    if (!sld_str_utf8(s, NULL))
        return fail(in, SLD_INVALID, desc, "a string is not UTF-8");
    char *copy = sld_arena_try_alloc(in->a, s.n + 1);
    if (!copy)
        return fail(in, SLD_LIMIT, desc, "the message is too large");
    if (s.n)
        memcpy(copy, s.p, s.n);
    memcpy(p, &copy, sizeof(copy));
    return true;
}

static bool set_bytes(struct in *in, const ProtobufCMessageDescriptor *desc, struct sld_str s,
                      void *p)
{
    ProtobufCBinaryData b = {.len = s.n, .data = sld_arena_try_alloc(in->a, s.n + 1)};
    if (!b.data)
        return fail(in, SLD_LIMIT, desc, "the message is too large");
    if (s.n)
        memcpy(b.data, s.p, s.n);
    memcpy(p, &b, sizeof(b));
    return true;
}

// Reads a submessage into the one at P, made when it is NULL (duplicates of a field are merged).
static bool set_message(struct in *in, const ProtobufCFieldDescriptor *f, struct sld_str s, void *p,
                        unsigned depth)
{
    const ProtobufCMessageDescriptor *desc = f->descriptor;
    if (depth == 0)
        return fail(in, SLD_LIMIT, desc, "messages are nested too deeply");
    ProtobufCMessage *m = walk_msg(p);
    if (!m) {
        m = sld_arena_try_alloc(in->a, desc->sizeof_message);
        if (!m)
            return fail(in, SLD_LIMIT, desc, "the message is too large");
        desc->message_init(m);
        memcpy(p, &m, sizeof(m));
    }
    struct in sub = {(const unsigned char *)s.p, (const unsigned char *)s.p + s.n, in->a, in->err};
    return read_message(&sub, m, depth - 1);
}

// Where a value of F goes: the field itself, or a new element.
static void *slot(struct in *in, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (walk_repeated(f))
        return walk_append(in->a, m, f);
    if (walk_in_oneof(f) && walk_case(m, f) != f->id) {
        walk_set_case(m, f, f->id);
        memset(walk_mut(m, f), 0, walk_size(f->type));
    }
    return walk_mut(m, f);
}

static bool read_packed(struct in *in, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    struct sld_str s;
    if (!read_prefixed(in, &s))
        return fail(in, SLD_INVALID, m->descriptor, "a packed field is cut off");
    struct in sub = {(const unsigned char *)s.p, (const unsigned char *)s.p + s.n, in->a, in->err};
    while (sub.p < sub.end) {
        void *p = slot(in, m, f);
        if (!p)
            return fail(in, SLD_LIMIT, m->descriptor, "the message is too large");
        if (!read_number(&sub, f->type, p))
            return fail(in, SLD_INVALID, m->descriptor, "a packed field is malformed");
    }
    return true;
}

static bool read_field(struct in *in, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                       unsigned depth)
{
    void *p = slot(in, m, f);
    if (!p)
        return fail(in, SLD_LIMIT, m->descriptor, "the message is too large");
    if (wire_type(f->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        if (!read_number(in, f->type, p))
            return fail(in, SLD_INVALID, m->descriptor, "a number is malformed");
        return true;
    }
    struct sld_str s;
    if (!read_prefixed(in, &s))
        return fail(in, SLD_INVALID, m->descriptor, "a length is beyond the end");
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return set_string(in, m->descriptor, s, p);
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return set_bytes(in, m->descriptor, s, p);
    return set_message(in, f, s, p, depth);
}

// Keeps a field that the descriptor does not have.
static bool read_unknown(struct in *in, ProtobufCMessage *m, uint32_t id, ProtobufCWireType type)
{
    const unsigned char *from = in->p;
    struct sld_str s;
    uint64_t v;
    bool ok = type == PROTOBUF_C_WIRE_TYPE_VARINT            ? read_varint(in, &v)
              : type == PROTOBUF_C_WIRE_TYPE_64BIT           ? read_bytes(in, 8, &s)
              : type == PROTOBUF_C_WIRE_TYPE_32BIT           ? read_bytes(in, 4, &s)
              : type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ? read_prefixed(in, &s)
                                                             : false;
    if (!ok)
        return fail(in, SLD_INVALID, m->descriptor, "a field is malformed");
    unsigned n = m->n_unknown_fields;
    if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
        ProtobufCMessageUnknownField *bigger =
            sld_arena_try_alloc(in->a, (n ? 2 * (size_t)n : 4) * sizeof(*bigger));
        if (!bigger)
            return fail(in, SLD_LIMIT, m->descriptor, "the message is too large");
        if (n)
            memcpy(bigger, m->unknown_fields, n * sizeof(*bigger));
        m->unknown_fields = bigger;
    }
    size_t len = (size_t)(in->p - from);
    uint8_t *data = sld_arena_try_alloc(in->a, len);
    if (!data)
        return fail(in, SLD_LIMIT, m->descriptor, "the message is too large");
    memcpy(data, from, len);
    m->unknown_fields[n] =
        (ProtobufCMessageUnknownField){.tag = id, .wire_type = type, .len = len, .data = data};
    m->n_unknown_fields = n + 1;
    return true;
}

// The field with number ID; *AT is where the last one was found, for fields come in order.
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *desc,
                                                  uint32_t id, unsigned *at)
{
    if (*at < desc->n_fields && desc->fields[*at].id == id)
        return &desc->fields[*at];
    unsigned lo = 0, hi = desc->n_fields;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (desc->fields[mid].id == id) {
            *at = mid;
            return &desc->fields[mid];
        }
        if (desc->fields[mid].id > id)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

struct ranked {
    ProtobufCMessage *entry;
    size_t at;
};

static int ranked_cmp(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int c = walk_entry_cmp(x->entry, y->entry);
    return c ? c : (x->at > y->at) - (x->at < y->at);
}

// Sorts a map by key; of equal keys the last one stays. Values that were left out become empty
// messages, as they are in every other implementation.
static bool settle_map(struct in *in, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(m, f), kept = 0;
    const ProtobufCMessageDescriptor *desc = f->descriptor;
    struct ranked *r = sld_xalloc(n * sizeof(*r));
    for (size_t i = 0; i < n; i++)
        r[i] = (struct ranked){walk_msg(walk_item(m, f, i)), i};
    qsort(r, n, sizeof(*r), ranked_cmp);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        if (i + 1 < n && walk_entry_cmp(r[i].entry, r[i + 1].entry) == 0)
            continue;
        memcpy(walk_item(m, f, kept++), &r[i].entry, sizeof(void *));
        if (desc->fields[1].type == PROTOBUF_C_TYPE_MESSAGE &&
            !walk_set(r[i].entry, &desc->fields[1]))
            ok = set_message(in, &desc->fields[1], SLD_STR(""),
                             walk_mut(r[i].entry, &desc->fields[1]), 1);
    }
    walk_set_count(m, f, kept);
    sld_xfree(r);
    return ok;
}

static bool read_fields(struct in *in, ProtobufCMessage *m, unsigned depth)
{
    const ProtobufCMessageDescriptor *desc = m->descriptor;
    unsigned at = 0;
    while (in->p < in->end) {
        uint64_t tag;
        if (!read_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
            return fail(in, SLD_INVALID, desc, "a field tag is malformed");
        uint32_t id = (uint32_t)(tag >> 3);
        ProtobufCWireType type = (ProtobufCWireType)(tag & 7);
        const ProtobufCFieldDescriptor *f = find_field(desc, id, &at);
        bool ok;
        if (f && type == wire_type(f->type))
            ok = read_field(in, m, f, depth);
        else if (f && walk_repeated(f) && type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            ok = read_packed(in, m, f);
        else
            ok = read_unknown(in, m, id, type);
        if (!ok)
            return false;
        if (f && !walk_repeated(f))
            at++;
    }
    return true;
}

static bool read_message(struct in *in, ProtobufCMessage *m, unsigned depth)
{
    if (!read_fields(in, m, depth))
        return false;
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (walk_repeated(f) && walk_is_map(info, i) && walk_count(m, f) && !settle_map(in, m, f))
            return false;
    }
    return true;
}

void *sld_msg_decode(struct sld_arena *a, const ProtobufCMessageDescriptor *desc,
                     struct sld_str bytes, unsigned max_depth, struct sld_err *err)
{
    const unsigned char *p = (const unsigned char *)(bytes.p ? bytes.p : "");
    struct in in = {p, p + bytes.n, a, err};
    ProtobufCMessage *m = sld_arena_try_alloc(a, desc->sizeof_message);
    if (!m) {
        fail(&in, SLD_LIMIT, desc, "the message is too large");
        return NULL;
    }
    desc->message_init(m);
    return read_message(&in, m, max_depth) ? m : NULL;
}
