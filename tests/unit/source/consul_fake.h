// A Consul with keys, sessions and transactions, as far as statuses and the lock need it, that fails as
// a test says: what a real one does is shown end to end. It runs on the io thread of who asks it.
#pragma once

#include "net/support.h"

#include "codec/doc.h"
#include "codec/text.h"
#include "net/http.h"
#include "source/consul/client.h"

#include "settings.pb-c.h"

enum { FAKE_KEYS = 512, FAKE_WRITES = 1024, FAKE_SESSIONS = 16 };

struct fake_key {
    char name[160];
    char *value;
    unsigned long index;
    char session[40];
};

struct fake {
    struct io_thread io;
    struct sld_http_server *server;
    char address[64];
    sem_t news; // something happened
    // On io.
    struct fake_key keys[FAKE_KEYS];
    size_t count;
    unsigned long index;
    unsigned sessions;             // made so far: "session-1" and so on
    bool alive[FAKE_SESSIONS];     // of them, from 1
    struct sld_http_request *held; // the question for the lock's key that waits
    char held_key[160];
    unsigned long held_index;
    char seen[8192];               // "create acquire txn ..." in order, cut at its end
    unsigned renewals, gets, changes;
    uint64_t write_ns[FAKE_WRITES]; // when each key was written
    unsigned writes;
    // What goes wrong: requests whose path has FAIL in it are answered so, FAIL_TIMES; status 0: never.
    const char *fail;
    int fail_status;
    const char *fail_body;
    unsigned fail_times;
    unsigned refuse_acquires;                      // because of the lock's delay
    bool mute;                                     // the question that waits gets no answer
    const char *deny;                              // keys that may not be written
    void (*after_get)(struct fake *f);             // once
};

static inline struct fake_key *fake_find(struct fake *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!strcmp(f->keys[i].name, name))
            return &f->keys[i];
    }
    return NULL;
}

static inline void fake_wake(struct fake *f);

static inline struct fake_key *fake_put(struct fake *f, const char *name, struct sld_str value)
{
    struct fake_key *k = fake_find(f, name);
    if (!k) {
        assert_true(f->count < FAKE_KEYS);
        k = &f->keys[f->count++];
        memset(k, 0, sizeof(*k));
        snprintf(k->name, sizeof(k->name), "%s", name);
    }
    sld_xfree(k->value);
    k->value = sld_xcalloc(1, value.n + 1);
    memcpy(k->value, value.n ? value.p : "", value.n);
    k->index = ++f->index;
    fake_wake(f);
    return k;
}

static inline void fake_remove(struct fake *f, const char *name)
{
    struct fake_key *k = fake_find(f, name);
    if (!k)
        return;
    sld_xfree(k->value);
    *k = f->keys[--f->count];
    f->index++;
    fake_wake(f);
}

static inline void fake_note(struct fake *f, const char *what)
{
    size_t n = strlen(f->seen);
    snprintf(f->seen + n, sizeof(f->seen) - n, "%s ", what);
}

// ---- Answers ----

static inline void fake_answer(struct fake *f, struct sld_http_request *rq, int status,
                               struct sld_str body)
{
    char index[32];
    snprintf(index, sizeof(index), "%lu", f->index);
    const struct sld_http_header h = {SLD_STR("X-Consul-Index"), sld_str_c(index)};
    sld_http_respond(rq, status, SLD_STR("application/json"), &h, 1, body);
}

static inline void fake_add_key(struct sld_json *j, const struct fake_key *k, bool value)
{
    struct sld_arena a = {0};
    sld_json_begin(j, '{');
    sld_json_key(j, "LockIndex");
    sld_json_int(j, 0);
    sld_json_key(j, "Key");
    sld_json_str(j, sld_str_c(k->name));
    sld_json_key(j, "Value");
    if (value)
        sld_json_str(j, sld_base64_encode(&a, sld_str_c(k->value)));
    else
        sld_json_null(j);
    if (k->session[0]) {
        sld_json_key(j, "Session");
        sld_json_str(j, sld_str_c(k->session));
    }
    sld_json_key(j, "ModifyIndex");
    sld_json_int(j, (int64_t)k->index);
    sld_json_end(j, '}');
    sld_arena_fini(&a);
}

