// String formats.
#include "codec/format.h"

#include <stdio.h>

#include "codec/regex.h"
#include "codec/text.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_header_name(struct sld_str s)
{
    if (s.p[0] == ':')
        s = sld_str_sub(s, 1, s.n);
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr("!#$%&'*+,-.^_|~`", s.p[i])))
            return false;
    }
    return s.n > 0;
}

static bool is_header_value(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_one_line(struct sld_str s)
{
    return !memchr(s.p, 0, s.n) && !memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n);
}

static bool is_ip(struct sld_str s)
{
    return sld_is_ip(s, NULL);
}

static bool is_ipv4(struct sld_str s)
{
    bool v6;
    return sld_is_ip(s, &v6) && !v6;
}

static bool is_ipv6(struct sld_str s)
{
    bool v6;
    return sld_is_ip(s, &v6) && v6;
}

static bool is_cidr(struct sld_str s)
{
    struct sld_str ip;
    uint64_t bits;
    bool v6;
    return sld_str_cut(&s, '/', &ip) && s.p && sld_is_ip(ip, &v6) && sld_str_u64(s, &bits) &&
           bits <= (v6 ? 128 : 32);
}

static bool is_dns_name(struct sld_str s)
{
    if (s.n && s.p[s.n - 1] == '.')
        s.n--;
    if (s.n == 0 || s.n > 253)
        return false;
    struct sld_str label;
    while (sld_str_cut(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++) {
            if (!is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
                return false;
        }
    }
    return true;
}

static bool is_host(struct sld_str s)
{
    return is_ip(s) || is_dns_name(s);
}

static bool is_port(struct sld_str s)
{
    uint64_t port;
    return sld_str_u64(s, &port) && port >= 1 && port <= 65535;
}

static bool is_domain(struct sld_str s)
{
    if (sld_str_eq(s, SLD_STR("*")))
        return true;
    ptrdiff_t close = s.p[0] == '[' ? sld_str_index(s, ']') : -1;
    struct sld_str host = s, port = SLD_STR_NONE;
    if (close > 0) {
        host = sld_str_sub(s, 1, (size_t)close - 1);
        port = sld_str_sub(s, (size_t)close + 1, s.n);
        if (port.n && port.p[0] != ':')
            return false;
        port = port.n ? sld_str_sub(port, 1, port.n) : SLD_STR_NONE;
        return is_ipv6(host) && (!port.p || is_port(port));
    }
    port = s;
    sld_str_cut(&port, ':', &host);
    if (port.p && !is_port(port) && !sld_str_eq(port, SLD_STR("*")))
        return false;
    if (host.n && host.p[0] == '*') {
        host = sld_str_sub(host, 1, host.n);
        if (host.n && (host.p[0] == '.' || host.p[0] == '-'))
            host = sld_str_sub(host, 1, host.n);
    } else if (host.n && host.p[host.n - 1] == '*') {
        host.n--;
        if (host.n && (host.p[host.n - 1] == '.' || host.p[host.n - 1] == '-'))
            host.n--;
    }
    return host.n == 0 ? port.p && s.p[0] == '*' : is_host(host);
}

static bool is_regex(struct sld_str s)
{
    struct sld_regex *r = sld_regex_create(s, NULL);
    sld_regex_destroy(r);
    return r != NULL;
}

static bool is_duration(struct sld_str s)
{
    int64_t seconds;
    int32_t nanos;
    return sld_duration_parse(s, &seconds, &nanos);
}

static bool is_base64(struct sld_str s)
{
    struct sld_arena a = {0};
    struct sld_str out;
    bool ok = sld_base64_decode(&a, s, &out);
    sld_arena_fini(&a);
    return ok;
}

static bool is_uri(struct sld_str s)
{
    ptrdiff_t at = sld_str_find(s, SLD_STR("://"));
    if (at < 1 || (size_t)at + 3 >= s.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
        if ((ptrdiff_t)i < at && !is_alnum(s.p[i]) && !strchr("+-.", s.p[i]))
            return false;
    }
    return true;
}

static bool is_uuid(struct sld_str s)
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = s.p[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return true;
}

static const struct format {
    const char *name;
    bool (*fits)(struct sld_str s);
    const char *words;
} formats[] = {
    {"base64", is_base64, "is not base64"},
    {"cidr", is_cidr, "is not an address range such as 10.0.0.0/8"},
    {"dns1123", sld_is_dns1123, "is not a name of lower-case letters, digits, - and ."},
    {"dns_name", is_dns_name, "is not a host name"},
    {"domain", is_domain, "is not a domain: use a host name, *.suffix, prefix.*, or *"},
    {"duration", is_duration, "is not a duration such as 1.5s"},
    {"host", is_host, "is neither a host name nor an IP address"},
    {"http_header_name", is_header_name, "is not a header name"},
    {"http_header_name_loose", is_one_line, "has a line break or NUL"},
    {"http_header_value", is_header_value, "has control characters, which a header cannot have"},
    {"http_header_value_loose", is_one_line, "has a line break or NUL"},
    {"ip", is_ip, "is not an IPv4 or IPv6 address"},
    {"ipv4", is_ipv4, "is not an IPv4 address"},
    {"ipv6", is_ipv6, "is not an IPv6 address"},
    {"object_name", sld_is_object_name, "is not a name of at most 253 lower-case letters, digits, - and ."},
    {"regex", is_regex, "is not a regular expression in RE2 syntax"},
    {"uri", is_uri, "is not a URI"},
    {"uuid", is_uuid, "is not a UUID"},
};

static const struct format *format_find(const char *name)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(formats); i++) {
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    }
    return NULL;
}

bool sld_format_known(const char *format)
{
    return format_find(format) != NULL;
}

// What RE2 says of S, for a person.
static const char *regex_words(struct sld_str s)
{
    static _Thread_local char words[320];
    struct sld_err err = {0};
    sld_regex_destroy(sld_regex_create(s, &err));
    snprintf(words, sizeof(words), "is not a regular expression in RE2 syntax: %.250s", err.msg);
    return words;
}

const char *sld_format_check(const char *format, struct sld_str s)
{
    const struct format *f = format_find(format);
    SLD_PRE(f);
    if (s.n == 0 || f->fits(s))
        return NULL;
    return f->fits == is_regex ? regex_words(s) : f->words;
}
