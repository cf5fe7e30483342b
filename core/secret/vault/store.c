// The store: what is wanted, when something is due, and what is told of all of it.
#include "secret/vault/vault.h"

#include <stdio.h>
#include <time.h>

#include "secret/vault/inside.h"
#include "settings.pb-c.h"

struct sld_vault_stats sld_vault_stats;

enum {
    MS = 1000 * 1000,
    LOOK_EACH_MS = 60 * 1000,
    FORGET_EACH_MS = 2000,
    FORGET_MIN = 3,
    FORGET_SHARE = 4,
    REVOKE_TRIES_MAX = 5
};

// ---- Times ----

uint64_t vault_backoff(unsigned failures)
{
    return sld_backoff(failures, (uint64_t)VAULT_BACKOFF_MIN_MS * MS, (uint64_t)VAULT_BACKOFF_MAX_MS * MS);
}

struct sld_str vault_time(struct sld_arena *a, int64_t s)
{
    time_t at = (time_t)s;
    struct tm tm;
    char text[40];
    if (!gmtime_r(&at, &tm) || !strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
        return sld_arena_fmt(a, "second %lld", (long long)s);
    return sld_arena_str(a, sld_str_c(text));
}

void vault_earliest(uint64_t *next, uint64_t at)
{
    if (at && (!*next || at < *next))
        *next = at;
}

void vault_kick(struct vault *v)
{
    sld_timer_start(v->wake, 0);
}

// ---- What is wrong with the whole store ----

static void set_trouble(struct vault_trouble *t, int status, const char *words)
{
    if (!t->words[0])
        t->since_s = sld_wall_ms() / 1000;
    t->status = status;
    snprintf(t->words, sizeof(t->words), "%s", words);
}

// The same words as long as the same is wrong: whoever shows them shall not be woken by each
// attempt.
static void tell_trouble(struct vault *v)
{
    struct sld_arena a = {0};
    struct sld_str text = SLD_STR("");
    if (v->unreached.words[0])
        text = sld_arena_fmt(
            &a, "Vault at %.*s cannot be asked since %.*s: %s; the last good secrets stay",
            SLD_FMT(v->cfg.base), SLD_FMT(vault_time(&a, v->unreached.since_s)),
            v->unreached.words);
    else if (v->no_token.words[0])
        text = sld_arena_fmt(
            &a, "no login to Vault at %.*s since %.*s: %s; the last good secrets stay",
            SLD_FMT(v->cfg.base), SLD_FMT(vault_time(&a, v->no_token.since_s)), v->no_token.words);
    text = sld_str_utf8_cut(text, sizeof(v->told) - 1);
    if (!sld_str_eq(text, sld_str_c(v->told))) {
        snprintf(v->told, sizeof(v->told), "%.*s", SLD_FMT(text));
        v->ev.on_problem(v->ev.user, SLD_STR(""), SLD_SOURCE_STALE, text.n ? text : SLD_STR_NONE);
    }
    sld_arena_fini(&a);
}

bool vault_heard(struct vault *v, const struct vault_answer *a)
{
    if (a->verdict != VAULT_DOWN) {
        if (v->unreached.words[0])
            mounts_relearn(v); // it may be another Vault now
        v->failures = 0;
        v->wait_ns = 0;
        v->heard_ns = sld_mono_ns();
        v->unreached.words[0] = 0;
        tell_trouble(v);
        return true;
    }
    // Requests that were under way together fail together.
    uint64_t now = sld_mono_ns();
    if (now >= v->wait_ns)
        v->wait_ns = now + vault_backoff(++v->failures);
    // Words differ with each attempt: by times, and by what was asked for.
    if (!v->unreached.words[0] || v->unreached.status != a->status)
        set_trouble(&v->unreached, a->status, a->words);
    SLD_LOG(SLD_DEBUG, "secret", "no_answer", SLD_KC("reason", a->words));
    tell_trouble(v);
    return false;
}

void vault_session_lost(struct vault *v, const char *words)
{
    if (!v->unreached.words[0])
        set_trouble(&v->no_token, 0, words);
    tell_trouble(v);
    vault_kick(v);
}

void vault_proved(struct vault *v, const struct vault_answer *a)
{
    size_t at = 0;
    if (a->generation != v->generation)
        return;
    bool news = v->session.unknown && !v->session.proved;
    v->session.proved = true;
    v->no_token.words[0] = 0;
    tell_trouble(v);
    for (struct unit *u; news && (u = sld_set_next(&v->units, &at));) {
        if (!u->answered)
            vault_queue(u, false); // a denial of it counts now
    }
}

void vault_session_ready(struct vault *v)
{
    size_t at = 0;
    if (!v->session.unknown)
        v->no_token.words[0] = 0;
    tell_trouble(v);
    if (v->ready_generation != v->generation) { // it may have other rights
        v->ready_generation = v->generation;
        for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
            u->by_data = u->no_list = false;
            // What hangs on the former token ends with it.
            if (u->problem[0] || u->leased)
                vault_queue(u, false);
        }
    }
    vault_kick(v);
}

