// What the tests of the room admin share: an admin on an io thread, a real translation and intake
// that answer on the same thread or on one of their own, xds without Envoys, and plain HTTP.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin/admin.h"
#include "net/http.h"
#include "net/support.h"

#define ACROSS_THREADS 1

struct fixture {
    struct io_thread io, model_io; // model_io: loop NULL = all on io
    struct sld_admin *admin;
    struct sld_xds *xds;
    struct sld_admin_model model;
    struct sld_intake *intake;
    int port;
    enum sld_rc rc;
    struct sld_err err;
    // The host's answers; set before requests.
    struct sld_admin_check checks[SLD_ADMIN_CHECKS_MAX];
    size_t check_count;
    struct sld_admin_source sources[2];
    size_t source_count;
    struct sld_admin_edge edge;
    struct sld_source_fact facts[4];
    size_t fact_count;
    uint64_t recorded; // 100000 times the count and the milliseconds that were asked for last
    // Queries are kept here instead of being answered. [io]
    bool hold;
    struct sld_admin_query *held[64];
    size_t held_count;
    sem_t asked; // posted for each query
};

// ---- The host ----

static inline void query_back(struct sld_message *m)
{
    sld_admin_query_done((struct sld_admin_query *)(void *)m);
}

static inline void query_run(struct sld_message *m)
{
    struct sld_admin_query *q = (struct sld_admin_query *)(void *)m;
    struct fixture *f = q->user;
    sld_admin_answer(&f->model, q);
    if (!f->model_io.loop) {
        sld_admin_query_done(q);
        return;
    }
    m->run = query_back;
    sld_loop_post(f->io.loop, m);
}

static inline void host_query(struct sld_admin_query *q, void *user)
{
    struct fixture *f = user;
    q->user = f;
    q->msg.run = query_run;
    if (f->hold)
        f->held[f->held_count++] = q;
    else if (f->model_io.loop)
        sld_loop_post(f->model_io.loop, &q->msg);
    else
        query_run(&q->msg);
    sem_post(&f->asked);
}

// Lets held queries go. [io]
static inline void release_held(void *arg)
{
    struct fixture *f = arg;
    size_t n = f->held_count;
    f->hold = false;
    f->held_count = 0;
    for (size_t i = 0; i < n; i++)
        query_run(&f->held[i]->msg);
}

static inline size_t host_checks(struct sld_admin_check *out, size_t max, void *user)
{
    struct fixture *f = user;
    assert_true(f->check_count <= max);
    memcpy(out, f->checks, f->check_count * sizeof(*out));
    return f->check_count;
}

static inline size_t host_sources(struct sld_admin_source *out, size_t max, void *user)
{
    struct fixture *f = user;
    assert_true(f->source_count <= max);
    memcpy(out, f->sources, f->source_count * sizeof(*out));
    return f->source_count;
}

static inline size_t host_metrics(struct sld_source_metric *out, size_t max, void *user)
{
    (void)user;
    assert_true(max > 0);
    out[0] = (struct sld_source_metric){"store_reads_total", "counter", "Reads.", 7};
    return 1;
}

static inline void host_edge(struct sld_admin_edge *out, void *user)
{
    *out = ((struct fixture *)user)->edge;
}

static inline void host_facts(void (*fn)(struct sld_str source, const struct sld_source_fact *f,
                                         void *arg),
                              void *arg, void *user)
{
    struct fixture *f = user;
    for (size_t i = 0; i < f->fact_count; i++)
        fn(SLD_STR("vault:"), &f->facts[i], arg);
}

// Plugin "gate" was asked about one request, "busy" is recorded for somebody else.
static inline enum sld_rc host_record(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *user)
{
    struct fixture *f = user;
    f->recorded = (uint64_t)count * 100000 + ms;
    if (sld_str_eq(plugin, SLD_STR("busy")))
        return SLD_AGAIN;
    if (!sld_str_eq(plugin, SLD_STR("gate")))
        return SLD_NOT_FOUND;
    sld_admin_recorded(q, SLD_STR("{\"a\":1}\n"));
    return SLD_OK;
}

// ---- The model ----

