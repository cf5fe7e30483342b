// Edge code in Envoy's configuration. The text is in the listeners, once for each plugin; configurations are with routes.
#include "plugin/ship.h"

#include "envoy/extensions/filters/http/lua/v3/lua.pb-c.h"
#include "plugin/declare.h"

enum { CONF_MAX = 1 << 20 };

// In the place of a guard that is gone: for Envoys whose routes still ask it.
static const char closed[] = "function envoy_on_request(handle)\n  handle:respond({[\":status\"] = \"503\"}, \"\")\nend\n";

bool pl_ships(const struct sld_plugin_slot *slot)
{
    return slot && (slot->gone ? slot->gone_edge : slot->plugin && slot->plugin->edge.text.n);
}

char *pl_ship_name(struct sld_arena *a, struct sld_str plugin)
{
    return SLD_MSG_STR(a, SLD_ARENA_JOIN(a, SLD_STR("solder.lua."), plugin));
}

void pl_ship_filters(struct tr_listener *l)
{
    struct sld_arena *a = l->tr->arena;
    const struct sld_plugin_slot *all = l->hcm ? tr_plugin(l->tr, SLD_PLUGIN_EDGES) : NULL;
    for (size_t i = 0; all && i < all->member_count; i++) {
        const struct sld_plugin_slot *slot = all->members[i];
        const struct sld_plugin *p = slot->plugin;
        Env__HttpLua__Lua *m = SLD_MSG(a, Env__HttpLua__Lua, env__http_lua__lua);
        m->default_source_code = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
        m->default_source_code->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
        m->default_source_code->inline_string = SLD_MSG_STR(a, p ? p->edge.text : sld_str_c(closed));
        // A header that is set chooses no other route, behind the backs of those who looked at this one.
        m->clear_route_cache = SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value);
        bool decides = !p || p->info.hooks & (1U << SLD_HOOK_AUTHORIZE);
        tr_filter_add(l, decides ? SLD_STAGE_AUTHZ : SLD_STAGE_ACCEPTED, SLD_DURING, pl_ship_name(a, p ? p->info.name : slot->name), &m->base, true);
    }
}

// ---- Configurations ----

static void set(struct sld_arena *a, Google__Protobuf__Struct *s, const char *key, Google__Protobuf__Value *v)
{
    Google__Protobuf__Struct__FieldsEntry *e = SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    e->key = SLD_MSG_STR(a, sld_str_c(key));
    e->value = v;
    SLD_PUSH(a, s->fields, s->n_fields, e);
}

static Google__Protobuf__Value *text_value(struct sld_arena *a, struct sld_str text)
{
    Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = SLD_MSG_STR(a, text);
    return v;
}

// V as Lua writes it.
static void write_value(struct sld_buf *b, const Google__Protobuf__Value *v)
{
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        sld_buf_addf(b, "%.17g", v->number_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        pl_lua_quote(b, sld_str_c(v->string_value));
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        sld_buf_addz(b, v->bool_value ? "true" : "false");
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        sld_buf_addc(b, '{');
        for (size_t i = 0; i < v->struct_value->n_fields; i++) {
            sld_buf_addz(b, i ? ", [" : "[");
            pl_lua_quote(b, sld_str_c(v->struct_value->fields[i]->key));
            sld_buf_addz(b, "] = ");
            write_value(b, v->struct_value->fields[i]->value);
        }
        sld_buf_addc(b, '}');
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        sld_buf_addc(b, '{');
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            sld_buf_addz(b, i ? ", " : "");
            write_value(b, v->list_value->values[i]);
        }
        sld_buf_addc(b, '}');
        break;
    default:
        sld_buf_addz(b, "nil");
    }
}

// What lua/edge.lua reads: the configuration, whether errors let requests pass, and a name for both. Envoy copies it for each
// request, which is cheap for a text and is not for what it was made of.
enum sld_rc pl_ship_conf(struct sld_arena *a, const struct sld_plugin_slot *slot, const Google__Protobuf__Value *conf,
                         Google__Protobuf__Any **out, struct sld_err *err)
{
    Google__Protobuf__Value *filled;
    enum sld_rc rc = pl_conf_filled(slot->plugin, conf, a, &filled, err);
    if (rc)
        return sld_err_wrap(err, "plugin %.*s", SLD_FMT(slot->plugin->info.name));
    Env__HttpLua__LuaPerRoute *m = SLD_MSG(a, Env__HttpLua__LuaPerRoute, env__http_lua__lua_per_route);
    m->filter_context = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    struct sld_buf b;
    sld_buf_init(&b, CONF_MAX);
    write_value(&b, filled);
    if (b.full)
        rc = sld_err_set(err, SLD_LIMIT, "plugin %.*s: the configuration is more than 1MiB, too large for Envoy",
                         SLD_FMT(slot->plugin->info.name));
    else
        set(a, m->filter_context, "conf", text_value(a, sld_buf_str(&b)));
    sld_buf_fini(&b);
    if (rc)
        return rc;
    if (slot->declared && !strcmp(slot->declared->on_error, "open")) {
        Google__Protobuf__Value *open = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
        open->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        open->bool_value = true;
        set(a, m->filter_context, "open", open);
    }
    char id[17];
    sld_hash_text(sld_msg_hash(&m->base), id);
    set(a, m->filter_context, "id", text_value(a, sld_str_c(id)));
    *out = sld_msg_any(a, &m->base);
    return SLD_OK;
}
