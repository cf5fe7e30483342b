// The admin API as the command line asks it.
#include "app/client.h"

#include <stdlib.h>

#include "source/file.h"
#include "net/http.h"

enum { TIMEOUT_MS = 60000, TOKEN_MAX_BYTES = 64 * 1024, ANSWER_MAX_BYTES = 64 * 1024 * 1024 };

struct sld_str sld_client_escape(struct sld_arena *a, struct sld_str s)
{
    struct sld_buf b;
    sld_buf_init(&b, 3 * s.n + 1);
    sld_buf_add_encoded(&b, s, "-._~");
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out.p ? out : SLD_STR("");
}

static struct sld_str base_url(struct sld_arena *a, const struct sld_args *args,
                               struct sld_http_call *call)
{
    const char *given = sld_args_get(args, "admin");
    struct sld_str addr = sld_str_c(given ? given : "127.0.0.1:9091");
    if (sld_str_starts(addr, SLD_STR("http://")) || sld_str_starts(addr, SLD_STR("https://"))) {
        if (sld_str_ends(addr, SLD_STR("/")))
            addr.n--;
        return addr;
    }
    bool tls = sld_args_has(args, "admin-ca");
    if (sld_str_starts(addr, SLD_STR("unix:"))) {
        call->unix_socket = sld_str_sub(addr, 5, addr.n);
        return SLD_STR("http://localhost");
    }
    return sld_arena_fmt(a, "%s://%.*s", tls ? "https" : "http", SLD_FMT(addr));
}

// The token of $SOLDER_TOKEN or $SOLDER_TOKEN_FILE, or an absent slice.
static enum sld_rc read_token(struct sld_arena *a, struct sld_str *out, struct sld_err *err)
{
    const char *token = getenv("SOLDER_TOKEN"), *file = getenv("SOLDER_TOKEN_FILE");
    *out = SLD_STR_NONE;
    if (token && token[0]) {
        *out = sld_str_c(token);
    } else if (file && file[0]) {
        struct sld_str text, line;
        enum sld_rc rc = sld_file_read(a, "$SOLDER_TOKEN_FILE", file, TOKEN_MAX_BYTES, &text, err);
        if (rc)
            return rc;
        sld_str_cut(&text, '\n', &line);
        *out = sld_str_trim(line);
    }
    return SLD_OK;
}

// The words of a problem document, or the body's beginning.
static enum sld_rc problem(struct sld_arena *a, int status, struct sld_str body,
                           struct sld_err *err)
{
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    enum sld_rc rc = status == 404                    ? SLD_NOT_FOUND
                     : status == 401 || status == 403 ? SLD_DENIED
                                                      : SLD_INVALID;
    if (!sld_doc_read(a, body, &sld_doc_limits_default, &docs, &n, &code, NULL) && n) {
        struct sld_str detail = sld_node_text(sld_node_get(docs[0].root, SLD_STR("detail")));
        struct sld_str remedy = sld_node_text(sld_node_get(docs[0].root, SLD_STR("remedy")));
        if (detail.n)
            return sld_err_set(err, rc, "%.*s%s%.*s", SLD_FMT(detail), remedy.n ? "; " : "",
                               SLD_FMT(remedy));
    }
    return sld_err_set(err, rc, "the server answers %d: %.*s", status,
                       SLD_FMT(sld_str_sub(body, 0, 200)));
}

enum sld_rc sld_client_get(struct sld_arena *a, const struct sld_args *args, struct sld_str path,
                           struct sld_str *body, struct sld_err *err)
{
    struct sld_http_call call = {.timeout_ms = TIMEOUT_MS, .max_body_bytes = ANSWER_MAX_BYTES};
    struct sld_str token, base = base_url(a, args, &call);
    enum sld_rc rc = read_token(a, &token, err);
    if (rc)
        return rc;
    struct sld_http_header auth = {SLD_STR("authorization"),
                                   token.p ? sld_arena_fmt(a, "Bearer %.*s", SLD_FMT(token))
                                           : SLD_STR_NONE};
    call.url = sld_arena_fmt(a, "%.*s%.*s", SLD_FMT(base), SLD_FMT(path));
    call.ca_file = sld_str_c(sld_args_get(args, "admin-ca"));
    call.cert_file = sld_str_c(sld_args_get(args, "admin-cert"));
    call.key_file = sld_str_c(sld_args_get(args, "admin-key"));
    if (token.p) {
        call.headers = &auth;
        call.header_count = 1;
    }
    int status;
    rc = sld_http_fetch(a, &call, &status, body, err);
    if (rc) {
        const char *given = sld_args_get(args, "admin");
        return sld_err_wrap(
            err,
            "no answer from Solder at %s (is it running? --admin or $SOLDER_ADMIN names another)",
            given ? given : "127.0.0.1:9091");
    }
    return status >= 400 ? problem(a, status, *body, err) : SLD_OK;
}

enum sld_rc sld_client_get_json(struct sld_arena *a, const struct sld_args *args,
                                struct sld_str path, struct sld_node **root, struct sld_err *err)
{
    struct sld_str body;
    enum sld_rc rc = sld_client_get(a, args, path, &body, err);
    if (rc)
        return rc;
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code;
    struct sld_doc_limits limits = sld_doc_limits_default;
    limits.max_bytes = ANSWER_MAX_BYTES;
    rc = sld_doc_read(a, body, &limits, &docs, &n, &code, err);
    if (rc)
        return sld_err_wrap(err, "the server's answer");
    if (!n)
        return sld_err_set(err, SLD_INVALID, "the server's answer is empty");
    *root = docs[0].root;
    return SLD_OK;
}
