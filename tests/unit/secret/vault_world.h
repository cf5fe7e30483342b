// A Vault by script, the store that asks it, and what it tells; all on one loop that the test
// turns.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/doc.h"
#include "loop/loop.h"
#include "net/http.h"
#include "secret/vault/vault.h"
#include "settings.pb-c.h"

#define S SLD_STR

enum { ANSWERS_MAX = 200, LOG_MAX = 4000, TURN_MS = 2, PATIENCE_MS = 20000, LESS_PATIENCE_MS = 3000 };

// Who waited in vain once does not wait as long again: what comes of a fault is known soon.
static int patience_ms = PATIENCE_MS;

// What the server says to "METHOD PATH[?QUERY]"; of several the last that fits.
struct answer {
    struct sld_str what, body, location;
    int status; // 0: no answer at all
};

struct world {
    struct sld_arena a;
    struct sld_loop *loop;
    struct sld_http_server *server;
    struct sld_http_server *other; // or NULL
    struct sld_http_request *unanswered; // the last one without an answer, or NULL
    char base[64]; // "http://127.0.0.1:4711"
    const char *refresh; // NULL: 100ms
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    struct sld_str log[LOG_MAX]; // "GET /v1/... token=x ns=y body"
    size_t log_count;
    struct sld_source *store;
    struct sld_map values, problems; // path -> struct sld_str in the arena
    struct sld_map answers_told;     // keys
    unsigned synced, puts, gone, answered;
    unsigned store_problems; // told of the store as a whole
    enum sld_code last_code;
    struct sld_timer *turn;
    bool (*done)(struct world *w, const char *arg);
    const char *arg;
    int waited_ms;
    bool late;
};

// ---- The server ----

// STATUS to WHAT from now on.
static inline void says(struct world *w, const char *what, int status, const char *body)
{
    assert_true(w->answer_count < ANSWERS_MAX);
    w->answers[w->answer_count++] = (struct answer){.what = sld_arena_str(&w->a, sld_str_c(what)),
                                                    .status = status,
                                                    .body = sld_arena_str(&w->a, sld_str_c(body))};
}

static inline void sends_on(struct world *w, const char *what, struct sld_str location)
{
    says(w, what, 307, "");
    w->answers[w->answer_count - 1].location = sld_arena_str(&w->a, location);
}

static inline void unanswered_gone(void *user)
{
    ((struct world *)user)->unanswered = NULL;
}

// Who waited for an answer gets one.
static inline void answer_unanswered(struct world *w, const char *body)
{
    struct sld_http_request *rq = w->unanswered;
    assert_non_null(rq);
    w->unanswered = NULL;
    sld_http_respond(rq, 200, S("application/json"), NULL, 0, sld_str_c(body));
}

static inline void hear(struct sld_http_request *rq, void *user)
{
    struct world *w = user;
    struct sld_arena *a = sld_http_arena(rq);
    struct sld_str query = sld_http_query_text(rq);
    struct sld_str what =
        sld_arena_fmt(a, "%.*s %.*s%s%.*s", SLD_FMT(sld_http_method(rq)),
                      SLD_FMT(sld_http_path(rq)), query.p ? "?" : "", SLD_FMT(query));
    assert_true(w->log_count < LOG_MAX);
    w->log[w->log_count++] = sld_arena_fmt(&w->a, "%.*s token=%.*s ns=%.*s %.*s", SLD_FMT(what),
                                           SLD_FMT(sld_http_header(rq, S("x-vault-token"))),
                                           SLD_FMT(sld_http_header(rq, S("x-vault-namespace"))),
                                           SLD_FMT(sld_http_body(rq)));
    assert_true(sld_str_eq(sld_http_header(rq, S("x-vault-request")), S("true")));
    for (size_t i = w->answer_count; i-- > 0;) {
        const struct answer *t = &w->answers[i];
        if (!sld_str_eq(t->what, what))
            continue;
        struct sld_http_header extra = {S("Location"), t->location};
        if (!t->status) {
            w->unanswered = rq;
            sld_http_on_gone(rq, unanswered_gone, w);
        } else {
            sld_http_respond(rq, t->status, S("application/json"), &extra, t->location.p ? 1 : 0,
                             t->body);
        }
        return;
    }
    sld_http_respond(rq, 404, S("application/json"), NULL, 0, S("{\"errors\":[]}"));
}

// How often the server was asked WHAT, the beginning of a line of the log.
static inline unsigned asked(const struct world *w, const char *what)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->log_count; i++)
        n += sld_str_starts(w->log[i], sld_str_c(what));
    return n;
}

