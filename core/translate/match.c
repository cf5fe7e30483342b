// Matchers (gloo-compat 1.5, 3.10).
#include "translate/route.h"

#include "envoy/type/matcher/v3/regex.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"

struct sld_str tr_matcher_path(const Gloo__Matcher *m)
{
    switch (m->path_specifier_case) {
    case GLOO__MATCHER__PATH_SPECIFIER_PREFIX:
        return sld_str_c(m->prefix);
    case GLOO__MATCHER__PATH_SPECIFIER_EXACT:
        return sld_str_c(m->exact);
    case GLOO__MATCHER__PATH_SPECIFIER_REGEX:
        return sld_str_c(m->regex);
    default:
        return SLD_STR("");
    }
}

static void set_path(struct sld_arena *a, Env__Route__RouteMatch *out, const Gloo__Matcher *m)
{
    switch (m->path_specifier_case) {
    case GLOO__MATCHER__PATH_SPECIFIER_EXACT:
        out->path_specifier_case = ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PATH;
        out->path = m->exact;
        break;
    case GLOO__MATCHER__PATH_SPECIFIER_REGEX:
        out->path_specifier_case = ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX;
        out->safe_regex = tr_regex(a, sld_str_c(m->regex));
        break;
    case GLOO__MATCHER__PATH_SPECIFIER_CONNECT_MATCHER:
        out->path_specifier_case = ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_CONNECT_MATCHER;
        out->connect_matcher = SLD_MSG(a, Env__Route__RouteMatch__ConnectMatcher,
                                       env__route__route_match__connect_matcher);
        break;
    default:
        out->path_specifier_case = ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
        out->prefix = m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_PREFIX
                          ? m->prefix
                          : SLD_MSG_STR(a, SLD_STR("/"));
        break;
    }
}

static Env__TypeMatcher__StringMatcher *text(struct sld_arena *a, char *value, bool regex)
{
    Env__TypeMatcher__StringMatcher *s =
        SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    if (regex) {
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
        s->safe_regex = tr_regex(a, sld_str_c(value));
    } else {
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
        s->exact = value;
    }
    return s;
}

static Env__Route__HeaderMatcher *header(struct sld_arena *a, char *name, char *value, bool regex,
                                         bool invert)
{
    Env__Route__HeaderMatcher *h =
        SLD_MSG(a, Env__Route__HeaderMatcher, env__route__header_matcher);
    h->name = name;
    h->invert_match = invert;
    if (*value) {
        h->header_match_specifier_case =
            ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
        h->string_match = text(a, value, regex);
    } else {
        h->header_match_specifier_case =
            ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
        h->present_match = true;
    }
    return h;
}

// "GET|POST". Methods are tokens, whose characters may mean something to RE2: those are escaped.
static char *any_of(struct sld_arena *a, char *const *methods, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += 2 * strlen(methods[i]) + 1;
    char *out = sld_arena_alloc(a, len + 1), *p = out;
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = '|';
        for (const char *c = methods[i]; *c; c++) {
            if (strchr("$*+.^|", *c))
                *p++ = '\\';
            *p++ = *c;
        }
    }
    return out;
}

static void set_headers(struct sld_arena *a, Env__Route__RouteMatch *out, const Gloo__Matcher *m)
{
    size_t n = m->n_headers + (m->n_methods > 0);
    if (!n)
        return;
    out->headers = SLD_ARENA_ARRAY(a, Env__Route__HeaderMatcher *, n);
    for (size_t i = 0; i < m->n_headers; i++) {
        const Gloo__HeaderMatcher *h = m->headers[i];
        out->headers[out->n_headers++] = header(a, h->name, h->value, h->regex, h->invert_match);
    }
    if (m->n_methods)
        out->headers[out->n_headers++] = header(a, SLD_MSG_STR(a, SLD_STR(":method")),
                                                any_of(a, m->methods, m->n_methods), true, false);
}

static Env__Route__QueryParameterMatcher *query(struct sld_arena *a,
                                                const Gloo__QueryParameterMatcher *q)
{
    Env__Route__QueryParameterMatcher *out =
        SLD_MSG(a, Env__Route__QueryParameterMatcher, env__route__query_parameter_matcher);
    out->name = q->name;
    if (*q->value) {
        out->query_parameter_match_specifier_case =
            ENV__ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_STRING_MATCH;
        out->string_match = text(a, q->value, q->regex);
    } else {
        out->query_parameter_match_specifier_case =
            ENV__ROUTE__QUERY_PARAMETER_MATCHER__QUERY_PARAMETER_MATCH_SPECIFIER_PRESENT_MATCH;
        out->present_match = true;
    }
    return out;
}

Env__Route__RouteMatch *tr_match(struct sld_arena *a, const Gloo__Matcher *m)
{
    Env__Route__RouteMatch *out = SLD_MSG(a, Env__Route__RouteMatch, env__route__route_match);
    set_path(a, out, m);
    out->case_sensitive = m->case_sensitive;
    set_headers(a, out, m);
    if (m->n_query_parameters)
        out->query_parameters =
            SLD_ARENA_ARRAY(a, Env__Route__QueryParameterMatcher *, m->n_query_parameters);
    for (size_t i = 0; i < m->n_query_parameters; i++)
        out->query_parameters[out->n_query_parameters++] = query(a, m->query_parameters[i]);
    return out;
}