void vault_answered(struct unit *u)
{
    u->answered = true;
    if (u->answer_told || u->forget_ns)
        return;
    u->answer_told = true;
    u->v->ev.on_answered(u->v->ev.user, sld_str_c(u->key));
}

// Tells of what is wanted again and was answered before.
static void tell_answers(struct vault *v)
{
    size_t at = 0;
    if (!v->answers_due)
        return;
    v->answers_due = false;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (u->answered)
            vault_answered(u);
    }
}

// ---- What is due ----

void vault_due(struct vault *v, uint64_t ns)
{
    v->units_ns = ns < v->units_ns ? ns : v->units_ns;
}

void vault_queue(struct unit *u, bool check)
{
    if (u->call)
        return; // its answer is as good
    u->check = check && (u->check || sld_list_empty(&u->in_queue));
    if (sld_list_empty(&u->in_queue))
        sld_list_push(&u->v->queue, &u->in_queue);
    vault_kick(u->v);
}

static struct folder *folder_waiting(struct vault *v)
{
    SLD_LIST_EACH (it, &v->folders) {
        struct folder *f = SLD_CONTAINER_OF(it, struct folder, link);
        if (!f->call)
            return f;
    }
    return NULL;
}

// Starts as many requests as may be under way.
static void pump(struct vault *v, uint64_t now)
{
    // After a pause one request shows whether it is over.
    unsigned most = v->failures ? 1 : v->cfg.max_requests;
    if (!session_ready(v) || now < v->wait_ns)
        return;
    while (v->running < most) {
        struct folder *f = folder_waiting(v);
        if (!sld_list_empty(&v->queue)) {
            struct unit *u = SLD_CONTAINER_OF(v->queue.next, struct unit, in_queue);
            sld_list_remove(&u->in_queue);
            if (!u->call) // it went on by itself
                unit_go(u);
        } else if (f) {
            folder_go(f);
        } else {
            return;
        }
    }
}

// Everything that was wanted has an answer, and nothing is under way.
static void look_for_sync(struct vault *v)
{
    size_t at = 0;
    bool idle = sld_list_empty(&v->queue) && sld_list_empty(&v->folders) && !v->running;
    if (!session_ready(v) || !idle)
        return;
    v->sweeping = false;
    if (!v->marked || !v->sync_due)
        return;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (!u->answered && !u->forget_ns)
            return;
    }
    v->sync_due = false;
    v->ev.on_synced(v->ev.user);
}

// Whether U ends by the clock on the wall before it is due: that one was set, or stood still.
static bool late(const struct unit *u, int64_t wall_s)
{
    return u->due_ns && u->renews_s && wall_s > u->renews_s + VAULT_CLOCK_GRACE_S;
}

static uint64_t units_due(struct vault *v, uint64_t now)
{
    uint64_t next = 0;
    size_t at = 0;
    int64_t wall_s = sld_wall_ms() / 1000;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (u->due_ns && (u->due_ns <= now || late(u, wall_s)) && !u->forget_ns) {
            u->due_ns = 0;
            vault_queue(u, false);
        }
        vault_earliest(&next, u->forget_ns ? 0 : u->due_ns);
    }
    return next;
}

