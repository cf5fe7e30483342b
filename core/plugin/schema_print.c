// JSON Schema and the manual of configurations.
#include "plugin/schema.h"

#include <stdio.h>

#include "codec/doc.h"

// ---- JSON Schema ----

static void print(struct sld_json *j, const struct sld_conf *c);

static void key_str(struct sld_json *j, const char *key, struct sld_str s)
{
    sld_json_key(j, key);
    sld_json_str(j, s);
}

static void key_number(struct sld_json *j, const char *key, double n)
{
    char text[40];
    snprintf(text, sizeof(text), "%.17g", n);
    sld_json_key(j, key);
    sld_json_raw(j, sld_str_c(text));
}

static void print_value(struct sld_json *j, const Google__Protobuf__Value *v)
{
    struct sld_buf b;
    sld_buf_init(&b, 1U << 20);
    sld_doc_print(&b, &v->base, SLD_TEXT_JSON_COMPACT, false);
    sld_json_raw(j, sld_str_trim(sld_buf_str(&b)));
    sld_buf_fini(&b);
}

static void key_bounds(struct sld_json *j, const struct sld_conf *c, const char *min, const char *max)
{
    if (c->has_min)
        key_number(j, min, c->min);
    if (c->has_max)
        key_number(j, max, c->max);
}

// {"required":[NAME]}
static void is_set_json(struct sld_json *j, struct sld_str name)
{
    sld_json_begin(j, '{');
    sld_json_key(j, "required");
    sld_json_begin(j, '[');
    sld_json_str(j, name);
    sld_json_end(j, ']');
    sld_json_end(j, '}');
}

