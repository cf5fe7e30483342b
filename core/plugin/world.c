// A world that a test makes up.
#include "plugin/world.h"

#include "base/list.h"

enum { START_MS = 1000, PIECE_MS = 1000 };

struct event {
    struct sld_list link; // in no list when it has happened
    struct pl_world *world;
    uint64_t due_ms;
    void (*fn)(void *arg);
    void *arg;
};

struct pl_world {
    struct sld_reactor reactor;
    uint64_t now_ms;
    int64_t wall_ms; // when now_ms was 0
    struct sld_list events; // by time, then as they came
    void (*on_http)(void *user, const struct sld_http_call *call, struct sld_http_answer *out);
    void *http_user;
    uint64_t (*on_wait)(void *user, const struct sld_http_call *call);
    void *wait_user;
    bool (*on_piece)(void *user, const struct sld_http_call *call, size_t n, struct sld_str *out);
    void *piece_user;
    void (*on_dns)(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out);
    void *dns_user;
    struct sld_map files; // by path: struct sld_blob
};

static uint64_t mono_ms(void *user)
{
    return ((struct pl_world *)user)->now_ms;
}

static int64_t wall_ms(void *user)
{
    const struct pl_world *w = user;
    return w->wall_ms + (int64_t)w->now_ms;
}

static uint64_t pause_ms(void *user, unsigned failures, uint64_t least, uint64_t most)
{
    (void)user;
    for (; failures > 1 && least < most; failures--)
        least *= 2;
    return least < most ? least : most;
}

static void *timer(void *user, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct pl_world *w = user;
    struct event *e = SLD_NEW(struct event);
    *e = (struct event){.world = w, .due_ms = w->now_ms + delay_ms, .fn = fn, .arg = arg};
    struct sld_list *behind = w->events.prev;
    while (behind != &w->events && SLD_CONTAINER_OF(behind, struct event, link)->due_ms > e->due_ms)
        behind = behind->prev;
    sld_list_push(behind->next, &e->link);
    return e;
}

static void timer_end(void *user, void *timer)
{
    struct event *e = timer;
    (void)user;
    sld_list_remove(&e->link);
    sld_xfree(e);
}

// ---- HTTP ----

struct http {
    struct pl_world *world;
    void *event;
    struct sld_arena arena;
    struct sld_http_call call; // what of it a test can see
    sld_http_done *done;
    void *arg;
};

static void answer(void *arg)
{
    const struct http *h = arg;
    struct sld_err err;
    struct sld_http_answer a = {0};
    if (h->world->on_http)
        h->world->on_http(h->world->http_user, &h->call, &a);
    if (!a.status && !a.err) {
        sld_err_set(&err, SLD_IO, "%.*s: nobody answers there in this test", SLD_FMT(h->call.url));
        a.err = &err;
    }
    h->done(&a, h->arg); // H may be gone
}

static void *http(void *user, const struct sld_http_call *call, sld_http_done *done, void *arg)
{
    struct http *h = SLD_NEW(struct http);
    struct sld_arena *a = &h->arena;
    struct sld_http_header *headers = SLD_ARENA_ARRAY(a, struct sld_http_header, call->header_count);
    for (size_t i = 0; i < call->header_count; i++)
        headers[i] = (struct sld_http_header){sld_arena_str(a, call->headers[i].name), sld_arena_str(a, call->headers[i].value)};
    h->world = user;
    h->call = *call;
    h->call.method = sld_arena_str(a, call->method);
    h->call.url = sld_arena_str(a, call->url);
    h->call.body = call->body.p ? sld_arena_str(a, call->body) : SLD_STR_NONE;
    h->call.headers = headers;
    h->done = done;
    h->arg = arg;
    const struct pl_world *w = user;
    h->event = timer(user, w->on_wait ? w->on_wait(w->wait_user, &h->call) : 0, answer, h);
    return h;
}

static void http_end(void *user, void *call)
{
    struct http *h = call;
    timer_end(user, h->event);
    sld_arena_fini(&h->arena);
    sld_xfree(h);
}