static void sweep_due(struct vault *v, uint64_t now)
{
    if (v->sweep_ns > now || v->sweeping || !session_ready(v) || now < v->wait_ns)
        return;
    v->sweep_ns = now + sld_jitter(v->cfg.refresh_ms * MS);
    sweep_start(v);
}

static void drop(struct vault *v, struct unit *u)
{
    if (u->problem[0])
        v->ev.on_problem(v->ev.user, u->place, SLD_SOURCE_STALE, SLD_STR_NONE);
    if (u->kind == UNIT_CERTIFICATE && u->told) {
        ptrdiff_t n = sld_str_find(u->path, SLD_STR("/issue/"));
        vault_retire(v, sld_str_sub(u->path, 0, (size_t)n), u->version);
    }
    unit_gone(u);
    sld_set_remove(&v->units, u);
    unit_destroy(u);
}

static void tell_full(struct vault *v)
{
    struct sld_arena a = {0};
    struct sld_str text =
        sld_map_count(&v->refused)
            ? sld_arena_fmt(&a,
                            "more than %d secrets of Vault are wanted; the rest count as not found "
                            "until fewer are: refer to fewer from one Solder",
                            VAULT_UNITS_MAX)
            : SLD_STR_NONE;
    v->ev.on_problem(v->ev.user, SLD_STR("full"), SLD_SOURCE_STALE, text);
    sld_arena_fini(&a);
}

static void want_new(struct vault *v, struct sld_str key)
{
    struct unit *u = unit_create(v, key);
    if (u && sld_set_count(&v->units) < VAULT_UNITS_MAX) {
        sld_set_add(&v->units, u);
        vault_queue(u, false);
        return;
    }
    if (u) {
        unit_destroy(u);
        sld_map_set(&v->refused, key, v);
        if (sld_map_count(&v->refused) == 1)
            tell_full(v);
    }
    v->ev.on_answered(v->ev.user, key); // there is none, or none can be read
}

// Takes up what there was no room for.
static void want_refused(struct vault *v)
{
    size_t at = 0;
    bool any = sld_map_count(&v->refused) > 0;
    for (struct sld_map_slot *s; sld_set_count(&v->units) < VAULT_UNITS_MAX &&
                                 (s = sld_map_next(&v->refused, &at));) {
        want_new(v, s->key);
        sld_map_remove(&v->refused, s->key);
    }
    if (any && !sld_map_count(&v->refused))
        tell_full(v);
}

// What nobody wants any more goes in small portions: when most objects of a source vanish at once,
// the intake takes it for an accident.
static uint64_t forget_due(struct vault *v, uint64_t now)
{
    uint64_t next = 0;
    size_t at = 0, most = sld_set_count(&v->units) / FORGET_SHARE, gone = 0;
    most = most < FORGET_MIN ? FORGET_MIN : most;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (!u->forget_ns)
            continue;
        if (u->forget_ns <= now && now >= v->forget_ns && gone < most) {
            gone++;
            drop(v, u);
        } else {
            vault_earliest(&next, u->forget_ns > v->forget_ns ? u->forget_ns : v->forget_ns);
        }
    }
    if (gone)
        v->forget_ns = now + (uint64_t)FORGET_EACH_MS * MS;
    want_refused(v);
    return next && next < v->forget_ns ? v->forget_ns : next;
}

// ---- Certificates that are not used any more ----

void vault_retire(struct vault *v, struct sld_str mount, const char *serial)
{
    size_t n = strlen(serial);
    if (!v->cfg.revoke_certificates || !n)
        return;
    struct retired *r = sld_xcalloc(1, sizeof(*r) + mount.n + n + 2);
    r->v = v;
    r->due_ns = sld_mono_ns() + (uint64_t)VAULT_REVOKE_MS * MS;
    r->mount_n = mount.n;
    memcpy(r->text, mount.p, mount.n);
    memcpy(r->text + mount.n + 1, serial, n);
    sld_list_push(&v->retired, &r->link);
}

