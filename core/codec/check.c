// Constraints of the side tables, on every field of a message and everything below it.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/format.h"
#include "codec/path.h"
#include "codec/regex.h"
#include "codec/tree.h"
#include "codec/walk.h"

struct check {
    struct sld_report *r;
    enum sld_code override;
    const struct sld_umap *served; // or NULL
};

static void check_message(struct check *c, const struct path *at, const ProtobufCMessage *m);

static void fail(struct check *c, const struct path *at, enum sld_code code, const char *fmt, ...)
    SLD_PRINTF(4, 5);

static void fail(struct check *c, const struct path *at, enum sld_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    path_vfinding(c->r, at, SLD_ERROR, c->override ? c->override : code, fmt, ap);
    va_end(ap);
}

static void check_bounds(struct check *c, const struct path *at, const struct sld_rules *u,
                         double v, const char *unit)
{
    if (u->has_gt && !(v > u->gt))
        fail(c, at, SLD_FIELD_RANGE, "%.15g%s: must be greater than %.15g%s", v, unit, u->gt, unit);
    if (u->has_gte && !(v >= u->gte))
        fail(c, at, SLD_FIELD_RANGE, "%.15g%s: must be at least %.15g%s", v, unit, u->gte, unit);
    if (u->has_lt && !(v < u->lt))
        fail(c, at, SLD_FIELD_RANGE, "%.15g%s: must be less than %.15g%s", v, unit, u->lt, unit);
    if (u->has_lte && !(v <= u->lte))
        fail(c, at, SLD_FIELD_RANGE, "%.15g%s: must be at most %.15g%s", v, unit, u->lte, unit);
}

static void check_size(struct check *c, const struct path *at, size_t n, unsigned min, unsigned max,
                       const char *what)
{
    if (min && n < min)
        fail(c, at, SLD_FIELD_RANGE, "needs at least %u %s, has %zu", min, what, n);
    if (max && n > max)
        fail(c, at, SLD_FIELD_RANGE, "may have at most %u %s, has %zu", max, what, n);
}

static bool listed(const char *const *list, struct sld_str s)
{
    for (; *list; list++) {
        if (sld_str_eq(s, sld_str_c(*list)))
            return true;
    }
    return false;
}

static void check_lists(struct check *c, const struct path *at, const struct sld_rules *u,
                        struct sld_str s)
{
    if (u->in && !listed(u->in, s)) {
        struct sld_buf all;
        sld_buf_init(&all, 512);
        for (const char *const *i = u->in; *i; i++)
            sld_buf_addf(&all, "%s%s", i == u->in ? "" : ", ", *i);
        fail(c, at, SLD_FIELD_ENUM, "\"%.*s\" is not one of: %.*s", SLD_FMT(sld_str_sub(s, 0, 60)),
             SLD_FMT(sld_buf_str(&all)));
        sld_buf_fini(&all);
    }
    if (u->not_in && listed(u->not_in, s))
        fail(c, at, SLD_FIELD_ENUM, "\"%.*s\" is not allowed", SLD_FMT(sld_str_sub(s, 0, 60)));
}

// The compiled pattern of U, made once per process and kept.
static const struct sld_regex *pattern_of(const struct sld_rules *u)
{
    void *r = atomic_load(u->pattern_slot);
    if (r)
        return r;
    void *fresh = sld_regex_create(sld_str_c(u->pattern), NULL), *expected = NULL;
    SLD_INV(fresh);
    if (atomic_compare_exchange_strong(u->pattern_slot, &expected, fresh))
        return fresh;
    sld_regex_destroy(fresh);
    return expected;
}

static size_t characters(struct sld_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void check_text(struct check *c, const struct path *at, const struct sld_rules *u,
                       struct sld_str s, bool is_string)
{
    if (is_string)
        check_size(c, at, characters(s), u->min_len, u->max_len, "characters");
    check_size(c, at, s.n, u->min_bytes, u->max_bytes, "bytes");
    if (u->pattern && !sld_regex_match(pattern_of(u), s))
        fail(c, at, SLD_FIELD_FORMAT, "does not match %s", u->pattern);
    const char *words = u->format ? sld_format_check(u->format, s) : NULL;
    if (words)
        fail(c, at, SLD_FIELD_FORMAT, "\"%.*s\" %s", SLD_FMT(sld_str_sub(s, 0, 100)), words);
    check_lists(c, at, u, s);
}

static void check_enum(struct check *c, const struct path *at, const struct sld_rules *u,
                       const ProtobufCEnumDescriptor *e, int v)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(e, v);
    if (u->defined_only && !known)
        fail(c, at, SLD_FIELD_ENUM, "%d is no value of %s", v, e->short_name);
    if (!u->in && !u->not_in)
        return;
    char number[16];
    snprintf(number, sizeof(number), "%d", v);
    // Lists name values of an enum by name or number.
    struct sld_str name = sld_str_c(known ? known->name : number);
    bool by_number = (u->in && listed(u->in, sld_str_c(number))) ||
                     (u->not_in && listed(u->not_in, sld_str_c(number)));
    check_lists(c, at, u, by_number ? sld_str_c(number) : name);
}

