// Texts with Envoy's %...% operators: what Envoy 1.40 would refuse is found before it is sent.
// Operators beside this list come from formatter extensions, which are not configured.
#include "translate/option.h"

#include "codec/format.h"

// Operators without parameters and length.
static const char *const plain[] = {"ACCESS_LOG_TYPE",
                                    "BYTES_RECEIVED",
                                    "BYTES_RETRANSMITTED",
                                    "BYTES_SENT",
                                    "CONNECTION_ID",
                                    "CONNECTION_TERMINATION_DETAILS",
                                    "CUSTOM_FLAGS",
                                    "DOWNSTREAM_CX_RTT",
                                    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
                                    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
                                    "DOWNSTREAM_DETECTED_CLOSE_TYPE",
                                    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
                                    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID",
                                    "DOWNSTREAM_DIRECT_LOCAL_PORT",
                                    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
                                    "DOWNSTREAM_DIRECT_REMOTE_PORT",
                                    "DOWNSTREAM_HANDSHAKE_DURATION",
                                    "DOWNSTREAM_HEADER_BYTES_RECEIVED",
                                    "DOWNSTREAM_HEADER_BYTES_SENT",
                                    "DOWNSTREAM_LOCAL_ADDRESS",
                                    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID",
                                    "DOWNSTREAM_LOCAL_CLOSE_REASON",
                                    "DOWNSTREAM_LOCAL_DNS_SAN",
                                    "DOWNSTREAM_LOCAL_EMAIL_SAN",
                                    "DOWNSTREAM_LOCAL_IP_SAN",
                                    "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
                                    "DOWNSTREAM_LOCAL_PORT",
                                    "DOWNSTREAM_LOCAL_SUBJECT",
                                    "DOWNSTREAM_LOCAL_URI_SAN",
                                    "DOWNSTREAM_PEER_CERT",
                                    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
                                    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
                                    "DOWNSTREAM_PEER_CHAIN_SERIALS",
                                    "DOWNSTREAM_PEER_DNS_SAN",
                                    "DOWNSTREAM_PEER_EMAIL_SAN",
                                    "DOWNSTREAM_PEER_FINGERPRINT_1",
                                    "DOWNSTREAM_PEER_FINGERPRINT_256",
                                    "DOWNSTREAM_PEER_IP_SAN",
                                    "DOWNSTREAM_PEER_ISSUER",
                                    "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256",
                                    "DOWNSTREAM_PEER_ISSUER_SERIAL",
                                    "DOWNSTREAM_PEER_OTHERNAME_SAN",
                                    "DOWNSTREAM_PEER_SERIAL",
                                    "DOWNSTREAM_PEER_SUBJECT",
                                    "DOWNSTREAM_PEER_URI_SAN",
                                    "DOWNSTREAM_REMOTE_ADDRESS",
                                    "DOWNSTREAM_REMOTE_PORT",
                                    "DOWNSTREAM_TLS_CIPHER",
                                    "DOWNSTREAM_TLS_GROUP",
                                    "DOWNSTREAM_TLS_SESSION_ID",
                                    "DOWNSTREAM_TLS_VERSION",
                                    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
                                    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
                                    "DOWNSTREAM_WIRE_BYTES_SENT",
                                    "DURATION",
                                    "FILTER_CHAIN_NAME",
                                    "GRPC_STATUS_NUMBER",
                                    "HOSTNAME",
                                    "LOCAL_REPLY_BODY",
                                    "PACKETS_RETRANSMITTED",
                                    "PROTOCOL",
                                    "REQUEST_DURATION",
                                    "REQUEST_HEADERS_BYTES",
                                    "REQUEST_TX_DURATION",
                                    "RESPONSE_CODE",
                                    "RESPONSE_DURATION",
                                    "RESPONSE_FLAGS",
                                    "RESPONSE_FLAGS_LONG",
                                    "RESPONSE_HEADERS_BYTES",
                                    "RESPONSE_TRAILERS_BYTES",
                                    "RESPONSE_TX_DURATION",
                                    "ROUNDTRIP_DURATION",
                                    "ROUTE_NAME",
                                    "ROUTE_RESOLUTION_COUNT",
                                    "ROUTE_RESOLUTION_TIME_US",
                                    "SPAN_ID",
                                    "STREAM_ID",
                                    "TLS_JA3_FINGERPRINT",
                                    "TLS_JA4_FINGERPRINT",
                                    "TRACE_ID",
                                    "UNIQUE_ID",
                                    "UPSTREAM_CLUSTER",
                                    "UPSTREAM_CLUSTER_RAW",
                                    "UPSTREAM_CONNECTION_ID",
                                    "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
                                    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
                                    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
                                    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
                                    "UPSTREAM_DETECTED_CLOSE_TYPE",
                                    "UPSTREAM_HEADER_BYTES_RECEIVED",
                                    "UPSTREAM_HEADER_BYTES_SENT",
                                    "UPSTREAM_HOST",
                                    "UPSTREAM_HOSTS_ATTEMPTED",
                                    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT",
                                    "UPSTREAM_HOST_NAME",
                                    "UPSTREAM_HOST_NAMES_ATTEMPTED",
                                    "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT",
                                    "UPSTREAM_HOST_NAME_WITHOUT_PORT",
                                    "UPSTREAM_LOCAL_ADDRESS",
                                    "UPSTREAM_LOCAL_CLOSE_REASON",
                                    "UPSTREAM_LOCAL_DNS_SAN",
                                    "UPSTREAM_LOCAL_IP_SAN",
                                    "UPSTREAM_LOCAL_PORT",
                                    "UPSTREAM_LOCAL_URI_SAN",
                                    "UPSTREAM_PEER_CERT",
                                    "UPSTREAM_PEER_DNS_SAN",
                                    "UPSTREAM_PEER_IP_SAN",
                                    "UPSTREAM_PEER_ISSUER",
                                    "UPSTREAM_PEER_SUBJECT",
                                    "UPSTREAM_PEER_URI_SAN",
                                    "UPSTREAM_PROTOCOL",
                                    "UPSTREAM_REMOTE_ADDRESS",
                                    "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID",
                                    "UPSTREAM_REMOTE_PORT",
                                    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
                                    "UPSTREAM_SERVER_NAME",
                                    "UPSTREAM_TLS_CIPHER",
                                    "UPSTREAM_TLS_GROUP",
                                    "UPSTREAM_TLS_SESSION_ID",
                                    "UPSTREAM_TLS_VERSION",
                                    "UPSTREAM_TRANSPORT_FAILURE_REASON",
                                    "UPSTREAM_WIRE_BYTES_RECEIVED",
                                    "UPSTREAM_WIRE_BYTES_SENT",
                                    "VIRTUAL_CLUSTER_NAME"};
