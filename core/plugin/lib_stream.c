// Answers that solder.http.stream reads as they come: pieces, lines, and events (server-sent events, as HTML has them). A stream
// is lent to the call that opened it.
#include "plugin/library.h"
#include "plugin/task.h"

#include <stdio.h>

#include "base/list.h"

#define WHAT "http.Stream"
enum { STREAMS_MAX = 20, PROBLEM_MAX = 300, ID_MAX = 1024, PIECE_MAX = 64 << 10 };

struct stream {
    struct sld_list link;  // of the state's; in no list: it is closed
    struct sld_reactor *reactor;
    void *net;             // NULL: closed
    uint64_t call;         // that it is lent to
    struct pl_task *task;  // that waits for news
    void *timer;           // until it has waited long enough
    uint64_t idle_ms;
    size_t line_max;
    char problem[PROBLEM_MAX]; // why it ended before its end; empty: it did not
    // Of events.
    struct sld_buf data;
    char event[ID_MAX], id[ID_MAX];
    int64_t retry_ms; // 0: not said
    bool has_data;
};

struct pl_streams {
    struct sld_list all; // of struct stream
    size_t count;
};

static void stop_timer(struct stream *s)
{
    if (s->timer)
        s->reactor->ops->timer_end(s->reactor->user, s->timer);
    s->timer = NULL;
}

static void shut(lua_State *L, struct stream *s)
{
    stop_timer(s);
    if (!s->net)
        return;
    s->reactor->ops->stream_end(s->reactor->user, s->net);
    s->net = NULL;
    sld_list_remove(&s->link);
    sld_buf_fini(&s->data);
    pl_host_of(L)->streams->count--;
}

void pl_streams_end(struct pl_host *h, uint64_t call)
{
    if (!h->streams)
        return;
    SLD_LIST_EACH (it, &h->streams->all) {
        struct stream *s = SLD_CONTAINER_OF(it, struct stream, link);
        if (s->call == call)
            shut(h->L, s);
    }
}

void pl_streams_free(struct pl_host *h)
{
    SLD_PRE(!h->streams || sld_list_empty(&h->streams->all));
    sld_xfree(h->streams);
}

// ---- Waiting for news ----

static void wake(struct stream *s)
{
    struct pl_task *t = s->task;
    s->task = NULL;
    stop_timer(s);
    if (t)
        pl_wake(t, NULL, NULL); // S may be gone
}

static void on_news(void *arg)
{
    wake(arg);
}

static void on_idle(void *arg)
{
    struct stream *s = arg;
    snprintf(s->problem, sizeof(s->problem), "nothing came for %llu ms", (unsigned long long)s->idle_ms);
    wake(s);
}

static void stop_waiting(void *waiting)
{
    struct stream *s = waiting;
    s->task = NULL;
    stop_timer(s);
}

static int wait(lua_State *L, struct stream *s, lua_KContext context, lua_KFunction k)
{
    s->task = pl_may_wait(L, "solder.http.stream");
    s->timer = s->reactor->ops->timer(s->reactor->user, s->idle_ms, on_idle, s);
    return pl_wait_k(L, stop_waiting, s, context, k);
}

// ---- Opening ----

// The stream at 1, lent to the call at work.
static struct stream *stream_at_1(lua_State *L)
{
    struct stream *s = pl_object(L, 1, WHAT);
    if (s->call != pl_host_of(L)->call)
        pl_error(L, "the stream is stale: it was lent to a call that is over");
    return s;
}

// The stream is at the top.
static int opened(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct stream *s = pl_object(L, lua_gettop(L), WHAT);
    struct sld_http_stream_state st = s->reactor->ops->stream_look(s->reactor->user, s->net);
    if (!st.status && !st.ended && !s->problem[0])
        return wait(L, s, 0, opened);
    if (st.status)
        return 1;
    if (st.err && !s->problem[0])
        snprintf(s->problem, sizeof(s->problem), "%s", st.err->msg);
    shut(L, s);
    return pl_not_right(L, "%s", s->problem[0] ? s->problem : "nobody answered");
}

