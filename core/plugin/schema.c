// Checks of configurations.
#include "plugin/schema.h"

#include <math.h>
#include <stdio.h>

#include "codec/format.h"
#include "codec/regex.h"
#include "codec/text.h"

typedef Google__Protobuf__Value value;

static const char *const type_names[SLD_CONF_TYPE_COUNT] = {
    "boolean", "cidr",   "duration", "enum",         "header_name", "host", "integer", "list",
    "map",     "number", "record",   "resource_ref", "secret_ref",  "size", "string",  "url"};

const char *sld_conf_type_name(enum sld_conf_type t)
{
    return type_names[t];
}

void sld_conf_fini(struct sld_conf *c)
{
    if (!c)
        return;
    sld_regex_destroy(c->regex);
    c->regex = NULL;
    sld_conf_fini(c->item);
    for (size_t i = 0; i < c->field_count; i++)
        sld_conf_fini(&c->fields[i]);
}

static void check(struct sld_report *r, const struct sld_conf *c, const value *v);

static void add(struct sld_report *r, enum sld_code code, const char *path, const char *fmt, ...) SLD_PRINTF(4, 5);
static void add(struct sld_report *r, enum sld_code code, const char *path, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sld_report_add(r, SLD_ERROR, code, sld_str_c(path), "%s", text);
}

// ---- Types ----

static const char *kind_name(const value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return "a number";
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return "text";
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return "true or false";
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return "a mapping";
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        return "a list";
    default:
        return "null";
    }
}

static const char *wanted(enum sld_conf_type t)
{
    switch (t) {
    case SLD_CONF_BOOLEAN:
        return "true or false";
    case SLD_CONF_INTEGER:
        return "a whole number";
    case SLD_CONF_NUMBER:
        return "a number";
    case SLD_CONF_DURATION:
        return "a duration such as \"5m\" or \"500ms\"";
    case SLD_CONF_SIZE:
        return "a size such as \"10MiB\" or \"512\"";
    case SLD_CONF_LIST:
        return "a list";
    case SLD_CONF_MAP:
    case SLD_CONF_RECORD:
        return "a mapping";
    case SLD_CONF_SECRET_REF:
        return "a reference to a Secret: a mapping with name, and namespace if it is another";
    case SLD_CONF_RESOURCE_REF:
        return "a reference: a mapping with name, and namespace if it is another";
    default:
        return "text";
    }
}

static void wrong_type(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    bool text = strcmp(wanted(c->type), "text") == 0 && (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE ||
                                                         v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE);
    add(r, SLD_FIELD_TYPE, "", "expected %s, found %s%s", wanted(c->type), kind_name(v), text ? "; put it in quotes" : "");
}

static bool size_parse(struct sld_str s, double *out)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1},    {"B", 1},   {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
                 {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
    size_t n = 0;
    while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.'))
        n++;
    double number;
    if (!sld_str_double(sld_str_sub(s, 0, n), &number))
        return false;
    struct sld_str unit = sld_str_trim(sld_str_sub(s, n, s.n));
    for (size_t i = 0; i < SLD_ARRAY_LEN(units); i++) {
        if (sld_str_eq(unit, sld_str_c(units[i].unit))) {
            *out = number * units[i].bytes;
            return true;
        }
    }
    return false;
}

bool sld_conf_quantity(enum sld_conf_type type, const Google__Protobuf__Value *v, double *out)
{
    if (type == SLD_CONF_SIZE && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE) {
        *out = v->number_value;
        return *out >= 0;
    }
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
        return false;
    struct sld_str s = sld_str_c(v->string_value);
    if (type == SLD_CONF_SIZE)
        return size_parse(s, out);
    int64_t seconds;
    int32_t nanos;
    if (!sld_duration_parse(s, &seconds, &nanos))
        return false;
    *out = (double)seconds + nanos / 1e9;
    return true;
}

// ---- Ranges ----

static void range(struct sld_report *r, const struct sld_conf *c, double n, const char *what)
{
    if ((!c->has_min || n >= c->min) && (!c->has_max || n <= c->max))
        return;
    char text[100];
    if (c->has_min && c->has_max)
        snprintf(text, sizeof(text), "from %.15g to %.15g", c->min, c->max);
    else
        snprintf(text, sizeof(text), "%s %.15g", c->has_min ? "at least" : "at most", c->has_min ? c->min : c->max);
    add(r, SLD_FIELD_RANGE, "", "%.15g%s is out of range: %s%s", n, what, text, what);
}

static void check_number(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE ||
        (c->type == SLD_CONF_INTEGER && (floor(v->number_value) < v->number_value || fabs(v->number_value) > 0x1p53)))
        wrong_type(r, c, v);
    else
        range(r, c, v->number_value, "");
}

static void check_quantity(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    double n;
    bool text = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    if (sld_conf_quantity(c->type, v, &n))
        range(r, c, n, c->type == SLD_CONF_SIZE ? " bytes" : " seconds");
    else if (text)
        add(r, SLD_FIELD_FORMAT, "", "expected %s, found \"%.60s\"", wanted(c->type), v->string_value);
    else
        wrong_type(r, c, v);
}

