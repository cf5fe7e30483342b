// Entries of access logs as tables, and the hook that gets them. Each call has tables of its own.
#include "plugin/log.h"

#include "plugin/task.h"
#include "plugin/value.h"

#include "envoy/data/accesslog/v3/accesslog.pb-c.h"

enum { ENTRY_STEPS = 200 };

typedef Env__DataAccesslog__HTTPAccessLogEntry entry;

// ---- Fields ----

static void set_text(lua_State *L, const char *name, const char *s)
{
    if (!s || !s[0])
        return;
    lua_pushstring(L, s);
    lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, uint64_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

// In seconds; nothing where it did not come to that.
static void set_time(lua_State *L, const char *name, const Google__Protobuf__Duration *d)
{
    if (!d)
        return;
    lua_pushnumber(L, (lua_Number)d->seconds + (lua_Number)d->nanos / 1e9);
    lua_setfield(L, -2, name);
}

static const char *host_of(const Env__Core__Address *a)
{
    return a && a->address_case == ENV__CORE__ADDRESS__ADDRESS_SOCKET_ADDRESS ? a->socket_address->address : NULL;
}

static void set_flags(lua_State *L, const Env__DataAccesslog__ResponseFlags *f)
{
    lua_Integer n = 0;
    lua_newtable(L);
    const ProtobufCMessageDescriptor *d = &env__data_accesslog__response_flags__descriptor;
    for (unsigned i = 0; f && i < d->n_fields; i++) {
        const void *at = (const char *)f + d->fields[i].offset;
        bool set = d->fields[i].type == PROTOBUF_C_TYPE_BOOL ? *(const protobuf_c_boolean *)at : f->unauthorized_details != NULL;
        if (!set)
            continue;
        lua_pushstring(L, d->fields[i].type == PROTOBUF_C_TYPE_BOOL ? d->fields[i].name : "unauthorized");
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "flags");
}

static void set_metadata(lua_State *L, const Env__Core__Metadata *m)
{
    lua_newtable(L);
    for (size_t i = 0; m && i < m->n_filter_metadata; i++) {
        Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
        v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v.struct_value = m->filter_metadata[i]->value;
        if (!v.struct_value)
            continue;
        pl_push_value(L, &v);
        lua_setfield(L, -2, m->filter_metadata[i]->key);
    }
    lua_setfield(L, -2, "metadata");
}

static void set_upstream(lua_State *L, const Env__DataAccesslog__AccessLogCommon *c)
{
    if (!c->upstream_cluster[0] && !c->upstream_remote_address)
        return;
    lua_newtable(L);
    set_text(L, "cluster", c->upstream_cluster);
    if (host_of(c->upstream_remote_address)) {
        lua_pushfstring(L, "%s:%d", host_of(c->upstream_remote_address), (int)c->upstream_remote_address->socket_address->port_value);
        lua_setfield(L, -2, "address");
    }
    set_count(L, "attempts", c->upstream_request_attempt_count);
    lua_setfield(L, -2, "upstream");
}

static void set_common(lua_State *L, const Env__DataAccesslog__AccessLogCommon *c)
{
    if (c->start_time) {
        lua_pushnumber(L, (lua_Number)c->start_time->seconds + (lua_Number)c->start_time->nanos / 1e9);
        lua_setfield(L, -2, "time");
    }
    set_time(L, "duration", c->duration ? c->duration : c->time_to_last_downstream_tx_byte);
    set_time(L, "request_duration", c->time_to_last_rx_byte);
    set_time(L, "upstream_first_byte", c->time_to_first_upstream_rx_byte);
    set_time(L, "upstream_last_byte", c->time_to_last_upstream_rx_byte);
    set_time(L, "first_byte", c->time_to_first_downstream_tx_byte);
    set_text(L, "source", host_of(c->downstream_remote_address));
    set_text(L, "sni", c->tls_properties ? c->tls_properties->tls_sni_hostname : NULL);
    set_text(L, "route", c->route_name);
    set_upstream(L, c);
    set_flags(L, c->response_flags);
    set_metadata(L, c->metadata);
}

static void set_request(lua_State *L, const Env__DataAccesslog__HTTPRequestProperties *r)
{
    const ProtobufCEnumValue *method =
        protobuf_c_enum_descriptor_get_value(&env__core__request_method__descriptor, (int)r->request_method);
    set_text(L, "method", method && r->request_method ? method->name : NULL);
    set_text(L, "path", r->original_path[0] ? r->original_path : r->path);
    set_text(L, "sent_path", r->path);
    set_text(L, "host", r->authority);
    set_text(L, "scheme", r->scheme);
    set_text(L, "id", r->request_id);
    set_text(L, "user_agent", r->user_agent);
    set_text(L, "referer", r->referer);
    set_text(L, "forwarded_for", r->forwarded_for);
    set_count(L, "request_bytes", r->request_body_bytes);
    set_count(L, "request_header_bytes", r->request_headers_bytes);
    lua_newtable(L);
    for (size_t i = 0; i < r->n_request_headers; i++)
        set_text(L, r->request_headers[i]->key, r->request_headers[i]->value);
    lua_setfield(L, -2, "request_headers");
}

static void set_response(lua_State *L, const Env__DataAccesslog__HTTPResponseProperties *r)
{
    if (r->response_code)
        set_count(L, "status", r->response_code->value);
    set_text(L, "details", r->response_code_details);
    set_count(L, "response_bytes", r->response_body_bytes);
    set_count(L, "response_header_bytes", r->response_headers_bytes);
    lua_newtable(L);
    for (size_t i = 0; i < r->n_response_headers; i++)
        set_text(L, r->response_headers[i]->key, r->response_headers[i]->value);
    lua_setfield(L, -2, "response_headers");
}

static void push_entry(lua_State *L, const entry *e)
{
    static const char *const versions[] = {NULL, "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"};
    pl_spend(L, ENTRY_STEPS);
    lua_createtable(L, 0, 24);
    if ((unsigned)e->protocol_version < SLD_ARRAY_LEN(versions))
        set_text(L, "protocol", versions[e->protocol_version]);
    if (e->common_properties)
        set_common(L, e->common_properties);
    if (e->request)
        set_request(L, e->request);
    if (e->response)
        set_response(L, e->response);
}

// ---- The hook ----

static int push_hook(lua_State *L)
{
    const struct sld_log *c = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_LOG);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
    if (c->made) {
        pl_push_value(L, c->made);
        return 0;
    }
    lua_createtable(L, (int)c->entry_count, 0);
    for (size_t i = 0; i < c->entry_count; i++) {
        push_entry(L, c->entries[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 0;
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct sld_log *c = user;
    c->task = NULL;
    c->done(c->user, rc, err);
}

enum sld_rc sld_plugin_log(struct sld_plugin *p, struct sld_reactor *r, struct sld_log *c, struct sld_err *err)
{
    const struct pl_task_call call = {
        .hook = SLD_HOOK_LOG,
        .phase = PL_REQUEST,
        .push = push_hook,
        .arg = c,
        .deadline_ms = c->deadline_ms,
        .done = on_done,
        .user = c,
    };
    struct pl_task *task = NULL;
    enum sld_rc rc = pl_task_start(p, r, &call, &task, err);
    if (task)
        c->task = task; // else it is over, and C may be gone
    return rc;
}

void sld_plugin_log_cancel(struct sld_log *c)
{
    pl_task_cancel(c->task);
    c->task = NULL;
}