static inline void fake_list(struct fake *f, struct sld_http_request *rq, struct sld_str prefix,
                             bool recurse)
{
    struct sld_buf b;
    struct sld_json j;
    bool any = false;
    sld_buf_init(&b, 1 << 20);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < f->count; i++) {
        struct sld_str name = sld_str_c(f->keys[i].name);
        if (recurse ? sld_str_starts(name, prefix) : sld_str_eq(name, prefix)) {
            fake_add_key(&j, &f->keys[i], true);
            any = true;
        }
    }
    sld_json_end(&j, ']');
    fake_answer(f, rq, any ? 200 : 404, any ? sld_buf_str(&b) : SLD_STR(""));
    sld_buf_fini(&b);
}

static inline void fake_wake(struct fake *f)
{
    struct fake_key *k = fake_find(f, f->held_key);
    if (f->held && !f->mute && (!k || k->index > f->held_index)) {
        struct sld_http_request *rq = f->held;
        f->held = NULL;
        fake_list(f, rq, sld_str_c(f->held_key), false);
    }
    sem_post(&f->news);
}

static inline void fake_on_gone(void *user)
{
    ((struct fake *)user)->held = NULL;
}

// ---- Transactions ----

static inline void fake_add_result(struct sld_json *j, const struct fake_key *k, bool value)
{
    sld_json_begin(j, '{');
    sld_json_key(j, "KV");
    fake_add_key(j, k, value);
    sld_json_end(j, '}');
}

static inline const char *fake_op(struct fake *f, struct sld_arena *a, const struct sld_node *op,
                                  bool apply, struct sld_json *out)
{
    char name[160];
    struct sld_str verb = sld_node_text(sld_node_get(op, SLD_STR("Verb"))), value = SLD_STR("");
    uint64_t index = 0;
    snprintf(name, sizeof(name), "%.*s", SLD_FMT(sld_node_text(sld_node_get(op, SLD_STR("Key")))));
    struct fake_key *k = fake_find(f, name);
    (void)sld_str_u64(sld_node_text(sld_node_get(op, SLD_STR("Index"))), &index);
    sld_base64_decode(a, sld_node_text(sld_node_get(op, SLD_STR("Value"))), &value);
    if (sld_str_eq(verb, SLD_STR("check-session")))
        return k && sld_str_eq(sld_str_c(k->session), sld_node_text(sld_node_get(op, SLD_STR("Session"))))
                   ? NULL
                   : "failed to check session";
    if (sld_str_eq(verb, SLD_STR("get"))) {
        if (k && apply)
            fake_add_result(out, k, true);
        return k ? NULL : "doesn't exist";
    }
    if (f->deny && strstr(name, f->deny))
        return "Permission denied";
    if (k ? k->index != index : index != 0)
        return "index is stale";
    if (!apply)
        return NULL;
    if (f->writes < FAKE_WRITES)
        f->write_ns[f->writes] = sld_mono_ns();
    f->writes++;
    if (sld_str_eq(verb, SLD_STR("delete-cas")))
        fake_remove(f, name);
    else
        fake_add_result(out, fake_put(f, name, value), false);
    return NULL;
}