static double as_double(const void *p, ProtobufCType t)
{
    double d;
    float f;
    switch (t) {
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&d, p, sizeof(d));
        return d;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&f, p, sizeof(f));
        return (double)f;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_BOOL:
        return walk_u32(p);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (double)walk_u64(p);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (double)(int64_t)walk_u64(p);
    default:
        return (int32_t)walk_u32(p);
    }
}

// Go and Envoy count durations in 64 bits of nanoseconds.
static const struct sld_rules duration_rules = {.has_lte = true, .lte = 9223372036.0};

// Checks one value at P of F against U (which may be NULL), and a message's own fields.
static void check_value(struct check *c, const struct path *at, const struct sld_rules *u,
                        const ProtobufCFieldDescriptor *f, const void *p)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *m = walk_msg(p);
        enum sld_wkt wkt = m ? sld_msg_info(m->descriptor)->wkt : SLD_WKT_NONE;
        if (wkt == SLD_WKT_WRAPPER) {
            const ProtobufCFieldDescriptor *inner = m->descriptor->fields;
            check_value(c, at, u, inner, walk_at(m, inner));
        } else if (wkt == SLD_WKT_DURATION) {
            const Google__Protobuf__Duration *d = (const Google__Protobuf__Duration *)m;
            double seconds = (double)d->seconds + d->nanos / 1e9;
            bool bounded = u && (u->has_lt || u->has_lte);
            if (u)
                check_bounds(c, at, u, seconds, "s");
            if (!bounded)
                check_bounds(c, at, &duration_rules, seconds, "s");
        } else if (m) {
            check_message(c, at, m);
        }
        return;
    }
    if (!u)
        return;
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        check_text(c, at, u, walk_str(p), true);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        check_text(c, at, u, walk_bytes(p), false);
    } else if (f->type == PROTOBUF_C_TYPE_ENUM) {
        check_enum(c, at, u, f->descriptor, (int)walk_u32(p));
    } else {
        double v = as_double(p, f->type);
        check_bounds(c, at, u, v, "");
        if (!u->in && !u->not_in)
            return;
        char text[32];
        snprintf(text, sizeof(text), "%.15g", v);
        check_lists(c, at, u, sld_str_c(text));
    }
}

static int str_cmp(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static void check_unique(struct check *c, const struct path *at, const ProtobufCMessage *m,
                         unsigned field)
{
    size_t n = walk_count(m, &m->descriptor->fields[field]);
    struct sld_arena a = {0};
    struct sld_str *texts = SLD_ARENA_ARRAY(&a, struct sld_str, n);
    for (size_t i = 0; i < n; i++) {
        struct sld_buf out;
        sld_buf_init(&out, 1 << 20);
        sld_doc_print_node(&out, tree_item(&a, m, field, i, false), SLD_TEXT_JSON_COMPACT);
        texts[i] = sld_arena_str(&a, sld_buf_str(&out));
        sld_buf_fini(&out);
    }
    qsort(texts, n, sizeof(*texts), str_cmp);
    for (size_t i = 1; i < n; i++) {
        if (sld_str_eq(texts[i - 1], texts[i])) {
            fail(c, at, SLD_FIELD_FORMAT, "%.*s stands twice",
                 SLD_FMT(sld_str_sub(texts[i], 0, 100)));
            break;
        }
    }
    sld_arena_fini(&a);
}

static void check_map(struct check *c, const struct path *at, const struct sld_rules *u,
                      const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n)
{
    struct sld_arena a = {0};
    for (size_t i = 0; i < n; i++) {
        const ProtobufCMessage *entry = walk_msg(walk_item(m, f, i));
        const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0], *value = key + 1;
        struct path here = {at, tree_key(&a, entry), -1, true};
        if (u && u->keys)
            check_value(c, &here, u->keys, key, walk_at(entry, key));
        check_value(c, &here, u ? u->items : NULL, value, walk_at(entry, value));
    }
    sld_arena_fini(&a);
}

static void check_repeated(struct check *c, const struct path *at, const struct sld_rules *u,
                           const ProtobufCMessage *m, unsigned i, bool is_map)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
    size_t n = walk_count(m, f);
    if (u && !(u->ignore_empty && n == 0))
        check_size(c, at, n, u->min_items, u->max_items, is_map ? "entries" : "elements");
    if (u && u->unique && n > 1)
        check_unique(c, at, m, i);
    if (is_map) {
        check_map(c, at, u, m, f, n);
        return;
    }
    const struct sld_rules *items = u ? u->items : NULL;
    if (!items && f->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    for (size_t k = 0; k < n; k++) {
        struct path here = {at, SLD_STR_NONE, (long)k, false};
        check_value(c, &here, items, f, walk_item(m, f, k));
    }
}

