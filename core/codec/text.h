// codec/text: base64, hexadecimal, points in time, Go's durations, Kubernetes names, label selectors' texts.
#pragma once

#include "base/base.h"

// Standard alphabet with padding; reading also takes the URL alphabet and missing padding, and skips
// line breaks. False on other input.
struct sld_str sld_base64_encode(struct sld_arena *a, struct sld_str s);
bool sld_base64_decode(struct sld_arena *a, struct sld_str s, struct sld_str *out);
// The strict pair. Writes S to TO, which has room for (S.n + 2) / 3 * 4 bytes; returns how many it took. URL: the
// alphabet of URLs, without padding.
size_t sld_base64_put(char *to, struct sld_str s, bool url);
// Reads S into TO, which has room for S.n / 4 * 3 + 3 bytes; *N is how many it took. One alphabet only, no line breaks,
// unused bits zero, so that each value has one text; padding is there with the standard alphabet, and not with URL's.
bool sld_base64_take(char *to, size_t *n, struct sld_str s, bool url);
struct sld_str sld_hex_encode(struct sld_arena *a, struct sld_str s);
// The value of a hexadecimal digit, or -1.
int sld_hex_digit(char c);
// S with %XX decoded, in A; PLUS: '+' is a space. Absent on a bad escape or NUL.
struct sld_str sld_percent_decode(struct sld_arena *a, struct sld_str s, bool plus);
// Writes character C, at most 0x10ffff, to TO, which has room for 4 bytes; returns how many it took.
size_t sld_utf8_put(char *to, uint32_t c);
// MD5 of S as 32 hexadecimal digits; only for names that others made so.
struct sld_str sld_md5_hex(struct sld_arena *a, struct sld_str s);
// "1.5s", "1m", "1h30m", "500ms", "-1s", "0": Go's ParseDuration and proto3's form. Seconds and
// nanoseconds have the same sign. False on anything else or out of proto3's range.
bool sld_duration_parse(struct sld_str s, int64_t *seconds, int32_t *nanos);
// RFC 3339 to Unix seconds and nanoseconds; years 1 to 9999.
bool sld_time_parse(struct sld_str s, int64_t *seconds, int32_t *nanos);
void sld_time_print(struct sld_buf *out, int64_t seconds, int32_t nanos);
// A DNS-1123 subdomain of at most 253 characters.
bool sld_is_dns1123(struct sld_str s);
// A reference to what a secret store holds, which stands as the name of a Secret: "vault:" and then a path, maybe
// "?name=value&..." and maybe "#key", in the characters of URLs; at most SLD_STORE_REF_MAX bytes.
#define SLD_STORE_REF "vault:"
#define SLD_PLUGIN_REF "plugin:" // the same, of what a plugin gives
enum { SLD_STORE_REF_MAX = 1024 };
bool sld_is_store_ref(struct sld_str s);
// The name of an upstream that stands for a service of Consul: SLD_CONSUL_UPSTREAM and the service's
// name, of at most 253 bytes without control characters.
#define SLD_CONSUL_UPSTREAM "consul-svc:"
bool sld_is_service_upstream(struct sld_str s);
// The name of an object: of DNS-1123, a reference to a secret store, or that of such an upstream.
bool sld_is_object_name(struct sld_str s);
// An IPv4 or IPv6 address in text form; *V6 tells which (may be NULL).
bool sld_is_ip(struct sld_str s, bool *v6);
