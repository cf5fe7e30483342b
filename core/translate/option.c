// What several options are made and checked with.
#include "translate/option.h"

#include <math.h>

#include "codec/regex.h"
#include "envoy/type/matcher/v3/regex.pb-c.h"
#include "envoy/type/v3/percent.pb-c.h"

struct sld_str tr_item_path(struct sld_arena *a, const char *field, size_t i, const char *rest)
{
    if (!rest)
        return sld_arena_fmt(a, "%s[%zu]", field, i);
    return sld_arena_fmt(a, "%s[%zu].%s", field, i, rest);
}

// ---- Extensions ----

static bool has_config(const Gloo__Extensions *e, const char *key)
{
    for (size_t i = 0; i < e->n_configs; i++) {
        if (strcmp(e->configs[i]->key, key) == 0)
            return true;
    }
    return false;
}

Gloo__Extensions *tr_merge_extensions(struct sld_arena *a, Gloo__Extensions *own, Gloo__Extensions *from)
{
    if (!own || !from || own == from)
        return own ? own : from;
    Gloo__Extensions *out = SLD_MSG(a, Gloo__Extensions, gloo__extensions);
    for (size_t i = 0; i < own->n_configs; i++)
        SLD_PUSH(a, out->configs, out->n_configs, own->configs[i]);
    for (size_t i = 0; i < from->n_configs; i++) {
        if (!has_config(own, from->configs[i]->key))
            SLD_PUSH(a, out->configs, out->n_configs, from->configs[i]);
    }
    return out;
}

// ---- Regular expressions and rewrites ----

bool tr_note_regex(struct sld_report *r, struct sld_str path, struct sld_str pattern)
{
    struct sld_report said = {.arena = r->arena};
    bool ok = tr_check_regex(&said, "", pattern);
    for (size_t i = 0; i < said.count; i++) {
        if (said.items[i].code != SLD_ROUTE_REGEX)
            sld_report_add(r, said.items[i].severity, said.items[i].code, path, "%.*s",
                           SLD_FMT(said.items[i].message));
    }
    return ok;
}

static bool path_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && strchr("-._~!$&'()*+,;=:@/", c) != NULL;
}

static bool hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

const char *tr_path_problem(struct sld_str path)
{
    static const struct {
        struct sld_str part;
        const char *words;
    } parts[] = {
        {SLD_STR_INIT("//"), "must not have //"},
        {SLD_STR_INIT("/./"), "must not have /./"},
        {SLD_STR_INIT("/../"), "must not have /../"},
        {SLD_STR_INIT("%2f"), "must not have an escaped slash (%2f)"},
        {SLD_STR_INIT("%2F"), "must not have an escaped slash (%2F)"},
        {SLD_STR_INIT("#"), "must not have #"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        if (sld_str_find(path, parts[i].part) >= 0)
            return parts[i].words;
    }
    if (sld_str_ends(path, SLD_STR("/..")) || sld_str_ends(path, SLD_STR("/.")))
        return "must not end in /. or /..";
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '%' && i + 2 < path.n && hex(path.p[i + 1]) && hex(path.p[i + 2])) {
            i += 2;
            continue;
        }
        if (!path_char(path.p[i]))
            return "may have letters, digits and -._~!$&'()*+,;=:@/ only; percent-encode the rest";
    }
    return NULL;
}

// Envoy takes \0 to \9 and \\ only, and no number beyond the captures.
static bool substitution_ok(const char *s, int groups)
{
    for (; *s; s++) {
        if (*s != '\\')
            continue;
        s++;
        if (*s == '\\')
            continue;
        if (*s < '0' || *s > '9' || *s - '0' > groups)
            return false;
    }
    return true;
}

void tr_check_rewrite(struct sld_report *r, const char *field,
                      const Gloo__RegexMatchAndSubstitute *s)
{
    if (!s->pattern)
        return; // the schema's finding
    struct sld_str old = sld_report_enter(r, field, -1);
    struct sld_str pattern = sld_str_c(s->pattern->regex);
    struct sld_regex *re = NULL;
    if (tr_note_regex(r, SLD_STR("pattern.regex"), pattern))
        re = sld_regex_create(pattern, NULL);
    if (re && !substitution_ok(s->substitution, sld_regex_groups(re)))
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("substitution"),
                       "a backslash must be followed by another one, or by the number of a capture "
                       "of the pattern (0 to %d)",
                       sld_regex_groups(re));
    sld_regex_destroy(re);
    sld_report_leave(r, old);
}