static inline void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    sld_translate_set(((struct fixture *)user)->model.translate, id, raw);
}

static inline void on_problems(void *user)
{
    (void)user; // they are read when asked for
}

struct said {
    struct fixture *f;
    const char *path, *text;
    bool no_round;
};

static inline void say_on_model(void *arg)
{
    const struct said *s = arg;
    struct fixture *f = s->f;
    struct sld_translate_result r = {0};
    struct sld_blob *b = sld_blob_create(sld_str_c(s->text));
    // As the server does: a certificate made a moment ago must not be judged by the time of the start.
    sld_translate_set_now(f->model.translate, sld_wall_ms() / 1000);
    sld_intake_put(f->intake, SLD_STR("/etc/solder"), sld_str_c(s->path), b, true, sld_mono_ns());
    SLD_UNREF(b);
    if (s->no_round)
        return;
    sld_translate_run(f->model.translate, &r);
    sld_translate_result_fini(&r);
    f->model.index++;
}

static inline void say_it(struct said *s)
{
    io_do(s->f->model_io.loop ? &s->f->model_io : &s->f->io, say_on_model, s);
}

// Unit PATH says TEXT; a round follows.
static inline void say(struct fixture *f, const char *path, const char *text)
{
    say_it(&(struct said){f, path, text, false});
}

static inline void hold_on_io(void *arg)
{
    ((struct fixture *)arg)->hold = true;
}

static inline void hold(struct fixture *f)
{
    io_do(&f->io, hold_on_io, f);
}

static inline void model_start(struct fixture *f)
{
    static const struct sld_feature *const none[1];
    struct sld_translate_options to = {.features = none, .now_s = sld_wall_ms() / 1000};
    struct sld_intake_options io;
    const struct sld_intake_events ev = {
        .on_object = on_object, .on_problems = on_problems, .user = f};
    sld_intake_options_default(&io);
    f->intake = sld_intake_create(&io, &ev);
    sld_intake_source(f->intake, SLD_STR("/etc/solder"), 0);
    f->model = (struct sld_admin_model){
        .translate = sld_translate_create(&to),
        .intake = f->intake,
        .memo = sld_admin_memo_create(),
        .index = 1,
        .write_ns = SLD_STR("gloo-system"),
    };
}

static inline void model_stop(struct fixture *f)
{
    sld_admin_memo_destroy(f->model.memo);
    sld_translate_destroy(f->model.translate);
    sld_intake_destroy(f->intake);
}

// ---- Life ----

static inline void open_on_io(void *arg)
{
    struct fixture *f = arg;
    const struct sld_admin_options o = {
        .io = f->io.loop,
        .xds = f->xds,
        .host = {host_query, host_checks, host_sources, host_edge, host_facts, host_record, host_metrics, f},
        .version = SLD_STR("1.2.3"),
        .commit = SLD_STR("abc\"def"),
    };
    f->admin = sld_admin_create(&o);
    f->rc = sld_admin_listen(f->admin, SLD_STR("127.0.0.1:0"), NULL, &f->port, &f->err);
}

static inline void close_on_io(void *arg)
{
    struct fixture *f = arg;
    sld_admin_destroy(f->admin);
    f->admin = NULL;
}

static inline void start(struct fixture *f, bool across_threads)
{
    struct sld_xds_options xo;
    memset(f, 0, sizeof(*f));
    sem_init(&f->asked, 0, 0);
    sld_xds_options_default(&xo);
    xo.fallback_view = sld_fallback_view;
    f->xds = sld_xds_create(&xo, NULL);
    model_start(f);
    io_start(&f->io);
    if (across_threads)
        io_start(&f->model_io);
    io_do(&f->io, open_on_io, f);
    assert_int_equal(f->rc, SLD_OK);
}

static inline void stop(struct fixture *f)
{
    io_do(&f->io, close_on_io, f);
    if (f->model_io.loop)
        io_stop(&f->model_io);
    io_stop(&f->io);
    model_stop(f);
    sld_xds_destroy(f->xds);
    sem_destroy(&f->asked);
}

// ---- HTTP ----

struct response {
    int status;
    char *head, *body; // NUL-terminated, owned
    size_t body_n;
};

