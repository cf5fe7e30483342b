// What the tests of the KV source share: a store that answers as Consul does, can be made to answer
// as Consul does on its bad days, and knows what is really in it; and the source with what it told.
#pragma once

#include "net/support.h"

#include "codec/text.h"
#include "net/http.h"
#include "source/consul/consul.h"
#include "source/consul/kv_inside.h"

#include "settings.pb-c.h"

enum { KEYS_MAX = 4096, HELD_MAX = 256, VALUE_MAX = 64, WAIT_MS = 700 };

enum fault {
    FINE,
    CUT,        // a reply that ends too early
    GARBAGE,    // a page of some proxy
    EMPTY_LIST, // what is no answer of Consul's
    ALIEN,      // keys nobody asked for
    NO_BASE64,
    FAILS,  // 500
    STARTS, // a server that has not read its log: nothing there, a low index
};

struct entry {
    char *key;
    char value[VALUE_MAX];
    uint64_t index;
    bool gone;
};

struct table {
    struct entry e[KEYS_MAX];
    size_t n;
    uint64_t index;
};

struct held {
    struct sld_http_request *rq;
    struct fake *f;
    uint64_t index;
};

struct fake {
    struct io_thread io;
    struct sld_http_server *server;
    int port;
    // On io.
    struct table real, empty; // EMPTY: what a server has that lost its state
    struct table *now;
    enum fault fault;
    const char *hidden; // keys that begin so may not be seen
    bool read_only, leaderless;
    size_t heals_in; // with so many questions for a key alone it has its state again; 0: it stays
    size_t reads_in; // the same, of readings of values
    size_t stale; // questions that a server behind may answer
    size_t alone, alone_stale; // questions for a key alone; those that a server behind may answer
    struct held *held[HELD_MAX];
    size_t held_count;
    struct sld_timer *over; // who waits has waited long enough
    size_t turns;           // so often was that
    size_t answers, bytes; // of readings of values
    // The source and what it told.
    const char *address; // NULL: this one's
    struct sld_source *s;
    Gloo__Settings settings;
    Gloo__SolderSettings solder;
    Gloo__ConsulKvOptions options;
    struct sld_map told; // path -> value, own memory
    size_t puts, gones, wrong, synced, restored;
    char problem[512];
    sem_t event;
};

static inline struct entry *fake_find(struct table *t, struct sld_str key)
{
    for (size_t i = 0; i < t->n; i++) {
        if (sld_str_eq(sld_str_c(t->e[i].key), key))
            return &t->e[i];
    }
    return NULL;
}

// ---- Answers ----

static inline void fake_respond(const struct fake *f, struct sld_http_request *rq, int status,
                                uint64_t index, struct sld_str body)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)index);
    struct sld_http_header h[] = {{SLD_STR("X-Consul-Index"), sld_str_c(text)},
                                  {SLD_STR("X-Consul-Knownleader"),
                                   f->leaderless ? SLD_STR("false") : SLD_STR("true")}};
    sld_http_respond(rq, status, SLD_STR("application/json"), h, 2, body);
}

static inline bool fake_wants(struct sld_http_request *rq, const char *word)
{
    return sld_str_find(sld_http_query_text(rq), sld_str_c(word)) >= 0;
}

struct want {
    struct sld_str key;
    bool recurse, names, folders;
};

static inline struct want fake_want(struct sld_http_request *rq)
{
    struct sld_str path = sld_http_path(rq);
    return (struct want){.key = sld_str_sub(path, strlen("/v1/kv/"), path.n),
                         .recurse = fake_wants(rq, "recurse"),
                         .names = fake_wants(rq, "keys"),
                         .folders = fake_wants(rq, "separator")};
}

static inline bool fake_matches(const struct want *w, const struct entry *e)
{
    struct sld_str key = sld_str_c(e->key);
    return w->recurse || w->names ? sld_str_starts(key, w->key) : sld_str_eq(key, w->key);
}

static inline bool fake_hides(const struct fake *f, struct sld_str key)
{
    return f->hidden && sld_str_starts(key, sld_str_c(f->hidden));
}

// The index of what is asked for, and how much of it is there to be seen.
static inline uint64_t fake_index(struct fake *f, const struct want *w, size_t *n)
{
    uint64_t index = 0;
    *n = 0;
    for (size_t i = 0; i < f->now->n; i++) {
        struct entry *e = &f->now->e[i];
        if (!fake_matches(w, e))
            continue;
        index = e->index > index ? e->index : index;
        *n += !e->gone && !fake_hides(f, sld_str_c(e->key));
    }
    return *n && index ? index : f->now->index;
}

