// Scalars of trees to values: numbers in YAML's and JSON's forms, words, enums, text, base64.
#include <float.h>
#include <math.h>

#include "codec/decode.h"
#include "codec/text.h"

enum { NUMBER_MAX = 64 };

bool dec_bool_word(struct sld_str s, bool *out)
{
    static const struct {
        struct sld_str word;
        bool value;
    } words[] = {
        {SLD_STR_INIT("true"), true},   {SLD_STR_INIT("True"), true},
        {SLD_STR_INIT("TRUE"), true},   {SLD_STR_INIT("false"), false},
        {SLD_STR_INIT("False"), false}, {SLD_STR_INIT("FALSE"), false},
        {SLD_STR_INIT("yes"), true},    {SLD_STR_INIT("Yes"), true},
        {SLD_STR_INIT("YES"), true},    {SLD_STR_INIT("no"), false},
        {SLD_STR_INIT("No"), false},    {SLD_STR_INIT("NO"), false},
        {SLD_STR_INIT("on"), true},     {SLD_STR_INIT("On"), true},
        {SLD_STR_INIT("ON"), true},     {SLD_STR_INIT("off"), false},
        {SLD_STR_INIT("Off"), false},   {SLD_STR_INIT("OFF"), false},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(words); i++) {
        if (sld_str_eq(s, words[i].word)) {
            *out = words[i].value;
            return true;
        }
    }
    return false;
}

static bool digits_in_base(struct sld_str s, unsigned base, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base || v > (UINT64_MAX - digit) / base)
            return false;
        v = v * base + digit;
    }
    *out = v;
    return true;
}

// An integer as sign and magnitude. Unquoted ones may have YAML's other bases, and every one a
// fraction or exponent that comes to an integer.
static bool parse_integer(const struct sld_node *n, bool *minus, uint64_t *out)
{
    char text[NUMBER_MAX];
    struct sld_str s = n->text;
    *minus = s.n && s.p[0] == '-';
    if (*minus || (s.n && s.p[0] == '+' && !n->quoted))
        s = sld_str_sub(s, 1, s.n);
    if (s.n == 0 || s.n >= sizeof(text) || !((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '.'))
        return false;
    size_t len = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_' || n->quoted)
            text[len++] = s.p[i];
    }
    s = (struct sld_str){text, len};
    if (!n->quoted && s.n > 1 && s.p[0] == '0') {
        char c = s.p[1];
        unsigned base = c == 'x' || c == 'X' ? 16 : c == 'b' || c == 'B' ? 2 : 8;
        bool letter = base != 8 || c == 'o' || c == 'O';
        if (digits_in_base(sld_str_sub(s, letter ? 2 : 1, s.n), base, out))
            return true;
    }
    if (digits_in_base(s, 10, out))
        return true;
    double d;
    if (!sld_str_double(s, &d) || d < 0 || d >= 18446744073709551616.0 || floor(d) < d)
        return false;
    *out = (uint64_t)d;
    return true;
}

static bool special_double(const struct sld_node *n, double *out)
{
    struct sld_str s = n->text;
    bool minus = s.n && s.p[0] == '-';
    struct sld_str bare = minus || (s.n && s.p[0] == '+') ? sld_str_sub(s, 1, s.n) : s;
    if (sld_str_eq(bare, SLD_STR("Infinity")) ||
        (!n->quoted && sld_str_ieq(bare, SLD_STR(".inf")))) {
        *out = minus ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (sld_str_eq(s, SLD_STR("NaN")) || (!n->quoted && sld_str_ieq(s, SLD_STR(".nan")))) {
        *out = (double)NAN;
        return true;
    }
    return false;
}

bool dec_double(const struct sld_node *n, double *out)
{
    bool minus;
    uint64_t v;
    if (sld_str_double(n->text, out)) {
        // YAML 1.1 reads a leading zero as octal; JSON text has none.
        bool octal = !n->quoted && n->text.n > 1 && n->text.p[0] == '0' && n->text.p[1] >= '0' &&
                     n->text.p[1] <= '7';
        if (octal && parse_integer(n, &minus, &v))
            *out = (double)v;
        return true;
    }
    if (parse_integer(n, &minus, &v)) {
        *out = minus ? -(double)v : (double)v;
        return true;
    }
    return false;
}

// The range of integer type T.
static bool in_range(ProtobufCType t, bool minus, uint64_t v)
{
    switch (t) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return v <= UINT32_MAX && (!minus || v == 0);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return !minus || v == 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return v <= (uint64_t)INT64_MAX + minus;
    default:
        return v <= (uint64_t)INT32_MAX + minus;
    }
}

static bool scalar_integer(struct dec *d, const ProtobufCFieldDescriptor *f,
                           const struct sld_node *n, const struct path *at, void *p)
{
    bool minus;
    uint64_t v;
    double any;
    if (!parse_integer(n, &minus, &v)) {
        if (sld_str_double(n->text, &any) && floor(any) >= any)
            return dec_fail(d, at, SLD_FIELD_RANGE, "%.*s is out of range", SLD_FMT(n->text));
        return dec_type(d, at, "a whole number", n);
    }
    if (!in_range(f->type, minus, v))
        return dec_fail(d, at, SLD_FIELD_RANGE, "%.*s is out of range", SLD_FMT(n->text));
    v = minus ? 0 - v : v;
    uint32_t low = (uint32_t)v;
    if (walk_size(f->type) == 8)
        memcpy(p, &v, 8);
    else
        memcpy(p, &low, 4);
    return true;
}