static int close_stream(lua_State *L)
{
    shut(L, lua_touserdata(L, 1));
    return 0;
}

int pl_stream_open(lua_State *L, const struct sld_http_call *call, uint64_t idle_ms, size_t line_max)
{
    struct pl_host *h = pl_host_of(L);
    struct pl_task *t = pl_may_ask(L, "solder.http.stream");
    if (!h->streams) {
        h->streams = SLD_NEW(struct pl_streams);
        sld_list_init(&h->streams->all);
    }
    if (h->streams->count >= STREAMS_MAX)
        pl_error(L, "solder.http.stream: more than %d streams are open: close some", STREAMS_MAX);
    struct stream *s = pl_push_object(L, &pl_http, WHAT, sizeof(*s), 0);
    sld_list_init(&s->link);
    lua_getmetatable(L, -1);
    lua_pushcfunction(L, close_stream);
    lua_setfield(L, -2, "__close"); // local stream <close> = ...
    lua_pop(L, 1);
    struct sld_http_call own = *call;
    own.max_body_bytes = line_max > PIECE_MAX ? line_max : PIECE_MAX;
    s->reactor = pl_task_reactor(t);
    s->call = h->call;
    s->idle_ms = idle_ms;
    s->line_max = line_max;
    sld_buf_init(&s->data, line_max);
    s->net = s->reactor->ops->stream(s->reactor->user, &own, on_news, s);
    sld_list_push(&h->streams->all, &s->link);
    h->streams->count++;
    return opened(L, LUA_OK, 0);
}

// ---- Reading ----

enum reads { CHUNKS, LINES, EVENTS };

// The next line in ST, with *N bytes of it and its end; false: it has not come whole.
static bool whole_line(const struct sld_http_stream_state *st, struct sld_str *line, size_t *n)
{
    ptrdiff_t end = sld_str_index(st->bytes, '\n');
    if (end < 0 && !(st->ended && st->bytes.n))
        return false;
    *n = end < 0 ? st->bytes.n : (size_t)end + 1;
    *line = sld_str_sub(st->bytes, 0, end < 0 ? st->bytes.n : (size_t)end);
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

static void keep_text(char to[ID_MAX], struct sld_str text)
{
    snprintf(to, ID_MAX, "%.*s", SLD_FMT(text));
}

static void push_event(lua_State *L, struct stream *s)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, s->event[0] ? s->event : "message");
    lua_setfield(L, -2, "event");
    pl_push_str(L, sld_buf_str(&s->data));
    lua_setfield(L, -2, "data");
    lua_pushstring(L, s->id);
    lua_setfield(L, -2, "id");
    if (s->retry_ms) {
        lua_pushnumber(L, (lua_Number)s->retry_ms / 1000);
        lua_setfield(L, -2, "retry");
    }
    sld_buf_reset(&s->data);
    s->event[0] = 0;
    s->has_data = false;
}

// Takes LINE into the event in the making; true: one is whole, and pushed.
static bool take_line(lua_State *L, struct stream *s, struct sld_str line)
{
    struct sld_str name, value = line;
    uint64_t ms;
    if (!line.n) {
        bool whole = s->has_data;
        if (whole)
            push_event(L, s);
        s->event[0] = 0;
        return whole;
    }
    sld_str_cut(&value, ':', &name);
    value = value.p ? value : SLD_STR("");
    if (value.n && value.p[0] == ' ')
        value = sld_str_sub(value, 1, value.n);
    if (sld_str_eq(name, SLD_STR("data"))) {
        if (s->has_data)
            sld_buf_addc(&s->data, '\n');
        sld_buf_add(&s->data, value);
        s->has_data = true;
    } else if (sld_str_eq(name, SLD_STR("event"))) {
        keep_text(s->event, value);
    } else if (sld_str_eq(name, SLD_STR("id")) && !memchr(value.p, 0, value.n)) {
        keep_text(s->id, value);
    } else if (sld_str_eq(name, SLD_STR("retry")) && sld_str_u64(value, &ms) && ms < INT32_MAX) {
        s->retry_ms = (int64_t)ms;
    }
    return false;
}