static inline int fake_by_key(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static inline void fake_body(struct fake *f, const struct want *w, struct sld_buf *b)
{
    static struct entry *list[KEYS_MAX];
    size_t n = 0;
    struct sld_arena a = {0};
    struct sld_str last = SLD_STR_NONE;
    for (size_t i = 0; i < f->now->n; i++) {
        struct entry *e = &f->now->e[i];
        if (fake_matches(w, e) && !e->gone && !fake_hides(f, sld_str_c(e->key)))
            list[n++] = e;
    }
    qsort(list, n, sizeof(list[0]), fake_by_key);
    sld_buf_addc(b, '[');
    for (size_t i = 0; i < n; i++) {
        struct sld_str key = sld_str_c(list[i]->key);
        struct sld_str rest = sld_str_sub(key, w->key.n, key.n);
        ptrdiff_t slash = w->folders ? sld_str_index(rest, '/') : -1;
        key = slash < 0 ? key : sld_str_sub(key, 0, w->key.n + (size_t)slash + 1);
        if (w->folders && sld_str_eq(key, last))
            continue;
        last = key;
        sld_buf_addf(b, "%s\n  ", b->n > 1 ? "," : "");
        if (w->names) {
            sld_buf_addf(b, "\"%.*s\"", SLD_FMT(key));
            continue;
        }
        struct sld_str v = sld_base64_encode(&a, sld_str_c(list[i]->value));
        sld_buf_addf(b,
                     "{\"LockIndex\": 0, \"Key\": \"%.*s\", \"Flags\": 0, \"Value\": \"%.*s\", "
                     "\"CreateIndex\": 1, \"ModifyIndex\": %llu}",
                     SLD_FMT(key), SLD_FMT(f->fault == NO_BASE64 ? SLD_STR("a*b=") : v),
                     (unsigned long long)list[i]->index);
    }
    sld_buf_add(b, SLD_STR("]\n"));
    sld_arena_fini(&a);
}

static inline void fake_read(struct fake *f, struct sld_http_request *rq)
{
    struct want w = fake_want(rq);
    struct sld_buf b;
    size_t n = 0;
    uint64_t index = fake_index(f, &w, &n);
    bool list = w.recurse || w.names;
    sld_buf_init(&b, 64 * 1024 * 1024);
    if (f->fault == FAILS) {
        fake_respond(f, rq, 500, index, SLD_STR("No cluster leader"));
    } else if (!list && fake_hides(f, w.key)) {
        fake_respond(f, rq, 403, index, SLD_STR("Permission denied"));
    } else if (f->fault == STARTS) {
        fake_respond(f, rq, 404, 3, SLD_STR(""));
    } else if (f->fault == GARBAGE) {
        fake_respond(f, rq, 200, index, SLD_STR("<html>hello</html>"));
    } else if (f->fault == EMPTY_LIST) {
        fake_respond(f, rq, 200, index, SLD_STR("[]"));
    } else if (f->fault == ALIEN) {
        fake_respond(f, rq, 200, index, SLD_STR("[{\"Key\": \"other/x\", \"Value\": \"YQ==\", \"ModifyIndex\": 9}]"));
    } else if (n == 0) {
        fake_respond(f, rq, 404, index, SLD_STR(""));
    } else {
        fake_body(f, &w, &b);
        f->answers += !w.names;
        f->bytes += w.names ? 0 : b.n;
        struct sld_str body = sld_buf_str(&b);
        fake_respond(f, rq, 200, index, f->fault == CUT ? sld_str_sub(body, 0, body.n / 2) : body);
    }
    sld_buf_fini(&b);
}

// Answers everybody who waits and whose index moved; ALL: the others' time is over.
static inline void fake_wake(struct fake *f, bool all)
{
    for (size_t i = 0; i < f->held_count;) {
        struct held *h = f->held[i];
        struct want w = fake_want(h->rq);
        size_t n;
        if (!all && fake_index(f, &w, &n) <= h->index) {
            i++;
            continue;
        }
        f->held[i] = f->held[--f->held_count];
        fake_read(f, h->rq);
    }
}

static inline void fake_on_gone(void *user)
{
    struct held *h = user;
    for (size_t i = 0; i < h->f->held_count; i++) {
        if (h->f->held[i] == h)
            h->f->held[i] = h->f->held[--h->f->held_count];
    }
}

static inline void fake_set(struct fake *f, struct sld_str key, struct sld_str value)
{
    struct table *t = f->now;
    struct entry *e = fake_find(t, key);
    if (e && !e->gone && sld_str_eq(sld_str_c(e->value), value))
        return;
    if (!e) {
        assert_true(t->n < KEYS_MAX);
        e = &t->e[t->n++];
        e->key = sld_xcalloc(1, key.n + 1);
        memcpy(e->key, key.p, key.n);
    }
    snprintf(e->value, sizeof(e->value), "%.*s", SLD_FMT(value));
    e->gone = false;
    e->index = ++t->index;
    fake_wake(f, false);
}

static inline void fake_write(struct fake *f, struct sld_http_request *rq)
{
    struct want w = fake_want(rq);
    struct entry *e = fake_find(f->now, w.key);
    uint64_t cas = 0;
    assert_true(sld_str_u64(sld_http_query(rq, SLD_STR("cas")), &cas));
    bool same = cas == (e && !e->gone ? e->index : 0);
    if (f->fault == FAILS) {
        fake_respond(f, rq, 500, 0, SLD_STR(""));
    } else if (f->read_only || fake_hides(f, w.key)) {
        fake_respond(f, rq, 403, 0, SLD_STR("Permission denied"));
    } else {
        struct sld_str body = sld_http_body(rq);
        ptrdiff_t at = sld_str_find(body, SLD_STR("\"id\""));
        char value[VALUE_MAX];
        snprintf(value, sizeof(value), "{%.*s", SLD_FMT(sld_str_sub(body, (size_t)at, body.n)));
        if (same)
            fake_set(f, w.key, sld_str_c(value));
        fake_respond(f, rq, 200, 0, same ? SLD_STR("true") : SLD_STR("false"));
    }
}

static inline void fake_handle(struct sld_http_request *rq, void *user)
{
    struct fake *f = user;
    uint64_t index = 0;
    size_t n;
    if (sld_str_eq(sld_http_method(rq), SLD_STR("PUT"))) {
        fake_write(f, rq);
        return;
    }
    struct want w = fake_want(rq);
    f->stale += fake_wants(rq, "stale");
    if (!w.recurse && !w.names) {
        f->alone++;
        f->alone_stale += fake_wants(rq, "stale");
        bool ours = sld_str_eq(w.key, SLD_STR("gloo/solder/sentinel"));
        if (!ours && f->heals_in && --f->heals_in == 0) {
            f->now = &f->real;
            fake_wake(f, true);
        }
        sem_post(&f->event);
    }
    if (w.recurse && f->reads_in && --f->reads_in == 0)
        f->now = &f->real;
    (void)sld_str_u64(sld_http_query(rq, SLD_STR("index")), &index);
    if (!index || fake_index(f, &w, &n) > index || f->fault != FINE) {
        fake_read(f, rq);
        return;
    }
    assert_true(f->held_count < HELD_MAX);
    struct held *h = SLD_ARENA_NEW(sld_http_arena(rq), struct held);
    *h = (struct held){rq, f, index};
    sld_http_on_gone(rq, fake_on_gone, h);
    f->held[f->held_count++] = h;
}

// ---- The source ----

static inline struct sld_str fake_key(struct sld_arena *a, struct sld_str path)
{
    return SLD_ARENA_JOIN(a, SLD_STR("gloo/"), path);
}

static inline void told_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct fake *f = user;
    char *v = sld_xcalloc(1, bytes->data.n + 1);
    memcpy(v, bytes->data.p, bytes->data.n);
    assert_true(settled);
    f->puts++;
    sld_xfree(sld_map_set(&f->told, path, v));
    sem_post(&f->event);
}