void vault_log_revoked(const char *serial, const char *why)
{
    if (why)
        SLD_LOG(SLD_WARN, "secret", "revoke_failed", SLD_KC("serial", serial), SLD_KC("reason", why));
    else
        SLD_LOG(SLD_INFO, "secret", "revoked", SLD_KC("serial", serial));
}

static const char *serial_of(const struct retired *r)
{
    return r->text + r->mount_n + 1;
}

static void retired_free(struct retired *r)
{
    vault_call_cancel(r->call);
    sld_list_remove(&r->link);
    sld_xfree(r);
}

// Words of the request live in A.
static struct vault_request revocation(struct sld_arena *a, const struct retired *r)
{
    return (struct vault_request){
        .method = "POST",
        .path = SLD_ARENA_JOIN(a, (struct sld_str){r->text, r->mount_n}, SLD_STR("/revoke")),
        .body = sld_arena_fmt(a, "{\"serial_number\":\"%s\"}", serial_of(r)),
        .serial = sld_str_c(serial_of(r)),
    };
}

static void on_revoked(const struct vault_answer *a, void *user)
{
    struct retired *r = user;
    struct vault *v = r->v;
    bool denied = a->verdict == VAULT_DENIED, former = denied && a->generation != v->generation;
    r->call = NULL;
    vault_kick(v);
    // A denial may mean that the token is over, which the next one makes good.
    if (former || ((denied || a->verdict == VAULT_DOWN) && ++r->failures < REVOKE_TRIES_MAX)) {
        r->due_ns = sld_mono_ns() + (uint64_t)VAULT_REVOKE_MS * MS;
        return;
    }
    vault_log_revoked(serial_of(r), a->verdict == VAULT_OK ? NULL : a->words);
    retired_free(r);
}

static uint64_t retired_due(struct vault *v, uint64_t now)
{
    uint64_t next = 0;
    SLD_LIST_EACH (it, &v->retired) {
        struct retired *r = SLD_CONTAINER_OF(it, struct retired, link);
        if (r->call)
            continue;
        if (r->due_ns > now) {
            vault_earliest(&next, r->due_ns);
        } else if (session_ready(v) && now >= v->wait_ns && v->running < v->cfg.max_requests) {
            struct sld_arena a = {0};
            const struct vault_request rq = revocation(&a, r);
            r->call = vault_ask(v, &rq, on_revoked, r);
            sld_arena_fini(&a);
        }
    }
    return next;
}

// The end of what was with the Vault of the configuration in force: certificates are revoked before the
// token that may do so.
static void farewell(struct vault *v)
{
    struct sld_arena a = {0};
    size_t n = 0, count = 0;
    SLD_LIST_EACH (it, &v->retired)
        count++;
    struct vault_request *all = sld_arena_alloc(&a, (count + 1) * sizeof(*all));
    SLD_LIST_EACH (it, &v->retired) {
        struct retired *r = SLD_CONTAINER_OF(it, struct retired, link);
        if (v->session.token.p)
            all[n++] = revocation(&a, r);
        else
            vault_log_revoked(serial_of(r), "there is no token");
    }
    const struct vault_request last = {.path = SLD_STR("auth/token/revoke-self")};
    vault_farewell(v, all, n, session_gives_back(v) ? &last : NULL);
    SLD_LIST_EACH (it, &v->retired)
        retired_free(SLD_CONTAINER_OF(it, struct retired, link));
    sld_arena_fini(&a);
}

// ---- The token's end ----

static void look_at_token(struct vault *v)
{
    const struct session *s = &v->session;
    bool soon = session_ends_soon(s, sld_wall_ms() / 1000);
    if (soon == v->token_told)
        return;
    struct sld_arena a = {0};
    v->token_told = soon;
    struct sld_str text =
        soon ? sld_arena_fmt(&a,
                             "Solder's token for Vault at %.*s ends on %.*s and is not "
                             "renewed%s%s; give Solder another",
                             SLD_FMT(v->cfg.base), SLD_FMT(vault_time(&a, s->expires_s)),
                             s->problem[0] ? ": " : "", s->problem)
             : SLD_STR_NONE;
    v->ev.on_problem(v->ev.user, SLD_STR("token"), SLD_EXPIRES_SOON, text);
    sld_arena_fini(&a);
}

