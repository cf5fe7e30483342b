#include "source/consul/status.h"

#include "settings.pb-c.h"
#include "source/consul/status_inside.h"

enum {
    STRIKES_MAX = 5,       // so often somebody else's status takes the place of ours, then it stays
    STRIKE_MS = 10 * 1000, // if so soon after the one before
    TOLD_MAX = 100,        // keys of which problems are told
};

static struct sld_str entry_key(const void *item)
{
    return sld_str_c(((const struct entry *)item)->key);
}

// ---- Problems ----

static void tell(struct sld_consul_status *w, struct sld_str path, struct sld_str message)
{
    w->on_problem(w->user, path, SLD_STATUS_NOT_WRITTEN, message);
}

// What concerns all of them; absent: it is over.
void status_complain(struct sld_consul_status *w, struct sld_str message)
{
    if (!message.p && !w->complained)
        return;
    w->complained = message.p != NULL;
    if (!w->lock_complained)
        tell(w, w->prefix, message);
}

static void on_lock_problem(void *user, struct sld_str message)
{
    struct sld_consul_status *w = user;
    struct sld_arena a = {0};
    w->lock_complained = message.p != NULL;
    if (message.p)
        message = sld_arena_fmt(&a,
                                "no statuses are written without the lock that says who of several "
                                "Solders does (the token needs session and key rights): %.*s",
                                SLD_FMT(message));
    tell(w, w->prefix, message);
    sld_arena_fini(&a);
}

static void tell_of(struct sld_consul_status *w, struct entry *e, struct sld_str message)
{
    struct sld_arena a = {0};
    if (e->told || (message.p && w->told < TOLD_MAX)) {
        tell(w, SLD_ARENA_JOIN(&a, w->prefix, SLD_STR("/"), sld_str_c(e->key)), message);
        w->told = w->told + (message.p && !e->told) - (!message.p && e->told);
        e->told = message.p != NULL;
    }
    sld_arena_fini(&a);
}

void status_give_up(struct sld_consul_status *w, struct entry *e, struct sld_str why)
{
    SLD_LOG(SLD_WARN, "source", "consul_status_refused", SLD_KC("key", e->key), SLD_KS("reason", why));
    e->given_up = true;
    tell_of(w, e, why);
}

static void try_again(struct sld_consul_status *w, struct entry *e)
{
    e->given_up = false;
    if (e->events)
        e->events->strikes = 0;
    tell_of(w, e, SLD_STR_NONE);
}

// ---- What is there and what is wanted ----

static struct sld_hash beside_hash(const struct sld_status *s)
{
    struct sld_arena a = {0};
    struct sld_hash h = sld_hash_bytes(status_beside_text(&a, s));
    sld_arena_fini(&a);
    return h;
}

bool status_is_due(const struct sld_consul_status *w, const struct entry *e)
{
    bool wanted = e->want && e->want->state != SLD_PENDING;
    if (e->given_up)
        return false;
    if (w->place == IN_VALUE)
        return e->seen && wanted && !sld_hash_eq(consul_status_hash(e->want), e->in_value);
    if (!e->seen || e->gone)
        return !sld_hash_zero(e->beside);
    return wanted && !sld_hash_eq(beside_hash(e->want), e->beside);
}

bool status_is_active(const struct sld_consul_status *w)
{
    return w->held && (w->place == IN_VALUE || (w->place == BESIDE && w->listed));
}

static void entry_free(struct sld_consul_status *w, struct entry *e)
{
    sld_set_remove(&w->entries, e);
    sld_list_remove(&e->queue);
    SLD_UNREF(e->want);
    if (e->events)
        sld_xfree(e->events->others);
    sld_xfree(e->events);
    sld_xfree(e);
}

struct events *status_events(struct entry *e)
{
    if (!e->events)
        e->events = SLD_NEW(struct events);
    return e->events;
}

const char *status_others(const struct entry *e)
{
    return e->events ? e->events->others : NULL;
}

struct entry *status_entry(struct sld_consul_status *w, struct sld_str key)
{
    struct entry *e = sld_set_get(&w->entries, key);
    if (e)
        return e;
    e = sld_xcalloc(1, sizeof(*e) + key.n + 1);
    memcpy(e->key, key.p, key.n);
    sld_list_init(&e->queue);
    sld_set_add(&w->entries, e);
    return e;
}

// Something about E changed.
void status_look_at(struct sld_consul_status *w, struct entry *e)
{
    if (e->busy)
        return; // looked at when the batch is done
    if (!e->seen && !e->want && (sld_hash_zero(e->beside) || w->place != BESIDE)) {
        tell_of(w, e, SLD_STR_NONE);
        if (!e->kept)
            entry_free(w, e);
        return;
    }
    if (!status_is_active(w) || !status_is_due(w, e) || !sld_list_empty(&e->queue))
        return;
    bool first = sld_list_empty(&w->queue);
    sld_list_push(&w->queue, &e->queue);
    if (first)
        status_work_soon(w);
}

