// Who we are to Vault: logging in, renewing, and what to do when that fails.
//
//   start ─▶ [unwrap] ─▶ login ──┐ ok
//     ▲      lookup of a given ──┴─▶ on ─▶ renew at two thirds ─▶ on ... ─▶ login again at the
//     └── wait (jitter, doubling) ◀── failed                               longest life
#include <stdarg.h>
#include <stdio.h>

#include "secret/vault/inside.h"
#include "source/file.h"

enum {
    SECOND = 1000 * 1000 * 1000,
    FILE_EACH_S =
        1, // a secret file is looked at so often while nobody can log in with what it says
    TOKEN_FILE_EACH_S = 2,
    STEP_MIN_MS = 200,   // between steps of a token that hardly lives
    REFUSED_MAX_S = 300, // between logins that Vault refuses: it locks out who tries too often
    BLIND_MIN_S = 10,    // between logins that nothing but a denial caused, doubling up to ...
    BLIND_MAX_S = 300,
    SOON_S = 14 * 86400, // a token that is not renewed is warned of so long before, but ...
    SOON_PART = 5,       // ... in the last fifth of its life at most
};

static void begin(struct vault *v);
static void log_in(struct vault *v, struct sld_str secret);
static void look_at(struct vault *v);
static bool blind_login(struct vault *v);

// ---- Facts out of answers ----

static int64_t number_of(const struct sld_node *map, const char *key)
{
    int64_t n = 0;
    if (!sld_str_i64(vault_text(map, key), &n) || n < 0)
        return 0;
    return n < VAULT_LIFE_MAX_S ? n : VAULT_LIFE_MAX_S;
}

static bool flag_of(const struct sld_node *map, const char *key)
{
    return sld_str_eq(vault_text(map, key), SLD_STR("true"));
}

// What is left of the life of a token that was looked at. Vault says 0 of one without an end, and of one
// in its last second.
static int64_t left_of(const struct sld_node *data)
{
    int64_t ttl = number_of(data, "ttl");
    return ttl || !number_of(data, "creation_ttl") ? ttl : 1;
}

// ---- Where the session is ----

static bool given(const struct vault *v)
{
    return v->cfg.method == VAULT_TOKEN || v->cfg.method == VAULT_TOKEN_FILE;
}

static void drop_token(struct session *s)
{
    sld_arena_fini_secret(&s->arena);
    s->token = s->accessor = SLD_STR_NONE;
    s->expires_s = s->renews_s = s->life_s = 0;
    s->expires_ns = 0;
    s->proved = s->unknown = s->own = s->doubted = false;
    s->looked_ns = 0;
}

static void forget_next(struct session *s)
{
    sld_arena_fini_secret(&s->next_arena);
    s->next = SLD_STR_NONE;
}

static void take_token(struct vault *v, struct sld_str token)
{
    struct session *s = &v->session;
    struct sld_arena a = {0};
    struct sld_str copy = sld_arena_str(&a, token); // TOKEN may be the one that is dropped
    drop_token(s);
    v->generation++;
    s->arena = a;
    s->token = copy;
}

// The life of the token ends in TTL_S (0: never); it was or will be asked about again at two
// thirds.
static void set_life(struct vault *v, int64_t ttl_s)
{
    struct session *s = &v->session;
    uint64_t now = sld_mono_ns();
    int64_t wall = sld_wall_ms() / 1000;
    s->expires_s = ttl_s ? wall + ttl_s : 0;
    s->expires_ns = ttl_s ? now + (uint64_t)ttl_s * SECOND : 0;
    s->due_ns = 0;
    s->renews_s = 0;
    bool steps = s->own || s->renewable || v->cfg.method == VAULT_TOKEN_FILE;
    if (!ttl_s || !steps)
        return;
    uint64_t wait = sld_jitter((uint64_t)ttl_s * SECOND / 3 * 2);
    wait = wait < (uint64_t)STEP_MIN_MS * 1000000 ? (uint64_t)STEP_MIN_MS * 1000000 : wait;
    s->due_ns = now + wait;
    s->renews_s = wall + (int64_t)(wait / SECOND);
}

static void now_on(struct vault *v)
{
    struct session *s = &v->session;
    s->state = SESSION_ON;
    s->failures = 0;
    s->problem[0] = 0;
    s->over = (struct sld_hash){0};
    s->doubted = false;
    s->looked_ns = sld_mono_ns();
    vault_session_ready(v);
}