static void on_wake(void *user)
{
    struct vault *v = user;
    uint64_t now = sld_mono_ns(), next = now + (uint64_t)LOOK_EACH_MS * MS;
    vault_earliest(&next, session_tick(v, now));
    if (now >= v->units_ns) {
        v->units_ns = next;
        vault_earliest(&v->units_ns, units_due(v, now));
        vault_earliest(&v->units_ns, forget_due(v, now));
    }
    vault_earliest(&next, v->units_ns);
    sweep_due(v, now);
    vault_earliest(&next, retired_due(v, now));
    look_at_token(v);
    tell_answers(v);
    pump(v, now);
    look_for_sync(v);
    vault_earliest(&next, v->wait_ns > now ? v->wait_ns : 0);
    vault_earliest(&next, v->sweeping || !session_ready(v) || now < v->wait_ns ? 0 : v->sweep_ns);
    now = sld_mono_ns();
    sld_timer_start(v->wake, next > now ? (next - now) / MS + 1 : 0);
}

// ---- What the app does ----

static struct vault *vault_of(struct sld_source *s)
{
    return SLD_CONTAINER_OF(s, struct vault, base);
}

static struct sld_str unit_key(const void *item)
{
    return sld_str_c(((const struct unit *)item)->key);
}

static enum sld_rc open_store(struct sld_loop *io, struct sld_str address,
                              const struct Gloo__Settings *settings,
                              const struct sld_source_events *ev, struct sld_source **out,
                              struct sld_err *err)
{
    struct vault_config cfg = {0};
    enum sld_rc rc = vault_config_make(&cfg, address, settings, err);
    if (rc)
        return rc;
    struct vault *v = SLD_NEW(struct vault);
    v->base.ops = &sld_secret_vault_ops.source;
    v->io = io;
    v->ev = *ev;
    v->cfg = cfg;
    v->address = sld_xcalloc(1, address.n + 1);
    memcpy(v->address, address.p, address.n);
    v->units.key = unit_key;
    sld_list_init(&v->queue);
    sld_list_init(&v->mounts);
    sld_list_init(&v->folders);
    sld_list_init(&v->retired);
    if (cfg.kv_version)
        mount_set(v, cfg.mount, cfg.kv_version, false);
    v->http = sld_http_client_create(io, 0);
    v->sync_due = true;
    v->sweep_ns = sld_mono_ns() + sld_jitter(cfg.refresh_ms * MS);
    v->wake = sld_timer_create(io, on_wake, v);
    sld_vault_stats.stores++;
    vault_kick(v);
    *out = &v->base;
    return SLD_OK;
}

// Nobody asked for U meanwhile.
static void want_again(struct unit *u)
{
    u->forget_ns = 0;
    u->v->units_ns = 0; // it may have something due
    if (u->kind != UNIT_CERTIFICATE && !(u->leased && u->due_ns))
        vault_queue(u, u->answered && !u->by_data && !u->problem[0]);
}

static void want(struct sld_source *s, struct sld_str key, bool wanted)
{
    struct vault *v = vault_of(s);
    struct unit *u = key.p ? sld_set_get(&v->units, key) : NULL;
    vault_kick(v);
    if (!key.p) {
        v->marked = true;
    } else if (!wanted) {
        if (u) {
            u->forget_ns = sld_mono_ns() + v->cfg.refresh_ms * MS; // it may come back
            u->answer_told = false;
            vault_due(v, u->forget_ns);
        } else if (sld_map_remove(&v->refused, key) && !sld_map_count(&v->refused)) {
            tell_full(v);
        }
    } else if (u) {
        if (u->forget_ns)
            want_again(u);
        v->answers_due |= u->answered;
    } else {
        want_new(v, key);
    }
}