void status_look_at_all(struct sld_consul_status *w)
{
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&w->entries, &at));)
        status_look_at(w, e);
}

// ---- The lock ----

static void on_lock(void *user, bool held)
{
    struct sld_consul_status *w = user;
    w->held = held;
    w->listed = false;
    w->failures = 0;
    status_rest(w);
    if (!held)
        return;
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&w->entries, &at));)
        try_again(w, e);
    if (w->place == BESIDE)
        status_list(w);
    else
        status_look_at_all(w);
}

static void lock_end(struct sld_consul_status *w)
{
    consul_lock_destroy(w->lock);
    w->lock = NULL;
    w->held = w->listed = false;
    status_rest(w);
    if (w->lock_complained)
        on_lock_problem(w, SLD_STR_NONE);
    status_complain(w, SLD_STR_NONE);
}

// Who reports under another name does not concern us: there may be one of each.
static void lock_begin(struct sld_consul_status *w)
{
    struct sld_arena a = {0};
    struct sld_str ns = sld_str_c(w->ns);
    bool common = sld_str_eq(ns, SLD_STR("gloo-system"));
    const struct consul_lock_options o = {
        .key = SLD_ARENA_JOIN(&a, w->root, SLD_STR("/solder/leader"), common ? SLD_STR("") : SLD_STR("-"),
                              common ? SLD_STR("") : ns),
        .ttl_ms = w->ttl_ms,
        .lock_delay_ms = w->lock_delay_ms,
        .on_change = on_lock,
        .on_problem = on_lock_problem,
        .user = w,
    };
    w->lock = consul_lock_create(w->io, w->c, &o);
    sld_arena_fini(&a);
}

// ---- What the source tells ----

static enum place setting_of(const struct Gloo__Settings *s)
{
    const Gloo__ConsulKvOptions *o = s->solder ? s->solder->consul_kv : NULL;
    switch (o ? o->status_place : GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__AUTO) {
    case GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__IN_VALUE:
        return IN_VALUE;
    case GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__BESIDE:
        return BESIDE;
    case GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__NONE:
        return NOWHERE;
    default:
        return UNDECIDED;
    }
}

void status_forget_beside(struct sld_consul_status *w)
{
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&w->entries, &at));) {
        e->beside = (struct sld_hash){0};
        e->beside_index = 0;
        if (e->events) {
            sld_xfree(e->events->others);
            e->events->others = NULL;
        }
    }
}

static void set_ns(struct sld_consul_status *w, struct sld_str ns)
{
    if (!ns.n || (w->ns && sld_str_eq(ns, sld_str_c(w->ns))))
        return;
    char *copy = sld_xcalloc(1, ns.n + 1);
    memcpy(copy, ns.p, ns.n);
    sld_xfree(w->ns);
    w->ns = copy;
    status_forget_beside(w);
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&w->entries, &at));)
        e->in_value = (struct sld_hash){0}; // found out when it is written
    if (w->lock) {
        lock_end(w);
        lock_begin(w);
    }
}

static void set_place(struct sld_consul_status *w)
{
    enum place place = w->setting == UNDECIDED ? w->automatic : w->setting;
    if (!w->begun || place == w->place)
        return;
    w->place = place;
    if (place == NOWHERE)
        lock_end(w);
    else if (!w->lock)
        lock_begin(w);
    else if (w->held)
        on_lock(w, true);
}

const char *sld_consul_status_place(const struct sld_consul_status *w, struct sld_str recorded)
{
    bool in_value = recorded.n ? sld_str_eq(recorded, SLD_STR("value")) : w->gloo_was_here;
    if (w->begun)
        in_value = w->automatic == IN_VALUE;
    return in_value ? "value" : "beside";
}

void sld_consul_status_begin(struct sld_consul_status *w, struct sld_str recorded)
{
    SLD_PRE(!w->begun);
    w->automatic = !strcmp(sld_consul_status_place(w, recorded), "value") ? IN_VALUE : BESIDE;
    w->begun = true;
    set_place(w);
}

void sld_consul_status_set(struct sld_consul_status *w, struct sld_str key,
                           struct sld_status *status, struct sld_str reporter_ns)
{
    sld_loop_assert_owner(w->io);
    set_ns(w, reporter_ns);
    struct entry *e = status_entry(w, key);
    bool same = e->want && status && sld_hash_eq(e->want->obj.hash, status->obj.hash);
    SLD_UNREF(e->want);
    e->want = sld_obj_ref(status);
    e->gone = !status;
    if (!same)
        try_again(w, e);
    status_look_at(w, e);
}

