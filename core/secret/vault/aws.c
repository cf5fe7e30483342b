// An identity of AWS: the question "who am I" to AWS's STS, signed but not sent. Vault sends it,
// and believes the answer.
#include "codec/sigv4.h"
#include "codec/text.h"
#include "secret/vault/inside.h"

#define QUESTION SLD_STR("Action=GetCallerIdentity&Version=2011-06-15")
#define FORM SLD_STR("application/x-www-form-urlencoded; charset=utf-8")
#define SERVER_ID SLD_STR("x-vault-aws-iam-server-id")

static struct sld_str endpoint_of(struct sld_arena *a, const struct vault_config *c)
{
    if (c->aws.endpoint.p)
        return c->aws.endpoint;
    if (!c->aws.region.p)
        return SLD_STR("https://sts.amazonaws.com");
    bool china = sld_str_starts(c->aws.region, SLD_STR("cn-"));
    return SLD_ARENA_JOIN(a, SLD_STR("https://sts."), c->aws.region, SLD_STR(".amazonaws.com"),
                          china ? SLD_STR(".cn") : SLD_STR(""));
}

static void add_base64(struct sld_arena *a, struct sld_json *j, const char *key,
                       struct sld_str value)
{
    sld_json_key(j, key);
    sld_json_str(j, sld_base64_encode(a, value));
}

// {"Host":["..."],...}
static struct sld_str headers_json(struct sld_arena *a, const struct sld_sigv4_header *h, size_t n)
{
    struct sld_buf b;
    struct sld_json j;
    sld_buf_init_secret(&b, (size_t)64 * 1024);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    for (size_t i = 0; i < n; i++) {
        sld_json_key(&j, sld_arena_cstr(a, h[i].name));
        sld_json_begin(&j, '[');
        sld_json_str(&j, h[i].value);
        sld_json_end(&j, ']');
    }
    sld_json_end(&j, '}');
    struct sld_str text = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return text;
}

void vault_aws_fields(struct sld_arena *a, const struct vault_config *c, int64_t time_s,
                      struct sld_json *j)
{
    struct sld_str endpoint = endpoint_of(a, c);
    while (endpoint.n && endpoint.p[endpoint.n - 1] == '/')
        endpoint.n--;
    size_t at = (size_t)(sld_str_find(endpoint, SLD_STR("://")) + 3);
    struct sld_sigv4_header own[2] = {{SLD_STR("content-type"), FORM}};
    size_t own_count = 1;
    if (c->aws.server_id.p)
        own[own_count++] = (struct sld_sigv4_header){SERVER_ID, c->aws.server_id};
    const struct sld_sigv4 s = {
        .access_key = c->aws.access_key,
        .secret_key = c->aws.secret_key,
        .session_token = c->aws.session_token,
        .region = c->aws.region.p ? c->aws.region : SLD_STR("us-east-1"),
        .service = SLD_STR("sts"),
        .method = SLD_STR("POST"),
        .host = sld_str_sub(endpoint, at, endpoint.n),
        .path = SLD_STR("/"),
        .headers = own,
        .header_count = own_count,
        .body = QUESTION,
        .time_s = time_s,
    };
    struct sld_sigv4_header *signed_headers;
    size_t n = sld_sigv4_sign(a, &s, &signed_headers);
    if (c->role.p) {
        sld_json_key(j, "role");
        sld_json_str(j, c->role);
    }
    sld_json_key(j, "iam_http_request_method");
    sld_json_str(j, SLD_STR("POST"));
    add_base64(a, j, "iam_request_url", SLD_ARENA_JOIN(a, endpoint, SLD_STR("/")));
    add_base64(a, j, "iam_request_body", QUESTION);
    add_base64(a, j, "iam_request_headers", headers_json(a, signed_headers, n));
}