// What is really there is never told gone.
static inline void told_gone(void *user, struct sld_str path)
{
    struct fake *f = user;
    struct sld_arena a = {0};
    struct entry *e = fake_find(&f->real, fake_key(&a, path));
    f->wrong += e && !e->gone;
    f->gones++;
    char *v = sld_map_remove(&f->told, path);
    assert_non_null(v);
    sld_xfree(v);
    sld_arena_fini(&a);
    sem_post(&f->event);
}

static inline void told_synced(void *user)
{
    struct fake *f = user;
    f->synced++;
    sem_post(&f->event);
}

static inline void told_problem(void *user, struct sld_str path, enum sld_code code,
                                struct sld_str message)
{
    struct fake *f = user;
    (void)code;
    if (path.n)
        return;
    snprintf(f->problem, sizeof(f->problem), "%.*s", SLD_FMT(message));
    sem_post(&f->event);
}

static inline void fake_source_open(void *arg)
{
    struct fake *f = arg;
    struct sld_source_events ev = {.on_put = told_put,
                                   .on_gone = told_gone,
                                   .on_synced = told_synced,
                                   .on_problem = told_problem,
                                   .user = f,
                                   .restored = f->restored};
    struct sld_err err = {0};
    char address[64];
    snprintf(address, sizeof(address), "consul://127.0.0.1:%d/gloo", f->port);
    assert_int_equal(sld_consul_source_ops.open(f->io.loop, sld_str_c(f->address ? f->address : address), &f->settings, &ev,
                                                &f->s, &err),
                     SLD_OK);
}