static inline void response_free(struct response *r)
{
    sld_xfree(r->head);
    sld_xfree(r->body);
    *r = (struct response){0};
}

static inline int dial(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 60};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static inline void send_request(int fd, const char *method, const char *target, const char *headers)
{
    char text[16384];
    int n = snprintf(text, sizeof(text),
                     "%s %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%s\r\n", method,
                     target, headers);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    assert_int_equal(write(fd, text, (size_t)n), n);
}

// Reads to the end and closes.
static inline struct response read_response(int fd)
{
    struct response r = {0};
    struct sld_buf b;
    ssize_t got = 0;
    sld_buf_init(&b, 256 * 1024 * 1024);
    for (char *to; (to = sld_buf_reserve(&b, 65536)) && (got = read(fd, to, 65536)) > 0;)
        b.n += (size_t)got;
    assert_int_equal(got, 0);
    close(fd);
    ptrdiff_t end = sld_str_find(sld_buf_str(&b), SLD_STR("\r\n\r\n"));
    assert_true(end > 0);
    r.head = sld_xcalloc(1, (size_t)end + 1);
    memcpy(r.head, b.p, (size_t)end);
    r.body_n = b.n - (size_t)end - 4;
    r.body = sld_xcalloc(1, r.body_n + 1);
    memcpy(r.body, b.p + end + 4, r.body_n);
    assert_int_equal(sscanf(r.head, "HTTP/1.1 %d", &r.status), 1);
    sld_buf_fini(&b);
    return r;
}

static inline struct response get(struct fixture *f, const char *target)
{
    int fd = dial(f->port);
    send_request(fd, "GET", target, "");
    return read_response(fd);
}

// ---- Reading answers ----

// The body as a tree in A; fails when it is no JSON.
static inline const struct sld_node *json(struct sld_arena *a, const struct response *r)
{
    struct sld_document *docs = NULL;
    enum sld_code code;
    struct sld_err err = {0};
    size_t n = 0;
    enum sld_rc rc = sld_doc_read(a, (struct sld_str){r->body, r->body_n}, &sld_doc_limits_default,
                                  &docs, &n, &code, &err);
    if (rc != SLD_OK)
        fail_msg("no JSON: %s: %s", err.msg, r->body);
    assert_int_equal(n, 1);
    return docs[0].root;
}

// The value at PATH ("items.0.name"), or NULL.
static inline const struct sld_node *at(const struct sld_node *n, const char *path)
{
    struct sld_str rest = sld_str_c(path), word = SLD_STR_NONE;
    uint64_t i;
    while (n && sld_str_cut(&rest, '.', &word)) {
        if (n->type == SLD_NODE_SEQ)
            n = sld_str_u64(word, &i) && i < n->count ? n->items[i] : NULL;
        else
            n = sld_node_get(n, word);
    }
    return n;
}

// The text at PATH; absent when there is none.
static inline struct sld_str text_at(const struct sld_node *n, const char *path)
{
    const struct sld_node *v = at(n, path);
    return v ? sld_node_text(v) : SLD_STR_NONE;
}

static inline void expect(const struct sld_node *n, const char *path, const char *want)
{
    const struct sld_node *v = at(n, path);
    if (!v)
        fail_msg("no %s", path);
    struct sld_str s = sld_node_text(v);
    if (!sld_str_eq(s, sld_str_c(want)))
        fail_msg("%s is \"%.*s\", not \"%s\"", path, SLD_FMT(s), want);
}

static inline void expect_count(const struct sld_node *n, const char *path, size_t want)
{
    const struct sld_node *v = at(n, path);
    if (!v)
        fail_msg("no %s", path);
    assert_int_equal(v->count, want);
}

// Asks for TARGET and expects STATUS and JSON.
static inline const struct sld_node *get_json(struct fixture *f, struct sld_arena *a,
                                              const char *target, int status)
{
    struct response r = get(f, target);
    if (r.status != status)
        fail_msg("%s gives %d, not %d: %s", target, r.status, status, r.body);
    const struct sld_node *n = json(a, &r);
    response_free(&r);
    return n;
}
