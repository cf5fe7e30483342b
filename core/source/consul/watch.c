// Blocking queries: one watch asks again and again, and tells what changed.
#include "source/consul/client.h"

#include "source/consul/agent.h"

#define MS UINT64_C(1000000)

enum {
    GAP_MS = 50, // a watch whose answer changes all the time asks this often
    BURST = 20,  // after it was quiet, so many without a pause
    BACKOFF_MIN_MS = 250,
    BACKOFF_MAX_MS = 10 * 1000,
    BUSY_MIN_MS = 1000, // after 429
    RETURN_MS = 500,    // when the agent is back, who waits asks within this time
    TURN_MS = 2000,     // how long a watch may wait when there are more than may ask
    CEILING_MIN = 8,    // however many questions the agent refuses
    CEILING_STEP = 8,   // more of them after each CEILING_MS without a refusal
    CEILING_MS = 60 * 1000,
    EARLY_MS = 500, // an answer without news that came earlier than this did not wait
};

enum state {
    DELAYED, // the timer runs, then it asks
    QUEUED,  // in the agent's queue, then it asks
    ASKING,
    PAUSED,
};

struct sld_consul_watch {
    struct sld_list link; // of the agent
    struct sld_list in_queue;
    struct sld_consul *c;
    struct sld_arena arena; // the query
    struct sld_consul_watch_options opt;
    struct sld_timer *timer;
    struct sld_http_pending *pending;
    enum state state;
    uint64_t index; // to ask with; 0: the answer comes at once
    uint64_t seen;  // of the last answer
    uint64_t asked_ns;
    uint64_t wait_ms; // of the question that runs
    bool waited;      // a question with an index was asked
    bool went_back;   // since the last answer that was told
    bool told;        // ANSWER was told
    struct sld_hash answer;
    uint64_t spent_ns;   // the time up to which questions are paid for: GAP each
    unsigned failures;   // since the last answer
    unsigned early;      // answers without news that did not wait, one after the other
    bool complained;     // on_problem was told
    const char *refused; // why the answer that is told cannot be used
    unsigned refusals;   // such answers, one after the other
    bool *stopped;       // of the callback that runs: set when the watch is gone
};

static void on_timer(void *user);
static void on_done(const struct sld_http_answer *ha, void *user);
static void ask_or_queue(struct sld_consul_watch *w);
static void ask(struct sld_consul_watch *w);

// ---- Slots ----

// The agent has too many connections of ours: others on this machine have their share.
static void ceiling_lower(struct sld_consul *c)
{
    unsigned now = c->asking * 3 / 4;
    c->ceiling = now < CEILING_MIN ? CEILING_MIN : now;
    c->raised_ns = sld_mono_ns();
}

static unsigned ceiling(struct sld_consul *c)
{
    uint64_t now = sld_mono_ns();
    if (c->ceiling && now - c->raised_ns > CEILING_MS * MS) {
        c->raised_ns = now;
        c->ceiling += CEILING_STEP;
        if (c->ceiling >= SLD_CONSUL_WATCHES_MAX)
            c->ceiling = 0;
    }
    return c->ceiling ? c->ceiling : SLD_CONSUL_WATCHES_MAX;
}

static void slot_free(struct sld_consul *c)
{
    SLD_INV(c->asking > 0);
    c->asking--;
    if (sld_list_empty(&c->queue) || c->asking >= ceiling(c))
        return;
    struct sld_consul_watch *w = SLD_CONTAINER_OF(c->queue.next, struct sld_consul_watch, in_queue);
    sld_list_remove(&w->in_queue);
    ask(w);
}

// Leaves whatever state W is in; the caller sets the next.
static void leave(struct sld_consul_watch *w)
{
    enum state was = w->state;
    w->state = PAUSED;
    sld_timer_stop(w->timer);
    sld_list_remove(&w->in_queue);
    if (was != ASKING)
        return;
    sld_http_cancel(w->pending);
    w->pending = NULL;
    slot_free(w->c);
}

static void delay(struct sld_consul_watch *w, uint64_t ms)
{
    w->state = DELAYED;
    sld_timer_start(w->timer, ms);
}

static void on_timer(void *user)
{
    struct sld_consul_watch *w = user;
    SLD_INV(w->state == DELAYED);
    ask_or_queue(w);
}

static void ask_or_queue(struct sld_consul_watch *w)
{
    if (w->c->asking < ceiling(w->c)) {
        ask(w);
        return;
    }
    w->state = QUEUED;
    sld_list_push(&w->c->queue, &w->in_queue);
}

// Up to a tenth less, so that watches that began together do not go on together. The first wait is
// a short one: by then it is known how many connections the agent takes.
static uint64_t wait_of(const struct sld_consul_watch *w)
{
    uint64_t ms = w->opt.wait_ms ? w->opt.wait_ms : w->c->cfg.wait_ms;
    if ((w->c->watch_count > ceiling(w->c) || !w->waited) && ms > TURN_MS)
        ms = TURN_MS;
    return sld_jitter(ms);
}

