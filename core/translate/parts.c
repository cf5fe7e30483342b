// Small parts of Envoy's messages that several files build with.
#include "translate/inside.h"

#include "codec/regex.h"
#include "envoy/config/core/v3/address.pb-c.h"
#include "envoy/config/core/v3/config_source.pb-c.h"
#include "envoy/type/matcher/v3/regex.pb-c.h"

// RE2's program size: stock Envoy's limit, and the one in the bootstrap that Solder makes.
enum { STOCK_PROGRAM_SIZE = 100, OWN_PROGRAM_SIZE = 4096 };

Env__Core__ConfigSource *tr_ads(struct sld_arena *a)
{
    Env__Core__ConfigSource *c = SLD_MSG(a, Env__Core__ConfigSource, env__core__config_source);
    c->config_source_specifier_case = ENV__CORE__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_ADS;
    c->ads = SLD_MSG(a, Env__Core__AggregatedConfigSource, env__core__aggregated_config_source);
    c->resource_api_version = ENV__CORE__API_VERSION__V3;
    return c;
}

Env__TypeMatcher__RegexMatcher *tr_regex(struct sld_arena *a, struct sld_str pattern)
{
    Env__TypeMatcher__RegexMatcher *m =
        SLD_MSG(a, Env__TypeMatcher__RegexMatcher, env__type_matcher__regex_matcher);
    m->regex = SLD_MSG_STR(a, pattern);
    return m;
}

bool tr_check_regex(struct sld_report *r, const char *field, struct sld_str pattern)
{
    struct sld_err err;
    struct sld_regex *re = sld_regex_create(pattern, &err);
    if (!re) {
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_REGEX, sld_str_c(field),
                       "not a regular expression: %s; write RE2 syntax", err.msg);
        return false;
    }
    int size = sld_regex_program_size(re);
    sld_regex_destroy(re);
    if (size > STOCK_PROGRAM_SIZE)
        sld_report_add(
            r, size > OWN_PROGRAM_SIZE ? SLD_ERROR : SLD_NOTE, SLD_ROUTE_REGEX_SIZE,
            sld_str_c(field),
            "the regular expression has a program size of %d, and an Envoy whose bootstrap Solder "
            "did not make refuses more than %d (Solder's allows %d); simplify it, or raise "
            "re2.max_program_size.error_level in the Envoy's runtime",
            size, STOCK_PROGRAM_SIZE, OWN_PROGRAM_SIZE);
    return size <= OWN_PROGRAM_SIZE;
}

Env__Core__Address *tr_address(struct sld_arena *a, struct sld_str host, uint32_t port)
{
    Env__Core__Address *out = SLD_MSG(a, Env__Core__Address, env__core__address);
    out->address_case = ENV__CORE__ADDRESS__ADDRESS_SOCKET_ADDRESS;
    out->socket_address = SLD_MSG(a, Env__Core__SocketAddress, env__core__socket_address);
    out->socket_address->address = SLD_MSG_STR(a, host);
    out->socket_address->port_specifier_case = ENV__CORE__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE;
    out->socket_address->port_value = port;
    return out;
}