// The secrets are elsewhere now, perhaps under the same names: until they were looked for there, what
// was read stays.
static void move_units(struct vault *v)
{
    size_t n = sld_set_count(&v->units), at = 0, count = 0;
    struct unit **all = sld_xcalloc(n + 1, sizeof(struct unit *));
    for (struct unit *u; (u = sld_set_next(&v->units, &at));)
        all[count++] = u;
    for (size_t i = 0; i < count; i++) {
        struct unit *old = all[i], *u = unit_create(v, sld_str_c(old->key));
        SLD_INV(u);
        if (sld_str_eq(old->path, u->path)) {
            unit_destroy(u);
            // A certificate without a time for the next one was being issued.
            if (old->kind != UNIT_CERTIFICATE || !old->told || !old->due_ns)
                vault_queue(old, false);
            continue;
        }
        u->forget_ns = old->forget_ns;
        u->answer_told = old->answer_told;
        if (old->problem[0])
            v->ev.on_problem(v->ev.user, old->place, SLD_SOURCE_STALE, SLD_STR_NONE);
        unit_moves(u, old);
        sld_set_remove(&v->units, old);
        unit_destroy(old);
        sld_set_add(&v->units, u);
        vault_queue(u, false);
    }
    sld_xfree(all);
}

static void tell_settings(struct vault *v, const char *words)
{
    if (!words && !v->settings_told)
        return;
    v->settings_told = words != NULL;
    v->ev.on_problem(v->ev.user, SLD_STR("settings"), SLD_SOURCE_STALE, sld_str_c(words));
}

static void configure(struct sld_source *s, const struct Gloo__Settings *settings)
{
    struct vault *v = vault_of(s);
    struct vault_config cfg = {0};
    struct sld_err err = {0};
    struct sld_arena a = {0};
    if (vault_config_make(&cfg, sld_str_c(v->address), settings, &err)) {
        tell_settings(v, sld_arena_fmt(&a, "%s; the former settings stay in force", err.msg).p);
        sld_arena_fini(&a);
        return;
    }
    tell_settings(v, NULL);
    vault_kick(v);
    if (v->cfg.refresh_ms != cfg.refresh_ms)
        v->sweep_ns = sld_mono_ns() + sld_jitter(cfg.refresh_ms * MS);
    if (sld_hash_eq(cfg.hash, v->cfg.hash)) {
        v->cfg.refresh_ms = cfg.refresh_ms;
        vault_config_fini(&cfg);
        return;
    }
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        vault_call_cancel(u->call);
        u->call = NULL;
    }
    sweep_stop(v);
    bool same = sld_hash_eq(cfg.session_hash, v->cfg.session_hash);
    if (!same) {
        farewell(v);
        session_change(v, &cfg);
    }
    mounts_clear(v);
    vault_config_fini(&v->cfg);
    v->cfg = cfg;
    v->failures = 0;
    v->wait_ns = 0;
    v->unreached.words[0] = 0;
    if (!same)
        v->no_token.words[0] = 0;
    tell_trouble(v);
    if (cfg.kv_version)
        mount_set(v, cfg.mount, cfg.kv_version, false);
    move_units(v);
}

static void reread(struct sld_source *s)
{
    struct vault *v = vault_of(s);
    size_t at = 0;
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        if (!u->forget_ns && (u->kind != UNIT_CERTIFICATE || !u->told))
            vault_queue(u, false);
    }
    v->sync_due = true;
    v->session.file_ns = 0;
    v->wait_ns = 0;
    vault_kick(v);
}

// ---- Facts ----

static struct sld_source_fact token_fact(struct vault *v)
{
    struct session *s = &v->session;
    snprintf(s->fact, sizeof(s->fact), "%s%.*s", s->accessor.n ? "accessor " : "of Solder",
             SLD_FMT(s->accessor));
    const char *problem = s->problem[0] ? s->problem : v->no_token.words;
    return (struct sld_source_fact){.kind = SLD_STR("token"),
                                    .name = sld_str_c(s->fact),
                                    .expires_s = s->expires_s,
                                    .renews_s = s->renews_s,
                                    .problem = problem[0] ? sld_str_c(problem) : SLD_STR_NONE};
}