static bool scalar_float(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
                         const struct path *at, void *p)
{
    double v;
    if (!special_double(n, &v) && !dec_double(n, &v))
        return dec_type(d, at, "a number", n);
    if (f->type == PROTOBUF_C_TYPE_DOUBLE) {
        memcpy(p, &v, sizeof(v));
        return true;
    }
    if (isfinite(v) && fabs(v) > (double)FLT_MAX)
        return dec_fail(d, at, SLD_FIELD_RANGE, "%.*s is out of range", SLD_FMT(n->text));
    float small = (float)v;
    memcpy(p, &small, sizeof(small));
    return true;
}

static struct sld_str enum_name(const void *table, size_t i)
{
    const ProtobufCEnumDescriptor *e = table;
    return sld_str_c(e->values_by_name[i].name);
}

static bool scalar_enum(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
                        const struct path *at, void *p)
{
    const ProtobufCEnumDescriptor *e = f->descriptor;
    bool minus;
    uint64_t v;
    for (unsigned i = 0; i < e->n_value_names; i++) {
        if (sld_str_eq(n->text, enum_name(e, i))) {
            memcpy(p, &e->values[e->values_by_name[i].index].value, sizeof(int));
            return true;
        }
    }
    if (!n->quoted && parse_integer(n, &minus, &v) && in_range(PROTOBUF_C_TYPE_INT32, minus, v)) {
        int32_t number = (int32_t)(minus ? 0 - v : v);
        memcpy(p, &number, sizeof(number));
        return true;
    }
    struct sld_str near = dec_nearest(n->text, enum_name, e, e->n_value_names);
    struct sld_buf names;
    sld_buf_init(&names, 1024);
    for (unsigned i = 0; i < e->n_values; i++)
        sld_buf_addf(&names, "%s%s", i ? ", " : "", e->values[i].name);
    struct sld_str shown = sld_str_sub(n->text, 0, 60);
    if (near.p)
        dec_fail(d, at, SLD_FIELD_ENUM, "\"%.*s\" is not allowed; did you mean \"%.*s\"?",
                 SLD_FMT(shown), SLD_FMT(near));
    else
        dec_fail(d, at, SLD_FIELD_ENUM, "\"%.*s\" is not allowed; one of: %.*s%s", SLD_FMT(shown),
                 SLD_FMT(sld_buf_str(&names)), names.full ? ", ..." : "");
    sld_buf_fini(&names);
    return false;
}

static bool scalar_bool(struct dec *d, const struct sld_node *n, const struct path *at, void *p)
{
    bool v;
    if (n->quoted || !dec_bool_word(n->text, &v))
        return dec_type(d, at, n->quoted ? "true or false without quotes" : "true or false", n);
    protobuf_c_boolean b = v;
    memcpy(p, &b, sizeof(b));
    return true;
}

static bool scalar_string(struct dec *d, const struct sld_node *n, const struct path *at, void *p)
{
    if (n->text.n && memchr(n->text.p, 0, n->text.n))
        return dec_fail(d, at, SLD_FIELD_FORMAT, "the text has a NUL character");
    char *s = sld_arena_cstr(d->a, n->text);
    memcpy(p, &s, sizeof(s));
    return true;
}

static bool scalar_bytes(struct dec *d, const struct sld_node *n, const struct path *at, void *p)
{
    struct sld_str s;
    if (!sld_base64_decode(d->a, n->text, &s))
        return dec_fail(d, at, SLD_FIELD_FORMAT, "not base64");
    char *copy = sld_arena_cstr(d->a, s);
    ProtobufCBinaryData b = {.len = s.n, .data = (uint8_t *)copy};
    memcpy(p, &b, sizeof(b));
    return true;
}

bool dec_scalar(struct dec *d, const ProtobufCFieldDescriptor *f, const struct sld_node *n,
                const struct path *at, void *p)
{
    if (n->type == SLD_NODE_NULL && f->type == PROTOBUF_C_TYPE_ENUM)
        return true; // NullValue: its only value is the default
    if (n->type != SLD_NODE_SCALAR)
        return dec_type(d, at,
                        f->type == PROTOBUF_C_TYPE_STRING ? "a string"
                        : f->type == PROTOBUF_C_TYPE_BOOL ? "true or false"
                                                          : "a single value",
                        n);
    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return scalar_float(d, f, n, at, p);
    case PROTOBUF_C_TYPE_BOOL:
        return scalar_bool(d, n, at, p);
    case PROTOBUF_C_TYPE_ENUM:
        return scalar_enum(d, f, n, at, p);
    case PROTOBUF_C_TYPE_STRING:
        return scalar_string(d, n, at, p);
    case PROTOBUF_C_TYPE_BYTES:
        return scalar_bytes(d, n, at, p);
    default:
        return scalar_integer(d, f, n, at, p);
    }
}
