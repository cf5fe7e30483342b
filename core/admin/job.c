// Jobs: requests on their way to an answer.
//
//   NEW ─┬─▶ PARKED ─┐ (index, time)
//        ├───────────┴─▶ QUEUED ─▶ AWAY ─▶ answered
//        └─▶ answered on io
//
// A job that is away belongs to another thread but for `admin`, `client`, `timer` and `link`; when its
// client leaves or loses patience, it is freed on its return.
#include "admin/inside.h"

#include "codec/text.h"

static struct job *job_of(struct sld_list *link)
{
    return SLD_CONTAINER_OF(link, struct job, link);
}

static void on_timer(void *user);
static void queue_run(struct sld_admin *a);

struct job *job_create(struct sld_admin *a, void (*send)(struct job *j, const struct answer *out),
                       void *client)
{
    struct job *j = SLD_NEW(struct job);
    j->admin = a;
    j->send = send;
    j->client = client;
    j->call.arena = &j->arena;
    sld_list_init(&j->link);
    answer_init(&j->answer);
    return j;
}

static void job_free(struct job *j)
{
    sld_list_remove(&j->link);
    sld_timer_destroy(j->timer);
    answer_fini(&j->answer);
    sld_arena_fini(&j->arena);
    sld_xfree(j);
}

// Sends OUT to the client if it is still there.
static void reply(struct job *j, const struct answer *out)
{
    if (!j->client)
        return;
    if (j->admin) {
        size_t class = (size_t)out->status / 100;
        SLD_INV(class < SLD_ARRAY_LEN(j->admin->requests));
        j->admin->requests[class]++;
    }
    j->send(j, out);
    j->client = NULL;
}

void job_answer(struct job *j)
{
    SLD_PRE(j->state != JOB_AWAY);
    if (j->state == JOB_PARKED)
        j->admin->parked_count--;
    reply(j, &j->answer);
    job_free(j);
}

// ---- Waiting for news ----

static void timer_set(struct job *j, uint64_t ms)
{
    if (!j->timer)
        j->timer = sld_timer_create(j->admin->opt.io, on_timer, j);
    sld_timer_start(j->timer, ms);
}

// The waits of many clients that began together should not end together.
static uint64_t with_jitter(struct sld_admin *a, uint64_t ms)
{
    a->noise = a->noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ms + (a->noise >> 33) % (ms / 16 + 1);
}

// Reads index and wait. False: the answer is a problem. *MS 0: nothing to wait for.
static bool read_wait(struct job *j, uint64_t *ms)
{
    int64_t s = WAIT_DEFAULT_S;
    int32_t ns = 0;
    uint64_t index = 0;
    struct sld_str wait = call_param(&j->call, "wait");
    *ms = 0;
    if (!call_u64(&j->call, "index", 0, UINT64_MAX, &index, &j->answer))
        return false;
    if (wait.p && (!sld_duration_parse(wait, &s, &ns) || s < 0 || ns < 0)) {
        answer_problem(&j->answer, PROBLEM_BAD_PARAMETER, "write it like 30s or 5m",
                       "wait=%.*s is no duration", SLD_FMT(sld_str_sub(wait, 0, 256)));
        return false;
    }
    if (s >= WAIT_MAX_S) {
        s = WAIT_MAX_S;
        ns = 0;
    }
    // An index we have not reached is one of an earlier process.
    if (index == 0 || index != j->admin->index)
        return true;
    j->index = index;
    *ms = with_jitter(j->admin, (uint64_t)s * 1000 + (uint64_t)ns / 1000000);
    return true;
}

static void park(struct job *j, uint64_t ms)
{
    struct sld_admin *a = j->admin;
    if (a->parked_count >= PARKED_MAX) {
        answer_problem(&j->answer, PROBLEM_BUSY, "try again, or watch by fewer requests",
                       "%d requests wait for news already", PARKED_MAX);
        job_answer(j);
        return;
    }
    j->state = JOB_PARKED;
    a->parked_count++;
    sld_list_push(&a->parked, &j->link);
    timer_set(j, ms);
}

static void enqueue(struct job *j)
{
    struct sld_admin *a = j->admin;
    uint64_t patience = j->call.ep->patience_ms;
    if (j->state == JOB_PARKED)
        a->parked_count--;
    sld_list_remove(&j->link);
    j->state = JOB_QUEUED;
    sld_list_push(&a->queued, &j->link);
    timer_set(j, patience ? patience : PATIENCE_MS);
}