static inline void fake_txn(struct fake *f, struct sld_http_request *rq)
{
    struct sld_arena *a = sld_http_arena(rq);
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    struct sld_buf b;
    struct sld_json j;
    bool bad = false, gets = false;
    assert_int_equal(sld_doc_read(a, sld_http_body(rq), &sld_doc_limits_default, &docs, &n, &code, NULL), 0);
    const struct sld_node *ops = docs[0].root;
    assert_true(ops->count <= 64 && sld_http_body(rq).n <= 512 * 1024);
    sld_buf_init(&b, 1 << 20);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "Errors");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < ops->count; i++) {
        const struct sld_node *op = sld_node_get(ops->items[i], SLD_STR("KV"));
        const char *what = fake_op(f, a, op, false, NULL);
        gets |= sld_str_eq(sld_node_text(sld_node_get(op, SLD_STR("Verb"))), SLD_STR("get"));
        if (!what)
            continue;
        bad = true;
        sld_json_begin(&j, '{');
        sld_json_key(&j, "OpIndex");
        sld_json_int(&j, (int64_t)i);
        sld_json_key(&j, "What");
        sld_json_str(&j, sld_str_c(what));
        sld_json_end(&j, '}');
    }
    sld_json_end(&j, ']');
    sld_json_key(&j, "Results");
    sld_json_begin(&j, '[');
    for (size_t i = 0; i < ops->count && !bad; i++) {
        const char *what = fake_op(f, a, sld_node_get(ops->items[i], SLD_STR("KV")), true, &j);
        assert_null(what);
    }
    sld_json_end(&j, ']');
    sld_json_end(&j, '}');
    f->gets += gets;
    f->changes += !gets;
    fake_note(f, gets ? "get" : bad ? "refused" : "change");
    fake_answer(f, rq, bad ? 409 : 200, sld_buf_str(&b));
    sld_buf_fini(&b);
    if (gets && f->after_get) {
        void (*fn)(struct fake *f) = f->after_get;
        f->after_get = NULL;
        fn(f);
    }
}

// ---- Requests ----

// The number of session ID if it is alive, else 0.
static inline unsigned fake_session(const struct fake *f, struct sld_str id)
{
    uint64_t n = 0;
    if (!sld_str_starts(id, SLD_STR("session-")) || !sld_str_u64(sld_str_sub(id, 8, id.n), &n) ||
        n >= FAKE_SESSIONS || !f->alive[n])
        return 0;
    return (unsigned)n;
}

static inline void fake_release(struct fake *f, unsigned session)
{
    char id[40];
    snprintf(id, sizeof(id), "session-%u", session);
    for (size_t i = 0; i < f->count; i++) {
        if (!strcmp(f->keys[i].session, id)) {
            f->keys[i].session[0] = 0;
            f->keys[i].index = ++f->index;
        }
    }
    fake_wake(f);
}

static inline void fake_end_session(struct fake *f, unsigned session)
{
    f->alive[session] = false;
    fake_release(f, session);
}

static inline void fake_kv(struct fake *f, struct sld_http_request *rq, struct sld_str name)
{
    char key[160];
    snprintf(key, sizeof(key), "%.*s", SLD_FMT(name));
    struct fake_key *k = fake_find(f, key);
    struct sld_str acquire = sld_http_query(rq, SLD_STR("acquire"));
    struct sld_str release = sld_http_query(rq, SLD_STR("release"));
    if (acquire.p) {
        fake_note(f, "acquire");
        if (!fake_session(f, acquire)) {
            fake_answer(f, rq, 500, SLD_STR("invalid session \"x\""));
            return;
        }
        bool yes = !f->refuse_acquires &&
                   (!k || !k->session[0] || sld_str_eq(acquire, sld_str_c(k->session)));
        f->refuse_acquires -= f->refuse_acquires > 0;
        if (yes) {
            k = fake_put(f, key, sld_http_body(rq));
            snprintf(k->session, sizeof(k->session), "%.*s", SLD_FMT(acquire));
            k->index = ++f->index;
            fake_wake(f);
        }
        fake_answer(f, rq, 200, yes ? SLD_STR("true") : SLD_STR("false\n"));
    } else if (release.p) {
        fake_note(f, "release");
        fake_release(f, fake_session(f, release));
        fake_answer(f, rq, 200, SLD_STR("true"));
    } else if (sld_http_query(rq, SLD_STR("index")).p) {
        uint64_t index = 0;
        (void)sld_str_u64(sld_http_query(rq, SLD_STR("index")), &index);
        assert_null(f->held);
        f->held = rq;
        f->held_index = index;
        snprintf(f->held_key, sizeof(f->held_key), "%s", key);
        sld_http_on_gone(rq, fake_on_gone, f);
        if (index == 0 || !k || k->index > index)
            fake_wake(f);
    } else {
        fake_note(f, "list");
        fake_list(f, rq, name, sld_str_find(sld_http_query_text(rq), SLD_STR("recurse")) >= 0);
    }
}

