// Answers: JSON bodies and problem documents (RFC 9457).
#include "admin/inside.h"

static const struct {
    int status;
    const char *slug, *title;
} problems[] = {
    [PROBLEM_BAD_PARAMETER] = {400, "bad-parameter", "a parameter is not valid"},
    [PROBLEM_UNKNOWN_PARAMETER] = {400, "unknown-parameter", "the endpoint has no such parameter"},
    [PROBLEM_TOKEN] = {401, "token-required", "a valid token is required"},
    [PROBLEM_HOST] = {403, "host-not-allowed", "the Host header names another machine"},
    [PROBLEM_NO_ENDPOINT] = {404, "no-such-endpoint", "there is no such endpoint"},
    [PROBLEM_NO_OBJECT] = {404, "no-such-object", "there is no such object"},
    [PROBLEM_NO_RESOURCE] = {404, "no-such-resource", "there is no such resource"},
    [PROBLEM_METHOD] = {405, "method-not-allowed", "the API only reads"},
    [PROBLEM_TOO_LARGE] = {500, "answer-too-large", "the answer is too large"},
    [PROBLEM_BUSY] = {503, "busy", "no answer at the moment"},
    [PROBLEM_STOPPING] = {503, "stopping", "Solder is stopping"},
};

void answer_init(struct answer *out)
{
    *out = (struct answer){.status = 200, .type = "application/json"};
    sld_buf_init(&out->body, BODY_MAX_BYTES);
}

void answer_fini(struct answer *out)
{
    sld_buf_fini(&out->body);
}

static void problem_begin(struct answer *out, struct sld_json *j, enum problem p,
                          const char *remedy, struct sld_str detail)
{
    SLD_PRE((size_t)p < SLD_ARRAY_LEN(problems));
    sld_buf_reset(&out->body);
    out->body.full = false;
    out->status = problems[p].status;
    out->type = "application/problem+json";
    out->extra = p == PROBLEM_METHOD ? "GET, HEAD"
                 : p == PROBLEM_TOKEN ? "Bearer"
                 : p == PROBLEM_BUSY  ? "1"
                                      : NULL;
    sld_json_init(j, &out->body);
    sld_json_begin(j, '{');
    sld_json_key(j, "type");
    struct sld_buf type;
    sld_buf_init(&type, 64);
    sld_buf_addf(&type, "urn:solder:%s", problems[p].slug);
    sld_json_str(j, sld_buf_str(&type));
    sld_buf_fini(&type);
    put_c(j, "title", problems[p].title);
    put_int(j, "status", (uint64_t)out->status);
    put_str(j, "detail", detail);
    put_c(j, "remedy", remedy);
}

void answer_problem(struct answer *out, enum problem p, const char *remedy, const char *fmt, ...)
{
    struct sld_json j;
    struct sld_buf detail;
    va_list ap;
    sld_buf_init(&detail, 4096);
    va_start(ap, fmt);
    sld_buf_vaddf(&detail, fmt, ap);
    va_end(ap);
    problem_begin(out, &j, p, remedy, detail.n ? sld_buf_str(&detail) : SLD_STR_NONE);
    sld_buf_fini(&detail);
    sld_json_end(&j, '}');
    sld_buf_addc(&out->body, '\n');
}

void answer_no_endpoint(struct answer *out, struct sld_str path)
{
    struct sld_json j;
    struct sld_buf detail;
    size_t n;
    const struct endpoint *e = endpoint_table(&n);
    sld_buf_init(&detail, 4096);
    sld_buf_addf(&detail, "%.*s is none of the endpoints", SLD_FMT(sld_str_sub(path, 0, 1024)));
    problem_begin(out, &j, PROBLEM_NO_ENDPOINT, "use one of the endpoints listed; GET /v1 explains them",
                  sld_buf_str(&detail));
    sld_buf_fini(&detail);
    sld_json_key(&j, "endpoints");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < n; i++)
        sld_json_str(&j, sld_str_c(e[i].pub.path));
    sld_json_end(&j, ']');
    sld_json_end(&j, '}');
    sld_buf_addc(&out->body, '\n');
}

void answer_json(struct answer *out, struct sld_json *j)
{
    sld_json_init(j, &out->body);
    sld_json_begin(j, '{');
}

void answer_json_end(struct answer *out, struct sld_json *j)
{
    sld_json_end(j, '}');
    sld_buf_addc(&out->body, '\n');
    if (out->body.full)
        answer_problem(out, PROBLEM_TOO_LARGE, "ask for less, by name= or limit=",
                       "the answer is larger than %d MiB", BODY_MAX_BYTES / (1024 * 1024));
}

// ---- Members ----

void put_str(struct sld_json *j, const char *key, struct sld_str v)
{
    if (!v.p)
        return;
    sld_json_key(j, key);
    sld_json_str(j, v);
}

void put_c(struct sld_json *j, const char *key, const char *v)
{
    put_str(j, key, sld_str_c(v));
}

void put_int(struct sld_json *j, const char *key, uint64_t v)
{
    sld_json_key(j, key);
    sld_json_int(j, (int64_t)v);
}

void put_bool(struct sld_json *j, const char *key, bool v)
{
    sld_json_key(j, key);
    sld_json_bool(j, v);
}

void put_time(struct sld_json *j, const char *key, int64_t wall_ms)
{
    char text[32];
    if (!wall_ms)
        return;
    sld_time_text(wall_ms, text);
    put_c(j, key, text);
}