// Tries again later. REFUSED: Vault understood and said no, so it is asked less often.
static void wait_for_next(struct vault *v, bool refused)
{
    struct session *s = &v->session;
    s->failures++;
    s->state = SESSION_WAIT;
    s->refused = refused;
    uint64_t pause = vault_backoff(s->failures);
    if (refused) {
        unsigned shift = s->failures < 10 ? s->failures : 10;
        uint64_t most = (uint64_t)REFUSED_MAX_S * SECOND, longer = (uint64_t)SECOND << shift;
        pause = sld_jitter(longer < most ? longer : most);
    }
    s->due_ns = sld_mono_ns() + pause;
    s->file_ns = sld_mono_ns() + (uint64_t)FILE_EACH_S * SECOND;
    vault_kick(v); // to be woken then
}

// vault_heard for a login or a renewal. Their engine's own fault keeps nobody from reading with the token at
// hand.
static bool heard_step(struct vault *v, const struct vault_answer *a)
{
    const struct session *s = &v->session;
    bool good = s->token.n && (!s->expires_ns || sld_mono_ns() < s->expires_ns);
    if (a->verdict == VAULT_DOWN && a->status == 500 && good)
        return false;
    return vault_heard(v, a);
}

static void failed(struct vault *v, bool refused, const char *fmt, ...) SLD_PRINTF(3, 4);