static inline void fake_handle(struct sld_http_request *rq, void *user)
{
    struct fake *f = user;
    struct sld_str path = sld_http_path(rq);
    if (f->fail && f->fail_times && sld_str_find(path, sld_str_c(f->fail)) >= 0) {
        f->fail_times--;
        fake_note(f, "failed");
        if (f->fail_status)
            fake_answer(f, rq, f->fail_status, sld_str_c(f->fail_body));
    } else if (sld_str_eq(path, SLD_STR("/v1/session/create"))) {
        char id[64];
        fake_note(f, "create");
        assert_true(++f->sessions < FAKE_SESSIONS);
        f->alive[f->sessions] = true;
        snprintf(id, sizeof(id), "{ \"ID\": \"session-%u\" }", f->sessions);
        fake_answer(f, rq, 200, sld_str_c(id));
    } else if (sld_str_starts(path, SLD_STR("/v1/session/renew/"))) {
        f->renewals++;
        bool yes = fake_session(f, sld_str_sub(path, 18, path.n)) != 0;
        fake_answer(f, rq, yes ? 200 : 404, yes ? SLD_STR("[{}]") : SLD_STR("Session id not found"));
    } else if (sld_str_starts(path, SLD_STR("/v1/session/destroy/"))) {
        fake_note(f, "destroy");
        fake_end_session(f, fake_session(f, sld_str_sub(path, 20, path.n)));
        fake_answer(f, rq, 200, SLD_STR("true"));
    } else if (sld_str_eq(path, SLD_STR("/v1/txn"))) {
        fake_txn(f, rq);
    } else {
        assert_true(sld_str_starts(path, SLD_STR("/v1/kv/")));
        fake_kv(f, rq, sld_str_sub(path, 7, path.n));
    }
    sem_post(&f->news);
}

// ---- Life ----

static inline void fake_open_on_io(void *arg)
{
    struct fake *f = arg;
    struct sld_err err = {0};
    int port;
    f->server = sld_http_server_create(f->io.loop, NULL, fake_handle, f);
    assert_int_equal(sld_http_server_listen(f->server, SLD_STR("127.0.0.1:0"), NULL, &port, &err), SLD_OK);
    snprintf(f->address, sizeof(f->address), "127.0.0.1:%d", port);
}

static inline void fake_start(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    f->index = 10;
    sem_init(&f->news, 0, 0);
    io_start(&f->io);
    io_do(&f->io, fake_open_on_io, f);
}

static inline void fake_close_on_io(void *arg)
{
    struct fake *f = arg;
    sld_http_server_destroy(f->server);
}

static inline void fake_stop(struct fake *f)
{
    io_do(&f->io, fake_close_on_io, f);
    io_stop(&f->io);
    for (size_t i = 0; i < f->count; i++)
        sld_xfree(f->keys[i].value);
    sem_destroy(&f->news);
}

// Waits until FN, on io, says true of ARG.
struct fake_until {
    bool (*fn)(void *arg);
    void *arg;
    bool yes;
};

static inline void fake_until_on_io(void *arg)
{
    struct fake_until *u = arg;
    u->yes = u->fn(u->arg);
}

static inline void fake_wait(struct fake *f, bool (*fn)(void *arg), void *arg)
{
    struct fake_until u = {.fn = fn, .arg = arg};
    for (;;) {
        io_do(&f->io, fake_until_on_io, &u);
        if (u.yes)
            return;
        wait_for(&f->news);
    }
}
