#include "source/consul/lock.h"

#include <stdio.h>
#include <unistd.h>

#include "codec/doc.h"
#include "source/consul/item.h"

#define MS UINT64_C(1000000)

enum {
    TTL_MS = 15 * 1000,
    LOCK_DELAY_MS = 5 * 1000,
    AGAIN_MS = 1000, // after a failure, or a refusal because of the lock's delay
    AGAIN_MAX_MS = 30 * 1000,
    FAREWELL_MS = 2000,
    SESSION_MAX = 64,
    HOLDER_MAX = 300,
};

struct consul_lock {
    struct sld_consul *c;
    struct sld_arena arena;
    struct consul_lock_options opt; // with defaults filled in
    struct sld_str path, about;     // of the key; what it says
    char session[SESSION_MAX];      // "": there is none
    bool held;
    bool theirs;   // the watch says that somebody else has it
    char holder[HOLDER_MAX]; // who the watch says has it; "": nobody
    bool doubtful; // whether it is ours is to be asked again
    uint64_t until_ns; // the session lives so long at least
    uint64_t asked_ns; // when the call in flight went out
    unsigned failures; // in a row
    bool complained;
    struct sld_timer *timer;  // to the next step
    struct sld_timer *expiry; // of the session
    struct sld_consul_call *call;
    struct sld_consul_watch *watch;
};

static void step(struct consul_lock *l);

// ---- Telling ----

static void complain(struct consul_lock *l, const char *message)
{
    if (!message && !l->complained)
        return;
    l->complained = message != NULL;
    l->opt.on_problem(l->opt.user, sld_str_c(message));
}

static void set_held(struct consul_lock *l, bool held)
{
    if (l->held == held)
        return;
    l->held = held;
    SLD_LOG(SLD_INFO, "source", held ? "consul_lock_taken" : "consul_lock_lost",
            SLD_KS("key", l->opt.key));
    l->opt.on_change(l->opt.user, held);
}

static void end_session(struct consul_lock *l)
{
    l->session[0] = 0;
    sld_timer_stop(l->expiry);
    set_held(l, false);
}

static void on_expiry(void *user)
{
    struct consul_lock *l = user;
    // Consul may know more, but we do not: it is asked as soon as it can be.
    l->doubtful = true;
    set_held(l, false);
}

static void renewed(struct consul_lock *l)
{
    uint64_t now = sld_mono_ns();
    l->until_ns = l->asked_ns + l->opt.ttl_ms * MS;
    sld_timer_start(l->expiry, l->until_ns > now ? (l->until_ns - now) / MS : 0);
}

// ---- Steps ----

static uint64_t backoff_ms(const struct consul_lock *l)
{
    return sld_backoff(l->failures, AGAIN_MS, l->session[0] ? l->opt.ttl_ms / 3 : AGAIN_MAX_MS);
}

static void failed(struct consul_lock *l, const struct sld_consul_answer *a)
{
    l->failures++;
    if (l->failures > 1 || a->err->rc == SLD_DENIED) {
        char words[SLD_ERR_MAX];
        snprintf(words, sizeof(words), "%.*s: %s", SLD_FMT(l->opt.key), a->err->msg);
        complain(l, words);
    }
    sld_timer_start(l->timer, backoff_ms(l));
}

static void succeeded(struct consul_lock *l)
{
    l->failures = 0;
    complain(l, NULL);
}

static void ask(struct consul_lock *l, struct sld_str path, const struct sld_consul_param *param,
                struct sld_str body, sld_consul_done *done)
{
    const struct sld_consul_query q = {
        .method = SLD_STR("PUT"),
        .path = path,
        .params = param,
        .param_count = param != NULL,
        .body = body,
        .timeout_ms = l->opt.ttl_ms / 3,
    };
    l->asked_ns = sld_mono_ns();
    l->call = sld_consul_ask(l->c, &q, done, l);
}

// Whether the answer says that the session is none; Consul's words differ from release to release.
static bool session_is_gone(const struct sld_consul_answer *a)
{
    return a->status == 404 ||
           (a->status >= 500 && sld_str_find(a->body, SLD_STR("invalid session")) >= 0);
}

// Whether the lock may be had, or is not known to be ours any more.
static bool is_to_be_asked_for(const struct consul_lock *l)
{
    return l->doubtful || (!l->held && !l->theirs);
}

