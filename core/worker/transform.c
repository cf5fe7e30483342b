// A request, and the response to it, on their way through the plugins of their route. Envoy tells of them part by part and
// waits for an answer to each.
//
//   message --> way: headers, body --> stage 1 --> stage 2 --> ... --> answer
//                                      (a hook each; responses pass them in the opposite order)
//
// A body comes as a whole, or not at all: then stages run one after another. Or it comes in pieces: then all of them are under way,
// and what one writes is what the next one reads.
#include "worker/wire.h"

#include <stdio.h>

enum {
    HELD_BYTES_MAX = 16 << 20, // of pieces
    PIECE_BYTES = 64 << 10,    // a plugin gets no more at a time: a pattern goes through no more
    // of grpc/status.h
    INVALID_ARGUMENT = 3,
    RESOURCE_EXHAUSTED = 8,
    FAILED_PRECONDITION = 9,
    INTERNAL = 13,
};

struct piece {
    struct sld_list link;
    size_t n;
    char bytes[];
};

struct stage {
    struct way *way;
    const struct wk_use *use;
    struct wk_hook hook;
    struct sld_transform t;
    enum { NOT_YET, AT_WORK, OVER } state; // OVER: what comes goes on as it is
    bool finished; // the hook ended, and nobody looked yet
    enum sld_rc rc;
    struct sld_err err;
    struct sld_list in;  // pieces for it
    bool in_ended;       // none comes behind them
    bool told;           // that
    bool deaf;           // what comes is of no use: the body is another
    struct piece *hand;  // given last
};

// One direction.
struct way {
    struct transform *of;
    bool response;
    struct sld_exchange x;
    struct wk_came came;
    enum wk_body_mode mode;
    bool head, empty;      // the headers came; there is no body
    bool complete;         // of what comes as a whole, all is there
    struct sld_str body;   // that whole
    bool body_changed;
    struct stage *stages;
    size_t stage_count;
    uint64_t began_ns;     // the last message came
    bool made;             // the stages are
    bool all_came;         // no piece comes any more
    // Parts that Envoy waits for an answer to.
    bool head_due, body_due, trailers_due;
    unsigned pieces_due;
    struct sld_buf out;    // behind the last stage
    bool out_ended;
    bool replaced;         // the body in pieces is another one
    bool over;             // nothing more is answered
};

struct outgoing {
    struct sld_list link;
    size_t n;
    char bytes[];
};

struct transform {
    struct wk_call head;
    struct wk_job job;
    struct wk_loop *l;
    struct sld_grpc_stream *stream;
    struct sld_arena arena;
    struct wk_use uses[WK_PLUGINS_MAX];
    size_t use_count;
    struct way ways[2];
    struct sld_list outgoing;
    size_t held;           // bytes of pieces
    bool begun, sending, closing, closed;
    bool at_work;          // in a turn
    bool left;             // Envoy sends nothing more
    bool changes_response; // some plugin does
};

// ---- Ends ----

static void refuse(struct transform *t, int status, const char *words)
{
    if (t->closed)
        return;
    t->closed = true;
    t->ways[0].over = t->ways[1].over = true;
    sld_grpc_close(t->stream, status, sld_str_c(words));
}

// When all that is to be said is said.
static void close_well(struct transform *t)
{
    t->closing = true;
    if (t->sending || t->closed)
        return;
    t->closed = true;
    sld_grpc_close(t->stream, 0, SLD_STR(""));
}

static void send_next(struct transform *t)
{
    if (t->closed || t->sending)
        return;
    if (sld_list_empty(&t->outgoing)) {
        if (t->closing)
            close_well(t);
        return;
    }
    struct outgoing *o = SLD_CONTAINER_OF(t->outgoing.next, struct outgoing, link);
    struct sld_str s = sld_str_n(o->bytes, o->n);
    sld_list_remove(&o->link);
    t->sending = true;
    sld_grpc_send(t->stream, &s, NULL, 1);
    sld_xfree(o);
}

static void say(struct transform *t, struct sld_str s)
{
    struct outgoing *o = sld_xalloc(sizeof(*o) + s.n);
    *o = (struct outgoing){.n = s.n};
    memcpy(o->bytes, s.p, s.n);
    sld_list_push(&t->outgoing, &o->link);
    send_next(t);
}