static void ask(struct sld_consul_watch *w)
{
    struct sld_consul *c = w->c;
    struct sld_arena a = {0};
    struct sld_http_call call;
    w->wait_ms = wait_of(w);
    w->waited = w->waited || w->index;
    consul_call_make(&a, &c->cfg, consul_file_token(c), &w->opt.query, w->index, w->wait_ms, &call);
    w->state = ASKING;
    w->asked_ns = sld_mono_ns();
    c->asking++;
    w->pending = sld_http_start(c->watch_http, &call, on_done, w);
    sld_arena_fini_secret(&a);
}

// ---- Answers ----

// Tells; false when W is gone afterwards.
static bool tell_problem(struct sld_consul_watch *w, enum sld_rc rc, struct sld_str message)
{
    bool stopped = false;
    w->complained = rc != SLD_OK;
    if (!w->opt.on_problem)
        return true;
    w->stopped = &stopped;
    w->opt.on_problem(w->opt.user, rc, message);
    if (stopped)
        return false;
    w->stopped = NULL;
    return true;
}

static bool tell_answer(struct sld_consul_watch *w, const struct sld_consul_answer *a)
{
    bool stopped = false;
    w->stopped = &stopped;
    w->refused = NULL;
    w->opt.on_answer(w->opt.user, a);
    if (stopped)
        return false;
    w->stopped = NULL;
    return true;
}

