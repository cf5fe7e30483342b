// Filling, copying, leaving out.
#include "codec/walk.h"

// True when some arm of F's oneof is set in M.
static bool oneof_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return walk_in_oneof(f) && walk_case(m, f) != 0;
}

void sld_msg_fill(ProtobufCMessage *dst, const ProtobufCMessage *src)
{
    SLD_PRE(dst->descriptor == src->descriptor);
    for (unsigned i = 0; i < dst->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &dst->descriptor->fields[i];
        if (!walk_set(src, f) || walk_set(dst, f) || oneof_set(dst, f))
            continue;
        if (walk_repeated(f)) {
            walk_set_count(dst, f, walk_count(src, f));
            memcpy(walk_mut(dst, f), walk_at(src, f), sizeof(void *));
            continue;
        }
        if (walk_in_oneof(f))
            walk_set_case(dst, f, f->id);
        memcpy(walk_mut(dst, f), walk_at(src, f), walk_size(f->type));
    }
}

static void copy_value(struct sld_arena *a, ProtobufCType t, void *to, const void *from)
{
    if (t == PROTOBUF_C_TYPE_STRING) {
        char *s = sld_arena_cstr(a, walk_str(from));
        memcpy(to, &s, sizeof(s));
    } else if (t == PROTOBUF_C_TYPE_BYTES) {
        struct sld_str s = walk_bytes(from);
        ProtobufCBinaryData b = {.len = s.n, .data = (uint8_t *)sld_arena_cstr(a, s)};
        memcpy(to, &b, sizeof(b));
    } else if (t == PROTOBUF_C_TYPE_MESSAGE) {
        void *m = walk_msg(from) ? sld_msg_copy(a, walk_msg(from)) : NULL;
        memcpy(to, &m, sizeof(m));
    } else {
        memcpy(to, from, walk_size(t));
    }
}

static void copy_repeated(struct sld_arena *a, ProtobufCMessage *to, const ProtobufCMessage *from,
                          const ProtobufCFieldDescriptor *f)
{
    size_t n = walk_count(from, f), size = walk_size(f->type);
    char *array = sld_arena_alloc(a, n * size);
    memcpy(walk_mut(to, f), &array, sizeof(array));
    walk_set_count(to, f, n);
    for (size_t i = 0; i < n; i++)
        copy_value(a, f->type, array + i * size, walk_item(from, f, i));
}

static void copy_unknown(struct sld_arena *a, ProtobufCMessage *to, const ProtobufCMessage *from)
{
    unsigned n = from->n_unknown_fields;
    if (n == 0)
        return;
    to->unknown_fields = SLD_ARENA_ARRAY(a, ProtobufCMessageUnknownField, n);
    to->n_unknown_fields = n;
    for (unsigned i = 0; i < n; i++) {
        to->unknown_fields[i] = from->unknown_fields[i];
        to->unknown_fields[i].data = sld_arena_alloc(a, from->unknown_fields[i].len);
        memcpy(to->unknown_fields[i].data, from->unknown_fields[i].data,
               from->unknown_fields[i].len);
    }
}

void *sld_msg_copy(struct sld_arena *a, const ProtobufCMessage *m)
{
    ProtobufCMessage *copy = sld_msg_new(a, m->descriptor);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!walk_set(m, f))
            continue;
        if (walk_repeated(f)) {
            copy_repeated(a, copy, m, f);
            continue;
        }
        if (walk_in_oneof(f))
            walk_set_case(copy, f, f->id);
        copy_value(a, f->type, walk_mut(copy, f), walk_at(m, f));
    }
    copy_unknown(a, copy, m);
    return copy;
}

void sld_msg_each(const ProtobufCMessage *m, sld_msg_visit *fn, void *user)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE || !walk_set(m, f))
            continue;
        size_t n = walk_repeated(f) ? walk_count(m, f) : 1;
        for (size_t k = 0; k < n; k++) {
            const ProtobufCMessage *below =
                walk_msg(walk_repeated(f) ? walk_item(m, f, k) : walk_at(m, f));
            if (fn(f, below, user))
                sld_msg_each(below, fn, user);
        }
    }
}

static bool drop_below(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    bool dropped = false;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    if (!walk_repeated(f))
        return sld_msg_drop_sensitive(walk_msg(walk_at(m, f)));
    for (size_t i = 0; i < walk_count(m, f); i++)
        dropped |= sld_msg_drop_sensitive(walk_msg(walk_item(m, f, i)));
    return dropped;
}

bool sld_msg_drop_sensitive(ProtobufCMessage *m)
{
    static char nothing[1];
    char *empty = nothing;
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    bool dropped = false;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (!walk_set(m, f))
            continue;
        if (!info->fields[i].sensitive) {
            dropped |= drop_below(m, f);
            continue;
        }
        dropped = true;
        if (walk_repeated(f))
            walk_set_count(m, f, 0);
        else if (walk_in_oneof(f))
            walk_set_case(m, f, 0);
        else if (f->type == PROTOBUF_C_TYPE_STRING)
            memcpy(walk_mut(m, f), &empty, sizeof(empty));
        else
            memset(walk_mut(m, f), 0, walk_size(f->type));
    }
    return dropped;
}