static void answer(struct way *w, struct wk_answer an)
{
    struct sld_arena a = {0};
    an.response = w->response;
    say(w->of, wk_wire_answer(&a, &w->x, &w->came, &an));
    sld_arena_fini(&a);
}

static void respond(struct way *w)
{
    struct sld_arena a = {0};
    w->over = true;
    say(w->of, wk_wire_respond(&a, &w->x));
    sld_arena_fini(&a);
    close_well(w->of);
}

static bool headers_sent(const struct way *w)
{
    return !w->head_due && !w->body_due;
}

// What is under way is not to go on: it is answered with STATUS where that can be, and cut off where not.
static void fail(struct way *w, unsigned status, struct sld_str body)
{
    if (w->of->left) { // nobody hears of it
        w->over = true;
        return;
    }
    if (headers_sent(w)) {
        refuse(w->of, INTERNAL, "a plugin failed");
        return;
    }
    w->x.status = status;
    w->x.deny_headers = NULL;
    w->x.deny_header_count = 0;
    w->x.deny_body = body;
    respond(w);
}

// ---- Pieces ----

// N bytes for stage AT of W, or behind the last one.
static void pass(struct way *w, size_t at, struct sld_str s)
{
    if (!s.n)
        return;
    if (at == w->stage_count) {
        sld_buf_add(&w->out, s);
        if (w->out.full)
            refuse(w->of, RESOURCE_EXHAUSTED, "too much of a body is held");
        return;
    }
    if (w->stages[at].deaf)
        return;
    for (size_t from = 0; from < s.n; from += PIECE_BYTES) {
        struct sld_str part = sld_str_sub(s, from, PIECE_BYTES);
        struct piece *p = sld_xalloc(sizeof(*p) + part.n);
        *p = (struct piece){.n = part.n};
        memcpy(p->bytes, part.p, part.n);
        sld_list_push(&w->stages[at].in, &p->link);
    }
    w->of->held += s.n;
    if (w->of->held > HELD_BYTES_MAX)
        refuse(w->of, RESOURCE_EXHAUSTED, "too much of a body is held");
}

static void pass_end(struct way *w, size_t at)
{
    if (at == w->stage_count)
        w->out_ended = true;
    else
        w->stages[at].in_ended = true;
}

static struct piece *take(struct stage *s)
{
    if (sld_list_empty(&s->in))
        return NULL;
    struct piece *p = SLD_CONTAINER_OF(s->in.next, struct piece, link);
    sld_list_remove(&p->link);
    s->way->of->held -= p->n;
    return p;
}

static void drop_pieces(struct stage *s)
{
    for (struct piece *p; (p = take(s));)
        sld_xfree(p);
    sld_xfree(s->hand);
    s->hand = NULL;
}

// What stage AT wrote goes on.
static void flush(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    if (w->mode != WK_BODY_PIECES || w->complete)
        return;
    pass(w, at + 1, sld_buf_str(&s->t.written));
    sld_buf_reset(&s->t.written);
    if (s->state != OVER)
        return;
    for (struct piece *p; (p = take(s));) {
        pass(w, at + 1, sld_str_n(p->bytes, p->n));
        sld_xfree(p);
    }
    if (s->in_ended)
        pass_end(w, at + 1);
}

// ---- Stages ----

static void again(struct stage *s)
{
    if (!s->way->of->at_work)
        wk_job_again(&s->way->of->job);
}

static void on_waits(void *user)
{
    again(user);
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct stage *s = user;
    s->finished = true;
    s->rc = rc;
    if (rc)
        s->err = *err;
    wk_hook_over(s->way->of->l, &s->hook, rc, err);
    again(s);
}

// Stage AT of W failed, or what it needs is not as it has to be.
static void failed(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    s->state = OVER;
    if (w->x.denied) {
        respond(w);
    } else if (!s->hook.open) {
        fail(w, 503, SLD_STR("a plugin failed\n"));
    } else {
        sld_buf_reset(&s->t.written);
        if (s->hand && s->t.wants == SLD_WANTS_NOTHING && !w->complete)
            pass(w, at + 1, sld_str_n(s->hand->bytes, s->hand->n));
    }
}