void pl_world_on_http(struct pl_world *w, void (*fn)(void *user, const struct sld_http_call *call, struct sld_http_answer *out),
                      void *user)
{
    w->on_http = fn;
    w->http_user = user;
}

void pl_world_on_piece(struct pl_world *w, bool (*fn)(void *user, const struct sld_http_call *call, size_t n, struct sld_str *out), void *user)
{
    w->on_piece = fn;
    w->piece_user = user;
}

// An answer in pieces: that of a call, and what comes behind it.
struct stream {
    struct pl_world *world;
    void *call, *event; // until it has come; the next piece
    struct sld_arena arena;
    struct sld_http_call asked;
    struct sld_http_stream_state state;
    struct sld_err err;
    struct sld_buf body;
    size_t pieces;
    void (*news)(void *arg);
    void *arg;
};

static void next_piece(void *arg)
{
    struct stream *s = arg;
    struct pl_world *w = s->world;
    struct sld_str piece = SLD_STR("");
    if (s->event)
        timer_end(w, s->event);
    s->event = NULL;
    s->state.ended = !w->on_piece(w->piece_user, &s->asked, s->pieces++, &piece);
    sld_buf_add(&s->body, piece);
    if (!s->state.ended)
        s->event = timer(w, PIECE_MS, next_piece, s);
    s->news(s->arg);
}

static void stream_head(const struct sld_http_answer *a, void *arg)
{
    struct stream *s = arg;
    struct pl_world *w = s->world;
    struct sld_http_header *headers = SLD_ARENA_ARRAY(&s->arena, struct sld_http_header, a->header_count);
    for (size_t i = 0; i < a->header_count; i++)
        headers[i] = (struct sld_http_header){sld_arena_str(&s->arena, a->headers[i].name), sld_arena_str(&s->arena, a->headers[i].value)};
    s->state.status = a->status;
    s->state.headers = headers;
    s->state.header_count = a->header_count;
    if (a->err) {
        s->err = *a->err;
        s->state.err = &s->err;
    }
    if (a->body.n)
        sld_buf_add(&s->body, a->body);
    s->state.ended = a->err || !w->on_piece;
    http_end(w, s->call);
    s->call = NULL;
    if (s->state.ended)
        s->news(s->arg);
    else
        next_piece(s);
}

static void *stream(void *user, const struct sld_http_call *call, void (*news)(void *arg), void *arg)
{
    enum { BODY_MAX = 16 << 20 };
    struct stream *s = SLD_NEW(struct stream);
    s->world = user;
    s->news = news;
    s->arg = arg;
    sld_buf_init(&s->body, BODY_MAX);
    s->call = http(user, call, stream_head, s);
    s->asked.method = sld_arena_str(&s->arena, call->method);
    s->asked.url = sld_arena_str(&s->arena, call->url);
    return s;
}

static struct sld_http_stream_state stream_look(void *user, void *stream)
{
    struct stream *s = stream;
    (void)user;
    s->state.bytes = s->body.n ? sld_buf_str(&s->body) : SLD_STR("");
    return s->state;
}

static void stream_take(void *user, void *stream, size_t n)
{
    (void)user;
    sld_buf_consume(&((struct stream *)stream)->body, n);
}

