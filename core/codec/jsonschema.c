// JSON Schema (draft 2020-12) of messages.
#include <inttypes.h>

#include "codec/doc.h"
#include "codec/walk.h"

struct schema {
    struct sld_json j;
    struct sld_arena a;
    struct sld_map seen;
    const ProtobufCMessageDescriptor **queue; // messages whose definition is asked for
    size_t count;
};

static void put_pair(struct schema *s, const char *key, const char *value)
{
    sld_json_key(&s->j, key);
    sld_json_str(&s->j, sld_str_c(value));
}

static void put_double(struct schema *s, const char *key, double v)
{
    sld_json_key(&s->j, key);
    sld_json_raw(&s->j, sld_arena_fmt(&s->a, "%.15g", v));
}

static void put_count(struct schema *s, const char *key, unsigned v)
{
    if (!v)
        return;
    sld_json_key(&s->j, key);
    sld_json_int(&s->j, v);
}

static void put_types(struct schema *s, const char *one, const char *other)
{
    sld_json_key(&s->j, "type");
    sld_json_begin(&s->j, '[');
    sld_json_str(&s->j, sld_str_c(one));
    sld_json_str(&s->j, sld_str_c(other));
    sld_json_end(&s->j, ']');
}

static void put_bounds(struct schema *s, const struct sld_rules *u)
{
    if (u->has_gt)
        put_double(s, "exclusiveMinimum", u->gt);
    if (u->has_gte)
        put_double(s, "minimum", u->gte);
    if (u->has_lt)
        put_double(s, "exclusiveMaximum", u->lt);
    if (u->has_lte)
        put_double(s, "maximum", u->lte);
}

static void put_enum(struct schema *s, const ProtobufCEnumDescriptor *e)
{
    sld_json_key(&s->j, "enum");
    sld_json_begin(&s->j, '[');
    for (unsigned i = 0; i < e->n_values; i++)
        sld_json_str(&s->j, sld_str_c(e->values[i].name));
    for (unsigned i = 0; i < e->n_values; i++)
        sld_json_int(&s->j, e->values[i].value);
    sld_json_end(&s->j, ']');
}

static void put_string(struct schema *s, const struct sld_rules *u)
{
    put_pair(s, "type", "string");
    if (!u)
        return;
    put_count(s, "minLength", u->ignore_empty ? 0 : u->min_len);
    put_count(s, "maxLength", u->max_len);
    if (u->in) {
        sld_json_key(&s->j, "enum");
        sld_json_begin(&s->j, '[');
        for (const char *const *i = u->in; *i; i++)
            sld_json_str(&s->j, sld_str_c(*i));
        if (u->ignore_empty)
            sld_json_str(&s->j, SLD_STR(""));
        sld_json_end(&s->j, ']');
    }
}

static void put_scalar(struct schema *s, const ProtobufCFieldDescriptor *f,
                       const struct sld_rules *u)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        put_string(s, u);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        put_pair(s, "type", "string");
        put_pair(s, "contentEncoding", "base64");
        return;
    case PROTOBUF_C_TYPE_BOOL:
        put_pair(s, "type", "boolean");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(s, f->descriptor);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        put_types(s, "number", "string");
        break;
    default:
        put_types(s, "integer", "string");
    }
    if (u && !u->ignore_empty)
        put_bounds(s, u);
}

// Asks for the definition of DESC.
static void want(struct schema *s, const ProtobufCMessageDescriptor *desc)
{
    if (sld_map_has(&s->seen, sld_str_c(desc->name)))
        return;
    sld_map_set(&s->seen, sld_str_c(desc->name), s);
    SLD_PUSH(&s->a, s->queue, s->count, desc);
}

static void put_message(struct schema *s, const ProtobufCMessageDescriptor *desc,
                        const struct sld_rules *u)
{
    switch (sld_msg_info(desc)->wkt) {
    case SLD_WKT_WRAPPER:
        put_scalar(s, desc->fields, u);
        return;
    case SLD_WKT_DURATION:
        put_pair(s, "type", "string");
        put_pair(s, "pattern", "^[-+]?(0|([0-9]*\\.?[0-9]+(ns|us|\xc2\xb5s|ms|s|m|h))+)$");
        return;
    case SLD_WKT_TIMESTAMP:
        put_pair(s, "type", "string");
        put_pair(s, "format", "date-time");
        return;
    case SLD_WKT_FIELD_MASK:
        put_pair(s, "type", "string");
        return;
    case SLD_WKT_ANY:
    case SLD_WKT_STRUCT:
    case SLD_WKT_EMPTY:
        put_pair(s, "type", "object");
        return;
    case SLD_WKT_LIST:
        put_pair(s, "type", "array");
        return;
    case SLD_WKT_VALUE:
        return;
    case SLD_WKT_NONE:
        break;
    }
    want(s, desc);
    sld_json_key(&s->j, "$ref");
    sld_json_str(&s->j, sld_arena_fmt(&s->a, "#/$defs/%s", desc->name));
}