// What the hook of stage AT made of the body.
static void take_body(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    struct sld_exchange *x = &w->x;
    bool set = x->body_set;
    x->body_set = false;
    if (w->complete && (set || (s->t.streamed && s->t.sent && s->told))) {
        w->body = set ? x->body : sld_arena_str(x->arena, s->t.written.n ? sld_buf_str(&s->t.written) : SLD_STR(""));
        w->body_changed = true;
        sld_buf_reset(&s->t.written);
    } else if (set && w->mode == WK_BODY_PIECES) {
        drop_pieces(s);
        s->deaf = w->replaced = true;
        pass(w, at + 1, x->body);
        pass_end(w, at + 1);
    } else if (set) {
        w->body = x->body;
        w->body_changed = true;
    }
}

static void settle(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    s->finished = false;
    if (s->rc) {
        failed(w, at);
        return;
    }
    s->state = OVER;
    if (w->x.denied)
        respond(w);
    else
        take_body(w, at);
}

// Whether the plugin of S may have the body as it asks for it; else the way is over, or the stage has failed.
static bool body_fits(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    const struct sld_plugin_info *i = sld_plugin_info(s->hook.p);
    const struct sld_plugin_body *b = w->response ? &i->response_body : &i->request_body;
    struct sld_exchange *x = &w->x;
    x->body = SLD_STR_NONE;
    if (b->mode == SLD_BODY_NONE)
        return true;
    bool sent = w->complete || (b->mode == SLD_BODY_STREAMED && w->mode == WK_BODY_PIECES);
    if (!sent) { // it is a newer version than Envoy knows of
        sld_err_set(&s->err, SLD_AGAIN, "the body is not there: Envoy does not send it yet");
        s->rc = SLD_AGAIN;
    } else if (b->mode == SLD_BODY_BUFFERED && w->body.n > b->max_bytes) {
        if (!w->response) {
            fail(w, 413, SLD_STR("the body is too large\n"));
            return false;
        }
        s->rc = sld_err_set(&s->err, SLD_INVALID, "the body has more than %zu bytes", b->max_bytes);
    }
    if (s->rc) {
        wk_hook_over(w->of->l, &s->hook, s->rc, &s->err);
        failed(w, at);
        return false;
    }
    if (b->mode == SLD_BODY_BUFFERED) {
        x->body = w->body;
    } else {
        s->t.streamed = true;
        if (w->complete) {
            pass(w, at, w->body);
            s->in_ended = true;
        }
    }
    return true;
}

static void start(struct way *w, size_t at)
{
    struct stage *s = &w->stages[at];
    enum sld_hook hook = w->response ? SLD_HOOK_TRANSFORM_RESPONSE : SLD_HOOK_TRANSFORM_REQUEST;
    uint64_t spent = (sld_mono_ns() - w->began_ns) / 1000000;
    s->rc = wk_hook_find(w->of->l, s->use, hook, &s->hook, &s->err);
    s->state = OVER; // unless it begins
    if (s->rc == SLD_NOT_FOUND) {
        refuse(w->of, FAILED_PRECONDITION, s->err.msg);
        return;
    }
    unsigned most = s->hook.p ? sld_plugin_limits(s->hook.p)->request_ms : 0; // from each of Envoy's messages
    if (!s->rc && spent >= most)
        s->rc = sld_err_set(&s->err, SLD_AGAIN, "longer than %u ms in all, waiting included", most);
    if (s->rc) {
        wk_hook_over(w->of->l, &s->hook, s->rc, &s->err);
        failed(w, at);
        return;
    }
    s->t = (struct sld_transform){.hook = hook,
                                  .x = &w->x,
                                  .ref = s->hook.ref,
                                  .undo = s->hook.open,
                                  .deadline_ms = most - spent,
                                  .waits = on_waits,
                                  .done = on_done,
                                  .user = s};
    if (!body_fits(w, at))
        return;
    struct sld_err err = {0};
    w->x.body_set = false;
    s->state = AT_WORK;
    enum sld_rc rc = sld_plugin_transform(s->hook.p, wk_loop_reactor(w->of->l), &s->t, &err);
    if (rc)
        s->state = OVER;
    if (rc == SLD_AGAIN) {
        wk_loop_shed(w->of->l);
        refuse(w->of, RESOURCE_EXHAUSTED, err.msg);
    } else if (rc) {
        wk_hook_over(w->of->l, &s->hook, rc, &err);
        failed(w, at);
    }
}

