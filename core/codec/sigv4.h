// codec/sigv4: signatures of requests to AWS (Signature Version 4), for calls whose signature somebody else checks later. [any]
#pragma once

#include "base/base.h"

struct sld_sigv4_header {
    struct sld_str name, value; // the name in lower case
};

struct sld_sigv4 {
    struct sld_str access_key, secret_key;
    struct sld_str session_token; // absent: none
    struct sld_str region, service;
    struct sld_str method;
    struct sld_str host;
    struct sld_str path;  // as the signature has it: percent-encoded, "/" at least
    struct sld_str query; // percent-encoded, sorted; absent: none
    const struct sld_sigv4_header *headers; // besides host, x-amz-date and x-amz-security-token, all signed
    size_t header_count;
    struct sld_str body;
    int64_t time_s; // Unix seconds
};

// The headers to send with the request: host, x-amz-date, x-amz-security-token when there is one, those given, and
// authorization. *OUT is in A, which then holds the session token.
size_t sld_sigv4_sign(struct sld_arena *a, const struct sld_sigv4 *s, struct sld_sigv4_header **out);
