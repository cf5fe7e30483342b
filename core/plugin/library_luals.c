// Definitions for editors with LuaLS, from the tables of the library, and of Envoy's messages as far as hooks are given them.
#include "plugin/library.h"

static void put_comment(struct sld_buf *out, const char *text)
{
    if (text[0])
        sld_buf_addf(out, "---%s\n", text);
}

// A type name: classes of the library have "solder." in front.
static void put_type(struct sld_buf *out, const struct pl_module *m, const char *type)
{
    struct sld_str prefix = sld_str_c(pl_module_word(m)), rest = sld_str_c(type);
    for (size_t i = 0; i < rest.n; i++) {
        bool begins = i == 0 || strchr("|<,: (", rest.p[i - 1]);
        struct sld_str here = sld_str_sub(rest, i, rest.n);
        if (begins && sld_str_starts(here, prefix) && here.n > prefix.n && here.p[prefix.n] == '.')
            sld_buf_addz(out, "solder.");
        sld_buf_addc(out, rest.p[i]);
    }
}

static void put_fields(struct sld_buf *out, const struct pl_module *m, const struct pl_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sld_buf_addf(out, "---@field %s ", values[i].name);
        put_type(out, m, values[i].type);
        sld_buf_addf(out, "%s%s\n", values[i].doc[0] ? " " : "", values[i].doc);
    }
}

static void put_function(struct sld_buf *out, const struct pl_module *m, const struct pl_binding *b)
{
    size_t params = pl_value_count(b->params, PL_PARAMS_MAX), returns = pl_value_count(b->returns, PL_RETURNS_MAX);
    const char *object = b->of ? strchr(b->of, '.') + 1 : NULL;
    sld_buf_addc(out, '\n');
    put_comment(out, b->doc);
    put_comment(out, pl_phases_text(b));
    for (size_t i = 0; i < params; i++) {
        sld_buf_addf(out, "---@param %s ", b->params[i].name);
        put_type(out, m, b->params[i].type);
        sld_buf_addf(out, "%s%s\n", b->params[i].doc[0] ? " " : "", b->params[i].doc);
    }
    for (size_t i = 0; i < returns; i++) {
        struct sld_str name = pl_bare(b->returns[i].name);
        bool may = name.n != strlen(b->returns[i].name), whole = strcmp(b->returns[i].type, "any") == 0;
        sld_buf_addz(out, may && !whole ? "---@return (" : "---@return ");
        put_type(out, m, b->returns[i].type);
        sld_buf_addf(out, "%s %.*s%s%s\n", may && !whole ? ")|nil" : "", SLD_FMT(name), b->returns[i].doc[0] ? " # " : "", b->returns[i].doc);
    }
    sld_buf_addf(out, "function %s%s%s(", object ? object : "M", object ? ":" : ".", b->name);
    for (size_t i = 0; i < params; i++)
        sld_buf_addf(out, "%s%.*s", i ? ", " : "", SLD_FMT(pl_bare(b->params[i].name)));
    sld_buf_addz(out, ") end\n");
}

static bool is_object(const struct pl_module *m, const struct pl_class *c)
{
    for (size_t i = 0; i < m->binding_count; i++) {
        if (m->bindings[i].of && strcmp(m->bindings[i].of, c->name) == 0)
            return true;
    }
    return false;
}

static void put_classes(struct sld_buf *out, const struct pl_module *m)
{
    for (size_t i = 0; i < m->class_count; i++) {
        const struct pl_class *c = &m->classes[i];
        sld_buf_addc(out, '\n');
        put_comment(out, c->doc);
        sld_buf_addf(out, "---@class solder.%s\n", c->name);
        put_fields(out, m, c->fields, c->field_count);
        if (is_object(m, c))
            sld_buf_addf(out, "local %s = {}\n", strchr(c->name, '.') + 1);
    }
}

// ---- Envoy's messages ----

static void put_scalar(struct sld_buf *out, const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        sld_buf_addz(out, "string");
        break;
    case PROTOBUF_C_TYPE_BOOL:
        sld_buf_addz(out, "boolean");
        break;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        sld_buf_addz(out, "number");
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumDescriptor *e = f->descriptor;
        sld_buf_addz(out, "(");
        for (unsigned i = 0; i < e->n_values; i++)
            sld_buf_addf(out, "%s\"%s\"", i ? "|" : "", e->values[i].name);
        sld_buf_addz(out, ")");
        break;
    }
    default:
        sld_buf_addz(out, "integer");
    }
}