// Gives stage S what it waits for; false: that is not there.
static bool give(struct way *w, struct stage *s)
{
    if (s->state != AT_WORK || s->finished)
        return false;
    if (s->t.wants == SLD_WANTS_TRAILERS && w->x.trailers_known) {
        sld_transform_trailers(&s->t);
        return true;
    }
    if (s->t.wants != SLD_WANTS_CHUNK)
        return false;
    struct piece *p = take(s);
    if (p) {
        sld_xfree(s->hand);
        s->hand = p;
        sld_transform_chunk(&s->t, sld_str_n(p->bytes, p->n));
        return true;
    }
    if (!s->in_ended || s->told)
        return false;
    s->told = true;
    sld_xfree(s->hand);
    s->hand = NULL;
    sld_transform_chunk(&s->t, SLD_STR_NONE);
    return true;
}

// Whether stage S lets the next one begin.
static bool lets_next(const struct way *w, const struct stage *s)
{
    if (s->state != AT_WORK)
        return s->state == OVER;
    return s->t.wants == SLD_WANTS_TRAILERS || (s->t.sent && !w->complete && s->t.wants == SLD_WANTS_CHUNK);
}

// Each stage goes as far as it can.
static void advance(struct way *w)
{
    for (size_t i = 0; i < w->stage_count && !w->over; i++) {
        struct stage *s = &w->stages[i];
        if (s->state == NOT_YET && !(w->head && (w->complete || w->mode != WK_BODY_WHOLE)))
            return;
        if (s->state == NOT_YET && i && !lets_next(w, s - 1))
            return;
        if (s->state == NOT_YET)
            start(w, i);
        do {
            if (s->finished && !w->over)
                settle(w, i);
            if (!w->over && s->state != NOT_YET && (s->state == OVER || s->t.wants != SLD_WANTS_NOTHING))
                flush(w, i);
        } while (!w->over && give(w, s));
    }
}

static void add_stage(struct way *w, const struct wk_use *u)
{
    struct stage *s = &w->stages[w->stage_count++];
    s->way = w;
    s->use = u;
    sld_list_init(&s->in);
}

// Only those plugins that have the hook; one that has neither is to be told of.
static void make_stages(struct way *w)
{
    struct transform *t = w->of;
    enum sld_hook hook = w->response ? SLD_HOOK_TRANSFORM_RESPONSE : SLD_HOOK_TRANSFORM_REQUEST;
    w->made = true;
    w->stages = SLD_ARENA_ARRAY(&t->arena, struct stage, t->use_count);
    for (size_t i = 0; i < t->use_count; i++) {
        const struct wk_use *u = &t->uses[w->response ? t->use_count - 1 - i : i];
        struct wk_hook h;
        struct sld_err err = {0};
        enum sld_rc rc = wk_hook_find(t->l, u, hook, &h, &err);
        unsigned hooks = h.p ? sld_plugin_info(h.p)->hooks & SLD_HOOKS_TRANSFORM : 0;
        t->changes_response |= (hooks & (1U << SLD_HOOK_TRANSFORM_RESPONSE)) != 0;
        if (!rc || (hooks & (1U << hook)) || !hooks)
            add_stage(w, u);
    }
}

// ---- Answers ----

static bool all(const struct way *w, bool (*is)(const struct way *w, const struct stage *s))
{
    for (size_t i = 0; i < w->stage_count; i++) {
        if (!is(w, &w->stages[i]))
            return false;
    }
    return true;
}

static bool is_over(const struct way *w, const struct stage *s)
{
    (void)w;
    return s->state == OVER;
}

// It goes on when more comes, and not before.
static bool is_idle(const struct way *w, const struct stage *s)
{
    (void)w;
    return s->state == OVER || (s->state == AT_WORK && s->t.wants != SLD_WANTS_NOTHING && sld_list_empty(&s->in));
}