// KEY: [each field of the rule is set]; NONE: or none of them is.
static void are_set_json(struct sld_json *j, const char *key, const struct sld_conf_rule *rule, bool none)
{
    sld_json_key(j, key);
    sld_json_begin(j, '[');
    for (size_t i = 0; i < rule->count; i++)
        is_set_json(j, rule->fields[i]);
    if (none) {
        sld_json_begin(j, '{');
        sld_json_key(j, "not");
        sld_json_begin(j, '{');
        are_set_json(j, "anyOf", rule, false);
        sld_json_end(j, '}');
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
}

static void rule_json(struct sld_json *j, const struct sld_conf_rule *rule)
{
    sld_json_begin(j, '{');
    if (rule->kind == SLD_CONF_REQUIRES) {
        struct sld_arena a = {0};
        sld_json_key(j, "dependentRequired");
        sld_json_begin(j, '{');
        sld_json_key(j, sld_arena_cstr(&a, rule->fields[0]));
        sld_json_begin(j, '[');
        for (size_t i = 1; i < rule->count; i++)
            sld_json_str(j, rule->fields[i]);
        sld_json_end(j, ']');
        sld_json_end(j, '}');
        sld_arena_fini(&a);
    } else {
        are_set_json(j, rule->kind == SLD_CONF_AT_LEAST_ONE ? "anyOf" : "oneOf", rule, rule->kind == SLD_CONF_AT_MOST_ONE);
    }
    sld_json_end(j, '}');
}

static void rules_json(struct sld_json *j, const struct sld_conf *c)
{
    bool any = false;
    for (size_t i = 0; i < c->rule_count; i++)
        any |= c->rules[i].kind != SLD_CONF_DISTINCT;
    if (!any)
        return;
    sld_json_key(j, "allOf");
    sld_json_begin(j, '[');
    for (size_t i = 0; i < c->rule_count; i++) {
        if (c->rules[i].kind != SLD_CONF_DISTINCT)
            rule_json(j, &c->rules[i]);
    }
    sld_json_end(j, ']');
}

static void fields_json(struct sld_json *j, const struct sld_conf *c)
{
    key_str(j, "type", SLD_STR("object"));
    sld_json_key(j, "properties");
    sld_json_begin(j, '{');
    for (size_t i = 0; i < c->field_count; i++) {
        struct sld_arena a = {0};
        sld_json_key(j, sld_arena_cstr(&a, c->fields[i].name));
        print(j, &c->fields[i]);
        sld_arena_fini(&a);
    }
    sld_json_end(j, '}');
    bool any = false;
    for (size_t i = 0; i < c->field_count; i++)
        any |= c->fields[i].required;
    if (any) {
        sld_json_key(j, "required");
        sld_json_begin(j, '[');
        for (size_t i = 0; i < c->field_count; i++) {
            if (c->fields[i].required)
                sld_json_str(j, c->fields[i].name);
        }
        sld_json_end(j, ']');
    }
    sld_json_key(j, "additionalProperties");
    sld_json_bool(j, false);
    rules_json(j, c);
}

static void reference_json(struct sld_json *j, bool secret)
{
    sld_json_raw(j, secret ? SLD_STR("{\"key\":{\"type\":\"string\"},\"name\":{\"type\":\"string\",\"minLength\":1},"
                                     "\"namespace\":{\"type\":\"string\"}}")
                           : SLD_STR("{\"name\":{\"type\":\"string\",\"minLength\":1},\"namespace\":{\"type\":\"string\"}}"));
}

static void type_json(struct sld_json *j, const struct sld_conf *c)
{
    switch (c->type) {
    case SLD_CONF_BOOLEAN:
        key_str(j, "type", SLD_STR("boolean"));
        break;
    case SLD_CONF_INTEGER:
    case SLD_CONF_NUMBER:
        key_str(j, "type", sld_str_c(sld_conf_type_name(c->type)));
        key_bounds(j, c, "minimum", "maximum");
        break;
    case SLD_CONF_LIST:
        key_str(j, "type", SLD_STR("array"));
        key_bounds(j, c, "minItems", "maxItems");
        sld_json_key(j, "items");
        print(j, c->item);
        break;
    case SLD_CONF_MAP:
        key_str(j, "type", SLD_STR("object"));
        key_bounds(j, c, "minProperties", "maxProperties");
        sld_json_key(j, "additionalProperties");
        print(j, c->item);
        break;
    case SLD_CONF_RECORD:
        fields_json(j, c);
        break;
    case SLD_CONF_RESOURCE_REF:
    case SLD_CONF_SECRET_REF:
        key_str(j, "type", SLD_STR("object"));
        sld_json_key(j, "properties");
        reference_json(j, c->type == SLD_CONF_SECRET_REF);
        sld_json_key(j, "required");
        sld_json_raw(j, SLD_STR("[\"name\"]"));
        break;
    case SLD_CONF_SIZE:
        sld_json_key(j, "type");
        sld_json_raw(j, SLD_STR("[\"string\",\"integer\"]"));
        break;
    default:
        key_str(j, "type", SLD_STR("string"));
        if (c->type == SLD_CONF_STRING)
            key_bounds(j, c, "minLength", "maxLength");
    }
}

static void print(struct sld_json *j, const struct sld_conf *c)
{
    sld_json_begin(j, '{');
    if (c->doc.n)
        key_str(j, "description", c->doc);
    type_json(j, c);
    if (c->pattern.n) {
        struct sld_arena a = {0};
        key_str(j, "pattern", sld_arena_fmt(&a, "^(?:%.*s)$", SLD_FMT(c->pattern)));
        sld_arena_fini(&a);
    }
    if (c->value_count) {
        sld_json_key(j, "enum");
        sld_json_begin(j, '[');
        for (size_t i = 0; i < c->value_count; i++)
            sld_json_str(j, c->values[i]);
        sld_json_end(j, ']');
    }
    if (c->fallback) {
        sld_json_key(j, "default");
        print_value(j, c->fallback);
    }
    if (c->example) {
        sld_json_key(j, "examples");
        sld_json_begin(j, '[');
        print_value(j, c->example);
        sld_json_end(j, ']');
    }
    sld_json_end(j, '}');
}

void sld_conf_print_json(struct sld_buf *out, const struct sld_conf *c)
{
    struct sld_json j;
    sld_json_init(&j, out);
    print(&j, c);
}

// ---- The manual ----

static void say_type(struct sld_buf *out, const struct sld_conf *c)
{
    sld_buf_addz(out, sld_conf_type_name(c->type));
    if (c->item) {
        sld_buf_addz(out, " of ");
        say_type(out, c->item);
    }
    for (size_t i = 0; i < c->value_count; i++)
        sld_buf_addf(out, "%s`%.*s`", i ? ", " : ": ", SLD_FMT(c->values[i]));
    if (c->has_min)
        sld_buf_addf(out, ", at least %.15g", c->min);
    if (c->has_max)
        sld_buf_addf(out, ", at most %.15g", c->max);
    if (c->has_min || c->has_max)
        sld_buf_addz(out, c->type == SLD_CONF_DURATION ? " s" : c->type == SLD_CONF_SIZE ? " bytes" : "");
    if (c->pattern.n)
        sld_buf_addf(out, ", matching `%.*s`", SLD_FMT(c->pattern));
}

static void say_value(struct sld_buf *out, const Google__Protobuf__Value *v)
{
    sld_buf_addc(out, '`');
    struct sld_buf b;
    sld_buf_init(&b, 4096);
    sld_doc_print(&b, &v->base, SLD_TEXT_JSON_COMPACT, false);
    sld_buf_add(out, sld_str_trim(sld_buf_str(&b)));
    sld_buf_fini(&b);
    sld_buf_addc(out, '`');
}

static void say_fields(struct sld_buf *out, const struct sld_conf *c, struct sld_str below)
{
    struct sld_arena a = {0};
    for (size_t i = 0; i < c->field_count; i++) {
        const struct sld_conf *f = &c->fields[i], *in = f;
        struct sld_str path = SLD_ARENA_JOIN(&a, below, below.n ? SLD_STR(".") : SLD_STR(""), f->name);
        sld_buf_addf(out, "- `%.*s` (", SLD_FMT(path));
        say_type(out, f);
        sld_buf_addf(out, "%s)", f->required ? ", required" : "");
        if (f->doc.n)
            sld_buf_addf(out, ": %.*s", SLD_FMT(f->doc));
        if (f->fallback) {
            sld_buf_addz(out, " Default: ");
            say_value(out, f->fallback);
            sld_buf_addc(out, '.');
        }
        if (f->example) {
            sld_buf_addz(out, " Example: ");
            say_value(out, f->example);
            sld_buf_addc(out, '.');
        }
        sld_buf_addc(out, '\n');
        while (in->item) {
            path = SLD_ARENA_JOIN(&a, path, SLD_STR("[]"));
            in = in->item;
        }
        say_fields(out, in, path);
    }
    static const char *const says[SLD_CONF_RULE_COUNT] = {"exactly one is set", "at most one is set", "at least one is set",
                                                          "no two are equal", "the first needs the others"};
    for (size_t i = 0; i < c->rule_count; i++) {
        sld_buf_addz(out, "- of ");
        for (size_t k = 0; k < c->rules[i].count; k++)
            sld_buf_addf(out, "%s`%.*s%s%.*s`", k ? ", " : "", SLD_FMT(below), below.n ? "." : "", SLD_FMT(c->rules[i].fields[k]));
        sld_buf_addf(out, " %s\n", says[c->rules[i].kind]);
    }
    sld_arena_fini(&a);
}

void sld_conf_print_manual(struct sld_buf *out, const struct sld_conf *c)
{
    say_fields(out, c, SLD_STR(""));
}
