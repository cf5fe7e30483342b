#include "codec/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <time.h>

#include "codec/text.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

struct digest {
    unsigned char bytes[32];
};

static struct sld_str text_of(const struct digest *d)
{
    return (struct sld_str){(const char *)d->bytes, sizeof(d->bytes)};
}

static struct digest sha256(struct sld_str s)
{
    struct digest d;
    unsigned n = 0;
    int ok = EVP_Digest(s.p ? s.p : "", s.n, d.bytes, &n, EVP_sha256(), NULL);
    SLD_INV(ok == 1 && n == sizeof(d.bytes));
    return d;
}

static struct digest hmac(struct sld_str key, struct sld_str s)
{
    struct digest d;
    unsigned n = 0;
    const unsigned char *ok =
        HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)s.p, s.n, d.bytes, &n);
    SLD_INV(ok && n == sizeof(d.bytes));
    return d;
}

static int by_name(const void *x, const void *y)
{
    return sld_str_cmp(((const struct sld_sigv4_header *)x)->name,
                       ((const struct sld_sigv4_header *)y)->name);
}

// The key of one day, region and service.
static struct digest signing_key(const struct sld_sigv4 *s, struct sld_str day)
{
    struct sld_arena a = {0};
    struct digest d = hmac(SLD_ARENA_JOIN(&a, SLD_STR("AWS4"), s->secret_key), day);
    d = hmac(text_of(&d), s->region);
    d = hmac(text_of(&d), s->service);
    d = hmac(text_of(&d), SLD_STR("aws4_request"));
    sld_arena_fini_secret(&a);
    return d;
}

// "host;x-amz-date", and the canonical request's lines of headers.
static void list_headers(struct sld_arena *a, const struct sld_sigv4_header *h, size_t n,
                         struct sld_str *names, struct sld_str *lines)
{
    *names = *lines = SLD_STR("");
    for (size_t i = 0; i < n; i++) {
        *names = SLD_ARENA_JOIN(a, *names, i ? SLD_STR(";") : SLD_STR(""), h[i].name);
        *lines = SLD_ARENA_JOIN(a, *lines, h[i].name, SLD_STR(":"), sld_str_trim(h[i].value), SLD_STR("\n"));
    }
}

size_t sld_sigv4_sign(struct sld_arena *a, const struct sld_sigv4 *s, struct sld_sigv4_header **out)
{
    char stamp[32];
    time_t at = (time_t)s->time_s;
    struct tm tm;
    size_t stamp_n = gmtime_r(&at, &tm) ? strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) : 0;
    SLD_PRE(stamp_n && s->path.n);
    struct sld_str when = sld_arena_str(a, (struct sld_str){stamp, stamp_n}), day = sld_str_sub(when, 0, 8);

    struct sld_sigv4_header *h = SLD_ARENA_ARRAY(a, struct sld_sigv4_header, s->header_count + 4);
    size_t n = 0;
    h[n++] = (struct sld_sigv4_header){SLD_STR("host"), s->host};
    h[n++] = (struct sld_sigv4_header){SLD_STR("x-amz-date"), when};
    if (s->session_token.p)
        h[n++] = (struct sld_sigv4_header){SLD_STR("x-amz-security-token"), s->session_token};
    for (size_t i = 0; i < s->header_count; i++)
        h[n++] = s->headers[i];
    qsort(h, n, sizeof(*h), by_name);

    struct sld_str names, lines;
    list_headers(a, h, n, &names, &lines);
    struct digest body = sha256(s->body);
    struct sld_str nl = SLD_STR("\n");
    struct sld_str canonical =
        SLD_ARENA_JOIN(a, s->method, nl, s->path, nl, s->query.p ? s->query : SLD_STR(""), nl, lines,
                       nl, names, nl, sld_hex_encode(a, text_of(&body)));
    struct digest request = sha256(canonical);
    struct sld_str scope = SLD_ARENA_JOIN(a, day, SLD_STR("/"), s->region, SLD_STR("/"), s->service,
                                          SLD_STR("/aws4_request"));
    struct sld_str to_sign = SLD_ARENA_JOIN(a, SLD_STR(ALGORITHM), nl, when, nl, scope, nl,
                                            sld_hex_encode(a, text_of(&request)));
    struct digest key = signing_key(s, day);
    struct digest signature = hmac(text_of(&key), to_sign);
    sld_wipe(&key, sizeof(key));
    h[n++] = (struct sld_sigv4_header){
        SLD_STR("authorization"),
        SLD_ARENA_JOIN(a, SLD_STR(ALGORITHM " Credential="), s->access_key, SLD_STR("/"), scope,
                       SLD_STR(", SignedHeaders="), names, SLD_STR(", Signature="),
                       sld_hex_encode(a, text_of(&signature)))};
    *out = h;
    return n;
}