// ---- Texts ----

static void check_enum(struct sld_report *r, const struct sld_conf *c, struct sld_str s)
{
    struct sld_buf b;
    size_t best = 3;
    struct sld_str near = SLD_STR_NONE;
    sld_buf_init(&b, 400);
    for (size_t i = 0; i < c->value_count; i++) {
        if (sld_str_eq(c->values[i], s)) {
            sld_buf_fini(&b);
            return;
        }
        size_t d = sld_str_distance(c->values[i], s, best);
        if (d < best) {
            best = d;
            near = c->values[i];
        }
        sld_buf_addf(&b, "%s%.*s", i ? ", " : "", SLD_FMT(c->values[i]));
    }
    add(r, SLD_FIELD_ENUM, "", "\"%.*s\" is none of %.*s%s%.*s%s", SLD_FMT(sld_str_utf8_cut(s, 60)), SLD_FMT(sld_buf_str(&b)),
        near.p ? "; did you mean \"" : "", SLD_FMT(near), near.p ? "\"?" : "");
    sld_buf_fini(&b);
}

static const char *format_of(enum sld_conf_type t)
{
    switch (t) {
    case SLD_CONF_CIDR:
        return "cidr";
    case SLD_CONF_HEADER_NAME:
        return "http_header_name";
    case SLD_CONF_HOST:
        return "host";
    case SLD_CONF_URL:
        return "uri";
    default:
        return NULL;
    }
}

static void check_text(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
        wrong_type(r, c, v);
        return;
    }
    struct sld_str s = sld_str_c(v->string_value);
    const char *format = format_of(c->type), *wrong = format ? sld_format_check(format, s) : NULL;
    if (c->type == SLD_CONF_ENUM)
        check_enum(r, c, s);
    else if (format && !s.n)
        add(r, SLD_FIELD_FORMAT, "", "the value is empty");
    else if (wrong)
        add(r, SLD_FIELD_FORMAT, "", "the value %s", wrong);
    else if (c->regex && !sld_regex_match(c->regex, s))
        add(r, SLD_FIELD_FORMAT, "", "\"%.*s\" does not match %.*s", SLD_FMT(sld_str_utf8_cut(s, 60)), SLD_FMT(c->pattern));
    else
        range(r, c, (double)s.n, " characters");
}

// ---- What holds others ----

static const value *get(const value *v, struct sld_str name)
{
    if (!v || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return NULL;
    const Google__Protobuf__Struct *s = v->struct_value;
    for (size_t i = 0; i < s->n_fields; i++) {
        if (sld_str_eq(sld_str_c(s->fields[i]->key), name))
            return s->fields[i]->value->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE ? NULL : s->fields[i]->value;
    }
    return NULL;
}

static void unknown(struct sld_report *r, const struct sld_conf *c, struct sld_str name)
{
    size_t best = 3;
    struct sld_str near = SLD_STR_NONE;
    for (size_t i = 0; i < c->field_count; i++) {
        size_t d = sld_str_distance(c->fields[i].name, name, best);
        if (d < best) {
            best = d;
            near = c->fields[i].name;
        }
    }
    sld_report_add(r, SLD_ERROR, SLD_FIELD_UNKNOWN, name, "unknown field \"%.*s\"%s%.*s%s", SLD_FMT(sld_str_utf8_cut(name, 60)),
                   near.p ? "; did you mean \"" : "", SLD_FMT(near), near.p ? "\"?" : "");
}

static bool has_field(const struct sld_conf *c, struct sld_str name)
{
    for (size_t i = 0; i < c->field_count; i++) {
        if (sld_str_eq(c->fields[i].name, name))
            return true;
    }
    return false;
}

// The fields of RULE as "a, b and c".
static void say_fields(struct sld_buf *b, const struct sld_conf_rule *rule, size_t from)
{
    for (size_t i = from; i < rule->count; i++)
        sld_buf_addf(b, "%s%.*s", i == from ? "" : i + 1 == rule->count ? " and " : ", ", SLD_FMT(rule->fields[i]));
}

static bool same_values(const struct sld_conf_rule *rule, const value *v)
{
    for (size_t i = 0; i < rule->count; i++) {
        const value *x = get(v, rule->fields[i]);
        for (size_t k = 0; x && k < i; k++) {
            const value *y = get(v, rule->fields[k]);
            if (y && sld_msg_equal(&x->base, &y->base))
                return true;
        }
    }
    return false;
}

static void check_rule(struct sld_report *r, const struct sld_conf_rule *rule, const value *v)
{
    size_t set = 0;
    for (size_t i = 0; i < rule->count; i++)
        set += get(v, rule->fields[i]) != NULL;
    struct sld_buf b;
    sld_buf_init(&b, 400);
    say_fields(&b, rule, rule->kind == SLD_CONF_REQUIRES);
    struct sld_str all = sld_buf_str(&b);
    switch (rule->kind) {
    case SLD_CONF_ONE_OF:
        if (set != 1)
            add(r, set ? SLD_FIELD_ONEOF : SLD_FIELD_REQUIRED, "", "exactly one of %.*s must be set, not %zu", SLD_FMT(all), set);
        break;
    case SLD_CONF_AT_MOST_ONE:
        if (set > 1)
            add(r, SLD_FIELD_ONEOF, "", "%.*s exclude each other; keep one", SLD_FMT(all));
        break;
    case SLD_CONF_AT_LEAST_ONE:
        if (!set)
            add(r, SLD_FIELD_REQUIRED, "", "at least one of %.*s must be set", SLD_FMT(all));
        break;
    case SLD_CONF_DISTINCT:
        if (same_values(rule, v))
            add(r, SLD_FIELD_RANGE, "", "%.*s must differ", SLD_FMT(all));
        break;
    default:
        if (get(v, rule->fields[0]) && set < rule->count)
            add(r, SLD_FIELD_REQUIRED, "", "%.*s needs %.*s too", SLD_FMT(rule->fields[0]), SLD_FMT(all));
    }
    sld_buf_fini(&b);
}

static void check_record(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v && v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        wrong_type(r, c, v);
        return;
    }
    const Google__Protobuf__Struct *s = v ? v->struct_value : NULL;
    for (size_t i = 0; s && i < s->n_fields; i++) {
        if (!has_field(c, sld_str_c(s->fields[i]->key)))
            unknown(r, c, sld_str_c(s->fields[i]->key));
    }
    for (size_t i = 0; i < c->field_count; i++) {
        const struct sld_conf *f = &c->fields[i];
        const value *x = get(v, f->name);
        struct sld_str was = r->prefix;
        r->prefix = SLD_ARENA_JOIN(r->arena, was, was.n ? SLD_STR(".") : SLD_STR(""), f->name);
        if (x)
            check(r, f, x);
        else if (f->required)
            add(r, SLD_FIELD_REQUIRED, "", "%.*s must be set", SLD_FMT(f->name));
        r->prefix = was;
    }
    for (size_t i = 0; i < c->rule_count; i++)
        check_rule(r, &c->rules[i], v);
}