static struct sld_source_fact unit_fact(const struct unit *u)
{
    struct sld_source_fact f = {
        .kind = u->kind == UNIT_CERTIFICATE ? SLD_STR("certificate")
                : u->leased                 ? SLD_STR("lease")
                                            : SLD_STR("secret"),
        .name = {u->ns.p, u->ns.n + 1 + u->name.n}, // "ns/name"
        .version = u->version[0] ? sld_str_c(u->version) : SLD_STR_NONE,
        .expires_s = u->expires_s,
        .renews_s = u->renews_s,
        .problem = u->problem[0] ? sld_str_c(u->problem) : SLD_STR_NONE,
    };
    if (u->missing)
        f.problem = SLD_STR("nothing is there");
    else if (!u->answered)
        f.problem = SLD_STR("not read yet");
    return f;
}

static size_t facts(struct sld_source *s, struct sld_source_fact *out, size_t max)
{
    struct vault *v = vault_of(s);
    size_t n = 0, at = 0;
    if (n < max && v->cfg.method != VAULT_NO_TOKEN)
        out[n++] = token_fact(v);
    for (const struct unit *u; n < max && (u = sld_set_next(&v->units, &at));) {
        if (!u->forget_ns)
            out[n++] = unit_fact(u);
    }
    return n;
}

static size_t metrics(struct sld_source_metric *out, size_t max)
{
    const struct sld_vault_stats *s = &sld_vault_stats;
    const struct sld_source_metric all[] = {
        {"gloo_solo_io_vault_login_successes", "untyped", "Logins to Vault.", (double)s->login_successes},
        {"gloo_solo_io_vault_login_failures", "untyped", "Logins to Vault that failed.", (double)s->login_failures},
        {"gloo_solo_io_vault_renew_successes", "untyped", "Renewals of tokens of Vault.", (double)s->renew_successes},
        {"gloo_solo_io_vault_renew_failures", "untyped", "Renewals of tokens of Vault that failed.",
         (double)s->renew_failures},
        {"gloo_solo_io_vault_last_login_success", "gauge", "Unix time of the last login to Vault; 0: none.",
         (double)s->last_login_success_s},
        {"gloo_solo_io_vault_last_login_failure", "gauge", "Unix time of the last login that failed; 0: none.",
         (double)s->last_login_failure_s},
        {"gloo_solo_io_vault_last_renew_success", "gauge", "Unix time of the last renewal; 0: none.",
         (double)s->last_renew_success_s},
        {"gloo_solo_io_vault_last_renew_failure", "gauge", "Unix time of the last renewal that failed; 0: none.",
         (double)s->last_renew_failure_s},
        {"solder_vault_requests_total", "counter", "Requests to Vault.", (double)s->requests},
        {"solder_vault_failed_requests_total", "counter", "Requests to Vault without a usable answer.",
         (double)s->failed_requests},
        {"solder_vault_reads_total", "counter", "Secrets read from Vault.", (double)s->reads},
        {"solder_vault_issued_certificates_total", "counter", "Certificates that Vault issued.", (double)s->issues},
    };
    size_t n = s->stores ? SLD_ARRAY_LEN(all) : 0;
    n = n < max ? n : max;
    memcpy(out, all, n * sizeof(*out));
    return n;
}

static void close_store(struct sld_source *s)
{
    if (!s)
        return;
    struct vault *v = vault_of(s);
    size_t at = 0;
    sweep_stop(v);
    farewell(v);
    for (struct unit *u; (u = sld_set_next(&v->units, &at));) {
        sld_set_remove(&v->units, u);
        unit_destroy(u);
    }
    session_stop(v);
    sld_http_client_destroy(v->http);
    sld_timer_destroy(v->wake);
    mounts_clear(v);
    sld_set_fini(&v->units);
    sld_map_fini(&v->refused);
    vault_config_fini(&v->cfg);
    sld_xfree(v->address);
    sld_xfree(v);
}

const struct sld_secret_store_ops sld_secret_vault_ops = {
    .source =
        {
            .name = "vault",
            .help = "Vault or OpenBao: --secrets vault: (as Settings or VAULT_ADDR say), "
                    "vault://HOST:PORT/MOUNT/ROOT",
            .matches = vault_address_matches,
            .open = open_store,
            .configure = configure,
            .want = want,
            .facts = facts,
            .reread = reread,
            .close = close_store,
        },
    .metrics = metrics,
};