// Operators that may have parameters.
static const char *const optional[] = {"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
                                       "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
                                       "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
                                       "DOWNSTREAM_PEER_CERT_V_END",
                                       "DOWNSTREAM_PEER_CERT_V_START",
                                       "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
                                       "EMIT_TIME",
                                       "EMIT_TIME_LOCAL",
                                       "GRPC_STATUS",
                                       "REQUESTED_SERVER_NAME",
                                       "RESPONSE_CODE_DETAILS",
                                       "START_TIME",
                                       "START_TIME_LOCAL",
                                       "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
                                       "UPSTREAM_PEER_CERT_V_END",
                                       "UPSTREAM_PEER_CERT_V_START",
                                       "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"};
// Operators that may have parameters and a length.
static const char *const cut[] = {"PATH", "QUERY_PARAMS"};
// Operators that must have parameters and may have a length.
static const char *const needs[] = {"CEL",
                                    "CLUSTER_METADATA",
                                    "COALESCE",
                                    "COMMON_DURATION",
                                    "DYNAMIC_METADATA",
                                    "ENVIRONMENT",
                                    "FILTER_STATE",
                                    "METADATA",
                                    "QUERY_PARAM",
                                    "REQ",
                                    "REQUEST_HEADER",
                                    "RESP",
                                    "RESPONSE_HEADER",
                                    "RESPONSE_TRAILER",
                                    "TRAILER",
                                    "UPSTREAM_FILTER_STATE",
                                    "UPSTREAM_METADATA"};
// The one that access logs know besides: its extension is configured for them.
#define LOG_ONLY "REQ_WITHOUT_QUERY"
// The one that headers know besides.
#define HEADER_ONLY "PER_REQUEST_STATE"
// Operators whose parameters are names of headers.
static const char *const of_headers[] = {"REQ",     "REQUEST_HEADER",   "RESP",  "RESPONSE_HEADER",
                                         "TRAILER", "RESPONSE_TRAILER", LOG_ONLY};

// What stands between two percent signs.
struct operator
{
    struct sld_str name, params; // params: absent without parentheses
    bool length;
    size_t end; // of the whole, behind the last percent sign
};

static bool listed(const char *const *list, size_t n, struct sld_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (sld_str_eq(sld_str_c(list[i]), name))
            return true;
    }
    return false;
}
#define LISTED(list, name) listed((list), SLD_ARRAY_LEN(list), (name))

static bool name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// ":12%" or "%" at AT: where it ends, or 0.
static size_t tail(struct sld_str s, size_t at, bool *length)
{
    *length = at < s.n && s.p[at] == ':';
    if (*length) {
        size_t from = ++at;
        while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9')
            at++;
        if (at == from || at - from > 9)
            return 0;
    }
    return at < s.n && s.p[at] == '%' ? at + 1 : 0;
}

