// codec/format: the string formats that constraints may name (option `format` of
// solder/options.proto).
#pragma once

#include "base/base.h"

// What S lacks of FORMAT, in words that continue "the value "; NULL when it fits. An empty string
// always fits: whether a value must be there is another constraint's business. FORMAT must be
// known. The words are valid until the thread's next call. [any]
const char *sld_format_check(const char *format, struct sld_str s);
// True when FORMAT is one of:
//   http_header_name, http_header_value   as Envoy's strict rules have it
//   http_header_name_loose, http_header_value_loose   only NUL, CR and LF are refused
//   ip, ipv4, ipv6, cidr
//   dns_name      a host name: labels of letters, digits, - and _, at most 253 characters
//   host          a dns_name or an ip
//   dns1123       a Kubernetes name
//   object_name   the same, a reference to a secret store, or a service of Consul
//   domain        a virtual host's domain: host, host:port, *.suffix, prefix.*, *
//   regex         RE2 syntax
//   duration, base64
//   uri           scheme://...
//   uuid
bool sld_format_known(const char *format);
