// What Envoys log: streams of entries, for the plugins that the log's name names. Entries wait in a queue of each plugin while
// its hook is at work; what does not fit is dropped, and counted. Nobody is ever held up.
#include "worker/inside.h"

#include "envoy/service/accesslog/v3/als.pb-c.h"

enum {
    STREAMS_MAX = 1000,        // of a loop
    QUEUE_MAX = 10000,         // entries of a plugin and stream that wait
    HELD_BYTES_MAX = 64 << 20, // of all that wait, in a loop
    CALL_MAX = 1000,           // entries of one call
    DEADLINE_MS = 30 * 1000,   // of one
    DEPTH_MAX = 32,
    // of grpc/status.h
    INVALID_ARGUMENT = 3,
    RESOURCE_EXHAUSTED = 8,
};

typedef Env__DataAccesslog__HTTPAccessLogEntry entry;

// What came at once.
struct batch {
    struct wk_logs *held_by;
    unsigned refs;
    struct sld_arena arena;
    entry **entries;
    size_t count;
};

struct queued {
    struct sld_list link;
    struct batch *batch;
};

// A plugin of a stream.
struct sink {
    struct stream *of;
    const struct wk_use *use;
    struct wk_hook hook;
    struct sld_list waiting, at_work; // of struct queued
    size_t count;                     // entries that wait
    size_t handed;                    // entries of the call
    const entry **list;               // of the call
    struct sld_log call;
    bool busy;
};

struct stream {
    struct wk_call head;
    struct wk_job job;
    struct wk_loop *l;
    struct sld_grpc_stream *stream;
    struct sld_arena arena;
    struct wk_use uses[WK_PLUGINS_MAX];
    size_t use_count;
    struct sink sinks[WK_PLUGINS_MAX];
    bool closed;
};

// ---- Batches ----

static void let_go(struct batch *b)
{
    if (--b->refs)
        return;
    b->held_by->bytes -= b->arena.used_bytes;
    sld_arena_fini(&b->arena);
    sld_xfree(b);
}

// Nobody waits for what is in LIST any more.
static void drop_list(struct sld_list *list)
{
    SLD_LIST_EACH (it, list) {
        struct queued *q = SLD_CONTAINER_OF(it, struct queued, link);
        sld_list_remove(&q->link);
        let_go(q->batch);
        sld_xfree(q);
    }
}

static void drop_waiting(struct sink *s)
{
    wk_loop_logs(s->of->l)->dropped += s->count;
    s->count = 0;
    drop_list(&s->waiting);
}

// ---- Calls ----

static void finish(struct sink *s, bool well)
{
    if (!well)
        wk_loop_logs(s->of->l)->dropped += s->handed;
    s->busy = false;
    s->handed = 0;
    drop_list(&s->at_work);
    sld_xfree(s->list);
    s->list = NULL;
    if (s->count && !s->of->closed)
        wk_job_again(&s->of->job);
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct sink *s = user;
    wk_hook_over(s->of->l, &s->hook, rc, err);
    finish(s, rc == SLD_OK);
}

// Takes what waits, as far as one call may have it.
static void take(struct sink *s)
{
    size_t n = 0;
    s->list = sld_xalloc((s->count < CALL_MAX ? s->count : CALL_MAX) * sizeof(*s->list));
    SLD_LIST_EACH (it, &s->waiting) {
        struct queued *q = SLD_CONTAINER_OF(it, struct queued, link);
        if (n + q->batch->count > CALL_MAX)
            break;
        for (size_t i = 0; i < q->batch->count; i++)
            s->list[n++] = q->batch->entries[i];
        sld_list_remove(&q->link);
        sld_list_push(&s->at_work, &q->link);
    }
    s->handed = n;
    s->count -= n;
}

static void start(struct sink *s)
{
    struct sld_err err = {0};
    struct wk_loop *l = s->of->l;
    enum sld_rc rc = wk_hook_find(l, s->use, SLD_HOOK_LOG, &s->hook, &err);
    if (rc == SLD_NOT_FOUND) {
        drop_waiting(s);
        return;
    }
    take(s);
    s->busy = true;
    s->call = (struct sld_log){.ref = s->hook.ref, .entries = s->list, .entry_count = s->handed, .deadline_ms = DEADLINE_MS, .done = on_done, .user = s};
    if (!rc && sld_plugin_log(s->hook.p, wk_loop_reactor(l), &s->call, &err) == SLD_OK)
        return;
    wk_hook_over(l, &s->hook, rc ? rc : SLD_LIMIT, &err);
    finish(s, false);
}

