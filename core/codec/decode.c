// Trees to messages: fields, lists, maps, oneofs, and findings with their paths.
#include "codec/decode.h"

bool dec_fail(struct dec *d, const struct path *at, enum sld_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    path_vfinding(d->r, at, SLD_ERROR, code, fmt, ap);
    va_end(ap);
    return false;
}

bool dec_type(struct dec *d, const struct path *at, const char *what, const struct sld_node *n)
{
    if (n->type == SLD_NODE_SCALAR) {
        struct sld_str shown = sld_str_sub(n->text, 0, 60);
        while (shown.n && !sld_str_utf8(shown, NULL))
            shown.n--;
        return dec_fail(d, at, SLD_FIELD_TYPE, "expected %s, found %s%.*s%s", what,
                        n->quoted ? "\"" : "", SLD_FMT(shown), n->quoted ? "\"" : "");
    }
    return dec_fail(d, at, SLD_FIELD_TYPE, "expected %s, found %s", what,
                    n->type == SLD_NODE_NULL  ? "null"
                    : n->type == SLD_NODE_SEQ ? "a list"
                                              : "a mapping");
}

struct sld_str dec_nearest(struct sld_str word, struct sld_str (*name)(const void *table, size_t i),
                           const void *table, size_t n)
{
    size_t best = word.n / 3 < 3 ? word.n / 3 : 3;
    struct sld_str found = SLD_STR_NONE;
    if (best == 0)
        best = 1;
    for (size_t i = 0; i < n; i++) {
        size_t distance = sld_str_distance(word, name(table, i), best);
        if (distance < best || (distance == best && !found.p)) {
            best = distance;
            found = name(table, i);
        }
    }
    return found;
}

static struct sld_str field_name(const void *table, size_t i)
{
    const struct sld_msg_info *info = table;
    return sld_str_c(info->fields[i].json_name);
}

static bool unknown_field(struct dec *d, const struct sld_msg_info *info, struct sld_str name,
                          const struct path *at)
{
    struct sld_str near = dec_nearest(name, field_name, info, info->desc->n_fields);
    enum sld_severity sev = d->lenient ? SLD_WARNING : SLD_ERROR;
    struct sld_str shown = sld_str_sub(name, 0, 100);
    if (near.p)
        path_finding(d->r, at, sev, SLD_FIELD_UNKNOWN,
                     "unknown field \"%.*s\"; did you mean \"%.*s\"?", SLD_FMT(shown),
                     SLD_FMT(near));
    else
        path_finding(d->r, at, sev, SLD_FIELD_UNKNOWN, "unknown field \"%.*s\"", SLD_FMT(shown));
    return d->lenient;
}

// null means unset everywhere but in fields that can hold it.
static bool null_is_value(const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return f->descriptor == &google__protobuf__value__descriptor;
    return f->type == PROTOBUF_C_TYPE_ENUM &&
           f->descriptor == &google__protobuf__null_value__descriptor;
}

bool dec_value(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
               const struct path *at, void *p)
{
    bool null = n->type == SLD_NODE_NULL && !null_is_value(f);
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return null ? dec_type(d, at, "a value", n) : dec_scalar(d, f, n, at, p);
    ProtobufCMessage *m = sld_msg_new(d->a, f->descriptor);
    memcpy(p, &m, sizeof(m));
    return null ? dec_type(d, at, "a value", n) : dec_message(d, m, n, at);
}

// An array for N elements of F in M, its count still 0.
static void *make_array(struct dec *d, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        size_t n)
{
    char *array = sld_arena_alloc(d->a, n * walk_size(f->type));
    memcpy(walk_mut(m, f), &array, sizeof(array));
    walk_set_count(m, f, 0);
    return array;
}

static bool decode_list(struct dec *d, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        const struct sld_node *n, const struct path *at)
{
    if (n->type != SLD_NODE_SEQ)
        return dec_type(d, at, "a list", n);
    if (n->count == 0)
        return true;
    char *array = make_array(d, m, f, n->count);
    size_t kept = 0, size = walk_size(f->type);
    bool ok = true;
    for (size_t i = 0; i < n->count; i++) {
        struct path here = {at, SLD_STR_NONE, (long)i, false};
        bool good = dec_value(d, f, n->items[i], &here, array + kept * size);
        // A message with errors stays: what is found later in those behind it names their places.
        if (good || f->type == PROTOBUF_C_TYPE_MESSAGE)
            kept++;
        ok &= good;
    }
    walk_set_count(m, f, kept);
    return ok;
}