static void stream_end(void *user, void *stream)
{
    struct stream *s = stream;
    if (s->call)
        http_end(user, s->call);
    if (s->event)
        timer_end(user, s->event);
    sld_buf_fini(&s->body);
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

void pl_world_on_wait(struct pl_world *w, uint64_t (*fn)(void *user, const struct sld_http_call *call), void *user)
{
    w->on_wait = fn;
    w->wait_user = user;
}

// ---- DNS ----

struct dns {
    struct pl_world *world;
    void *event;
    struct sld_arena arena;
    enum sld_dns_type type;
    struct sld_str name;
    sld_dns_done *done;
    void *arg;
};

static void answer_dns(void *arg)
{
    const struct dns *d = arg;
    struct sld_err err;
    struct sld_dns_answer a = {0};
    if (d->world->on_dns)
        d->world->on_dns(d->world->dns_user, d->type, d->name, &a);
    if (!a.err && !a.count && !a.record_count) {
        sld_err_set(&err, SLD_NOT_FOUND, "nobody knows %.*s in this test", SLD_FMT(d->name));
        a.err = &err;
    }
    d->done(d->arg, &a); // D may be gone
}

static void *dns(void *user, struct sld_str server, enum sld_dns_type type, struct sld_str name, sld_dns_done *done, void *arg,
                 struct sld_err *err)
{
    struct dns *d = SLD_NEW(struct dns);
    (void)server, (void)err;
    d->world = user;
    d->type = type;
    d->name = sld_arena_str(&d->arena, name);
    d->done = done;
    d->arg = arg;
    d->event = timer(user, 0, answer_dns, d);
    return d;
}

static void dns_end(void *user, void *question)
{
    struct dns *d = question;
    timer_end(user, d->event);
    sld_arena_fini(&d->arena);
    sld_xfree(d);
}

void pl_world_on_dns(struct pl_world *w, void (*fn)(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out),
                     void *user)
{
    w->on_dns = fn;
    w->dns_user = user;
}

// ---- Files ----

static enum sld_rc file(void *user, const char *path, char *to, size_t max, size_t *n, struct sld_hash *stamp, struct sld_err *err)
{
    const struct pl_world *w = user;
    const struct sld_blob *b = sld_map_get(&w->files, sld_str_c(path));
    *stamp = b ? sld_hash_mix(b->obj.hash, (struct sld_hash){1, 1}) : (struct sld_hash){0};
    if (!b)
        return sld_err_set(err, SLD_NOT_FOUND, "there is no file %s", path);
    *n = b->data.n;
    if (max)
        memcpy(to, b->data.p, *n < max ? *n : max);
    return SLD_OK;
}

void pl_world_file(struct pl_world *w, struct sld_str path, struct sld_str text)
{
    struct sld_blob *before = text.p ? sld_map_set(&w->files, path, sld_blob_create(text)) : sld_map_remove(&w->files, path);
    SLD_UNREF(before);
}

// ---- The world ----

static const struct sld_reactor_ops ops = {.mono_ms = mono_ms,
                                           .wall_ms = wall_ms,
                                           .pause = pause_ms,
                                           .timer = timer,
                                           .timer_end = timer_end,
                                           .http = http,
                                           .http_end = http_end,
                                           .stream = stream,
                                           .stream_look = stream_look,
                                           .stream_take = stream_take,
                                           .stream_end = stream_end,
                                           .dns = dns,
                                           .dns_end = dns_end,
                                           .file = file};

struct pl_world *pl_world_create(int64_t wall)
{
    struct pl_world *w = SLD_NEW(struct pl_world);
    w->reactor = (struct sld_reactor){&ops, w};
    w->now_ms = START_MS; // no clock of a running machine shows 0
    w->wall_ms = wall - START_MS;
    sld_list_init(&w->events);
    return w;
}

struct sld_reactor *pl_world_reactor(struct pl_world *w)
{
    return &w->reactor;
}

bool pl_world_step(struct pl_world *w, uint64_t limit_ms)
{
    struct event *e = sld_list_empty(&w->events) ? NULL : SLD_CONTAINER_OF(w->events.next, struct event, link);
    if (!e || e->due_ms > w->now_ms + limit_ms) {
        w->now_ms += limit_ms;
        return false;
    }
    if (e->due_ms > w->now_ms)
        w->now_ms = e->due_ms;
    sld_list_remove(&e->link);
    e->fn(e->arg); // who made it ends it
    return true;
}

void pl_world_pass(struct pl_world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    while (pl_world_step(w, until - w->now_ms))
        continue;
}

size_t pl_world_pending(const struct pl_world *w)
{
    size_t n = 0;
    SLD_LIST_EACH (it, &w->events)
        n++;
    return n;
}

void pl_world_destroy(struct pl_world *w)
{
    if (!w)
        return;
    SLD_PRE(sld_list_empty(&w->events));
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&w->files, &at));)
        SLD_UNREF(slot->value);
    sld_map_fini(&w->files);
    sld_xfree(w);
}
