// The endpoints, and how a request becomes a call of one.
#include "admin/inside.h"

#include "codec/text.h"

// In alphabetical order of path.
static const struct endpoint endpoints[] = {
    {{"/healthz", "exclude verbose", "the same as /readyz"}, .open = true, .io = health_ready},
    {{"/livez", "exclude verbose", "200 while the process works; 503 when only a restart would help"},
     .open = true,
     .io = health_live},
    {{"/metrics", "", "metrics in Prometheus' text format"},
     .model = metrics_model,
     .finish = metrics_finish,
     .patience_ms = METRICS_PATIENCE_MS},
    {{"/readyz", "exclude verbose", "200 when configuration is served; 503 before, and when stopping"},
     .open = true,
     .io = health_ready},
    {{"/readyz/<check>", "", "one of the checks of /readyz"}, .open = true, .io = health_check},
    {{"/v1", "", "this list"}, .io = v1_index},
    {{"/v1/envoys", "", "connected Envoys with what they acknowledged per type, and the supervised one"},
     .io = v1_envoys},
    {{"/v1/explain/<kind>/<namespace>/<name>", "",
     "the resources for Envoys that an object is part of; the steps, what they read and why they ran last"},
     .model = v1_explain},
    {{"/v1/findings", "continue index kind limit namespace severity wait",
      "what is wrong with objects and files, with places and remedies"},
     .watch = true,
     .model = v1_findings},
    {{"/v1/graph", "", "the tables of the flow with rows and counts of steps"}, .model = v1_graph},
    {{"/v1/kinds", "", "the kinds of objects with their names"}, .io = v1_kinds},
    {{"/v1/objects", "continue index kind limit namespace spec state wait",
      "objects in short, with state, reason and origin"},
     .watch = true,
     .model = v1_objects},
    {{"/v1/objects/<kind>/<namespace>/<name>", "document format index wait",
      "one object with spec, status and findings; secrets as ***"},
     .watch = true,
     .model = v1_object},
    {{"/v1/plugins", "", "plugins with their states, versions and what their hooks did"}, .model = v1_plugins},
    {{"/v1/plugins/<name>", "", "one plugin, with its last errors and their stacks"}, .model = v1_plugin},
    {{"/v1/plugins/<name>/requests", "for limit",
      "what a plugin's hook authorize sees and decides from now on: lines of JSON, secrets as ***"},
     .start = v1_requests,
     .patience_ms = REQUESTS_PATIENCE_MS},
    {{"/v1/secrets", "", "secrets, tokens and leases that sources hold, with versions and expiries; never a value"},
     .io = v1_secrets},
    {{"/v1/sources", "", "where configuration comes from, and whether it can be read"},
     .io = v1_sources},
    {{"/v1/views", "", "the node roles that have listeners"}, .model = v1_views},
    {{"/v1/xds/<view>/<type>", "body continue limit name",
      "what is served to a view (or to the view of a node id): type is cds, eds, lds, rds or sds"},
     .start = v1_xds},
};

// What the parameters mean, in alphabetical order.
static const struct {
    const char *name, *help;
} params[] = {
    {"body", "false: names and versions only"},
    {"continue", "the text of the same name in the answer before: what comes behind it"},
    {"document", "true: also the present document when another form is in force"},
    {"exclude", "a check that does not count"},
    {"for", "how long to record, such as 10s; 2s when absent, below 30s"},
    {"format", "json (default), resource (the object alone, as JSON) or yaml (the object alone)"},
    {"index", "wait until the index is greater than this, an earlier answer's X-Solder-Index"},
    {"kind", "a kind's name, plural or short name"},
    {"limit", "entries at most"},
    {"name", "this one only"},
    {"namespace", "objects of this namespace only"},
    {"severity", "error, warning or note: findings of at least this weight"},
    {"spec", "true: the objects whole"},
    {"state", "Accepted, Pending, Rejected or Warning"},
    {"verbose", "each check with its outcome"},
    {"wait", "how long to wait at most, such as 30s; 5m when absent, 10m at most"},
};