static bool decode_map(struct dec *d, ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                       const struct sld_node *n, const struct path *at)
{
    if (n->type != SLD_NODE_MAP)
        return dec_type(d, at, "a mapping", n);
    if (n->count == 0)
        return true;
    const ProtobufCMessageDescriptor *desc = f->descriptor;
    ProtobufCMessage **array = make_array(d, m, f, n->count);
    size_t kept = 0;
    bool ok = true;
    for (size_t i = 0; i < n->count; i++) {
        struct path here = {at, n->pairs[i].key->text, -1, true};
        ProtobufCMessage *entry = sld_msg_new(d->a, desc);
        // A key is text in JSON, whatever its type.
        struct sld_node key = *n->pairs[i].key;
        key.type = SLD_NODE_SCALAR;
        key.quoted = desc->fields[0].type == PROTOBUF_C_TYPE_STRING;
        if (dec_scalar(d, &desc->fields[0], &key, &here, walk_mut(entry, &desc->fields[0])) &&
            dec_value(d, &desc->fields[1], n->pairs[i].value, &here,
                      walk_mut(entry, &desc->fields[1])))
            array[kept++] = entry;
        else
            ok = false;
    }
    walk_set_count(m, f, kept);
    return ok;
}

// The name of the arm that is set in F's oneof.
static const char *arm_name(const struct sld_msg_info *info, const ProtobufCMessage *m,
                            const ProtobufCFieldDescriptor *f)
{
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        if (info->desc->fields[i].id == walk_case(m, f))
            return info->fields[i].json_name;
    }
    return "";
}

static bool decode_single(struct dec *d, ProtobufCMessage *m, const struct sld_msg_info *info,
                          unsigned i, const struct sld_node *n, const struct path *at)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
    if (!walk_in_oneof(f))
        return dec_value(d, f, n, at, walk_mut(m, f));
    if (walk_case(m, f) != 0)
        return dec_fail(d, at, SLD_FIELD_ONEOF, "\"%s\" and \"%s\" exclude each other",
                        info->fields[i].json_name, arm_name(info, m, f));
    uint64_t value[2] = {0};
    if (!dec_value(d, f, n, at, value) && f->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    walk_set_case(m, f, f->id);
    memcpy(walk_mut(m, f), value, walk_size(f->type));
    return true;
}

bool dec_fields(struct dec *d, ProtobufCMessage *m, const struct sld_node *n, const struct path *at,
                struct sld_str skip)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    if (n->type != SLD_NODE_MAP)
        return dec_type(d, at, "a mapping", n);
    bool ok = true;
    for (size_t k = 0; k < n->count; k++) {
        struct sld_str name = n->pairs[k].key->text;
        const struct sld_node *value = n->pairs[k].value;
        struct path here = {at, name, -1, false};
        if (skip.p && sld_str_eq(name, skip))
            continue;
        int i = sld_msg_field_index(info, name);
        if (i < 0) {
            ok &= unknown_field(d, info, name, &here);
            continue;
        }
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        here.name = sld_str_c(info->fields[i].json_name);
        if (value->type == SLD_NODE_NULL && (walk_repeated(f) || !null_is_value(f)))
            continue;
        if (walk_set(m, f))
            ok = dec_fail(d, &here, SLD_DOC_DUPLICATE_KEY,
                          "\"%.*s\" is set twice, under two spellings", SLD_FMT(name));
        else if (!walk_repeated(f))
            ok &= decode_single(d, m, info, (unsigned)i, value, &here);
        else if (info->fields[i].is_map)
            ok &= decode_map(d, m, f, value, &here);
        else
            ok &= decode_list(d, m, f, value, &here);
    }
    return ok;
}

bool dec_message(struct dec *d, ProtobufCMessage *m, const struct sld_node *n,
                 const struct path *at)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    if (info->wkt != SLD_WKT_NONE)
        return dec_known(d, info, m, n, at);
    return dec_fields(d, m, n, at, SLD_STR_NONE);
}

void *sld_doc_decode(struct sld_arena *a, const ProtobufCMessageDescriptor *desc,
                     const struct sld_node *node, bool lenient, struct sld_report *r)
{
    struct dec d = {a, r, lenient};
    ProtobufCMessage *m = sld_msg_new(a, desc);
    if (node)
        dec_message(&d, m, node, NULL);
    return m;
}