static inline void fake_source_close(void *arg)
{
    struct fake *f = arg;
    sld_consul_source_ops.close(f->s);
    f->s = NULL;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->told, &at));)
        sld_xfree(s->value);
    sld_map_fini(&f->told);
}

static inline void fake_over(void *user)
{
    struct fake *f = user;
    f->turns++;
    fake_wake(f, true);
    sld_timer_start(f->over, WAIT_MS);
}

static inline void fake_open(void *arg)
{
    struct fake *f = arg;
    struct sld_err err = {0};
    f->over = sld_timer_create(f->io.loop, fake_over, f);
    sld_timer_start(f->over, WAIT_MS);
    f->server = sld_http_server_create(f->io.loop, NULL, fake_handle, f);
    assert_int_equal(
        sld_http_server_listen(f->server, SLD_STR("127.0.0.1:0"), NULL, &f->port, &err), SLD_OK);
}

static inline void fake_close(void *arg)
{
    struct fake *f = arg;
    if (f->s)
        fake_source_close(f);
    sld_timer_destroy(f->over);
    sld_http_server_destroy(f->server);
}

static inline struct fake *fake_start(void)
{
    struct fake *f = SLD_NEW(struct fake);
    sem_init(&f->event, 0, 0);
    gloo__settings__init(&f->settings);
    gloo__solder_settings__init(&f->solder);
    gloo__consul_kv_options__init(&f->options);
    f->settings.solder = &f->solder;
    f->solder.consul_kv = &f->options;
    f->options.status_place = GLOO__CONSUL_KV_OPTIONS__STATUS_PLACE__NONE; // tested elsewhere
    f->now = &f->real;
    f->real.index = 10;
    f->empty.index = 4;
    io_start(&f->io);
    io_do(&f->io, fake_open, f);
    return f;
}

static inline void fake_stop(struct fake *f)
{
    io_do(&f->io, fake_close, f);
    io_stop(&f->io);
    struct table *tables[] = {&f->real, &f->empty};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < tables[k]->n; i++)
            sld_xfree(tables[k]->e[i].key);
    }
    sem_destroy(&f->event);
    sld_xfree(f);
}

// ---- What tests do ----

struct change {
    struct fake *f;
    const char *path, *value; // VALUE NULL: deleted
};

static inline void change_on_io(void *arg)
{
    struct change *c = arg;
    struct sld_arena a = {0};
    struct sld_str key = fake_key(&a, sld_str_c(c->path));
    if (c->value) {
        fake_set(c->f, key, sld_str_c(c->value));
    } else {
        struct entry *e = fake_find(c->f->now, key);
        if (e && !e->gone) {
            e->gone = true;
            e->index = ++c->f->now->index;
            fake_wake(c->f, false);
        }
    }
    sld_arena_fini(&a);
}

static inline void put(struct fake *f, const char *path, const char *value)
{
    struct change c = {f, path, value};
    io_do(&f->io, change_on_io, &c);
}

#define VS "gateway.solo.io/v1/VirtualService/gloo-system/"
#define SENTINEL "solder/sentinel"

struct question {
    struct fake *f;
    bool (*fn)(struct fake *f, const void *arg);
    const void *arg;
    bool yes;
};