static uint64_t backoff_ms(unsigned failures, uint64_t least)
{
    uint64_t ms = sld_backoff(failures, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    return ms < least ? sld_backoff(1, least, least) : ms;
}

static void failed(struct sld_consul_watch *w, const struct sld_err *err)
{
    w->failures++;
    if (err->rc == SLD_AGAIN)
        ceiling_lower(w->c);
    // An agent that comes back with less than it had would hold the question back for all of the
    // wait.
    if (err->rc == SLD_IO)
        w->index = 0;
    w->c->down = w->c->down || (err->rc == SLD_IO && !w->refused);
    if (w->failures > 1 || err->rc == SLD_DENIED || err->rc == SLD_INVALID) {
        if (!tell_problem(w, err->rc, sld_str_c(err->msg)))
            return;
    }
    if (w->state == DELAYED)
        sld_timer_start(w->timer, backoff_ms(w->failures, err->rc == SLD_AGAIN ? BUSY_MIN_MS : 0));
}

// The agent answers again: whoever waits out a failure asks soon, but not all at once.
static void agent_is_back(struct sld_consul *c)
{
    if (!c->down)
        return;
    c->down = false;
    SLD_LIST_EACH (it, &c->watches) {
        struct sld_consul_watch *w = SLD_CONTAINER_OF(it, struct sld_consul_watch, link);
        if (w->state == DELAYED && w->failures)
            sld_timer_start(w->timer, sld_random_below(RETURN_MS));
    }
}

static struct sld_hash answer_hash(const struct sld_consul_answer *a)
{
    struct sld_hash facts = {.lo = (uint64_t)a->status,
                             .hi = (uint64_t)a->known_leader << 1 | a->filtered_by_acl};
    return sld_hash_mix(sld_hash_bytes(a->body), facts);
}

// How long W waits before it asks again after news: nothing, until it had BURST of them in less
// than BURST * GAP_MS.
static uint64_t pace_ms(struct sld_consul_watch *w)
{
    uint64_t now = sld_mono_ns(), room = BURST * GAP_MS * MS;
    if (w->spent_ns < now)
        w->spent_ns = now;
    w->spent_ns += GAP_MS * MS;
    return w->spent_ns > now + room ? (w->spent_ns - now - room) / MS + 1 : 0;
}

// Takes the answer's index; the time to wait before the next question.
static uint64_t take_index(struct sld_consul_watch *w, const struct sld_consul_answer *a)
{
    bool moved = a->index != w->index;
    bool early = sld_mono_ns() - w->asked_ns < EARLY_MS * MS;
    w->went_back = w->went_back || a->index < w->seen;
    w->index = w->seen = a->index; // one that went back is where the agent is now
    // A leaving agent answers at once, again and again, with nothing new.
    w->early = moved || !early ? 0 : w->early + 1;
    return moved ? pace_ms(w) : w->early ? backoff_ms(w->early, 0) : 0;
}

// The answer that was told cannot be used.
static void refuse(struct sld_consul_watch *w)
{
    struct sld_err err = {0};
    sld_err_set(&err, SLD_IO, "%.*s%.*s: %s", SLD_FMT(sld_consul_name(w->c)),
                SLD_FMT(w->opt.query.path), w->refused);
    w->told = false;
    w->failures = w->refusals++;
    failed(w, &err);
}

static void answered(struct sld_consul_watch *w, struct sld_consul_answer *a)
{
    w->failures = 0;
    agent_is_back(w->c);
    bool moved = a->index != w->index;
    uint64_t pause = take_index(w, a);
    if (w->complained && !w->refusals && !tell_problem(w, SLD_OK, SLD_STR_NONE))
        return;
    // Whether the index moved says nothing: it does for changes elsewhere, and does not when a
    // token loses rights.
    struct sld_hash hash = answer_hash(a);
    bool news = !w->told || !sld_hash_eq(hash, w->answer) || (w->opt.every_index && moved);
    a->went_back = w->went_back;
    w->went_back = false;
    w->told = true;
    w->answer = hash;
    if (news && !tell_answer(w, a))
        return;
    if (news && w->refused) {
        refuse(w);
        return;
    }
    w->refusals = 0;
    if (w->complained && !tell_problem(w, SLD_OK, SLD_STR_NONE))
        return;
    if (w->state == DELAYED) // nobody paused or restarted it meanwhile
        sld_timer_start(w->timer, pause);
}

// Older agents close the connection that is one too many; so does one that ends, but then the others
// do not stay.
static bool crowded(const struct sld_consul_watch *w)
{
    return w->c->asking >= CEILING_MIN && sld_mono_ns() - w->asked_ns < EARLY_MS * MS;
}

static void on_done(const struct sld_http_answer *ha, void *user)
{
    struct sld_consul_watch *w = user;
    struct sld_consul_answer a;
    struct sld_err err = {0};
    w->pending = NULL;
    w->state = DELAYED;
    slot_free(w->c);
    consul_answer_read(ha, &a, &err);
    if (!a.err && a.index == 0) {
        sld_err_set(&err, SLD_INVALID,
                    "%.*s answered without X-Consul-Index: it is no Consul agent",
                    SLD_FMT(sld_consul_name(w->c)));
        a.err = &err;
    }
    if (ha->hung_up && crowded(w))
        sld_err_set(&err, SLD_AGAIN,
                    "%.*s closed a connection at once; an agent takes 200 of them from one address "
                    "(limits.http_max_conns_per_client)",
                    SLD_FMT(sld_consul_name(w->c)));
    else if (a.err && !ha->status)
        w->c->ceiling = 0; // it is not there, and neither are the connections it counted
    if (a.err)
        failed(w, a.err);
    else
        answered(w, &a);
}

// ---- Watches ----

size_t sld_consul_watch_room(const struct sld_consul *c)
{
    return c->watch_count < SLD_CONSUL_WATCHES_MAX ? SLD_CONSUL_WATCHES_MAX - c->watch_count : 0;
}

struct sld_consul_watch *sld_consul_watch_start(struct sld_consul *c,
                                                const struct sld_consul_watch_options *o)
{
    sld_loop_assert_owner(c->loop);
    struct sld_consul_watch *w = SLD_NEW(struct sld_consul_watch);
    w->c = c;
    w->opt = *o;
    w->opt.query = consul_query_copy(&w->arena, &o->query);
    w->index = o->index;
    w->timer = sld_timer_create(c->loop, on_timer, w);
    sld_list_init(&w->in_queue);
    sld_list_push(&c->watches, &w->link);
    c->watch_count++;
    delay(w, 0); // so that all that start together are counted
    return w;
}

void sld_consul_watch_stop(struct sld_consul_watch *w)
{
    if (!w)
        return;
    struct sld_consul *c = w->c;
    sld_loop_assert_owner(c->loop);
    c->watch_count--;
    leave(w);
    sld_list_remove(&w->link);
    if (w->stopped)
        *w->stopped = true;
    sld_timer_destroy(w->timer);
    sld_arena_fini(&w->arena);
    sld_xfree(w);
}

void sld_consul_watch_refuse(struct sld_consul_watch *w, const char *why)
{
    SLD_PRE(w->stopped);
    w->refused = why;
}

void sld_consul_watch_again(struct sld_consul_watch *w)
{
    sld_loop_assert_owner(w->c->loop);
    leave(w);
    w->index = 0;
    w->told = false;
    w->failures = 0;
    delay(w, 0);
}

void sld_consul_watch_pause(struct sld_consul_watch *w)
{
    sld_loop_assert_owner(w->c->loop);
    leave(w);
}

void sld_consul_watch_resume(struct sld_consul_watch *w)
{
    sld_loop_assert_owner(w->c->loop);
    if (w->state == PAUSED)
        delay(w, 0);
}

void consul_watches_restart(struct sld_consul *c)
{
    SLD_LIST_EACH (it, &c->watches) {
        struct sld_consul_watch *w = SLD_CONTAINER_OF(it, struct sld_consul_watch, link);
        if (w->state == PAUSED)
            continue;
        leave(w);
        w->index = 0;
        w->failures = 0;
        delay(w, 0);
    }
}

void consul_watches_stop(struct sld_consul *c)
{
    SLD_LIST_EACH (it, &c->watches)
        sld_consul_watch_stop(SLD_CONTAINER_OF(it, struct sld_consul_watch, link));
}