// There is no way to a token for now; the one at hand stays until it ends.
static void failed(struct vault *v, bool refused, const char *fmt, ...)
{
    struct session *s = &v->session;
    char words[SLD_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(words, sizeof(words), fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    struct sld_str whole = sld_str_utf8_cut(sld_str_c(words), sizeof(words) - 1);
    snprintf(s->problem, sizeof(s->problem), "%.*s", SLD_FMT(whole));
    s->doubted = false;
    forget_next(s);
    wait_for_next(v, refused);
    if (!s->token.p)
        vault_session_lost(v, s->problem);
}

// ---- Logins ----

static const char *method_name(const struct vault *v)
{
    static const char *const names[] = {
        [VAULT_NO_TOKEN] = "no token",
        [VAULT_TOKEN] = "token",
        [VAULT_TOKEN_FILE] = "token file",
        [VAULT_APP_ROLE] = "appRole",
        [VAULT_KUBERNETES] = "kubernetes",
        [VAULT_JWT] = "jwt",
        [VAULT_CERTIFICATE] = "certificate",
        [VAULT_USERPASS] = "userpass",
        [VAULT_AWS] = "aws",
    };
    return names[v->cfg.method];
}

static void count_login(bool ok)
{
    int64_t now = sld_wall_ms() / 1000;
    if (ok) {
        sld_vault_stats.login_successes++;
        sld_vault_stats.last_login_success_s = now;
    } else {
        sld_vault_stats.login_failures++;
        sld_vault_stats.last_login_failure_s = now;
    }
}

static void count_renewal(bool ok)
{
    int64_t now = sld_wall_ms() / 1000;
    if (ok) {
        sld_vault_stats.renew_successes++;
        sld_vault_stats.last_renew_success_s = now;
    } else {
        sld_vault_stats.renew_failures++;
        sld_vault_stats.last_renew_failure_s = now;
    }
}

static void on_login(const struct vault_answer *in, void *user)
{
    struct vault *v = user;
    struct session *s = &v->session;
    struct sld_str token = vault_text(in->auth, "client_token");
    const struct vault_answer got = vault_expect(in, token.n), *a = &got;
    s->call = NULL;
    bool heard = heard_step(v, a);
    if (a->verdict != VAULT_OK) {
        count_login(false);
        failed(v, heard, "login by %s failed: %s", method_name(v), a->words);
        SLD_LOG(SLD_WARN, "secret", "login_failed", SLD_KC("method", method_name(v)),
                SLD_KC("reason", a->words));
        return;
    }
    count_login(true);
    take_token(v, token);
    struct sld_str accessor = vault_text(a->auth, "accessor");
    s->accessor = accessor.n ? sld_arena_str(&s->arena, accessor) : SLD_STR_NONE;
    s->own = true;
    s->login_due = false;
    s->renewable = flag_of(a->auth, "renewable");
    s->life_s = number_of(a->auth, "lease_duration");
    set_life(v, s->life_s);
    SLD_LOG(SLD_INFO, "secret", "login", SLD_KC("method", method_name(v)),
            SLD_KS("accessor", s->accessor), SLD_KI("life_s", s->life_s));
    if (s->lookups_denied)
        look_at(v); // tokens of ours may ask by now, or may not
    else
        now_on(v);
}

static void log_in(struct vault *v, struct sld_str secret)
{
    struct session *s = &v->session;
    struct sld_arena a = {0};
    struct vault_login login = {0};
    struct sld_err err = {0};
    if (vault_login_make(&a, &v->cfg, secret, &login, &err) == SLD_OK) {
        const struct vault_request rq = {.method = "POST",
                                         .path = login.path,
                                         .body = login.body,
                                         .token = SLD_STR(""),
                                         .urgent = true};
        s->state = SESSION_LOGIN;
        s->call = vault_ask(v, &rq, on_login, v);
    } else {
        failed(v, false, "login by %s is not possible: %s", method_name(v), err.msg);
    }
    sld_arena_fini_secret(&a);
}

// ---- Wrapped secrets ----

static void on_unwrapped(const struct vault_answer *a, void *user)
{
    struct vault *v = user;
    struct session *s = &v->session;
    s->call = NULL;
    bool heard = vault_heard(v, a);
    struct sld_str secret = vault_text(a->data, "secret_id");
    if (a->verdict == VAULT_OK && secret.n) {
        sld_arena_fini_secret(&s->unwrapped_arena);
        s->unwrapped = sld_arena_str(&s->unwrapped_arena, secret);
        log_in(v, s->unwrapped);
        return;
    }
    s->unwrapped_from = (struct sld_hash){0};
    count_login(false);
    if (!heard || a->verdict == VAULT_OK)
        failed(v, heard, "the secret id cannot be unwrapped: %s",
               heard ? "the answer has none" : a->words);
    else
        failed(v, true,
               "appRole.secretId: the wrapping token is spent or over (%s); write a new one, and "
               "find out who used "
               "the former if it was not Solder",
               a->words);
}

static void unwrap(struct vault *v, struct sld_str token)
{
    struct session *s = &v->session;
    struct sld_hash from = sld_hash_bytes(token);
    if (s->unwrapped.p && sld_hash_eq(from, s->unwrapped_from)) {
        log_in(v, s->unwrapped);
        return;
    }
    s->unwrapped_from = from;
    const struct vault_request rq = {
        .method = "POST", .path = SLD_STR("sys/wrapping/unwrap"), .token = token, .urgent = true};
    s->state = SESSION_UNWRAP;
    s->call = vault_ask(v, &rq, on_unwrapped, v);
}

// ---- Tokens that were given ----

// Whether the token at hand is worth more than another that Vault does not take.
static bool still_good(const struct session *s)
{
    bool ended = s->expires_ns && sld_mono_ns() >= s->expires_ns;
    return s->token.n && !ended && (!s->unknown || s->proved);
}

// Another token was given, which Vault does not take.
static void keep_former(struct vault *v, const struct vault_answer *a)
{
    struct session *s = &v->session;
    forget_next(s);
    SLD_LOG(SLD_WARN, "secret", "login_failed", SLD_KC("method", method_name(v)),
            SLD_KC("reason", a->words));
    if (s->doubted)
        look_at(v);
    else
        failed(v, true,
               "Vault does not take what the %s says now (%s); the former token is used until it "
               "ends, write one that is valid",
               method_name(v), a->words);
}

static void on_lookup(const struct vault_answer *in, void *user)
{
    struct vault *v = user;
    struct session *s = &v->session;
    const struct vault_answer got = vault_expect(in, vault_text(in->data, "ttl").n), *a = &got;
    s->call = NULL;
    bool heard = vault_heard(v, a), fresh = s->own && !s->looked_ns; // by a login just now: it is good
    if (!heard && fresh) {
        now_on(v);
        return;
    }
    if (!heard) {
        failed(v, false, "Vault cannot be asked about the token: %s", a->words);
        return;
    }
    bool another = s->next.p && !sld_str_eq(s->next, s->token);
    if (another && a->verdict != VAULT_OK && still_good(s)) {
        keep_former(v, a);
        return;
    }
    if (another)
        take_token(v, s->next);
    forget_next(s);
    if (a->verdict == VAULT_OK) {
        struct sld_str accessor = vault_text(a->data, "accessor");
        bool own = s->own;
        int64_t life = s->life_s;
        s->accessor = accessor.n ? sld_arena_str(&s->arena, accessor) : SLD_STR_NONE;
        s->unknown = false;
        s->renewable = flag_of(a->data, "renewable");
        s->life_s = own ? life : number_of(a->data, "creation_ttl");
        s->lookups_denied = 0;
        s->blind = false;
        uint64_t due = another ? 0 : s->due_ns, now = sld_mono_ns();
        set_life(v, left_of(a->data));
        if (due > now && due < s->due_ns) { // denials, which lead here, put off no renewal
            s->due_ns = due;
            s->renews_s = sld_wall_ms() / 1000 + (int64_t)((due - now) / SECOND);
        }
        now_on(v);
        return;
    }
    bool over = sld_hash_eq(sld_hash_bytes(s->token), s->over);
    if (given(v) && !s->looked_ns && !over) {
        // It may be good all the same: not every token may ask about itself.
        s->unknown = true;
        s->renewable = false;
        s->state = SESSION_ON;
        s->due_ns = 0;
        s->doubted = false;
        snprintf(s->problem, sizeof(s->problem), "Vault tells nothing about the token: %s",
                 a->words);
        vault_session_ready(v);
        return;
    }
    // A denial may mean that the token is over, or that tokens of ours may not ask about themselves.
    if (!given(v) && s->lookups_denied++) {
        s->blind = true;
        if (fresh || !blind_login(v))
            now_on(v);
        return;
    }
    drop_token(s);
    if (given(v))
        failed(v, true,
               "the token is not taken (%s): it is over, was revoked or is unknown; give Solder "
               "another by %s",
               a->words,
               v->cfg.method == VAULT_TOKEN ? "Settings or VAULT_TOKEN" : "the token file");
    else
        begin(v); // one of ours was revoked
}

// Asks about the token that was given just now, else about the one at hand.
static void look_at(struct vault *v)
{
    struct session *s = &v->session;
    const struct vault_request rq = {.path = SLD_STR("auth/token/lookup-self"),
                                     .token = s->next.p ? s->next : s->token,
                                     .urgent = true};
    s->state = SESSION_LOOKUP;
    s->call = vault_ask(v, &rq, on_lookup, v);
}

static void take_given(struct vault *v, struct sld_str token)
{
    struct session *s = &v->session;
    forget_next(s);
    s->next = sld_arena_str(&s->next_arena, token);
    look_at(v);
}

// ---- Steps ----

static void begin(struct vault *v)
{
    struct session *s = &v->session;
    struct sld_arena a = {0};
    struct sld_str secret = v->cfg.secret;
    struct sld_err err = {0};
    enum sld_rc rc = SLD_OK;
    if (v->cfg.method == VAULT_NO_TOKEN) {
        take_token(v, SLD_STR(""));
        s->due_ns = 0;
        now_on(v);
        return;
    }
    if (v->cfg.secret_file.p)
        rc = sld_secret_file_read(&a, method_name(v), v->cfg.secret_file, &secret, &err);
    s->file_hash = rc == SLD_OK && secret.p ? sld_hash_bytes(secret) : (struct sld_hash){0};
    s->file_ns = sld_mono_ns() + (uint64_t)TOKEN_FILE_EACH_S * SECOND;
    if (rc)
        failed(v, false, "%s", err.msg);
    else if (given(v))
        take_given(v, secret);
    else if (v->cfg.wrapped)
        unwrap(v, secret);
    else
        log_in(v, secret);
    sld_arena_fini_secret(&a);
}

static void on_renewed(const struct vault_answer *in, void *user)
{
    struct vault *v = user;
    struct session *s = &v->session;
    struct vault_answer got = vault_expect(in, vault_text(in->auth, "lease_duration").n);
    const struct vault_answer *a = &got;
    // A token at its longest life; OpenBao says so with a status of 500.
    if (got.verdict == VAULT_DOWN && strstr(got.words, "past the max TTL"))
        got.verdict = VAULT_REFUSED;
    s->call = NULL;
    bool heard = heard_step(v, a);
    count_renewal(a->verdict == VAULT_OK);
    if (a->verdict == VAULT_OK) {
        int64_t ttl = number_of(a->auth, "lease_duration");
        // Near its longest life a token gets less and less; a new one gets all again.
        s->login_due = s->own && ttl * 3 < s->life_s * 2;
        s->renewable = flag_of(a->auth, "renewable");
        s->life_s = s->life_s ? s->life_s : ttl;
        set_life(v, ttl);
        SLD_LOG(SLD_DEBUG, "secret", "renewed", SLD_KS("accessor", s->accessor),
                SLD_KI("life_s", ttl));
        now_on(v);
        return;
    }
    SLD_LOG(SLD_WARN, "secret", "renewal_failed", SLD_KS("accessor", s->accessor),
            SLD_KC("reason", a->words));
    if (!heard) {
        failed(v, false, "the token cannot be renewed: %s", a->words);
    } else if (s->own) {
        begin(v);
    } else if (a->verdict == VAULT_REFUSED) {
        s->renewable = false;
        s->state = SESSION_ON;
        s->due_ns = 0;
        s->renews_s = 0;
        s->doubted = false;
        snprintf(s->problem, sizeof(s->problem), "the token cannot be renewed: %s", a->words);
        vault_session_ready(v);
    } else {
        look_at(v);
    }
}

static void renew(struct vault *v)
{
    struct session *s = &v->session;
    struct sld_arena a = {0};
    struct sld_str body = v->cfg.lease_increment_s ? sld_arena_fmt(&a, "{\"increment\":%d}",
                                                                   (int)v->cfg.lease_increment_s)
                                                   : SLD_STR("{}");
    const struct vault_request rq = {
        .method = "POST", .path = SLD_STR("auth/token/renew-self"), .body = body, .urgent = true};
    s->state = SESSION_RENEW;
    s->call = vault_ask(v, &rq, on_renewed, v);
    sld_arena_fini(&a);
}

// The content of the secret file is another than that which was used last.
static bool file_changed(struct vault *v)
{
    struct sld_arena a = {0};
    struct sld_str now;
    bool changed = sld_secret_file_read(&a, "", v->cfg.secret_file, &now, NULL) == SLD_OK &&
                   !sld_hash_eq(sld_hash_bytes(now), v->session.file_hash);
    sld_arena_fini_secret(&a);
    return changed;
}

static void do_due(struct vault *v)
{
    struct session *s = &v->session;
    bool has = s->token.n > 0;
    if (has && v->cfg.method == VAULT_TOKEN_FILE && s->renewable && s->expires_s &&
        (s->expires_s - sld_wall_ms() / 1000) * 3 <= s->life_s)
        renew(v); // its agent does not
    else if (v->cfg.method == VAULT_TOKEN_FILE || !has)
        begin(v);
    else if (s->renewable && !s->login_due)
        renew(v);
    else
        begin(v);
}

uint64_t session_tick(struct vault *v, uint64_t now)
{
    struct session *s = &v->session;
    uint64_t next = 0;
    bool idle = s->state == SESSION_ON || s->state == SESSION_WAIT;
    if (s->state == SESSION_OFF)
        begin(v);
    // By the clock on the wall it ends sooner: that one was set, or the other stood still.
    bool late = s->state == SESSION_ON && s->due_ns && s->renews_s &&
                sld_wall_ms() / 1000 > s->renews_s + VAULT_CLOCK_GRACE_S;
    bool watch_file =
        v->cfg.secret_file.p && (s->state == SESSION_WAIT || v->cfg.method == VAULT_TOKEN_FILE);
    if (idle && s->token.n && s->expires_ns && now >= s->expires_ns) {
        s->over = sld_hash_bytes(s->token);
        drop_token(s);
        SLD_LOG(SLD_WARN, "secret", "token_over", SLD_KC("method", method_name(v)));
        if (s->state == SESSION_WAIT && v->cfg.method != VAULT_TOKEN_FILE)
            vault_session_lost(v, s->problem);
        else
            begin(v);
    } else if (late || (idle && s->due_ns && now >= s->due_ns)) {
        do_due(v);
    } else if (idle && watch_file && now >= s->file_ns) {
        s->file_ns =
            now + (uint64_t)(s->state == SESSION_WAIT ? FILE_EACH_S : TOKEN_FILE_EACH_S) * SECOND;
        if (file_changed(v))
            begin(v);
    }
    idle = s->state == SESSION_ON || s->state == SESSION_WAIT;
    if (!idle)
        return 0;
    vault_earliest(&next, s->due_ns);
    vault_earliest(&next, s->token.n ? s->expires_ns : 0);
    vault_earliest(&next, watch_file ? s->file_ns : 0);
    return next;
}

// Logs in because of a denial, unless that was done a moment ago: false then. Each login leaves a
// token in Vault.
static bool blind_login(struct vault *v)
{
    struct session *s = &v->session;
    uint64_t now = sld_mono_ns(), most = (uint64_t)BLIND_MAX_S * SECOND;
    if (now < s->blind_ns)
        return false;
    if (now > s->blind_ns + 2 * most)
        s->blind_logins = 0;
    unsigned shift = s->blind_logins < 10 ? s->blind_logins : 10;
    uint64_t pause = (uint64_t)BLIND_MIN_S * SECOND << shift;
    s->blind_logins++;
    s->blind_ns = now + sld_jitter(pause < most ? pause : most);
    s->doubted = true; // requests wait for it
    begin(v);
    return true;
}

// ---- For the others ----

void session_change(struct vault *v, const struct vault_config *next)
{
    struct session *s = &v->session;
    const struct vault_config *now = &v->cfg;
    bool same = next->wrapped && sld_str_eq(next->base, now->base) &&
                sld_str_eq(next->ns, now->ns) && sld_str_eq(next->unix_socket, now->unix_socket);
    struct sld_arena kept = {0};
    struct sld_str secret =
        same && s->unwrapped.p ? sld_arena_str(&kept, s->unwrapped) : SLD_STR_NONE;
    struct sld_hash from = secret.p ? s->unwrapped_from : (struct sld_hash){0};
    session_stop(v);
    s->unwrapped_arena = kept;
    s->unwrapped = secret;
    s->unwrapped_from = from;
}

bool session_gives_back(const struct vault *v)
{
    return v->session.own && v->session.token.n && v->cfg.revoke_on_exit;
}

void session_stop(struct vault *v)
{
    struct session *s = &v->session;
    vault_call_cancel(s->call);
    s->call = NULL;
    sld_arena_fini_secret(&s->arena);
    forget_next(s);
    sld_arena_fini_secret(&s->unwrapped_arena);
    *s = (struct session){.state = SESSION_OFF};
}

int64_t session_last_s(const struct session *s)
{
    return s->renewable ? 0 : s->expires_s;
}

bool session_ready(const struct vault *v)
{
    return v->session.token.p && !v->session.doubted;
}

enum session_denial session_denied(struct vault *v, uint64_t *denied_ns)
{
    struct session *s = &v->session;
    bool asked = *denied_ns && s->looked_ns > *denied_ns;
    if (asked || v->cfg.method == VAULT_NO_TOKEN || (s->unknown && s->proved)) {
        *denied_ns = 0;
        return DENIAL_BELIEVED;
    }
    uint64_t now = sld_mono_ns();
    bool idle = s->state == SESSION_ON || s->state == SESSION_WAIT;
    if (s->blind && s->token.n && idle) {
        bool believed = !blind_login(v);
        *denied_ns = believed ? 0 : sld_mono_ns();
        return believed ? DENIAL_BELIEVED : DENIAL_DOUBTED;
    }
    if (s->unknown && s->token.n) {
        char words[SLD_ERR_MAX];
        snprintf(words, sizeof(words),
                 "%.300s, and a secret was denied: it is over, was revoked, or has no right",
                 s->problem);
        if (s->state == SESSION_ON) {
            wait_for_next(v, true); // it may be told about later
            vault_session_lost(v, words);
        }
        return DENIAL_OPEN;
    }
    *denied_ns = now;
    if (!s->token.n)
        return DENIAL_DOUBTED;
    // Where Vault did not answer the last question it is left in peace until the next.
    bool rests = s->state == SESSION_WAIT && !s->refused && now < s->due_ns;
    if (idle && !s->doubted && !rests)
        look_at(v);
    s->doubted = true; // else what is under way will show it
    return DENIAL_DOUBTED;
}

bool session_ends_soon(const struct session *s, int64_t now_s)
{
    int64_t left = s->expires_s - now_s;
    bool renews = s->renews_s && !s->problem[0];
    return s->token.n && s->expires_s && !renews && left < SOON_S && left * SOON_PART < s->life_s;
}