static void run(struct wk_job *j)
{
    struct stream *t = SLD_CONTAINER_OF(j, struct stream, job);
    for (size_t i = 0; i < t->use_count; i++) {
        if (t->sinks[i].count && !t->sinks[i].busy)
            start(&t->sinks[i]);
    }
}

static void missing(struct wk_job *j)
{
    struct stream *t = SLD_CONTAINER_OF(j, struct stream, job);
    for (size_t i = 0; i < t->use_count; i++)
        drop_waiting(&t->sinks[i]);
}

// ---- What comes ----

static void refuse(struct stream *t, int status, const char *words)
{
    t->closed = true;
    sld_grpc_close(t->stream, status, sld_str_c(words));
}

static void enqueue(struct sink *s, struct batch *b)
{
    struct wk_logs *all = wk_loop_logs(s->of->l);
    if (s->count + b->count > QUEUE_MAX || b->count > CALL_MAX || all->bytes > HELD_BYTES_MAX) {
        all->dropped += b->count;
        return;
    }
    struct queued *q = SLD_NEW(struct queued);
    q->batch = b;
    b->refs++;
    s->count += b->count;
    sld_list_push(&s->waiting, &q->link);
}

// The stream's first message says for which plugins it is.
static bool begin(struct stream *t, const Env__Accesslog__StreamAccessLogsMessage *m)
{
    struct sld_err err = {0};
    const char *name = m->identifier ? m->identifier->log_name : "";
    if (wk_uses_read(sld_arena_str(&t->arena, sld_str_c(name)), t->uses, &t->use_count, &err)) {
        refuse(t, INVALID_ARGUMENT, err.msg);
        return false;
    }
    for (size_t i = 0; i < t->use_count; i++) {
        struct sink *s = &t->sinks[i];
        s->of = t;
        s->use = &t->uses[i];
        sld_list_init(&s->waiting);
        sld_list_init(&s->at_work);
    }
    t->job.use_count = t->use_count;
    return true;
}

static void on_message(void *call, struct sld_str bytes)
{
    struct stream *t = call;
    struct sld_err err = {0};
    struct batch *b = SLD_NEW(struct batch);
    struct wk_logs *all = wk_loop_logs(t->l);
    b->held_by = all;
    b->refs = 1;
    const Env__Accesslog__StreamAccessLogsMessage *m =
        sld_msg_decode(&b->arena, &env__accesslog__stream_access_logs_message__descriptor, bytes, DEPTH_MAX, &err);
    all->bytes += b->arena.used_bytes;
    if (!m && !t->closed)
        refuse(t, INVALID_ARGUMENT, err.msg);
    if (m && !t->closed && (t->use_count || begin(t, m)) && m->http_logs && m->http_logs->n_log_entry) {
        b->entries = m->http_logs->log_entry;
        b->count = m->http_logs->n_log_entry;
        all->entries += b->count;
        for (size_t i = 0; i < t->use_count; i++)
            enqueue(&t->sinks[i], b);
        if (!t->job.waits)
            wk_job_start(&t->job);
    }
    let_go(b);
}

static void on_half_close(void *call)
{
    struct stream *t = call;
    t->closed = true;
    sld_grpc_close(t->stream, 0, SLD_STR(""));
}

// ---- Life ----

static void *on_call(struct wk_loop *l, struct sld_grpc_stream *stream)
{
    struct wk_logs *all = wk_loop_logs(l);
    if (all->streams >= STREAMS_MAX) {
        wk_loop_shed(l);
        sld_grpc_close(stream, RESOURCE_EXHAUSTED, SLD_STR("too many logs at once"));
        return NULL;
    }
    struct stream *t = SLD_NEW(struct stream);
    all->streams++;
    t->l = l;
    t->stream = stream;
    t->job = (struct wk_job){.l = l, .uses = t->uses, .run = run, .missing = missing};
    return t;
}

static void on_closed(void *call)
{
    struct stream *t = call;
    t->closed = true;
    wk_job_stop(&t->job);
    for (size_t i = 0; i < t->use_count; i++) {
        struct sink *s = &t->sinks[i];
        if (s->busy) {
            sld_plugin_log_cancel(&s->call);
            finish(s, false);
        }
        drop_waiting(s);
    }
    wk_loop_logs(t->l)->streams--;
    sld_arena_fini(&t->arena);
    sld_xfree(t);
}

const struct wk_service wk_log_streams = {.method = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
                                          .on_call = on_call,
                                          .on_message = on_message,
                                          .on_half_close = on_half_close,
                                          .on_closed = on_closed};