static void check_state(struct check *c, const struct path *at, const struct sld_field_info *f)
{
    enum sld_state state = f->state;
    if (state == SLD_STATE_OPTION && !(c->served && sld_umap_has(c->served, (uintptr_t)f)))
        state = SLD_STATE_KNOWN;
    if (state == SLD_STATE_KNOWN)
        path_finding(c->r, at, SLD_WARNING, SLD_FIELD_NOT_BUILT,
                     "this field is understood but has no effect yet");
    else if (state == SLD_STATE_ENTERPRISE)
        path_finding(c->r, at, SLD_WARNING, SLD_FIELD_ENTERPRISE,
                     "this field belongs to an enterprise feature and has no effect");
    else if (state == SLD_STATE_DEPRECATED)
        path_finding(c->r, at, SLD_NOTE, SLD_FIELD_DEPRECATED, "this field is deprecated");
}

static void check_field(struct check *c, const struct path *up, const ProtobufCMessage *m,
                        const struct sld_msg_info *info, unsigned i)
{
    const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
    const struct sld_field_info *field = &info->fields[i];
    const struct sld_rules *u = info->unchecked ? NULL : field->rules;
    bool set = walk_set(m, f);
    if (!set && !u)
        return; // most fields
    struct path at = {up, sld_str_c(field->json_name), -1, false};
    if (set && field->state != SLD_STATE_BUILT)
        check_state(c, &at, field);
    if (walk_repeated(f)) {
        if (u && u->required && !set)
            fail(c, &at, SLD_FIELD_REQUIRED, "is required");
        if (set || u)
            check_repeated(c, &at, u, m, i, field->is_map);
        return;
    }
    if (!set) {
        bool other_arm = walk_in_oneof(f);
        if (!u || other_arm)
            return;
        if (u->required) {
            fail(c, &at, SLD_FIELD_REQUIRED, "is required");
            return;
        }
        if (u->ignore_empty || f->type == PROTOBUF_C_TYPE_MESSAGE)
            return;
    }
    check_value(c, &at, u, f, walk_at(m, f));
}

// Whether an arm of ONEOF is set in M; their names go to NAMES unless NULL.
static bool oneof_set(const ProtobufCMessage *m, const struct sld_msg_info *info, const char *oneof,
                      struct sld_buf *names)
{
    bool set = false;
    for (unsigned i = 0; i < info->desc->n_fields && (names || !set); i++) {
        const char *of = info->fields[i].oneof;
        if (!of || strcmp(of, oneof) != 0)
            continue;
        set |= walk_set(m, &info->desc->fields[i]);
        if (names)
            sld_buf_addf(names, "%s%s", names->n ? ", " : "", info->fields[i].json_name);
    }
    return set;
}

static void check_oneofs(struct check *c, const struct path *at, const ProtobufCMessage *m,
                         const struct sld_msg_info *info)
{
    for (unsigned k = 0; k < info->oneof_count; k++) {
        if (!info->oneofs[k].required || oneof_set(m, info, info->oneofs[k].name, NULL))
            continue;
        struct sld_buf names;
        sld_buf_init(&names, 400);
        oneof_set(m, info, info->oneofs[k].name, &names);
        fail(c, at, SLD_FIELD_REQUIRED, "one of these is required: %.*s",
             SLD_FMT(sld_buf_str(&names)));
        sld_buf_fini(&names);
    }
}

static void check_any(struct check *c, const struct path *at, const Google__Protobuf__Any *any)
{
    const ProtobufCMessageDescriptor *desc =
        walk_any_type(sld_str_c(any->type_url ? any->type_url : ""));
    struct sld_arena a = {0};
    enum { ANY_DEPTH = 100 };
    struct sld_str bytes = {(const char *)any->value.data, any->value.len};
    const ProtobufCMessage *m = desc ? sld_msg_decode(&a, desc, bytes, ANY_DEPTH, NULL) : NULL;
    if (m)
        check_message(c, at, m);
    else if (desc)
        fail(c, at, SLD_FIELD_TYPE, "the value is not a %s", desc->name);
    sld_arena_fini(&a);
}

static void check_message(struct check *c, const struct path *at, const ProtobufCMessage *m)
{
    const struct sld_msg_info *info = sld_msg_info(m->descriptor);
    if (info->wkt == SLD_WKT_ANY) {
        check_any(c, at, (const Google__Protobuf__Any *)m);
        return;
    }
    if (info->wkt != SLD_WKT_NONE)
        return;
    if (!info->unchecked)
        check_oneofs(c, at, m, info);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++)
        check_field(c, at, m, info, i);
}

void sld_msg_check(struct sld_report *r, const ProtobufCMessage *m, enum sld_code code_override,
                   const struct sld_umap *served)
{
    struct check c = {r, code_override, served};
    check_message(&c, NULL, m);
}