static void check_list(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE) {
        wrong_type(r, c, v);
        return;
    }
    range(r, c, (double)v->list_value->n_values, " elements");
    for (size_t i = 0; i < v->list_value->n_values; i++) {
        struct sld_str was = sld_report_enter(r, "", (long)i);
        check(r, c->item, v->list_value->values[i]);
        sld_report_leave(r, was);
    }
}

static void check_map(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        wrong_type(r, c, v);
        return;
    }
    range(r, c, (double)v->struct_value->n_fields, " entries");
    for (size_t i = 0; i < v->struct_value->n_fields; i++) {
        struct sld_str was = r->prefix;
        r->prefix = sld_arena_fmt(r->arena, "%.*s[\"%s\"]", SLD_FMT(was), v->struct_value->fields[i]->key);
        check(r, c->item, v->struct_value->fields[i]->value);
        r->prefix = was;
    }
}

static void check_ref(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        wrong_type(r, c, v);
        return;
    }
    struct sld_conf fields[] = {
        {.type = SLD_CONF_STRING, .name = SLD_STR("name"), .required = true, .has_min = true, .min = 1},
        {.type = SLD_CONF_STRING, .name = SLD_STR("namespace")},
        {.type = SLD_CONF_STRING, .name = SLD_STR("key")},
        {.type = SLD_CONF_STRING, .name = SLD_STR(SLD_CONF_SECRET_TEXT)},
    };
    bool secret = c->type == SLD_CONF_SECRET_REF;
    struct sld_conf record = {.type = SLD_CONF_RECORD, .fields = fields, .field_count = secret ? 4 : 2};
    check_record(r, &record, v);
}

static void check(struct sld_report *r, const struct sld_conf *c, const value *v)
{
    switch (c->type) {
    case SLD_CONF_BOOLEAN:
        if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE)
            wrong_type(r, c, v);
        break;
    case SLD_CONF_INTEGER:
    case SLD_CONF_NUMBER:
        check_number(r, c, v);
        break;
    case SLD_CONF_DURATION:
    case SLD_CONF_SIZE:
        check_quantity(r, c, v);
        break;
    case SLD_CONF_RECORD:
        check_record(r, c, v);
        break;
    case SLD_CONF_LIST:
        check_list(r, c, v);
        break;
    case SLD_CONF_MAP:
        check_map(r, c, v);
        break;
    case SLD_CONF_RESOURCE_REF:
    case SLD_CONF_SECRET_REF:
        check_ref(r, c, v);
        break;
    default:
        check_text(r, c, v);
    }
}

void sld_conf_check(struct sld_report *r, const struct sld_conf *c, const Google__Protobuf__Value *v)
{
    if (v || c->type == SLD_CONF_RECORD)
        check(r, c, v);
}