static void on_created(void *user, const struct sld_consul_answer *a)
{
    struct consul_lock *l = user;
    struct sld_arena arena = {0};
    struct sld_scan s;
    struct sld_str name, id = SLD_STR_NONE;
    l->call = NULL;
    if (a->err) {
        failed(l, a);
        return;
    }
    sld_scan_init(&s, a->body, &arena);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &name)) {
        if (sld_str_eq(name, SLD_STR("ID")))
            id = sld_scan_str(&s);
        else
            sld_scan_skip(&s);
    }
    if (sld_scan_end(&s) && id.n && id.n < sizeof(l->session)) {
        memcpy(l->session, id.p, id.n);
        l->session[id.n] = 0;
        renewed(l);
        step(l);
    } else {
        sld_timer_start(l->timer, AGAIN_MS);
    }
    sld_arena_fini(&arena);
}

static void create_session(struct consul_lock *l)
{
    struct sld_buf b;
    struct sld_json j;
    struct sld_arena a = {0};
    sld_buf_init(&b, 1024);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "Name");
    sld_json_str(&j, SLD_STR("solder"));
    sld_json_key(&j, "TTL");
    sld_json_str(&j, sld_arena_fmt(&a, "%llums", (unsigned long long)l->opt.ttl_ms));
    sld_json_key(&j, "LockDelay");
    sld_json_str(&j, sld_arena_fmt(&a, "%llums", (unsigned long long)l->opt.lock_delay_ms));
    sld_json_key(&j, "Behavior");
    sld_json_str(&j, SLD_STR("release"));
    sld_json_end(&j, '}');
    ask(l, SLD_STR("/v1/session/create"), NULL, sld_buf_str(&b), on_created);
    sld_buf_fini(&b);
    sld_arena_fini(&a);
}

static void on_acquired(void *user, const struct sld_consul_answer *a)
{
    struct consul_lock *l = user;
    l->call = NULL;
    if (a->err && session_is_gone(a)) {
        end_session(l);
        step(l);
        return;
    }
    if (a->err) {
        failed(l, a);
        return;
    }
    succeeded(l);
    bool yes = sld_str_eq(sld_str_trim(a->body), SLD_STR("true"));
    l->doubtful = false;
    if (sld_mono_ns() >= l->until_ns) { // it came too late
        l->doubtful = true;
        yes = false;
    }
    if (!yes && l->held)
        l->theirs = false; // the watch knows better soon
    set_held(l, yes);
    // Without the lock: nobody may have it for a while after its holder vanished.
    sld_timer_start(l->timer, yes ? l->opt.ttl_ms / 3 : AGAIN_MS);
}

static void acquire(struct consul_lock *l)
{
    const struct sld_consul_param p = {SLD_STR("acquire"), sld_str_c(l->session)};
    ask(l, l->path, &p, l->about, on_acquired);
}

static void on_renewed(void *user, const struct sld_consul_answer *a)
{
    struct consul_lock *l = user;
    l->call = NULL;
    if (a->status == 404) {
        end_session(l);
        step(l);
        return;
    }
    if (a->err) {
        failed(l, a);
        return;
    }
    succeeded(l);
    renewed(l);
    if (is_to_be_asked_for(l))
        step(l); // now, while the session is fresh
    else
        sld_timer_start(l->timer, l->opt.ttl_ms / 3);
}

static void renew(struct consul_lock *l)
{
    struct sld_arena a = {0};
    struct sld_str path = sld_arena_fmt(&a, "/v1/session/renew/%s", l->session);
    ask(l, path, NULL, SLD_STR_NONE, on_renewed);
    sld_arena_fini(&a);
}

// Whether the session was renewed less than a third of its life ago.
static bool is_fresh(const struct consul_lock *l)
{
    return sld_mono_ns() + l->opt.ttl_ms * MS * 2 / 3 < l->until_ns;
}

static void step(struct consul_lock *l)
{
    if (l->call)
        return;
    if (!l->session[0])
        create_session(l);
    else if (!is_fresh(l))
        renew(l);
    else if (is_to_be_asked_for(l))
        acquire(l);
    else
        sld_timer_start(l->timer, l->opt.ttl_ms / 3);
}

static void on_timer(void *user)
{
    step(user);
}

// ---- The watch ----

// TEXT is what the holder wrote, which may be anything.
static void set_holder(struct consul_lock *l, struct sld_str text)
{
    struct sld_arena a = {0};
    struct sld_scan s;
    struct sld_str name, host = SLD_STR_NONE;
    uint64_t pid = 0;
    sld_scan_init(&s, text, &a);
    sld_scan_object(&s);
    while (sld_scan_member(&s, &name)) {
        if (sld_str_eq(name, SLD_STR("host")))
            host = sld_scan_str(&s);
        else if (sld_str_eq(name, SLD_STR("pid")))
            pid = sld_scan_u64(&s);
        else
            sld_scan_skip(&s);
    }
    if (sld_scan_end(&s) && host.n)
        snprintf(l->holder, sizeof(l->holder), "%.*s (pid %llu)", SLD_FMT(sld_str_utf8_cut(host, 255)),
                 (unsigned long long)pid);
    else
        snprintf(l->holder, sizeof(l->holder), "somebody who does not say who");
    sld_arena_fini(&a);
}