// A body of an answer that has none would be taken for another answer.
static bool bodiless(const struct way *w)
{
    const struct sld_exchange *x = &w->x;
    return w->response && (x->code < 200 || x->code == 204 || x->code == 304 ||
                           (x->request && sld_str_eq(x->request->method, SLD_STR("HEAD"))));
}

static void answer_head(struct way *w)
{
    if (!all(w, lets_next) || (w->replaced && !w->out_ended))
        return;
    struct wk_answer an = {.part = WK_HEADERS, .edits = true};
    if (w->replaced) {
        an.body = w->out.n ? sld_buf_str(&w->out) : SLD_STR("");
        an.replace = true;
    } else if (w->body_changed && !bodiless(w)) {
        an.body = w->body;
        an.replace = true;
    }
    w->head_due = false;
    answer(w, an);
    sld_buf_reset(&w->out);
    w->out_ended = false;
}

static void answer_body(struct way *w)
{
    if (!all(w, lets_next))
        return;
    w->body_due = false;
    answer(w, (struct wk_answer){.part = WK_BODY, .edits = true, .body = w->body_changed ? w->body : SLD_STR_NONE});
}

// Envoy waits for an answer to each piece, so what became of all of them goes with the last.
static void answer_pieces(struct way *w)
{
    if (!all(w, is_idle))
        return;
    while (w->pieces_due > 1) {
        w->pieces_due--;
        answer(w, (struct wk_answer){.part = WK_BODY, .body = SLD_STR("")});
    }
    w->pieces_due = 0;
    answer(w, (struct wk_answer){.part = WK_BODY, .body = w->out.n ? sld_buf_str(&w->out) : SLD_STR("")});
    sld_buf_reset(&w->out);
}

static void answer_trailers(struct way *w)
{
    if (!all(w, is_over))
        return;
    w->trailers_due = false;
    if (w->out.n)
        fail(w, 503, SLD_STR("a plugin failed\n"));
    else
        answer(w, (struct wk_answer){.part = WK_TRAILERS, .edits = true});
}

static void reply(struct way *w)
{
    if (w->head_due && !w->over)
        answer_head(w);
    if (w->body_due && !w->over)
        answer_body(w);
    if (w->pieces_due && !w->head_due && !w->over)
        answer_pieces(w);
    if (w->trailers_due && !w->head_due && !w->body_due && !w->pieces_due && !w->over)
        answer_trailers(w);
}

// Whether any plugin has something to do with the response.
static bool wants_response(const struct transform *t)
{
    const struct sld_exchange *x = &t->ways[0].x;
    if (t->ways[1].head || t->changes_response)
        return true;
    for (size_t i = 0; i < x->edit_count; i++) {
        if (x->edits[i].kind == SLD_EDIT_RESPONSE_SET || x->edits[i].kind == SLD_EDIT_RESPONSE_ADD)
            return true;
    }
    return false;
}

static void run(struct wk_job *j)
{
    struct transform *t = SLD_CONTAINER_OF(j, struct transform, job);
    t->at_work = true;
    for (size_t i = 0; i < 2; i++) {
        struct way *w = &t->ways[i];
        if (w->over || !w->head)
            continue;
        if (!w->made)
            make_stages(w);
        advance(w);
        reply(w);
    }
    t->at_work = false;
    const struct way *w = &t->ways[0];
    // Nothing more is to be done: Envoy goes on without us.
    bool done = w->head && !w->head_due && !w->body_due && !w->pieces_due && all(w, is_over) &&
                (w->all_came || w->empty || w->mode == WK_BODY_NONE);
    if (t->left || (done && !wants_response(t)))
        close_well(t);
}

static void missing(struct wk_job *j)
{
    refuse(SLD_CONTAINER_OF(j, struct transform, job), FAILED_PRECONDITION, "the configuration that the route names has not come");
}

// ---- What comes ----