// Somebody wrote a status as we do, and it is not ours.
static void strike(struct sld_consul_status *w, struct entry *e)
{
    struct sld_arena a = {0};
    uint64_t now = sld_mono_ns();
    struct events *x = status_events(e);
    x->strikes = now - x->struck_ns < STRIKE_MS * MS ? x->strikes + 1 : 1;
    x->struck_ns = now;
    if (x->strikes == STRIKES_MAX)
        status_give_up(w, e,
                sld_arena_fmt(&a,
                              "somebody else writes statuses of \"%s\", too: stop the other control "
                              "plane, or set another discoveryNamespace",
                              w->ns));
    sld_arena_fini(&a);
}

// What Gloo writes without being asked to.
static bool is_gloos(struct sld_str key, struct sld_str value)
{
    return sld_str_starts(key, SLD_STR("gloo.solo.io/v1/Proxy/")) ||
           (sld_str_starts(key, SLD_STR("gloo.solo.io/v1/Upstream/")) &&
            sld_str_find(value, SLD_STR("discovered_by")) >= 0);
}

const char *sld_consul_status_keep(struct sld_consul_status *w, struct sld_str key)
{
    struct entry *e = status_entry(w, key);
    e->kept = true;
    return e->key;
}

void sld_consul_status_let(struct sld_consul_status *w, struct sld_str key)
{
    struct entry *e = sld_set_get(&w->entries, key);
    SLD_PRE(e && e->kept);
    e->kept = false;
    status_look_at(w, e);
}

bool sld_consul_status_seen(struct sld_consul_status *w, struct sld_str key, struct sld_str value,
                            uint64_t modify_index)
{
    struct consul_value v;
    struct entry *e = status_entry(w, key);
    consul_value_read(value, sld_str_c(w->ns), &v);
    bool edited = !e->seen || !sld_hash_eq(v.content, e->content);
    w->gloo_was_here |= v.any || is_gloos(key, value);
    // An answer that was under way while we wrote.
    bool old = e->events && modify_index < e->events->written_index &&
               sld_mono_ns() - e->events->written_ns < STRIKE_MS * MS;
    bool other = !sld_hash_zero(v.status) && !sld_hash_eq(v.status, e->in_value) && !old;
    e->seen = true;
    e->content = v.content;
    if (!old)
        e->in_value = v.status;
    if (edited)
        try_again(w, e);
    else if (other && w->place == IN_VALUE && w->held)
        strike(w, e);
    status_look_at(w, e);
    return edited;
}

void sld_consul_status_unseen(struct sld_consul_status *w, struct sld_str key)
{
    struct entry *e = sld_set_get(&w->entries, key);
    if (!e)
        return;
    e->seen = false;
    e->in_value = e->content = (struct sld_hash){0};
    try_again(w, e);
    status_look_at(w, e);
}

void sld_consul_status_configure(struct sld_consul_status *w, const struct Gloo__Settings *settings)
{
    w->setting = setting_of(settings);
    set_ns(w, sld_str_c(settings->discovery_namespace));
    set_place(w);
}

bool sld_consul_status_writer(const struct sld_consul_status *w, struct sld_source_writer *out)
{
    if (!w->lock)
        return false;
    *out = (struct sld_source_writer){.lock = consul_lock_key(w->lock),
                                      .ours = w->held,
                                      .holder = consul_lock_holder(w->lock)};
    return true;
}

void sld_consul_status_lock_times(struct sld_consul_status *w, uint64_t ttl_ms,
                                  uint64_t lock_delay_ms)
{
    w->ttl_ms = ttl_ms;
    w->lock_delay_ms = lock_delay_ms;
}

// ---- Life ----

static void on_timer(void *user)
{
    struct sld_consul_status *w = user;
    w->waiting = false;
    status_work(w);
}

struct sld_consul_status *sld_consul_status_create(struct sld_loop *io, struct sld_consul *c,
                                                   struct sld_str root,
                                                   const struct Gloo__Settings *settings,
                                                   sld_consul_status_problem *on_problem,
                                                   void *user)
{
    struct sld_consul_status *w = SLD_NEW(struct sld_consul_status);
    w->io = io;
    w->c = c;
    w->root = sld_arena_str(&w->arena, root);
    w->prefix = SLD_ARENA_JOIN(&w->arena, root, SLD_STR("-status"));
    w->on_problem = on_problem;
    w->user = user;
    w->entries.key = entry_key;
    w->timer = sld_timer_create(io, on_timer, w);
    sld_list_init(&w->queue);
    set_ns(w, SLD_STR("gloo-system"));
    sld_consul_status_configure(w, settings);
    return w;
}

void sld_consul_status_destroy(struct sld_consul_status *w)
{
    if (!w)
        return;
    consul_lock_destroy(w->lock);
    status_rest(w);
    size_t at = 0;
    for (struct entry *e; (e = sld_set_next(&w->entries, &at));)
        entry_free(w, e);
    sld_set_fini(&w->entries);
    sld_timer_destroy(w->timer);
    sld_xfree(w->ns);
    sld_arena_fini(&w->arena);
    sld_xfree(w);
}