void jobs_wake(struct sld_admin *a)
{
    SLD_LIST_EACH(at, &a->parked)
    {
        if (job_of(at)->index < a->index)
            enqueue(job_of(at));
    }
    queue_run(a);
}

// ---- Elsewhere ----

static void queue_run(struct sld_admin *a)
{
    while (!sld_list_empty(&a->queued) && a->away_count < AWAY_MAX) {
        struct job *j = job_of(a->queued.next);
        sld_list_remove(&j->link);
        sld_list_push(&a->away, &j->link);
        a->away_count++;
        j->state = JOB_AWAY;
        if (j->call.ep->model)
            a->opt.host.query(&j->query, a->opt.host.user);
        else
            j->call.ep->start(j);
    }
}

void sld_admin_answer(const struct sld_admin_model *m, struct sld_admin_query *q)
{
    struct job *j = (struct job *)(void *)q;
    j->answer.index = m->index;
    j->call.ep->model(m, &j->call, &j->answer);
    sld_objects_rest(); // those that were woken to be shown
    if (j->answer.body.n == 0)
        answer_problem(&j->answer, PROBLEM_TOO_LARGE, NULL, "the answer is empty");
}

void sld_admin_query_done(struct sld_admin_query *q)
{
    job_finish((struct job *)(void *)q);
}

// What a job gets whose answer did not come.
static void no_answer(struct job *j, struct answer *out)
{
    out->status = 0;
    if (j->admin && j->call.ep->finish)
        j->call.ep->finish(j->admin, out);
    if (out->status == 0)
        answer_problem(out, PROBLEM_BUSY, "try again; `duration_ns` of rounds in the log tells why",
                       "the thread that computes the configuration did not answer in time");
}

void job_finish(struct job *j)
{
    SLD_PRE(j->state == JOB_AWAY);
    struct sld_admin *a = j->admin;
    bool answered = j->answer.body.n > 0;
    if (a && answered && j->call.ep->finish)
        j->call.ep->finish(a, &j->answer);
    else if (!answered)
        no_answer(j, &j->answer);
    uint64_t index = j->answer.index;
    if (a)
        a->away_count--;
    reply(j, &j->answer);
    job_free(j);
    if (a && index > a->index)
        sld_admin_changed(a, index);
    else if (a)
        queue_run(a);
}

// ---- Beginning and end ----

static void on_timer(void *user)
{
    struct job *j = user;
    struct sld_admin *a = j->admin;
    struct answer late;
    if (j->state == JOB_PARKED) {
        enqueue(j);
        queue_run(a);
        return;
    }
    answer_init(&late);
    no_answer(j, &late);
    reply(j, &late);
    answer_fini(&late);
    if (j->state == JOB_QUEUED)
        job_free(j);
}

void job_run(struct job *j, const struct asked *q)
{
    struct sld_admin *a = j->admin;
    struct answer *out = &j->answer;
    uint64_t wait_ms = 0;
    if (!sld_str_eq(q->method, SLD_STR("GET")) && !sld_str_eq(q->method, SLD_STR("HEAD"))) {
        answer_problem(out, PROBLEM_METHOD,
                       "use GET or HEAD; configuration is changed where it comes from",
                       "%.*s is not allowed", SLD_FMT(q->method));
        job_answer(j);
        return;
    }
    if (!endpoint_find(&j->call, q->path, q->query, out) ||
        (j->call.ep->watch && !read_wait(j, &wait_ms))) {
        job_answer(j);
        return;
    }
    if (j->call.ep->io) {
        j->call.ep->io(a, &j->call, out);
        job_answer(j);
    } else if (wait_ms) {
        park(j, wait_ms);
    } else {
        enqueue(j);
        queue_run(a);
    }
}

void job_gone(struct job *j)
{
    j->client = NULL;
    if (j->state == JOB_AWAY)
        return;
    if (j->state == JOB_PARKED)
        j->admin->parked_count--;
    job_free(j);
}

void jobs_abandon(struct sld_admin *a)
{
    SLD_LIST_EACH(at, &a->parked)
    job_gone(job_of(at));
    SLD_LIST_EACH(at, &a->queued)
    job_gone(job_of(at));
    SLD_LIST_EACH(at, &a->away)
    {
        struct job *j = job_of(at);
        sld_list_remove(&j->link);
        sld_timer_destroy(j->timer);
        j->timer = NULL;
        j->client = NULL;
        j->admin = NULL;
    }
}