static void set_header(struct sld_exchange *x, const struct sld_edit *e)
{
    size_t kept = 0;
    for (size_t i = 0; i < x->header_count; i++) {
        if (e->kind == SLD_EDIT_RESPONSE_ADD || !sld_str_eq(x->headers[i].name, e->name))
            x->headers[kept++] = x->headers[i];
    }
    x->header_count = kept;
    struct sld_pair p = {e->name, e->value};
    SLD_PUSH(x->arena, x->headers, x->header_count, p);
    struct sld_edit own = {SLD_EDIT_HEADER, e->name, e->value};
    SLD_PUSH(x->arena, x->edits, x->edit_count, own);
}

// What plugins said of the response while the request was there.
static void apply_later(struct way *w)
{
    const struct sld_exchange *request = &w->of->ways[0].x;
    for (size_t i = 0; i < request->edit_count; i++) {
        const struct sld_edit *e = &request->edits[i];
        if (e->kind == SLD_EDIT_RESPONSE_SET || e->kind == SLD_EDIT_RESPONSE_ADD)
            set_header(&w->x, e);
    }
}

static void take_peer(struct sld_exchange *x, const struct wk_message *m)
{
    struct sld_req_peer *p = SLD_ARENA_NEW(x->arena, struct sld_req_peer);
    if (!m->subject.p && !m->uri.p && !m->dns.p)
        return;
    p->principal = m->uri.p ? m->uri : SLD_STR("");
    x->peer = p;
    x->peer_read = true; // there is no certificate to be read
    x->subject = m->subject;
    if (m->dns.p)
        SLD_PUSH(x->arena, x->dns_names, x->dns_name_count, m->dns);
}

static void take_head(struct way *w, const struct wk_message *m)
{
    struct sld_exchange *x = &w->x;
    w->head = w->head_due = true;
    w->empty = m->last;
    wk_wire_headers(x, &w->came, m);
    x->source = m->source;
    x->sni = m->sni;
    x->route = m->route;
    take_peer(x, m);
    if (w->response) {
        x->request = w->of->ways[0].head ? &w->of->ways[0].x : NULL;
        apply_later(w);
    }
    if (m->last) {
        w->complete = x->trailers_known = true;
        w->body = SLD_STR("");
    } else if (w->mode == WK_BODY_WHOLE) {
        w->head_due = false; // the body does not come before that is answered; headers may be edited with it
        answer(w, (struct wk_answer){.part = WK_HEADERS});
    }
}

static void take_piece(struct way *w, const struct wk_message *m)
{
    w->all_came |= m->last;
    if (all(w, is_over) && !w->out.n && !w->pieces_due && !w->head_due) { // nobody looks
        answer(w, (struct wk_answer){.part = WK_BODY});
        return;
    }
    w->pieces_due++;
    pass(w, 0, m->body);
    if (m->last) {
        pass_end(w, 0);
        w->x.trailers_known = true;
    }
}

static void take_trailers(struct way *w, const struct wk_message *m)
{
    struct sld_exchange *x = &w->x;
    w->trailers_due = true;
    if (x->trailers_known)
        return;
    x->trailers_known = x->has_trailers = true;
    x->trailers = m->headers;
    x->trailer_count = m->header_count;
    if (w->mode != WK_BODY_PIECES || w->complete)
        return;
    for (size_t i = 0; i < w->stage_count; i++)
        w->stages[i].t.closed = true;
    pass_end(w, 0);
}

// False: it cannot be.
static bool take_message(struct transform *t, const struct wk_message *m)
{
    struct way *w = &t->ways[m->response];
    if (m->has_modes) {
        t->ways[0].mode = m->modes[0];
        t->ways[1].mode = m->modes[1];
    }
    if (w->over)
        return true;
    if ((m->part == WK_HEADERS) == w->head || (m->part == WK_BODY && (w->empty || w->mode == WK_BODY_NONE || w->all_came)) ||
        (m->part != WK_HEADERS && w->mode == WK_BODY_PIECES && !w->made))
        return false;
    w->began_ns = sld_mono_ns();
    if (m->part == WK_HEADERS) {
        take_head(w, m);
    } else if (m->part == WK_TRAILERS) {
        take_trailers(w, m);
    } else if (w->mode == WK_BODY_PIECES) {
        take_piece(w, m);
    } else {
        w->all_came = w->body_due = w->complete = true;
        w->body = m->body;
        w->x.trailers_known = m->last;
    }
    return true;
}