// The type of what F holds one of; messages that are not simple come to *SEEN.
static void put_field_type(struct sld_buf *out, const ProtobufCFieldDescriptor *f, struct sld_map *seen)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
        put_scalar(out, f);
        return;
    }
    const struct sld_msg_info *info = sld_msg_info(f->descriptor);
    switch (info->wkt) {
    case SLD_WKT_DURATION:
        sld_buf_addz(out, "string|number");
        break;
    case SLD_WKT_TIMESTAMP:
        sld_buf_addz(out, "string");
        break;
    case SLD_WKT_WRAPPER:
        put_scalar(out, info->desc->fields);
        break;
    case SLD_WKT_NONE:
        sld_buf_addz(out, info->desc->name);
        sld_map_set(seen, sld_str_c(info->desc->name), (void *)(uintptr_t)info->desc); // only read
        break;
    default:
        sld_buf_addz(out, "table");
    }
}

static void put_message(struct sld_buf *out, const struct sld_msg_info *info, struct sld_map *seen)
{
    sld_buf_addf(out, "\n---@class %s\n", info->desc->name);
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &info->desc->fields[i];
        bool many = f->label == PROTOBUF_C_LABEL_REPEATED;
        sld_buf_addf(out, "---@field %s%s ", f->name, many ? "" : "?");
        if (many && info->fields[i].is_map) {
            sld_buf_addz(out, "table<string, ");
            put_field_type(out, &((const ProtobufCMessageDescriptor *)f->descriptor)->fields[1], seen);
            sld_buf_addz(out, ">\n");
            continue;
        }
        sld_buf_addz(out, many ? "(" : "");
        put_field_type(out, f, seen);
        sld_buf_addz(out, many ? ")[]\n" : "\n");
    }
}

// The messages that hooks are given, and what is in them.
static void put_messages(struct sld_buf *out)
{
    static const char *const roots[] = {"envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "envoy.config.route.v3.Route",
                                        "envoy.config.route.v3.VirtualHost",
                                        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                                        "envoy.extensions.transport_sockets.tls.v3.Secret"};
    struct sld_map seen = {0}, done = {0};
    for (size_t i = 0; i < SLD_ARRAY_LEN(roots); i++)
        sld_map_set(&seen, sld_str_c(roots[i]), (void *)(uintptr_t)sld_msg_find(sld_str_c(roots[i]))->desc); // only read
    for (bool more = true; more;) {
        size_t n;
        struct sld_str *names = sld_map_sorted_keys(&seen, &n);
        more = false;
        for (size_t i = 0; i < n; i++) {
            if (sld_map_has(&done, names[i]))
                continue;
            more = true;
            sld_map_set(&done, names[i], out);
            put_message(out, sld_msg_find(names[i]), &seen);
        }
        sld_xfree(names);
    }
    sld_map_fini(&seen);
    sld_map_fini(&done);
}

// ---- Files ----

static void put_plugin(struct sld_buf *out)
{
    put_classes(out, &pl_handles);
    sld_buf_addz(out, "\n---The table of a plugin: return {...} --[[@as solder.Plugin]]\n---@class solder.Plugin\n");
    put_fields(out, &pl_handles, pl_handles.values, pl_handles.value_count);
    for (size_t i = 0; i < pl_hook_doc_count; i++) {
        sld_buf_addf(out, "---@field %s? ", sld_hook_name(pl_hook_docs[i].hook));
        put_type(out, &pl_handles, pl_hook_docs[i].type);
        sld_buf_addc(out, '\n');
    }
    for (size_t i = 0; i < pl_handles.binding_count; i++)
        put_function(out, &pl_handles, &pl_handles.bindings[i]);
    put_messages(out);
}

void pl_luals_print(struct sld_buf *out, const struct pl_module *m)
{
    sld_buf_addf(out, "---@meta %s\n-- Made by solder plugin doc --luals. %s\n", m->name, m->doc);
    if (m == &pl_handles) {
        put_plugin(out);
        return;
    }
    put_classes(out, m);
    sld_buf_addf(out, "\n---@class %s\n", m->name);
    put_fields(out, m, m->values, m->value_count);
    sld_buf_addz(out, "local M = {}\n");
    for (size_t i = 0; i < m->binding_count; i++)
        put_function(out, m, &m->bindings[i]);
    sld_buf_addz(out, "\nreturn M\n");
}