// The last line of the log that begins so.
static inline struct sld_str last_asked(const struct world *w, const char *what)
{
    for (size_t i = w->log_count; i-- > 0;) {
        if (sld_str_starts(w->log[i], sld_str_c(what)))
            return w->log[i];
    }
    fail_msg("nobody asked %s", what);
    return SLD_STR_NONE;
}

static inline bool has(struct sld_str s, const char *what)
{
    return sld_str_find(s, sld_str_c(what)) >= 0;
}

// ---- What the store tells ----

static inline void keep(struct world *w, struct sld_map *m, struct sld_str path,
                        struct sld_str text)
{
    struct sld_str *s = SLD_ARENA_NEW(&w->a, struct sld_str);
    *s = sld_arena_str(&w->a, text);
    sld_map_set(m, path, s);
}

static inline void told_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct world *w = user;
    assert_true(settled && bytes->secret);
    keep(w, &w->values, path, bytes->data);
    w->puts++;
}

static inline void told_gone(void *user, struct sld_str path)
{
    struct world *w = user;
    assert_non_null(sld_map_remove(&w->values, path));
    w->gone++;
}

static inline void told_synced(void *user)
{
    ((struct world *)user)->synced++;
}

static inline void told_answered(void *user, struct sld_str key)
{
    struct world *w = user;
    keep(w, &w->answers_told, key, SLD_STR("yes"));
    w->answered++;
}

static inline void told_problem(void *user, struct sld_str path, enum sld_code code,
                                struct sld_str message)
{
    struct world *w = user;
    w->last_code = code;
    w->store_problems += message.p && !path.n;
    if (message.p)
        keep(w, &w->problems, path, message);
    else
        sld_map_remove(&w->problems, path);
}

// The text in force at PATH, or an absent slice.
static inline struct sld_str value(const struct world *w, const char *path)
{
    const struct sld_str *s = sld_map_get(&w->values, sld_str_c(path));
    return s ? *s : SLD_STR_NONE;
}

static inline struct sld_str problem(const struct world *w, const char *path)
{
    const struct sld_str *s = sld_map_get(&w->problems, sld_str_c(path));
    return s ? *s : SLD_STR_NONE;
}

// ---- Waiting ----

static inline void on_turn(void *user)
{
    struct world *w = user;
    w->waited_ms += TURN_MS;
    w->late = w->waited_ms > patience_ms;
    if (w->late || w->done(w, w->arg))
        sld_loop_stop(w->loop);
    else
        sld_timer_start(w->turn, TURN_MS);
}

// Turns the loop until DONE.
static inline void until_(struct world *w, bool (*done)(struct world *w, const char *arg),
                          const char *arg, const char *words, int line)
{
    w->done = done;
    w->arg = arg;
    w->waited_ms = 0;
    sld_timer_start(w->turn, 0);
    sld_loop_run(w->loop);
    if (!w->late)
        return;
    patience_ms = LESS_PATIENCE_MS;
    for (size_t i = w->log_count > 20 ? w->log_count - 20 : 0; i < w->log_count; i++)
        print_message("%.*s\n", SLD_FMT(w->log[i]));
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->problems, &at));)
        print_message("%.*s: %.*s\n", SLD_FMT(s->key), SLD_FMT(*(const struct sld_str *)s->value));
    fail_msg("line %d: waited in vain for %s %s", line, words, arg ? arg : "");
}
#define until(w, done, arg) until_(w, done, arg, #done, __LINE__)

static inline bool there(struct world *w, const char *path)
{
    return value(w, path).p != NULL;
}

static inline bool not_there(struct world *w, const char *path)
{
    return !value(w, path).p;
}

static inline bool in_trouble(struct world *w, const char *path)
{
    return problem(w, path).p != NULL;
}

static inline bool well(struct world *w, const char *path)
{
    return !problem(w, path).p;
}

static inline bool was_synced(struct world *w, const char *unused)
{
    (void)unused;
    return w->synced > 0;
}

// WHAT was asked; after forget_log that is: anew.
static inline bool was_asked(struct world *w, const char *what)
{
    return asked(w, what) > 0;
}

static inline void forget_log(struct world *w)
{
    w->log_count = 0;
}

// ---- Life ----