static void put_value(struct schema *s, const ProtobufCFieldDescriptor *f,
                      const struct sld_rules *u)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        put_message(s, f->descriptor, u);
    else
        put_scalar(s, f, u);
}

static void put_object(struct schema *s, const char *key, const ProtobufCFieldDescriptor *f,
                       const struct sld_rules *u)
{
    sld_json_key(&s->j, key);
    sld_json_begin(&s->j, '{');
    put_value(s, f, u);
    sld_json_end(&s->j, '}');
}

static void put_field(struct schema *s, const ProtobufCFieldDescriptor *f,
                      const struct sld_field_info *info)
{
    const struct sld_rules *u = info->rules, *items = u ? u->items : NULL;
    sld_json_key(&s->j, info->json_name);
    sld_json_begin(&s->j, '{');
    if (info->doc[0])
        put_pair(s, "description", info->doc);
    if (info->default_text) {
        sld_json_key(&s->j, "default");
        sld_json_raw(&s->j, sld_str_c(info->default_text));
    }
    if (info->state == SLD_STATE_DEPRECATED) {
        sld_json_key(&s->j, "deprecated");
        sld_json_bool(&s->j, true);
    }
    if (info->is_map) {
        const ProtobufCMessageDescriptor *entry = f->descriptor;
        put_pair(s, "type", "object");
        put_count(s, "minProperties", u ? u->min_items : 0);
        put_count(s, "maxProperties", u ? u->max_items : 0);
        put_object(s, "additionalProperties", &entry->fields[1], items);
    } else if (walk_repeated(f)) {
        put_pair(s, "type", "array");
        put_count(s, "minItems", u && !u->ignore_empty ? u->min_items : 0);
        put_count(s, "maxItems", u ? u->max_items : 0);
        put_object(s, "items", f, items);
    } else {
        put_value(s, f, u);
    }
    sld_json_end(&s->j, '}');
}

static void put_required(struct schema *s, const struct sld_msg_info *info)
{
    bool any = false;
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        if (!info->fields[i].rules || !info->fields[i].rules->required || info->fields[i].oneof)
            continue;
        if (!any) {
            sld_json_key(&s->j, "required");
            sld_json_begin(&s->j, '[');
        }
        any = true;
        sld_json_str(&s->j, sld_str_c(info->fields[i].json_name));
    }
    if (any)
        sld_json_end(&s->j, ']');
}

static void put_definition(struct schema *s, const ProtobufCMessageDescriptor *desc)
{
    const struct sld_msg_info *info = sld_msg_info(desc);
    sld_json_key(&s->j, desc->name);
    sld_json_begin(&s->j, '{');
    put_pair(s, "type", "object");
    if (info->doc[0])
        put_pair(s, "description", info->doc);
    sld_json_key(&s->j, "properties");
    sld_json_begin(&s->j, '{');
    for (unsigned i = 0; i < desc->n_fields; i++)
        put_field(s, &desc->fields[i], &info->fields[i]);
    sld_json_end(&s->j, '}');
    if (!info->unchecked)
        put_required(s, info);
    sld_json_key(&s->j, "additionalProperties");
    sld_json_bool(&s->j, false);
    sld_json_end(&s->j, '}');
}

void sld_schema_print_json(struct sld_buf *out, const ProtobufCMessageDescriptor *desc)
{
    struct schema s = {0};
    sld_json_init(&s.j, out);
    want(&s, desc);
    sld_json_begin(&s.j, '{');
    put_pair(&s, "$schema", "https://json-schema.org/draft/2020-12/schema");
    sld_json_key(&s.j, "$ref");
    sld_json_str(&s.j, sld_arena_fmt(&s.a, "#/$defs/%s", desc->name));
    sld_json_key(&s.j, "$defs");
    sld_json_begin(&s.j, '{');
    for (size_t i = 0; i < s.count; i++)
        put_definition(&s, s.queue[i]);
    sld_json_end(&s.j, '}');
    sld_json_end(&s.j, '}');
    sld_map_fini(&s.seen);
    sld_arena_fini(&s.a);
}