const struct endpoint *endpoint_table(size_t *n)
{
    *n = SLD_ARRAY_LEN(endpoints);
    return endpoints;
}

const struct sld_admin_endpoint *sld_admin_endpoint_at(size_t i)
{
    return i < SLD_ARRAY_LEN(endpoints) ? &endpoints[i].pub : NULL;
}

// ---- Finding ----

// True when PATH has the form of PATTERN; what stands for its <...> goes to ARGS.
static bool path_match(const char *pattern, struct sld_str path, struct sld_str args[ARGS_MAX])
{
    struct sld_str want = sld_str_c(pattern);
    struct sld_str w = SLD_STR_NONE, p = SLD_STR_NONE;
    size_t n = 0;
    while (sld_str_cut(&want, '/', &w)) {
        if (!sld_str_cut(&path, '/', &p))
            return false;
        if (w.n == 0 || w.p[0] != '<') {
            if (!sld_str_eq(w, p))
                return false;
        } else if (p.n == 0) {
            return false;
        } else {
            SLD_INV(n < ARGS_MAX);
            args[n++] = p;
        }
    }
    return !path.p;
}

// The index of NAME in the list PARAMS ("a b c"), or -1.
static int param_index(const char *list, struct sld_str name)
{
    struct sld_str rest = sld_str_c(list);
    struct sld_str word = SLD_STR_NONE;
    for (int i = 0; sld_str_cut(&rest, ' ', &word); i++) {
        if (word.n && sld_str_eq(word, name))
            return i;
    }
    return -1;
}

static bool read_param(struct call *c, struct sld_str pair, struct answer *out)
{
    struct sld_str value = pair, key = SLD_STR_NONE;
    const char *list = c->ep->pub.params;
    (void)sld_str_cut(&value, '=', &key);
    int i = param_index(list, key);
    if (i < 0) {
        answer_problem(out, PROBLEM_UNKNOWN_PARAMETER,
                       "leave it out, or correct its name; GET /v1 explains the parameters",
                       "%s has no parameter \"%.*s\"%s%s", c->ep->pub.path,
                       SLD_FMT(sld_str_sub(key, 0, 256)), *list ? ", only " : "", list);
        return false;
    }
    SLD_INV(i < PARAMS_MAX);
    struct sld_str v = value.p ? sld_percent_decode(c->arena, value, true) : SLD_STR("");
    if (!v.p || c->params[i].p) {
        answer_problem(out, PROBLEM_BAD_PARAMETER, "give each parameter once, percent-encoded",
                       v.p ? "parameter %.*s is given twice" : "parameter %.*s is badly encoded",
                       SLD_FMT(key));
        return false;
    }
    c->params[i] = v;
    return true;
}

bool endpoint_find(struct call *c, struct sld_str path, struct sld_str query, struct answer *out)
{
    struct sld_str pair = SLD_STR_NONE;
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < SLD_ARRAY_LEN(endpoints) && !c->ep; i++) {
        if (path_match(endpoints[i].pub.path, path, c->args))
            c->ep = &endpoints[i];
    }
    if (!c->ep) {
        answer_no_endpoint(out, path);
        return false;
    }
    for (size_t i = 0; i < ARGS_MAX; i++) {
        if (c->args[i].p)
            c->args[i] = sld_arena_str(c->arena, c->args[i]);
    }
    while (sld_str_cut(&query, '&', &pair)) {
        if (pair.n && !read_param(c, pair, out))
            return false;
    }
    return true;
}

// ---- Parameters ----

struct sld_str call_param(const struct call *c, const char *name)
{
    int i = param_index(c->ep->pub.params, sld_str_c(name));
    SLD_PRE(i >= 0);
    return c->params[i];
}

