// Conditions of access logs: the same shape as Envoy's (gloo-compat 5.4).
#include "translate/access_filter.h"

#include "envoy/type/matcher/v3/string.pb-c.h"
#include "envoy/type/v3/percent.pb-c.h"
#include "envoy/type/v3/range.pb-c.h"

// ---- Checks ----

// Envoy's own list of flags, from the rules of its message.
static bool known_flag(const char *flag)
{
    const struct sld_msg_info *info =
        sld_msg_info(&env__accesslog__response_flag_filter__descriptor);
    int field = sld_msg_field_index(info, SLD_STR("flags"));
    SLD_INV(field >= 0);
    for (const char *const *f = info->fields[field].rules->items->in; *f; f++) {
        if (!strcmp(*f, flag))
            return true;
    }
    return false;
}

static void check_flags(struct sld_report *r, const Gloo__ResponseFlagFilter *f)
{
    for (size_t i = 0; i < f->n_flags; i++) {
        if (!known_flag(f->flags[i]))
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID,
                           tr_item_path(r->arena, "responseFlagFilter.flags", i, NULL),
                           "%s is not a response flag of Envoy; see %%RESPONSE_FLAGS%% in its "
                           "manual of access logs",
                           f->flags[i]);
    }
}

static void check_header(struct sld_report *r, const Gloo__HeaderFilter *f)
{
    const Gloo__AccessLogHeaderMatcher *h = f->header;
    if (!h)
        return;
    if (h->header_match_specifier_case ==
        GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH)
        tr_note_regex(r, SLD_STR("headerFilter.header.safeRegexMatch.regex"),
                      sld_str_c(h->safe_regex_match->regex));
}

static void check_all(struct sld_report *r, const char *part, Gloo__AccessLogFilter *const *f,
                      size_t n)
{
    struct sld_str old = r->prefix;
    for (size_t i = 0; i < n; i++) {
        sld_report_enter(r, part, -1);
        sld_report_enter(r, "filters", (long)i);
        tr_check_access_filter(r, f[i]);
        sld_report_leave(r, old);
    }
}

void tr_check_access_filter(struct sld_report *r, const Gloo__AccessLogFilter *f)
{
    switch (f->filter_specifier_case) {
    case GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER_AND_FILTER:
        check_all(r, "andFilter", f->and_filter->filters, f->and_filter->n_filters);
        break;
    case GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER_OR_FILTER:
        check_all(r, "orFilter", f->or_filter->filters, f->or_filter->n_filters);
        break;
    case GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER_HEADER_FILTER:
        check_header(r, f->header_filter);
        break;
    case GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER_RESPONSE_FLAG_FILTER:
        check_flags(r, f->response_flag_filter);
        break;
    default:
        break;
    }
}

// ---- Making ----

static Env__Accesslog__ComparisonFilter *comparison(struct sld_arena *a,
                                                    const Gloo__ComparisonFilter *in)
{
    Env__Accesslog__ComparisonFilter *out =
        SLD_MSG(a, Env__Accesslog__ComparisonFilter, env__accesslog__comparison_filter);
    // The enumerations have the same numbers.
    out->op = (Env__Accesslog__ComparisonFilter__Op)in->op;
    out->value = SLD_MSG(a, Env__Core__RuntimeUInt32, env__core__runtime_uint32);
    out->value->default_value = in->value->default_value;
    out->value->runtime_key = in->value->runtime_key;
    return out;
}

static Env__Accesslog__RuntimeFilter *runtime(struct sld_arena *a, const Gloo__RuntimeFilter *in)
{
    Env__Accesslog__RuntimeFilter *out =
        SLD_MSG(a, Env__Accesslog__RuntimeFilter, env__accesslog__runtime_filter);
    out->runtime_key = in->runtime_key;
    out->use_independent_randomness = in->use_independent_randomness;
    if (in->percent_sampled) {
        out->percent_sampled =
            SLD_MSG(a, Env__Type__FractionalPercent, env__type__fractional_percent);
        out->percent_sampled->numerator = in->percent_sampled->numerator;
        out->percent_sampled->denominator =
            (Env__Type__FractionalPercent__DenominatorType)in->percent_sampled->denominator;
    }
    return out;
}

static void set_string(Env__Route__HeaderMatcher *out, Env__TypeMatcher__StringMatcher *s)
{
    out->header_match_specifier_case =
        ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    out->string_match = s;
}

static void set_present(Env__Route__HeaderMatcher *out, bool present)
{
    out->header_match_specifier_case =
        ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH;
    out->present_match = present;
}

static Env__Route__HeaderMatcher *header(struct sld_arena *a,
                                         const Gloo__AccessLogHeaderMatcher *in)
{
    Env__Route__HeaderMatcher *out =
        SLD_MSG(a, Env__Route__HeaderMatcher, env__route__header_matcher);
    Env__TypeMatcher__StringMatcher *s =
        SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    out->name = in->name;
    out->invert_match = in->invert_match;
    switch (in->header_match_specifier_case) {
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_EXACT_MATCH:
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
        s->exact = in->exact_match;
        set_string(out, s);
        break;
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PREFIX_MATCH:
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        s->prefix = in->prefix_match;
        set_string(out, s);
        break;
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SUFFIX_MATCH:
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_SUFFIX;
        s->suffix = in->suffix_match;
        set_string(out, s);
        break;
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_SAFE_REGEX_MATCH:
        s->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
        s->safe_regex = tr_regex(a, sld_str_c(in->safe_regex_match->regex));
        set_string(out, s);
        break;
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH:
        out->header_match_specifier_case =
            ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_RANGE_MATCH;
        out->range_match = SLD_MSG(a, Env__Type__Int64Range, env__type__int64_range);
        out->range_match->start = in->range_match->start;
        out->range_match->end = in->range_match->end;
        break;
    case GLOO__ACCESS_LOG_HEADER_MATCHER__HEADER_MATCH_SPECIFIER_PRESENT_MATCH:
        set_present(out, in->present_match);
        break;
    default:
        set_present(out, true);
        break;
    }
    return out;
}