// VAULT is all that Settings say of Vault.
static inline const Gloo__Settings *settings_text(struct world *w, const char *vault)
{
    struct sld_document *docs;
    size_t n;
    struct sld_err err = {0};
    struct sld_report r = {.arena = &w->a};
    struct sld_str text =
        sld_arena_fmt(&w->a, "refreshRate: %s\nvaultSecretSource: {%s}\n", w->refresh ? w->refresh : "100ms", vault);
    assert_int_equal(sld_doc_read(&w->a, text, &sld_doc_limits_default, &docs, &n, NULL, &err),
                     SLD_OK);
    const Gloo__Settings *s =
        sld_doc_decode(&w->a, &gloo__settings__descriptor, docs[0].root, false, &r);
    if (r.errors)
        fail_msg("%.*s: %.*s", SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
    return s;
}

static inline const Gloo__Settings *settings(struct world *w, const char *vault)
{
    return settings_text(w, sld_arena_fmt(&w->a, "address: '%s', %s", w->base, vault).p);
}

static inline void open_at(struct world *w, const char *address, const char *vault)
{
    struct sld_source_events ev = {.on_put = told_put,
                                   .on_gone = told_gone,
                                   .on_synced = told_synced,
                                   .on_problem = told_problem,
                                   .on_answered = told_answered,
                                   .user = w};
    struct sld_err err = {0};
    if (sld_secret_vault_ops.source.open(w->loop, sld_str_c(address), settings(w, vault), &ev,
                                         &w->store, &err))
        fail_msg("%s", err.msg);
}

static inline void open_with(struct world *w, const char *vault)
{
    open_at(w, "vault:", vault);
}

static inline void want(struct world *w, const char *key)
{
    w->store->ops->want(w->store, sld_str_c(key), true);
}

static inline void wants_told(struct world *w)
{
    w->store->ops->want(w->store, SLD_STR_NONE, true);
}

static inline void close_store(struct world *w)
{
    if (w->store)
        w->store->ops->close(w->store);
    w->store = NULL;
}

static inline int setup(void **state)
{
    struct world *w = SLD_NEW(struct world);
    struct sld_err err = {0};
    int port = 0;
    static const char *const names[] = {
        "VAULT_ADDR",        "VAULT_AGENT_ADDR",    "VAULT_TOKEN",
        "VAULT_NAMESPACE",   "VAULT_CACERT",        "VAULT_CAPATH",
        "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY",    "VAULT_TLS_SERVER_NAME",
        "VAULT_SKIP_VERIFY", "VAULT_CLIENT_TIMEOUT"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++)
        unsetenv(names[i]);
    setenv("HOME", "/nonexistent", 1);
    w->loop = sld_loop_create("test");
    w->server = sld_http_server_create(w->loop, NULL, hear, w);
    assert_int_equal(sld_http_server_listen(w->server, S("127.0.0.1:0"), NULL, &port, &err),
                     SLD_OK);
    snprintf(w->base, sizeof(w->base), "http://127.0.0.1:%d", port);
    w->turn = sld_timer_create(w->loop, on_turn, w);
    says(w, "GET /v1/auth/token/lookup-self", 200,
         "{\"data\":{\"accessor\":\"acc\",\"ttl\":0,\"creation_ttl\":0,\"renewable\":false}}");
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;
    close_store(w);
    sld_http_server_destroy(w->server);
    sld_http_server_destroy(w->other);
    sld_timer_destroy(w->turn);
    sld_loop_destroy(w->loop);
    sld_map_fini(&w->values);
    sld_map_fini(&w->problems);
    sld_map_fini(&w->answers_told);
    sld_arena_fini(&w->a);
    sld_xfree(w);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

// ---- Key-value engines ----

// The engine of PATH is MOUNT, of VERSION.
static inline void mounted(struct world *w, const char *path, const char *mount, int version)
{
    struct sld_str what = sld_arena_fmt(&w->a, "GET /v1/sys/internal/ui/mounts/%s", path);
    says(w, what.p, 200,
         sld_arena_fmt(
             &w->a,
             "{\"data\":{\"path\":\"%s/\",\"type\":\"kv\",\"options\":{\"version\":\"%d\"}}}",
             mount, version)
             .p);
}

#define CREATED "2026-01-01T00:00:0%dZ"

// DATA, JSON, at PATH of an engine of version 2.
static inline void holds(struct world *w, const char *mount, const char *path, int version,
                         const char *data)
{
    struct sld_str what = sld_arena_fmt(&w->a, "GET /v1/%s/data/%s", mount, path);
    says(w, what.p, 200,
         sld_arena_fmt(
             &w->a,
             "{\"data\":{\"data\":%s,\"metadata\":{\"version\":%d,\"created_time\":\"" CREATED
             "\",\"deletion_time\":\"\",\"destroyed\":false}},\"lease_duration\":0,\"lease_id\":"
             "\"\"}",
             data, version, version)
             .p);
}

// The entry of a listing or the metadata of a secret that has so many versions.
static inline struct sld_str about(struct world *w, int version)
{
    return sld_arena_fmt(&w->a,
                         "{\"current_version\":%d,\"versions\":{\"%d\":{\"created_time\":\"" CREATED
                         "\",\"deletion_time\":\"\",\"destroyed\":false}}}",
                         version, version, version);
}