bool call_bool(const struct call *c, const char *name, bool *v, struct answer *out)
{
    struct sld_str s = call_param(c, name);
    if (!s.p)
        return true;
    *v = s.n == 0 || sld_str_eq(s, SLD_STR("true")) || sld_str_eq(s, SLD_STR("1"));
    if (*v || sld_str_eq(s, SLD_STR("false")) || sld_str_eq(s, SLD_STR("0")))
        return true;
    answer_problem(out, PROBLEM_BAD_PARAMETER, "write true or false", "%s=%.*s is neither true nor false",
                   name, SLD_FMT(sld_str_sub(s, 0, 256)));
    return false;
}

bool call_u64(const struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *v,
              struct answer *out)
{
    struct sld_str s = call_param(c, name);
    uint64_t n = 0;
    if (!s.p)
        return true;
    if (sld_str_u64(s, &n) && n >= min && n <= max) {
        *v = n;
        return true;
    }
    answer_problem(out, PROBLEM_BAD_PARAMETER, "write a decimal number in that range",
                   "%s=%.*s is no number from %llu to %llu", name,
                   SLD_FMT(sld_str_sub(s, 0, 256)), (unsigned long long)min,
                   (unsigned long long)max);
    return false;
}

bool call_kind(struct sld_str word, enum sld_kind *k, struct answer *out)
{
    const struct sld_kind_info *info = sld_kind_find(word);
    if (!info) {
        const struct sld_kind_info *near = sld_kind_nearest(word);
        answer_problem(out, PROBLEM_BAD_PARAMETER, "use a name of the list at /v1/kinds",
                       "\"%.*s\" is no kind%s%s%s", SLD_FMT(sld_str_sub(word, 0, 256)),
                       near ? "; did you mean " : "", near ? near->name : "", near ? "?" : "");
        return false;
    }
    *k = info->kind;
    return true;
}

// ---- GET /v1 ----

void v1_index(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_json j;
    (void)c;
    answer_json(out, &j);
    put_str(&j, "version", a->opt.version);
    sld_json_key(&j, "endpoints");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < SLD_ARRAY_LEN(endpoints); i++) {
        struct sld_str rest = sld_str_c(endpoints[i].pub.params), word = SLD_STR_NONE;
        sld_json_begin(&j, '{');
        put_c(&j, "path", endpoints[i].pub.path);
        put_c(&j, "help", endpoints[i].pub.help);
        sld_json_key(&j, "parameters");
        sld_json_begin(&j, '[');
        while (sld_str_cut(&rest, ' ', &word)) {
            if (word.n)
                sld_json_str(&j, word);
        }
        sld_json_end(&j, ']');
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    sld_json_key(&j, "parameters");
    sld_json_begin(&j, '{');
    for (size_t i = 0; i < SLD_ARRAY_LEN(params); i++)
        put_c(&j, params[i].name, params[i].help);
    sld_json_end(&j, '}');
    answer_json_end(out, &j);
}

void v1_kinds(struct sld_admin *a, const struct call *c, struct answer *out)
{
    struct sld_json j;
    (void)a;
    (void)c;
    answer_json(out, &j);
    sld_json_key(&j, "kinds");
    sld_json_begin(&j, '[');
    for (int k = 0; k < SLD_KIND_COUNT; k++) {
        const struct sld_kind_info *info = sld_kind_info((enum sld_kind)k);
        sld_json_begin(&j, '{');
        put_c(&j, "kind", info->name);
        put_c(&j, "group", info->group);
        put_c(&j, "version", info->version);
        put_c(&j, "plural", info->plural);
        sld_json_key(&j, "shortNames");
        sld_json_begin(&j, '[');
        for (const char *const *s = info->short_names; *s; s++)
            sld_json_str(&j, sld_str_c(*s));
        sld_json_end(&j, ']');
        put_c(&j, "help", sld_msg_info(info->desc)->doc);
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    answer_json_end(out, &j);
}