static void too_long(struct stream *s, const char *what)
{
    snprintf(s->problem, sizeof(s->problem), "%s of it is longer than %zu bytes", what, s->line_max);
}

// Pushes the next thing of what has come; false: it has not.
static bool push_next(lua_State *L, struct stream *s, enum reads how)
{
    const struct sld_reactor *r = s->reactor;
    for (;;) {
        struct sld_http_stream_state st = r->ops->stream_look(r->user, s->net);
        struct sld_str line;
        size_t n = 0;
        if (how == CHUNKS) {
            n = st.bytes.n < PIECE_MAX ? st.bytes.n : PIECE_MAX;
            if (!n)
                return false;
            pl_string_fits(L, n);
            pl_spend(L, n / 64);
            pl_push_str(L, sld_str_sub(st.bytes, 0, n));
            r->ops->stream_take(r->user, s->net, n);
            return true;
        }
        bool whole = whole_line(&st, &line, &n);
        if (whole ? line.n > s->line_max : st.bytes.n > s->line_max) {
            too_long(s, "a line");
            return false;
        }
        if (!whole)
            return false;
        pl_spend(L, 1 + n / 64);
        bool given = how == LINES;
        if (given)
            pl_push_str(L, line);
        else
            given = take_line(L, s, line);
        r->ops->stream_take(r->user, s->net, n);
        if (s->data.full) {
            too_long(s, "an event");
            return false;
        }
        if (given)
            return true;
    }
}

// The iterator: the stream at upvalue 1, how it is read at 2.
static int next(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    struct stream *s = stream_at_1(L);
    enum reads how = (enum reads)lua_tointeger(L, lua_upvalueindex(2));
    if (!s->net || (s->problem[0]))
        return 0;
    if (push_next(L, s, how))
        return 1;
    struct sld_http_stream_state st = s->reactor->ops->stream_look(s->reactor->user, s->net);
    if (!st.ended && !s->problem[0])
        return wait(L, s, 0, next);
    if (st.err && !s->problem[0])
        snprintf(s->problem, sizeof(s->problem), "%s", st.err->msg);
    shut(L, s);
    return 0;
}

static int iterate(lua_State *L)
{
    return next(L, LUA_OK, 0);
}

// For `for`, which closes the stream at its end.
static int read_by(lua_State *L, enum reads how)
{
    (void)stream_at_1(L);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, how);
    lua_pushcclosure(L, iterate, 2);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, 1);
    return 4;
}

int pl_stream_chunks(lua_State *L)
{
    return read_by(L, CHUNKS);
}

int pl_stream_lines(lua_State *L)
{
    return read_by(L, LINES);
}

int pl_stream_events(lua_State *L)
{
    return read_by(L, EVENTS);
}

// ---- What is known of it ----

int pl_stream_status(lua_State *L)
{
    struct stream *s = stream_at_1(L);
    if (!s->net)
        return pl_not_right(L, "the stream is closed");
    lua_pushinteger(L, s->reactor->ops->stream_look(s->reactor->user, s->net).status);
    return 1;
}

int pl_stream_header(lua_State *L)
{
    struct stream *s = stream_at_1(L);
    struct sld_str name = pl_arg(L, 2);
    if (!s->net)
        return pl_not_right(L, "the stream is closed");
    struct sld_http_stream_state st = s->reactor->ops->stream_look(s->reactor->user, s->net);
    for (size_t i = 0; i < st.header_count; i++) {
        if (sld_str_ieq(st.headers[i].name, name)) {
            pl_push_str(L, st.headers[i].value);
            return 1;
        }
    }
    return 0;
}

int pl_stream_problem(lua_State *L)
{
    const struct stream *s = stream_at_1(L);
    if (!s->problem[0])
        return 0;
    lua_pushstring(L, s->problem);
    return 1;
}

int pl_stream_close(lua_State *L)
{
    shut(L, stream_at_1(L));
    return 0;
}

int pl_stream_gc(lua_State *L)
{
    shut(L, lua_touserdata(L, 1));
    return 0;
}