static inline void question_on_io(void *arg)
{
    struct question *q = arg;
    q->yes = q->fn(q->f, q->arg);
}

static inline bool is(struct fake *f, bool (*fn)(struct fake *f, const void *arg), const void *arg)
{
    struct question q = {f, fn, arg, false};
    io_do(&f->io, question_on_io, &q);
    return q.yes;
}

// Waits for events until FN says yes; at most 30 s from one to the next.
#define until(f, fn, arg) until_at(f, fn, arg, #fn, __LINE__)
static inline void until_at(struct fake *f, bool (*fn)(struct fake *f, const void *arg), const void *arg,
                            const char *what, int line)
{
    while (!is(f, fn, arg)) {
        struct timespec end;
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += 30;
        if (sem_timedwait(&f->event, &end) == 0)
            continue;
        const struct kv *kv = (const struct kv *)f->s;
        fail_msg("%s of line %d does not come: problem \"%s\", trust %d, %zu parts, %zu units, %zu missing, "
                 "%u asked for, %zu put, %zu gone",
                 what, line, f->problem, (int)kv->trust, kv->part_count, kv->units, kv->missing_units,
                 kv->asking, f->puts, f->gones);
    }
}

static inline bool puts_are(struct fake *f, const void *arg)
{
    return f->puts >= *(const size_t *)arg;
}

static inline bool gones_are(struct fake *f, const void *arg)
{
    return f->gones >= *(const size_t *)arg;
}

static inline void until_puts(struct fake *f, size_t n)
{
    until(f, puts_are, &n);
}

static inline void until_gones(struct fake *f, size_t n)
{
    until(f, gones_are, &n);
}

struct number {
    const size_t *from;
    size_t n;
};

static inline void number_on_io(void *arg)
{
    struct number *n = arg;
    n->n = *n->from;
}

// A number that the io thread writes.
static inline size_t number(struct fake *f, const size_t *from)
{
    struct number n = {from, 0};
    io_do(&f->io, number_on_io, &n);
    return n.n;
}

static inline void forget_on_io(void *arg)
{
    struct fake *f = arg;
    for (size_t i = 0; i < f->real.n; i++)
        f->real.e[i].gone = true;
}

// What was really there is not any more.
static inline void forget(struct fake *f)
{
    io_do(&f->io, forget_on_io, f);
}

// What was told is what is really there.
static inline bool all_told(struct fake *f, const void *arg)
{
    size_t units = 0;
    (void)arg;
    for (size_t i = 0; i < f->real.n; i++) {
        const struct entry *e = &f->real.e[i];
        if (e->gone || sld_str_starts(sld_str_c(e->key), SLD_STR("gloo/solder/")))
            continue;
        units++;
        const char *v = sld_map_get(&f->told, sld_str_c(e->key + strlen("gloo/")));
        if (!v || strcmp(v, e->value) != 0)
            return false;
    }
    return units == sld_map_count(&f->told);
}

static inline bool is_synced(struct fake *f, const void *arg)
{
    return f->synced >= *(const size_t *)arg;
}

static inline bool problem_has(struct fake *f, const void *arg)
{
    return strstr(f->problem, arg) != NULL;
}

static inline bool no_problem(struct fake *f, const void *arg)
{
    (void)arg;
    return f->problem[0] == 0;
}

static inline bool marked(struct fake *f, const void *arg)
{
    (void)arg;
    const struct kv *kv = (const struct kv *)f->s;
    return kv->trust == KV_SURE;
}

struct setting {
    struct fake *f;
    enum fault fault;
    const char *hidden;
    struct table *now;
};

static inline void setting_on_io(void *arg)
{
    struct setting *s = arg;
    s->f->fault = s->fault;
    s->f->hidden = s->hidden;
    s->f->now = s->now;
    fake_wake(s->f, true);
}

// From now on; queries that wait are answered so, too.
static inline void fails(struct fake *f, enum fault fault)
{
    struct setting s = {f, fault, NULL, &f->real};
    io_do(&f->io, setting_on_io, &s);
}

static inline void hides(struct fake *f, const char *prefix)
{
    struct setting s = {f, FINE, prefix, &f->real};
    io_do(&f->io, setting_on_io, &s);
}

static inline void loses(struct fake *f, bool yes)
{
    struct setting s = {f, FINE, NULL, yes ? &f->empty : &f->real};
    io_do(&f->io, setting_on_io, &s);
}
