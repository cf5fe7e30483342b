// One HTTP call by libcurl: options in, a checked answer out.
#include "net/http_easy.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_BODY_BYTES = 16 * 1024 * 1024,
    HEADERS_MAX_BYTES = 256 * 1024,
    CONNECT_TIMEOUT_MS = 10 * 1000,
    KEEPALIVE_IDLE_S = 15, // with the two below: a dead peer is noticed within 30 s
    KEEPALIVE_EACH_S = 5,
    KEEPALIVE_COUNT = 3,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

// libcurl's memory may hold tokens and secrets (request heads, received bytes): it is wiped when let
// go. In front of each piece stands its size.
enum { SIZE_BYTES = 16 }; // keeps the alignment of malloc

static size_t *size_of(void *p)
{
    return (size_t *)(void *)((char *)p - SIZE_BYTES);
}

static void *curl_take(size_t n)
{
    if (n > SIZE_MAX - SIZE_BYTES)
        return NULL;
    size_t *size = sld_xcalloc(1, n + SIZE_BYTES);
    *size = n;
    return (char *)size + SIZE_BYTES;
}

static void curl_let_go(void *p)
{
    if (!p)
        return;
    size_t *size = size_of(p);
    sld_wipe(p, *size);
    sld_xfree(size);
}

static void *curl_resize(void *p, size_t n)
{
    void *to = curl_take(n);
    if (p && to)
        memcpy(to, p, n < *size_of(p) ? n : *size_of(p));
    if (to)
        curl_let_go(p);
    return to;
}

static char *curl_text(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(curl_take(n), s, n);
}

static void *curl_array(size_t n, size_t size)
{
    return size && n > SIZE_MAX / size ? NULL : curl_take(n * size);
}

static void init_curl(void)
{
    CURLcode rc = curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, curl_let_go, curl_resize,
                                       curl_text, curl_array);
    SLD_INV(rc == CURLE_OK);
}

void sld_http_easy_init(void)
{
    pthread_once(&once, init_curl);
}

// ---- The answer as it comes ----

static void take_status_line(struct sld_http_easy *e, struct sld_str line)
{
    uint64_t status = 0;
    struct sld_str version = SLD_STR_NONE;
    struct sld_str code = SLD_STR_NONE;
    (void)sld_str_cut(&line, ' ', &version);
    (void)sld_str_cut(&line, ' ', &code);
    e->status = sld_str_u64(code, &status) && status <= 999 ? (int)status : 0;
    // A status line behind another one: the former was 100 Continue or a proxy's.
    e->headers_done = e->has_length = false;
    e->answer_header_count = 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct sld_http_easy *e = user;
    struct sld_str line = {p, size * n};
    e->header_bytes += line.n;
    if (e->header_bytes > HEADERS_MAX_BYTES) {
        e->refused = SLD_LIMIT;
        return 0;
    }
    bool whole = sld_str_ends(line, SLD_STR("\n"));
    line = sld_str_trim(line);
    if (sld_str_starts(line, SLD_STR("HTTP/"))) {
        take_status_line(e, line);
    } else if (line.n == 0) {
        e->headers_done = whole;
        e->news = true;
    } else {
        struct sld_str name = SLD_STR_NONE;
        (void)sld_str_cut(&line, ':', &name);
        struct sld_http_header h = {sld_arena_str(&e->arena, sld_str_trim(name)),
                                    sld_arena_str(&e->arena, sld_str_trim(line))};
        SLD_PUSH(&e->arena, e->answer_headers, e->answer_header_count, h);
        if (sld_str_ieq(h.name, SLD_STR("content-length")))
            e->has_length = sld_str_u64(h.value, &e->length);
    }
    return size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct sld_http_easy *e = user;
    e->news = true;
    if (e->held_max && e->body.n >= e->held_max) {
        e->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    sld_buf_add(&e->body, (struct sld_str){p, size * n});
    if (!e->body.full)
        return size * n;
    e->refused = SLD_LIMIT;
    return 0;
}

// ---- The request ----

// Where distributions keep the authorities; libcurl is built without a place of its own.
static const char *system_ca(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/pki/tls/cacert.pem",
    };
    const char *env = getenv("SSL_CERT_FILE");
    if (env && *env)
        return env;
    for (size_t i = 0; i < SLD_ARRAY_LEN(places); i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    return NULL;
}

// SERVER_NAME instead of the URL's host in TLS alone: the URL gets the name, the connection goes to
// the host, and the Host header keeps what the URL said.
static void set_server_name(struct sld_http_easy *e, const char *url, const char *server_name)
{
    char *host = NULL;
    char *port = NULL;
    char *named = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, server_name, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &named, 0) == CURLUE_OK) {
        struct sld_str to = sld_arena_fmt(&e->arena, "::%s:%s", host, port);
        struct sld_str header = sld_arena_fmt(&e->arena, "Host: %s:%s", host, port);
        e->connect_to = curl_slist_append(NULL, to.p);
        e->headers = curl_slist_append(e->headers, header.p);
        curl_easy_setopt(e->easy, CURLOPT_CONNECT_TO, e->connect_to);
        curl_easy_setopt(e->easy, CURLOPT_URL, named);
    }
    curl_free(host);
    curl_free(port);
    curl_free(named);
    curl_url_cleanup(u);
}