static void on_key(void *user, const struct sld_consul_answer *a)
{
    struct consul_lock *l = user;
    struct sld_arena arena = {0};
    struct sld_scan s;
    struct consul_item i = {0};
    sld_scan_init(&s, a->status == 200 ? a->body : SLD_STR("[]"), &arena);
    sld_scan_array(&s);
    while (sld_scan_item(&s))
        consul_item_read(&s, &arena, &i);
    if (sld_scan_end(&s)) {
        bool ours = i.session.n && sld_str_eq(i.session, sld_str_c(l->session));
        l->theirs = i.session.n && !ours;
        l->holder[0] = 0;
        if (i.session.n)
            set_holder(l, i.value);
        // An answer may be older than what we were told meanwhile.
        l->doubtful |= l->held && !ours;
        if (!l->failures)
            step(l);
    }
    sld_arena_fini(&arena);
}

// ---- Life ----

static struct sld_str about(struct sld_arena *a)
{
    char host[256] = "", since[32];
    struct sld_buf b;
    struct sld_json j;
    (void)!gethostname(host, sizeof(host) - 1);
    sld_time_text(sld_wall_ms(), since);
    sld_buf_init(&b, 1024);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "about");
    sld_json_str(&j, SLD_STR("The Solder that writes statuses."));
    sld_json_key(&j, "host");
    sld_json_str(&j, sld_str_c(host));
    sld_json_key(&j, "pid");
    sld_json_int(&j, getpid());
    sld_json_key(&j, "started");
    sld_json_str(&j, sld_str_c(since));
    sld_json_end(&j, '}');
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

struct consul_lock *consul_lock_create(struct sld_loop *io, struct sld_consul *c,
                                       const struct consul_lock_options *o)
{
    struct consul_lock *l = SLD_NEW(struct consul_lock);
    l->c = c;
    l->opt = *o;
    l->opt.key = sld_arena_str(&l->arena, o->key);
    l->opt.ttl_ms = o->ttl_ms ? o->ttl_ms : TTL_MS;
    l->opt.lock_delay_ms = o->lock_delay_ms ? o->lock_delay_ms : LOCK_DELAY_MS;
    l->path = SLD_ARENA_JOIN(&l->arena, SLD_STR("/v1/kv/"), o->key);
    l->about = about(&l->arena);
    l->timer = sld_timer_create(io, on_timer, l);
    l->expiry = sld_timer_create(io, on_expiry, l);
    const struct sld_consul_watch_options w = {
        .query = {.path = l->path}, .on_answer = on_key, .user = l};
    l->watch = sld_consul_watch_start(c, &w);
    sld_timer_start(l->timer, 0);
    return l;
}

// The lock first, so that the next one need not wait for the delay of a holder that vanished.
static void say_farewell(struct consul_lock *l)
{
    struct sld_arena a = {0};
    const struct sld_consul_param release = {SLD_STR("release"), sld_str_c(l->session)};
    const struct sld_consul_query q[] = {
        {.method = SLD_STR("PUT"),
         .path = l->path,
         .params = &release,
         .param_count = 1,
         .body = l->about,
         .timeout_ms = FAREWELL_MS},
        {.method = SLD_STR("PUT"),
         .path = sld_arena_fmt(&a, "/v1/session/destroy/%s", l->session),
         .timeout_ms = FAREWELL_MS},
    };
    sld_consul_send(l->c, q, SLD_ARRAY_LEN(q));
    sld_arena_fini(&a);
}

void consul_lock_destroy(struct consul_lock *l)
{
    if (!l)
        return;
    sld_consul_cancel(l->call);
    sld_consul_watch_stop(l->watch);
    if (l->session[0])
        say_farewell(l);
    sld_timer_destroy(l->timer);
    sld_timer_destroy(l->expiry);
    sld_arena_fini(&l->arena);
    sld_xfree(l);
}

struct sld_str consul_lock_session(const struct consul_lock *l)
{
    return l && l->held ? sld_str_c(l->session) : SLD_STR_NONE;
}

struct sld_str consul_lock_key(const struct consul_lock *l)
{
    return l->opt.key;
}

struct sld_str consul_lock_holder(const struct consul_lock *l)
{
    return l->holder[0] ? sld_str_c(l->holder) : SLD_STR_NONE;
}

void consul_lock_doubt(struct consul_lock *l)
{
    l->doubtful = true;
    set_held(l, false);
    step(l);
}