// The operator whose percent sign is at AT.
static bool parse(struct sld_str s, size_t at, struct operator* o)
{
    size_t i = at + 1;
    while (i < s.n && name_char(s.p[i]))
        i++;
    *o = (struct operator){.name = sld_str_sub(s, at + 1, i - at - 1)};
    if (!o->name.n)
        return false;
    if (i >= s.n || s.p[i] != '(') {
        o->end = tail(s, i, &o->length);
        return o->end > 0;
    }
    // The first closing parenthesis that the end follows.
    for (size_t k = i + 1; k < s.n && s.p[k] != '\n'; k++) {
        if (s.p[k] != ')')
            continue;
        o->end = tail(s, k + 1, &o->length);
        if (o->end) {
            o->params = sld_str_sub(s, i + 1, k - i - 1);
            return true;
        }
    }
    return false;
}

// "name?other": what is wrong with a name, or NULL.
static const char *header_params(struct sld_str params)
{
    struct sld_str name;
    for (unsigned n = 0; sld_str_cut(&params, '?', &name); n++) {
        if (n == 2)
            return "has more than one alternative";
        const char *problem = sld_format_check("http_header_name", name);
        if (problem)
            return problem;
    }
    return NULL;
}

// What is wrong with the word behind the key of FILTER_STATE, or of REQUESTED_SERVER_NAME; NULL when nothing is.
static const char *word_problem(const struct operator* o)
{
    static const char *const forms[] = {"PLAIN", "TYPED", "FIELD"}, *const names[] = {"SNI_ONLY", "SNI_FIRST", "HOST_FIRST"};
    struct sld_str rest = o->params, first = SLD_STR(""), second = SLD_STR("");
    sld_str_cut(&rest, ':', &first);
    sld_str_cut(&rest, ':', &second);
    if (sld_str_eq(o->name, SLD_STR("REQUESTED_SERVER_NAME")))
        return o->params.n && !LISTED(names, first) ? "takes SNI_ONLY, SNI_FIRST or HOST_FIRST as its first parameter" : NULL;
    bool state = sld_str_eq(o->name, SLD_STR("FILTER_STATE")) || sld_str_eq(o->name, SLD_STR("UPSTREAM_FILTER_STATE"));
    return state && second.n && !LISTED(forms, second) ? "takes PLAIN, TYPED or FIELD behind its key" : NULL;
}

// What keeps O from being used at PLACE; NULL when nothing does.
static const char *operator_problem(const struct operator* o, enum tr_format_place place)
{
    bool given = o->params.n > 0;
    if (LISTED(plain, o->name))
        return o->params.p || o->length ? "takes no parameters and no length" : NULL;
    if (LISTED(optional, o->name))
        return o->length ? "takes no length" : word_problem(o);
    if (LISTED(needs, o->name)) {
        if (!given)
            return "needs parameters in parentheses";
        if (LISTED(of_headers, o->name) && header_params(o->params))
            return "needs the name of a header as its parameter, and at most one alternative behind ?";
        return word_problem(o);
    }
    struct sld_str here = place == TR_FORMAT_LOG ? SLD_STR(LOG_ONLY) : SLD_STR(HEADER_ONLY);
    if (LISTED(cut, o->name) || sld_str_eq(o->name, here))
        return NULL;
    return "is not an operator of Envoy";
}

bool tr_check_format(struct sld_report *r, struct sld_str path, struct sld_str text,
                     enum tr_format_place place)
{
    for (size_t at = 0; at < text.n;) {
        if (text.p[at] != '%') {
            at++;
            continue;
        }
        if (at + 1 < text.n && text.p[at + 1] == '%') {
            at += 2;
            continue;
        }
        struct operator o;
        if (!parse(text, at, &o)) {
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, path,
                           "the percent sign at character %zu begins no operator such as "
                           "%%REQ(x-name)%% or %%PROTOCOL%%; write %%%% for a percent sign itself",
                           at + 1);
            return false;
        }
        const char *problem = operator_problem(&o, place);
        if (problem) {
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, path,
                           "%%%.*s%% %s; see Envoy's manual of access logs for the operators, and "
                           "write %%%% for a percent sign itself",
                           SLD_FMT(o.name), problem);
            return false;
        }
        at = o.end;
    }
    return true;
}

struct sld_str tr_format_literal(struct sld_arena *a, struct sld_str text)
{
    if (sld_str_index(text, '%') < 0)
        return text;
    char *out = sld_arena_alloc(a, 2 * text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '%')
            out[n++] = '%';
        out[n++] = text.p[i];
    }
    return sld_str_n(out, n);
}