static void set_tls(struct sld_http_easy *e, const struct sld_http_call *call)
{
    const char *ca = call->ca_file.p   ? sld_arena_cstr(&e->arena, call->ca_file)
                     : call->ca_path.p ? NULL
                                       : system_ca();
    if (ca)
        curl_easy_setopt(e->easy, CURLOPT_CAINFO, ca);
    if (call->ca_path.p)
        curl_easy_setopt(e->easy, CURLOPT_CAPATH, sld_arena_cstr(&e->arena, call->ca_path));
    if (call->cert_file.p)
        curl_easy_setopt(e->easy, CURLOPT_SSLCERT, sld_arena_cstr(&e->arena, call->cert_file));
    if (call->key_file.p)
        curl_easy_setopt(e->easy, CURLOPT_SSLKEY, sld_arena_cstr(&e->arena, call->key_file));
    curl_easy_setopt(e->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e->easy, CURLOPT_SSL_VERIFYPEER, call->insecure ? 0L : 1L);
    curl_easy_setopt(e->easy, CURLOPT_SSL_VERIFYHOST, call->insecure ? 0L : 2L);
}

static void set_method(struct sld_http_easy *e, const struct sld_http_call *call)
{
    const char *method = sld_arena_cstr(&e->arena, call->method.n ? call->method : SLD_STR("GET"));
    bool body = call->body.p != NULL;
    e->bodiless = strcmp(method, "HEAD") == 0;
    if (e->bodiless)
        curl_easy_setopt(e->easy, CURLOPT_NOBODY, 1L);
    if (body) {
        curl_easy_setopt(e->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.n);
        curl_easy_setopt(e->easy, CURLOPT_COPYPOSTFIELDS, call->body.n ? call->body.p : "");
    } else if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(e->easy, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(e->easy, CURLOPT_COPYPOSTFIELDS, "");
    }
    curl_easy_setopt(e->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_headers(struct sld_http_easy *e, const struct sld_http_call *call)
{
    bool has_type = false;
    for (size_t i = 0; i < call->header_count; i++) {
        const struct sld_http_header *h = &call->headers[i];
        // libcurl takes "Name:" as an order to leave the header out; "Name;" sends it empty.
        struct sld_str line = h->value.n ? sld_arena_fmt(&e->arena, "%.*s: %.*s", SLD_FMT(h->name),
                                                         SLD_FMT(h->value))
                                         : sld_arena_fmt(&e->arena, "%.*s;", SLD_FMT(h->name));
        e->headers = curl_slist_append(e->headers, line.p);
        has_type = has_type || sld_str_ieq(h->name, SLD_STR("content-type"));
    }
    if (!has_type) // no form of ours
        e->headers = curl_slist_append(e->headers, "Content-Type:");
    e->headers = curl_slist_append(e->headers, "Expect:");
    curl_easy_setopt(e->easy, CURLOPT_HTTPHEADER, e->headers);
}

static bool is_loopback(struct sld_str url)
{
    ptrdiff_t at = sld_str_find(url, SLD_STR("://"));
    struct sld_str host = sld_str_sub(url, at < 0 ? 0 : (size_t)at + 3, url.n);
    return sld_str_starts(host, SLD_STR("127.")) || sld_str_starts(host, SLD_STR("localhost")) ||
           sld_str_starts(host, SLD_STR("[::1]"));
}

// What messages may show of URL: no user part, no query.
static void set_shown_url(struct sld_http_easy *e, struct sld_str url)
{
    struct sld_str rest = url;
    struct sld_str shown = SLD_STR_NONE;
    (void)sld_str_cut(&rest, '?', &shown);
    ptrdiff_t scheme = sld_str_find(shown, SLD_STR("://"));
    ptrdiff_t at = sld_str_index(shown, '@');
    if (scheme > 0 && at > scheme)
        snprintf(e->url, sizeof(e->url), "%.*s%.*s",
                 SLD_FMT(sld_str_sub(shown, 0, (size_t)scheme + 3)),
                 SLD_FMT(sld_str_sub(shown, (size_t)at + 1, shown.n)));
    else
        snprintf(e->url, sizeof(e->url), "%.*s", SLD_FMT(shown));
}

struct sld_http_easy *sld_http_easy_create(const struct sld_http_call *call)
{
    sld_http_easy_init();
    struct sld_http_easy *e = SLD_NEW(struct sld_http_easy);
    sld_arena_init(&e->arena);
    sld_buf_init(&e->body, call->max_body_bytes ? call->max_body_bytes : DEFAULT_BODY_BYTES);
    e->body.secret = call->secret;
    e->easy = curl_easy_init();
    SLD_INV(e->easy);
    const char *url = sld_arena_cstr(&e->arena, call->url);
    set_shown_url(e, call->url);
    curl_easy_setopt(e->easy, CURLOPT_URL, url);
    curl_easy_setopt(e->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e->easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    curl_easy_setopt(e->easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_EACH_S);
    curl_easy_setopt(e->easy, CURLOPT_TCP_KEEPCNT, (long)KEEPALIVE_COUNT);
    curl_easy_setopt(e->easy, CURLOPT_ERRORBUFFER, e->text);
    curl_easy_setopt(e->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e->easy, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(e->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e->easy, CURLOPT_HEADERDATA, e);
    curl_easy_setopt(e->easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    curl_easy_setopt(e->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    if (call->unix_socket.p)
        curl_easy_setopt(e->easy, CURLOPT_UNIX_SOCKET_PATH,
                         sld_arena_cstr(&e->arena, call->unix_socket));
    if (call->unix_socket.p || is_loopback(call->url))
        curl_easy_setopt(e->easy, CURLOPT_PROXY, ""); // whatever the environment says
    if (call->gzip)
        curl_easy_setopt(e->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    set_tls(e, call);
    set_method(e, call);
    if (call->server_name.p)
        set_server_name(e, url, sld_arena_cstr(&e->arena, call->server_name));
    set_headers(e, call);
    return e;
}

void sld_http_easy_destroy(struct sld_http_easy *e)
{
    if (!e)
        return;
    curl_easy_cleanup(e->easy);
    curl_slist_free_all(e->headers);
    curl_slist_free_all(e->connect_to);
    sld_buf_fini(&e->body);
    sld_arena_fini_secret(&e->arena); // heads of requests hold tokens
    sld_xfree(e);
}

// ---- The outcome ----

bool sld_http_easy_hung_up(const struct sld_http_easy *e, CURLcode rc)
{
    long made = 0, head = 0;
    curl_easy_getinfo(e->easy, CURLINFO_NUM_CONNECTS, &made);
    curl_easy_getinfo(e->easy, CURLINFO_HEADER_SIZE, &head);
    return made > 0 && head == 0 &&
           (rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR ||
            rc == CURLE_SSL_CONNECT_ERROR);
}

void sld_http_easy_hold(struct sld_http_easy *e)
{
    e->held_max = e->body.max;
    e->body.max += CURL_MAX_WRITE_SIZE;
}

enum sld_rc sld_http_easy_result(struct sld_http_easy *e, CURLcode rc, struct sld_err *err)
{
    if (e->refused == SLD_LIMIT)
        return sld_err_set(err, SLD_LIMIT, "%s: the answer is larger than allowed", e->url);
    // An answer that is not HTTP has the code of a scheme that is not, but there was a connection.
    char *ip = NULL;
    curl_easy_getinfo(e->easy, CURLINFO_PRIMARY_IP, &ip);
    bool connected = ip && *ip;
    if (rc == CURLE_URL_MALFORMAT || (rc == CURLE_UNSUPPORTED_PROTOCOL && !connected))
        return sld_err_set(err, SLD_INVALID, "%s: not a usable URL", e->url);
    if (rc == CURLE_PEER_FAILED_VERIFICATION)
        return sld_err_set(err, SLD_DENIED, "%s: %s", e->url, e->text);
    if (rc != CURLE_OK)
        return sld_err_set(err, SLD_IO, "%s: %s", e->url,
                           e->text[0] ? e->text : curl_easy_strerror(rc));
    // libcurl takes a connection closed within the headers for a success.
    if (e->status == 0 || !e->headers_done)
        return sld_err_set(err, SLD_IO, "%s: the answer ended within its headers", e->url);
    bool bodiless = e->bodiless || e->status == 204 || e->status == 304;
    curl_off_t came = 0; // as it was sent: the length is that of the packed body
    curl_easy_getinfo(e->easy, CURLINFO_SIZE_DOWNLOAD_T, &came);
    if (e->has_length && !bodiless && (uint64_t)came != e->length)
        return sld_err_set(err, SLD_IO, "%s: the answer ended after %llu of %llu bytes", e->url,
                           (unsigned long long)came, (unsigned long long)e->length);
    return SLD_OK;
}

enum sld_rc sld_http_fetch(struct sld_arena *a, const struct sld_http_call *call, int *status,
                           struct sld_str *body, struct sld_err *err)
{
    struct sld_http_easy *e = sld_http_easy_create(call);
    enum sld_rc rc = sld_http_easy_result(e, curl_easy_perform(e->easy), err);
    if (rc == SLD_OK) {
        *status = e->status;
        *body = sld_arena_str(a, e->body.n ? sld_buf_str(&e->body) : SLD_STR(""));
    }
    sld_http_easy_destroy(e);
    return rc;
}