Env__TypeMatcher__RegexMatchAndSubstitute *tr_rewrite(struct sld_arena *a,
                                                      const Gloo__RegexMatchAndSubstitute *s)
{
    Env__TypeMatcher__RegexMatchAndSubstitute *out =
        SLD_MSG(a, Env__TypeMatcher__RegexMatchAndSubstitute,
                env__type_matcher__regex_match_and_substitute);
    out->pattern = tr_regex(a, sld_str_c(s->pattern->regex));
    out->substitution = s->substitution;
    return out;
}

// ---- Parts of Envoy's messages ----

Env__Type__FractionalPercent *tr_percent(struct sld_arena *a, float percent)
{
    Env__Type__FractionalPercent *f =
        SLD_MSG(a, Env__Type__FractionalPercent, env__type__fractional_percent);
    f->numerator = (uint32_t)lround((double)percent * 10000);
    f->denominator = ENV__TYPE__FRACTIONAL_PERCENT__DENOMINATOR_TYPE__MILLION;
    return f;
}

void tr_route_filter(struct tr_route *r, const char *name, const ProtobufCMessage *config)
{
    struct sld_arena *a = r->tr->arena;
    Env__Route__Route__TypedPerFilterConfigEntry *e =
        SLD_MSG(a, Env__Route__Route__TypedPerFilterConfigEntry,
                env__route__route__typed_per_filter_config_entry);
    e->key = SLD_MSG_STR(a, sld_str_c(name));
    e->value = sld_msg_any(a, config);
    SLD_PUSH(a, r->route->typed_per_filter_config, r->route->n_typed_per_filter_config, e);
}

void tr_vhost_filter(struct tr_vhost *v, const char *name, const ProtobufCMessage *config)
{
    struct sld_arena *a = v->tr->arena;
    Env__Route__VirtualHost__TypedPerFilterConfigEntry *e =
        SLD_MSG(a, Env__Route__VirtualHost__TypedPerFilterConfigEntry,
                env__route__virtual_host__typed_per_filter_config_entry);
    e->key = SLD_MSG_STR(a, sld_str_c(name));
    e->value = sld_msg_any(a, config);
    SLD_PUSH(a, v->vh->typed_per_filter_config, v->vh->n_typed_per_filter_config, e);
}

// ---- Upgrades ----

struct sld_str tr_upgrade_type(const Gloo__ProtocolUpgradeConfig *u)
{
    switch (u->upgrade_type_case) {
    case GLOO__PROTOCOL_UPGRADE_CONFIG__UPGRADE_TYPE_WEBSOCKET:
        return SLD_STR("websocket");
    case GLOO__PROTOCOL_UPGRADE_CONFIG__UPGRADE_TYPE_CONNECT:
    case GLOO__PROTOCOL_UPGRADE_CONFIG__UPGRADE_TYPE_CONNECT_TERMINATE:
        return SLD_STR("CONNECT");
    default:
        return SLD_STR_NONE;
    }
}

Google__Protobuf__BoolValue *tr_upgrade_enabled(const Gloo__ProtocolUpgradeConfig *u)
{
    // The arms of the union have one type.
    return tr_upgrade_type(u).p ? u->websocket->enabled : NULL;
}

void tr_check_upgrades(struct sld_report *r, const char *field,
                       Gloo__ProtocolUpgradeConfig *const *u, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_str type = tr_upgrade_type(u[i]);
        for (size_t k = 0; type.p && k < i; k++) {
            if (!sld_str_eq(type, tr_upgrade_type(u[k])))
                continue;
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, tr_item_path(r->arena, field, i, NULL),
                           "upgrade type %.*s stands twice; keep one of the two%s", SLD_FMT(type),
                           type.p[0] == 'C' ? " (connect and connectTerminate are one type)" : "");
            break;
        }
    }
}

// ---- Options without effect ----

void tr_note_unused(const struct sld_feature_check *c, const char *field)
{
    const Gloo__Route *r = c->route_object;
    if (!r || (r->action_case != GLOO__ROUTE__ACTION_REDIRECT_ACTION &&
               r->action_case != GLOO__ROUTE__ACTION_DIRECT_RESPONSE_ACTION))
        return;
    sld_report_add(c->report, SLD_NOTE, SLD_OPTION_UNUSED, sld_str_c(field),
                   "%s has no effect on a route that answers by itself; remove it", field);
}