static Env__Accesslog__GrpcStatusFilter *grpc_status(struct sld_arena *a,
                                                     const Gloo__GrpcStatusFilter *in)
{
    Env__Accesslog__GrpcStatusFilter *out =
        SLD_MSG(a, Env__Accesslog__GrpcStatusFilter, env__accesslog__grpc_status_filter);
    for (size_t i = 0; i < in->n_statuses; i++)
        SLD_PUSH(a, out->statuses, out->n_statuses,
                 (Env__Accesslog__GrpcStatusFilter__Status)in->statuses[i]);
    out->exclude = in->exclude;
    return out;
}

static void add_filters(struct sld_arena *a, Env__Accesslog__AccessLogFilter ***to, size_t *n,
                        Gloo__AccessLogFilter *const *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Env__Accesslog__AccessLogFilter *f = tr_access_filter(a, in[i]);
        if (f)
            SLD_PUSH(a, *to, *n, f);
    }
}

// The cases of Envoy's oneof have the same numbers as Gloo's.
#define CASE(name) GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name
#define SAME(name)                                                                                 \
    _Static_assert((int)CASE(name) ==                                                              \
                       (int)ENV__ACCESSLOG__ACCESS_LOG_FILTER__FILTER_SPECIFIER_##name,            \
                   "arms of the filter")
SAME(STATUS_CODE_FILTER);
SAME(DURATION_FILTER);
SAME(NOT_HEALTH_CHECK_FILTER);
SAME(TRACEABLE_FILTER);
SAME(RUNTIME_FILTER);
SAME(AND_FILTER);
SAME(OR_FILTER);
SAME(HEADER_FILTER);
SAME(RESPONSE_FLAG_FILTER);
SAME(GRPC_STATUS_FILTER);

static void fill(struct sld_arena *a, Env__Accesslog__AccessLogFilter *out,
                 const Gloo__AccessLogFilter *in)
{
    switch (in->filter_specifier_case) {
    case CASE(STATUS_CODE_FILTER):
        out->status_code_filter =
            SLD_MSG(a, Env__Accesslog__StatusCodeFilter, env__accesslog__status_code_filter);
        out->status_code_filter->comparison = comparison(a, in->status_code_filter->comparison);
        break;
    case CASE(DURATION_FILTER):
        out->duration_filter =
            SLD_MSG(a, Env__Accesslog__DurationFilter, env__accesslog__duration_filter);
        out->duration_filter->comparison = comparison(a, in->duration_filter->comparison);
        break;
    case CASE(NOT_HEALTH_CHECK_FILTER):
        out->not_health_check_filter = SLD_MSG(a, Env__Accesslog__NotHealthCheckFilter,
                                               env__accesslog__not_health_check_filter);
        break;
    case CASE(TRACEABLE_FILTER):
        out->traceable_filter =
            SLD_MSG(a, Env__Accesslog__TraceableFilter, env__accesslog__traceable_filter);
        break;
    case CASE(RUNTIME_FILTER):
        out->runtime_filter = runtime(a, in->runtime_filter);
        break;
    case CASE(AND_FILTER):
        out->and_filter = SLD_MSG(a, Env__Accesslog__AndFilter, env__accesslog__and_filter);
        add_filters(a, &out->and_filter->filters, &out->and_filter->n_filters,
                    in->and_filter->filters, in->and_filter->n_filters);
        break;
    case CASE(OR_FILTER):
        out->or_filter = SLD_MSG(a, Env__Accesslog__OrFilter, env__accesslog__or_filter);
        add_filters(a, &out->or_filter->filters, &out->or_filter->n_filters, in->or_filter->filters,
                    in->or_filter->n_filters);
        break;
    case CASE(HEADER_FILTER):
        out->header_filter =
            SLD_MSG(a, Env__Accesslog__HeaderFilter, env__accesslog__header_filter);
        out->header_filter->header = header(a, in->header_filter->header);
        break;
    case CASE(RESPONSE_FLAG_FILTER):
        out->response_flag_filter =
            SLD_MSG(a, Env__Accesslog__ResponseFlagFilter, env__accesslog__response_flag_filter);
        out->response_flag_filter->n_flags = in->response_flag_filter->n_flags;
        out->response_flag_filter->flags = in->response_flag_filter->flags;
        break;
    case CASE(GRPC_STATUS_FILTER):
        out->grpc_status_filter = grpc_status(a, in->grpc_status_filter);
        break;
    default:
        break;
    }
}

Env__Accesslog__AccessLogFilter *tr_access_filter(struct sld_arena *a,
                                                  const Gloo__AccessLogFilter *f)
{
    if (f->filter_specifier_case == GLOO__ACCESS_LOG_FILTER__FILTER_SPECIFIER__NOT_SET)
        return NULL;
    Env__Accesslog__AccessLogFilter *out =
        SLD_MSG(a, Env__Accesslog__AccessLogFilter, env__accesslog__access_log_filter);
    out->filter_specifier_case =
        (Env__Accesslog__AccessLogFilter__FilterSpecifierCase)f->filter_specifier_case;
    fill(a, out, f);
    return out;
}