// Reads what came: pieces into BRIEF, as they are copied to where they go; the rest stays.
static enum sld_rc read_message(struct transform *t, struct sld_arena *brief, struct sld_str bytes, struct wk_message *m, struct sld_err *err)
{
    if (t->ways[0].mode != WK_BODY_PIECES && t->ways[1].mode != WK_BODY_PIECES)
        return wk_wire_read(&t->arena, bytes, m, err);
    enum sld_rc rc = wk_wire_read(brief, bytes, m, err);
    return rc || (m->part == WK_BODY && t->ways[m->response].mode == WK_BODY_PIECES) ? rc : wk_wire_read(&t->arena, bytes, m, err);
}

static void on_message(void *call, struct sld_str bytes)
{
    struct transform *t = call;
    struct sld_err err = {0};
    struct sld_arena brief = {0};
    struct wk_message m;
    if (t->closed || t->closing)
        return;
    if (read_message(t, &brief, bytes, &m, &err)) {
        refuse(t, INVALID_ARGUMENT, err.msg);
    } else if (!take_message(t, &m)) {
        refuse(t, INVALID_ARGUMENT, "parts of a request in an order that cannot be");
    } else if (t->begun) {
        wk_job_again(&t->job);
    } else {
        t->begun = true;
        wk_job_start(&t->job);
    }
    sld_arena_fini(&brief);
}

static void on_half_close(void *call)
{
    struct transform *t = call;
    if (t->closed)
        return;
    t->left = true;
    for (size_t i = 0; i < 2; i++)
        t->ways[i].x.trailers_known = true; // there are none, or nobody hears of them
    wk_job_again(&t->job);
}

static void on_sent(void *call)
{
    struct transform *t = call;
    t->sending = false;
    send_next(t);
}

// ---- Life ----

static void *on_call(struct wk_loop *l, struct sld_grpc_stream *stream)
{
    struct sld_err err = {0};
    unsigned *count = wk_loop_transforms(l);
    if (*count >= WK_TRANSFORMS_MAX) {
        wk_loop_shed(l);
        sld_grpc_close(stream, RESOURCE_EXHAUSTED, SLD_STR("too many requests at once"));
        return NULL;
    }
    struct transform *t = SLD_NEW(struct transform);
    struct sld_str list = sld_arena_str(&t->arena, sld_grpc_metadata(stream));
    if (wk_uses_read(list, t->uses, &t->use_count, &err)) {
        sld_grpc_close(stream, INVALID_ARGUMENT, sld_str_c(err.msg));
        sld_arena_fini(&t->arena);
        sld_xfree(t);
        return NULL;
    }
    ++*count;
    t->l = l;
    t->stream = stream;
    t->job = (struct wk_job){.l = l, .uses = t->uses, .use_count = t->use_count, .run = run, .missing = missing};
    sld_list_init(&t->outgoing);
    for (size_t i = 0; i < 2; i++) {
        struct way *w = &t->ways[i];
        w->of = t;
        w->response = i;
        w->x.arena = &t->arena;
        sld_buf_init(&w->out, HELD_BYTES_MAX);
    }
    return t;
}

static void on_closed(void *call)
{
    struct transform *t = call;
    wk_job_stop(&t->job);
    t->at_work = true; // what is cancelled asks for no turn
    for (size_t i = 0; i < 2; i++) {
        struct way *w = &t->ways[i];
        for (size_t k = 0; k < w->stage_count; k++) {
            struct stage *s = &w->stages[k];
            if (s->state == AT_WORK && !s->finished)
                sld_plugin_transform_cancel(&s->t);
            drop_pieces(s);
            sld_buf_fini(&s->t.written);
        }
        sld_buf_fini(&w->out);
    }
    SLD_LIST_EACH (it, &t->outgoing)
        sld_xfree(SLD_CONTAINER_OF(it, struct outgoing, link));
    --*wk_loop_transforms(t->l);
    sld_arena_fini(&t->arena);
    sld_xfree(t);
}

const struct wk_service wk_transforms = {.method = "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
                                         .on_call = on_call,
                                         .on_message = on_message,
                                         .on_half_close = on_half_close,
                                         .on_sent = on_sent,
                                         .on_closed = on_closed};
