// The scripted client. Included by each test program: a test is one file for the build.
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "xds/wire.h"

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        fail();                                                                                    \
    } while (0)

// SLD_TRACE=1 in the environment shows every message.
static void trace(const struct fake *f, const char *fmt, ...)
{
    static int on = -1;
    if (on < 0)
        on = getenv("SLD_TRACE") != NULL;
    if (!on)
        return;
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%d/%d step %d ", f->id, f->build, f->step ? *f->step : 0);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

// ---- resources ----

static bool cut_list(struct sld_str *rest, struct sld_str *item)
{
    while (sld_str_cut(rest, ',', item)) {
        if (item->n)
            return true;
    }
    return false;
}

struct sld_xds_resource *make_resource(const struct make *m)
{
    struct sld_xds_resource *r = sld_xds_resource_create(m->type, sld_str_c(m->name));
    r->bytes = sld_arena_str(&r->arena, sld_str_c(m->bytes));
    struct sld_packed *packed = m->type == SLD_XDS_ENDPOINT ? sld_packed_create(r->bytes) : NULL;
    if (packed) {
        r->recipe = &packed->recipe;
        r->keep = &packed->recipe.obj;
        r->content = sld_hash_bytes(r->bytes);
        r->bytes = SLD_STR_NONE;
    }
    r->gated = m->gated;
    r->past = m->past;
    r->eds = m->type == SLD_XDS_CLUSTER && !m->no_eds;
    if (m->type == SLD_XDS_CLUSTER)
        r->shape = (struct sld_hash){(uint64_t)(m->shape ? m->shape : 1), 7};
    struct sld_str rest = sld_str_c(m->clusters), item;
    while (cut_list(&rest, &item))
        SLD_PUSH(&r->arena, r->clusters, r->cluster_count, sld_arena_str(&r->arena, item));
    rest = sld_str_c(m->routes);
    while (cut_list(&rest, &item)) {
        struct sld_xds_ref ref = {SLD_XDS_ROUTE, sld_arena_str(&r->arena, item)};
        SLD_PUSH(&r->arena, r->needs, r->need_count, ref);
    }
    rest = sld_str_c(m->secrets);
    while (cut_list(&rest, &item)) {
        struct sld_xds_ref ref = {SLD_XDS_SECRET, sld_arena_str(&r->arena, item)};
        SLD_PUSH(&r->arena, r->needs, r->need_count, ref);
    }
    r->secret = m->type == SLD_XDS_SECRET;
    sld_xds_resource_seal(r);
    return r;
}

void batch_put(struct sld_xds_batch *b, const char *view, const struct make *m)
{
    struct sld_xds_resource *r = make_resource(m);
    sld_xds_batch_add(b, m->type, sld_str_c(view), r->name, r);
    SLD_UNREF(r);
}

void batch_del(struct sld_xds_batch *b, const char *view, enum sld_xds_type t, const char *name)
{
    sld_xds_batch_add(b, t, sld_str_c(view), sld_str_c(name), NULL);
}

// ---- responses ----

// The state-of-the-world protocol has no names outside the bytes: "... @name", the empty assignment that
// the server makes, or the bytes themselves.
static struct sld_str name_within(struct sld_str bytes)
{
    ptrdiff_t at = sld_str_index(bytes, '@');
    if (at >= 0)
        return sld_str_sub(bytes, (size_t)at + 1, bytes.n);
    if (bytes.n > 2 && bytes.p[0] == '\n')
        return sld_str_sub(bytes, 2, bytes.n);
    return bytes;
}

static void read_resource(struct fake_msg *m, struct sld_str bytes, bool delta)
{
    struct fake_resource r = {SLD_STR(""), SLD_STR(""), SLD_STR("")};
    struct sld_str any = delta ? SLD_STR("") : bytes;
    struct sld_wire w = sld_wire_open(bytes);
    for (struct sld_wire_field f; delta && sld_wire_next(&w, &f);) {
        if (f.number == 1)
            r.version = f.bytes;
        else if (f.number == 2)
            any = f.bytes;
        else if (f.number == 3)
            r.name = f.bytes;
    }
    assert_false(w.bad);
    w = sld_wire_open(any);
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.number == 1)
            assert_true(sld_str_eq(f.bytes, m->url));
        else if (f.number == 2)
            r.bytes = f.bytes;
    }
    assert_false(w.bad);
    if (!delta)
        r.name = name_within(r.bytes);
    SLD_PUSH(&m->arena, m->resources, m->resource_count, r);
}

static struct fake_msg *read_response(enum sld_xds_kind kind, struct sld_str copy)
{
    struct fake_msg *m = SLD_NEW(struct fake_msg);
    bool delta = kind == SLD_XDS_DELTA_ADS;
    struct sld_str bytes = sld_arena_str(&m->arena, copy);
    m->url = m->nonce = m->version = SLD_STR("");
    struct sld_wire w = sld_wire_open(bytes);
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.number == 4)
            m->url = f.bytes;
        else if (f.number == 5)
            m->nonce = f.bytes;
        else if (f.number == 1)
            m->version = f.bytes;
        else if (f.number == 6 && delta)
            SLD_PUSH(&m->arena, m->removed, m->removed_count, f.bytes);
    }
    assert_false(w.bad);
    w = sld_wire_open(bytes);
    for (struct sld_wire_field f; sld_wire_next(&w, &f);) {
        if (f.number == 2)
            read_resource(m, f.bytes, delta);
    }
    m->known = sld_xds_type_find(m->url, &m->type);
    return m;
}

static void conviction_key(char out[64], int build, struct sld_str name, struct sld_str bytes)
{
    struct sld_hash h = sld_hash_mix(sld_hash_bytes(name), sld_hash_bytes(bytes));
    snprintf(out, 64, "%d/%016llx", build, (unsigned long long)h.lo);
}

static void check_new(struct fake *f, const struct fake_msg *m)
{
    struct sld_map seen = {0};
    assert_true(m->nonce.n > 0);
    for (size_t i = 0; i < m->resource_count; i++) {
        const struct fake_resource *r = &m->resources[i];
        if (sld_map_set(&seen, r->name, f))
            FAIL("%.*s twice in one response\n", SLD_FMT(r->name));
        assert_int_equal(r->version.n, f->kind == SLD_XDS_DELTA_ADS ? 16 : 0);
        char key[64];
        conviction_key(key, f->build, r->name, r->bytes);
        if (f->convicted && sld_map_has(f->convicted, sld_str_c(key)))
            FAIL("%.*s sent again after it was refused\n", SLD_FMT(r->name));
    }
    for (size_t i = 0; i < m->removed_count; i++) {
        if (sld_map_set(&seen, m->removed[i], f))
            FAIL("%.*s twice in one response\n", SLD_FMT(m->removed[i]));
    }
    if (m->known && m->type == SLD_XDS_CLUSTER)
        assert_true(m->resource_count == 0 || m->removed_count == 0);
    sld_map_fini(&seen);
}

static void on_send(void *user, const struct sld_str *slices, struct sld_obj *const *owners,
                    size_t n)
{
    struct fake *f = user;
    struct sld_buf b;
    assert_false(f->owes_sent);
    f->owes_sent = true;
    f->sent_ns = *f->now;
    sld_buf_init(&b, SIZE_MAX / 2);
    for (size_t i = 0; i < n; i++) {
        assert_true(!owners[i] || atomic_load(&owners[i]->refs) > 0);
        sld_buf_add(&b, slices[i]);
    }
    struct fake_msg *m = read_response(f->kind, sld_buf_str(&b));
    sld_buf_fini(&b);
    m->step = f->step ? *f->step : 0;
    if (m->known) {
        size_t most = m->type == SLD_XDS_CLUSTER && f->kind == SLD_XDS_DELTA_ADS ? 8 : 1;
        if (++f->in_flight[m->type] > most)
            FAIL("%zu responses of %s in flight\n", f->in_flight[m->type],
                 sld_xds_type_name(m->type));
    }
    f->messages++;
    trace(f, "sent %s #%.*s", m->known ? sld_xds_type_name(m->type) : "?", SLD_FMT(m->nonce));
    for (size_t i = 0; i < m->resource_count; i++)
        trace(f, "    %.*s = %.*s", SLD_FMT(m->resources[i].name), SLD_FMT(m->resources[i].bytes));
    for (size_t i = 0; i < m->removed_count; i++)
        trace(f, "    -%.*s", SLD_FMT(m->removed[i]));
    check_new(f, m);
    *f->tail = m;
    f->tail = &m->next;
}

void fake_deliver(struct fake *f, struct sld_str bytes)
{
    struct sld_obj *const owners[] = {NULL};
    on_send(f, &bytes, owners, 1);
}

static void on_close(void *user, int status, struct sld_str message)
{
    struct fake *f = user;
    f->status = status;
    snprintf(f->why, sizeof(f->why), "%.*s", SLD_FMT(message));
}

struct fake *fake_create(struct sld_xds *x, enum sld_xds_kind kind, const char *role, int build,
                         uint64_t *now, struct sld_map *convicted)
{
    struct fake *f = SLD_NEW(struct fake);
    *f = (struct fake){.x = x, .kind = kind, .role = role, .build = build, .now = now};
    f->convicted = convicted;
    f->tail = &f->inbox;
    f->ack_tail = &f->acks;
    return f;
}

void fake_open(struct fake *f)
{
    static const struct sld_xds_sender sender = {on_send, on_close};
    f->first = true;
    f->status = -1;
    f->owes_sent = false;
    f->messages = 0;
    memset(f->in_flight, 0, sizeof(f->in_flight));
    memset(f->last, 0, sizeof(f->last));
    if (f->x)
        f->stream = sld_xds_stream_open(f->x, f->kind, &sender, f, SLD_STR("test"), *f->now);
}

static void forget_stream(struct fake *f)
{
    for (struct fake_msg *m; (m = f->inbox);) {
        f->inbox = m->next;
        fake_free(m);
    }
    for (struct fake_ack *a; (a = f->acks);) {
        f->acks = a->next;
        sld_xfree(a);
    }
    f->tail = &f->inbox;
    f->ack_tail = &f->acks;
}

void fake_close(struct fake *f)
{
    if (f->stream)
        sld_xds_stream_closed(f->stream, *f->now);
    f->stream = NULL;
    forget_stream(f);
}

static void fini_blobs(struct sld_map *m)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(m, &at));)
        SLD_UNREF(s->value);
    sld_map_fini(m);
}

static void drop_blob(struct sld_map *m, struct sld_str name)
{
    struct sld_blob *b = sld_map_remove(m, name);
    SLD_UNREF(b);
}

static void set_blob(struct sld_map *m, struct sld_str name, struct sld_str value)
{
    struct sld_blob *before = sld_map_set(m, name, sld_blob_create(value));
    SLD_UNREF(before);
}

void fake_destroy(struct fake *f)
{
    fake_close(f);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        fini_blobs(&f->held[t]);
        fini_blobs(&f->versions[t]);
        sld_map_fini(&f->watches[t]);
        sld_map_fini(&f->unsure[t]);
    }
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->clusters, &at));)
        sld_xfree(s->value);
    sld_map_fini(&f->clusters);
    sld_xfree(f);
}

// ---- requests ----

static void put_sub(struct sld_buf *b, uint32_t number, struct sld_buf *inner)
{
    sld_wire_put_str(b, number, sld_buf_str(inner));
    sld_buf_fini(inner);
}

static void put_struct_string(struct sld_buf *b, uint32_t number, const char *key, const char *value)
{
    struct sld_buf v, pair, all;
    sld_buf_init(&v, 4096);
    sld_buf_init(&pair, 4096);
    sld_buf_init(&all, 4096);
    sld_wire_put_str(&v, 3, sld_str_c(value));
    sld_wire_put_str(&pair, 1, sld_str_c(key));
    put_sub(&pair, 2, &v);
    put_sub(&all, 1, &pair);
    put_sub(b, number, &all);
}

static void put_node(struct fake *f, struct sld_buf *b, uint32_t number)
{
    struct sld_buf node, ver, sem;
    sld_buf_init(&node, 4096);
    sld_buf_init(&ver, 4096);
    sld_buf_init(&sem, 4096);
    sld_wire_put_str(&node, 1, SLD_STR("node-1"));
    if (f->role)
        put_struct_string(&node, 3, "role", f->role);
    sld_wire_put_str(&node, 6, f->build < 0 ? SLD_STR("gRPC Core") : SLD_STR("envoy"));
    sld_wire_put(&sem, 1 << 3);
    sld_wire_put(&sem, 1);
    sld_wire_put(&sem, 2 << 3);
    sld_wire_put(&sem, (uint64_t)(f->build < 0 ? 0 : f->build));
    put_sub(&ver, 1, &sem);
    put_struct_string(&ver, 2, "revision.sha", "abc");
    put_sub(&node, 8, &ver);
    put_sub(b, number, &node);
}

static void put_list(struct sld_buf *b, uint32_t number, const char *list)
{
    struct sld_str rest = sld_str_c(list), item;
    while (cut_list(&rest, &item))
        sld_wire_put_str(b, number, item);
}

void fake_raw(struct fake *f, struct sld_str bytes)
{
    if (f->put)
        f->put(f, bytes);
    else
        sld_xds_stream_message(f->stream, bytes, *f->now);
}

void fake_send(struct fake *f, const struct fake_request *q)
{
    bool delta = f->kind == SLD_XDS_DELTA_ADS;
    struct sld_buf b;
    sld_buf_init(&b, SIZE_MAX / 2);
    if (f->first)
        put_node(f, &b, delta ? 1 : 2);
    f->first = false;
    sld_wire_put_str(&b, delta ? 2 : 4, q->url ? sld_str_c(q->url) : sld_xds_type_url(q->type));
    if (!delta && q->version)
        sld_wire_put_str(&b, 1, sld_str_c(q->version));
    put_list(&b, 3, q->names);
    if (delta)
        put_list(&b, 4, q->unsubscribe);
    struct sld_str rest = sld_str_c(q->versions), item;
    while (cut_list(&rest, &item)) {
        struct sld_buf pair;
        struct sld_str name;
        sld_buf_init(&pair, 4096);
        sld_str_cut(&item, '=', &name);
        sld_wire_put_str(&pair, 1, name);
        sld_wire_put_str(&pair, 2, item);
        put_sub(&b, 5, &pair);
    }
    if (q->nonce)
        sld_wire_put_str(&b, delta ? 6 : 5, sld_str_c(q->nonce));
    if (q->error) {
        struct sld_buf status;
        sld_buf_init(&status, 65536);
        sld_wire_put(&status, 1 << 3);
        sld_wire_put(&status, 13);
        sld_wire_put_str(&status, 2, sld_str_c(q->error));
        put_sub(&b, delta ? 7 : 6, &status);
    }
    if (q->nonce && !q->url && !q->again && f->in_flight[q->type])
        f->in_flight[q->type]--;
    trace(f, "asks %s +%s -%s have %s #%s %s", sld_xds_type_name(q->type), q->names ? q->names : "",
          q->unsubscribe ? q->unsubscribe : "", q->versions ? q->versions : "",
          q->nonce ? q->nonce : "", q->error ? q->error : "");
    fake_raw(f, sld_buf_str(&b));
    sld_buf_fini(&b);
}

void fake_sent(struct fake *f)
{
    if (!f->owes_sent)
        return;
    f->owes_sent = false;
    if (f->stream)
        sld_xds_stream_sent(f->stream, *f->now);
}

struct fake_msg *fake_next(struct fake *f)
{
    if (!f->inbox && f->get)
        f->get(f);
    struct fake_msg *m = f->inbox;
    if (!m || f->mute)
        return NULL;
    f->inbox = m->next;
    if (!f->inbox)
        f->tail = &f->inbox;
    fake_sent(f);
    return m;
}

void fake_free(struct fake_msg *m)
{
    if (!m)
        return;
    sld_arena_fini(&m->arena);
    sld_xfree(m);
}

const struct fake_resource *fake_find(const struct fake_msg *m, const char *name)
{
    for (size_t i = 0; i < m->resource_count; i++) {
        if (sld_str_eq(m->resources[i].name, sld_str_c(name)))
            return &m->resources[i];
    }
    return NULL;
}

bool fake_removed(const struct fake_msg *m, const char *name)
{
    for (size_t i = 0; i < m->removed_count; i++) {
        if (sld_str_eq(m->removed[i], sld_str_c(name)))
            return true;
    }
    return false;
}

void fake_expect(struct fake *f, enum sld_xds_type type, const char *names, bool ack)
{
    struct fake_msg *m = fake_next(f);
    char name[256], nonce[24];
    size_t adds = 0, removals = 0;
    if (!m)
        FAIL("no response; expected %s %s\n", sld_xds_type_name(type), names);
    if (m->type != type)
        FAIL("a response of %s; expected %s %s\n", sld_xds_type_name(m->type),
             sld_xds_type_name(type), names);
    struct sld_str rest = sld_str_c(names), item;
    while (cut_list(&rest, &item)) {
        bool removed = item.p[0] == '-';
        snprintf(name, sizeof(name), "%.*s", (int)(item.n - removed), item.p + removed);
        if (removed ? !fake_removed(m, name) : !fake_find(m, name))
            FAIL("%.*s is not in the response of %s\n", SLD_FMT(item), sld_xds_type_name(type));
        adds += !removed;
        removals += removed;
    }
    assert_int_equal(m->resource_count, adds);
    assert_int_equal(m->removed_count, removals);
    snprintf(nonce, sizeof(nonce), "%.*s", SLD_FMT(m->nonce));
    fake_free(m);
    if (ack)
        FAKE_SEND(f, .type = type, .nonce = nonce);
}

void fake_expect_nothing(struct fake *f)
{
    struct fake_msg *m = fake_next(f);
    if (m)
        FAIL("unexpected response of %s: %zu resources, first %.*s; %zu removed\n",
             m->known ? sld_xds_type_name(m->type) : "?", m->resource_count,
             m->resource_count ? (int)m->resources[0].name.n : 0,
             m->resource_count ? m->resources[0].name.p : "", m->removed_count);
}

// ---- Envoy's part ----

static struct sld_str third_word(struct sld_str bytes)
{
    struct sld_str word, rest = bytes;
    if (!sld_str_cut(&rest, ' ', &word) || !sld_str_cut(&rest, ' ', &word) ||
        !sld_str_cut(&rest, ' ', &word))
        return SLD_STR("");
    return word;
}

static bool is_bad(const struct fake *f, struct sld_str bytes)
{
    char own[16];
    ptrdiff_t at = sld_str_find(bytes, SLD_STR("BAD"));
    if (at < 0)
        return false;
    size_t end = (size_t)at + 3;
    if (end == bytes.n || bytes.p[end] < '0' || bytes.p[end] > '9')
        return true;
    snprintf(own, sizeof(own), "BAD%d", f->build);
    return sld_str_find(bytes, sld_str_c(own)) >= 0;
}

static void join_keys(struct sld_buf *b, const struct sld_map *m, bool values)
{
    size_t n;
    struct sld_str *keys = sld_map_sorted_keys(m, &n);
    for (size_t i = 0; i < n; i++) {
        sld_buf_addf(b, "%s%.*s", i ? "," : "", SLD_FMT(keys[i]));
        if (values)
            sld_buf_addf(b, "=%.*s", SLD_FMT(((struct sld_blob *)sld_map_get(m, keys[i]))->data));
    }
    sld_buf_addc(b, 0);
    sld_xfree(keys);
}

// State of the world: every request lists all that is watched. An answer still to be given will do that.
static void relist(struct fake *f, enum sld_xds_type t)
{
    struct sld_buf names;
    for (struct fake_ack *a = f->acks; a; a = a->next) {
        if (a->type == t)
            return;
    }
    sld_buf_init(&names, SIZE_MAX / 2);
    join_keys(&names, &f->watches[t], false);
    FAKE_SEND(f, .type = t, .names = names.p, .nonce = f->last[t][0] ? f->last[t] : NULL,
              .again = true);
    sld_buf_fini(&names);
}

// Makes the watches that are new known to the server: a name already watched sends nothing (the fold trap).
static void watch(struct fake *f, enum sld_xds_type t, struct sld_str names)
{
    struct sld_str item;
    while (cut_list(&names, &item)) {
        char name[256];
        if (sld_map_has(&f->watches[t], item))
            continue;
        snprintf(name, sizeof(name), "%.*s", SLD_FMT(item));
        sld_map_set(&f->watches[t], item, f);
        if (f->kind == SLD_XDS_SOTW_ADS)
            relist(f, t);
        else
            FAKE_SEND(f, .type = t, .names = name);
    }
}

static void unwatch(struct fake *f, enum sld_xds_type t, struct sld_str name)
{
    char text[256];
    if (!sld_map_has(&f->watches[t], name))
        return;
    snprintf(text, sizeof(text), "%.*s", SLD_FMT(name));
    sld_map_remove(&f->watches[t], name);
    drop_blob(&f->held[t], name);
    drop_blob(&f->versions[t], name);
    if (f->kind == SLD_XDS_SOTW_ADS)
        relist(f, t);
    else
        FAKE_SEND(f, .type = t, .unsubscribe = text);
}

static bool served(struct fake *f, struct sld_str cluster)
{
    struct fake_cluster *c = sld_map_get(&f->clusters, cluster);
    return c && ((c->warm && !c->empty) || c->let_down);
}

static void take_route(struct fake *f, const struct fake_resource *r, int step)
{
    struct sld_str rest = third_word(r->bytes), item;
    while (cut_list(&rest, &item)) {
        if (!served(f, item) && !(f->excused && f->excused(f, item, step)))
            FAIL("route %.*s came before its cluster %.*s was ready\n", SLD_FMT(r->name),
                 SLD_FMT(item));
    }
}

static void take_cluster(struct fake *f, const struct fake_resource *r)
{
    struct fake_cluster *c = sld_map_get(&f->clusters, r->name);
    if (!c) {
        c = SLD_NEW(struct fake_cluster);
        c->gated = sld_str_find(r->bytes, SLD_STR("gated")) >= 0;
        c->eds = sld_str_find(r->bytes, SLD_STR("static")) < 0;
        c->warm = !c->eds && !c->gated;
        sld_map_set(&f->clusters, r->name, c);
    }
}

static void remove_cluster(struct fake *f, struct sld_str name)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->held[SLD_XDS_ROUTE], &at));) {
        struct sld_str rest = third_word(((struct sld_blob *)s->value)->data), item;
        while (cut_list(&rest, &item)) {
            if (sld_str_eq(item, name) && !f->renewing)
                FAIL("cluster %.*s removed while route %.*s uses it\n", SLD_FMT(name),
                     SLD_FMT(s->key));
        }
    }
    struct fake_cluster *c = sld_map_remove(&f->clusters, name);
    sld_xfree(c);
    unwatch(f, SLD_XDS_ENDPOINT, name);
}

// Endpoints without any: the assignment that the server makes.
static bool none(struct sld_str bytes)
{
    return bytes.n && bytes.p[0] == '\n';
}

// It has the cluster NAME, with endpoints.
static bool has_some(struct fake *f, struct sld_str name)
{
    const struct fake_cluster *c = sld_map_get(&f->clusters, name);
    const struct sld_blob *b = sld_map_get(&f->held[SLD_XDS_ENDPOINT], name);
    return c && c->warm && b && !none(b->data);
}

static void apply_one(struct fake *f, enum sld_xds_type t, const struct fake_resource *r, int step)
{
    if (t == SLD_XDS_ROUTE && !sld_map_has(&f->watches[t], r->name))
        return; // asked for when it was sent, not any more
    // In the state of the world nobody can follow what a client has of a cluster that was away for a while.
    if (t == SLD_XDS_ENDPOINT && f->kind == SLD_XDS_DELTA_ADS && !f->emptied && none(r->bytes) &&
        has_some(f, r->name))
        FAIL("the endpoints of %.*s were taken from it\n", SLD_FMT(r->name));
    set_blob(&f->held[t], r->name, r->bytes);
    if (t == SLD_XDS_ROUTE) {
        take_route(f, r, step);
    } else if (t == SLD_XDS_CLUSTER) {
        take_cluster(f, r);
    } else if (t == SLD_XDS_ENDPOINT) {
        struct fake_cluster *c = sld_map_get(&f->clusters, r->name);
        if (c && !c->gated)
            c->warm = true;
        if (c)
            c->empty = c->let_down = false;
        if (!c && !sld_map_has(&f->watches[t], r->name))
            drop_blob(&f->held[t], r->name);
    }
}

static void remove_one(struct fake *f, enum sld_xds_type t, struct sld_str name)
{
    if (t == SLD_XDS_CLUSTER)
        remove_cluster(f, name);
    struct fake_cluster *c = t == SLD_XDS_ENDPOINT ? sld_map_get(&f->clusters, name) : NULL;
    // Envoy goes on with the endpoints that a cluster has.
    if (c && c->warm && !c->empty)
        return;
    if (c && !c->gated)
        c->warm = c->empty = true;
    drop_blob(&f->held[t], name);
}

static struct fake_ack *queue_ack(struct fake *f, const struct fake_msg *m)
{
    struct fake_ack *a = SLD_NEW(struct fake_ack);
    a->type = m->type;
    snprintf(a->nonce, sizeof(a->nonce), "%.*s", SLD_FMT(m->nonce));
    snprintf(f->last[m->type], sizeof(f->last[0]), "%s", a->nonce);
    *f->ack_tail = a;
    f->ack_tail = &a->next;
    return a;
}

static bool listed(struct fake *f, struct sld_str route)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->held[SLD_XDS_LISTENER], &at));) {
        struct sld_str rest = third_word(((struct sld_blob *)s->value)->data), item;
        while (cut_list(&rest, &item)) {
            if (sld_str_eq(item, route))
                return true;
        }
    }
    return false;
}

// Ends the watches of route tables that no listener names any more.
static void prune_routes(struct fake *f)
{
    size_t n;
    struct sld_str *keys = sld_map_sorted_keys(&f->watches[SLD_XDS_ROUTE], &n);
    for (size_t i = 0; i < n; i++) {
        if (!listed(f, keys[i])) {
            struct sld_blob *copy = sld_blob_create(keys[i]);
            unwatch(f, SLD_XDS_ROUTE, copy->data);
            SLD_UNREF(copy);
        }
    }
    sld_xfree(keys);
}

// The watches a parent brings; made after the whole response was taken.
static void watch_children(struct fake *f, const struct fake_msg *m)
{
    for (size_t i = 0; i < m->resource_count; i++) {
        const struct fake_resource *r = &m->resources[i];
        if (is_bad(f, r->bytes))
            continue;
        struct fake_cluster *c = sld_map_get(&f->clusters, r->name);
        if (m->type == SLD_XDS_CLUSTER && c && c->eds)
            watch(f, SLD_XDS_ENDPOINT, r->name);
        if (m->type == SLD_XDS_LISTENER)
            watch(f, SLD_XDS_ROUTE, third_word(r->bytes));
    }
    if (m->type == SLD_XDS_LISTENER)
        prune_routes(f);
}

// The client refuses R: of clusters and listeners by name, of others the whole response.
static void object(struct fake *f, struct fake_ack *a, const struct fake_msg *m,
                   const struct fake_resource *r)
{
    bool lists = m->type == SLD_XDS_CLUSTER || m->type == SLD_XDS_LISTENER;
    size_t n = strlen(a->words);
    if (!a->nack)
        n = (size_t)snprintf(a->words, sizeof(a->words), "%s",
                             lists ? "Error adding/updating cluster(s) " : "it is bad");
    if (lists && n < 400 && a->convict_count < SLD_ARRAY_LEN(a->convicts))
        snprintf(a->words + n, sizeof(a->words) - n, "%s%.*s: is bad", a->nack ? ", " : "",
                 SLD_FMT(r->name));
    if ((lists && n < 400) || m->resource_count == 1) {
        if (a->convict_count < SLD_ARRAY_LEN(a->convicts))
            conviction_key(a->convicts[a->convict_count++], f->build, r->name, r->bytes);
    }
    a->nack = true;
}

static void let_down(struct fake *f, struct sld_str cluster)
{
    struct fake_cluster *c = sld_map_get(&f->clusters, cluster);
    if (c)
        c->let_down = true;
}

// A whole state leaves out what is gone.
static void remove_others(struct fake *f, const struct fake_msg *m)
{
    size_t n;
    struct sld_str *keys = sld_map_sorted_keys(&f->held[m->type], &n);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", SLD_FMT(keys[i]));
        if (!fake_find(m, name))
            remove_one(f, m->type, sld_str_c(name));
    }
    sld_xfree(keys);
}

// Envoy records no versions and removals of a response it refused in part: for a while it holds something
// else than it would report.
static void record(struct fake *f, enum sld_xds_type t, struct sld_str name, struct sld_str version,
                   bool nack)
{
    if (f->kind == SLD_XDS_SOTW_ADS)
        return;
    if (nack) {
        sld_map_set(&f->unsure[t], name, f);
        return;
    }
    sld_map_remove(&f->unsure[t], name);
    if (version.p)
        set_blob(&f->versions[t], name, version);
    else
        drop_blob(&f->versions[t], name);
}

bool fake_unsure(const struct fake *f)
{
    return sld_map_count(&f->unsure[SLD_XDS_CLUSTER]) || sld_map_count(&f->unsure[SLD_XDS_LISTENER]);
}

bool fake_step(struct fake *f)
{
    struct fake_msg *m = fake_next(f);
    if (!m)
        return false;
    bool lists = m->type == SLD_XDS_CLUSTER || m->type == SLD_XDS_LISTENER;
    trace(f, "takes #%.*s", SLD_FMT(m->nonce));
    struct fake_ack *a = queue_ack(f, m);
    for (size_t i = 0; i < m->resource_count; i++) {
        if (is_bad(f, m->resources[i].bytes))
            object(f, a, m, &m->resources[i]);
    }
    for (size_t i = 0; i < m->resource_count; i++) {
        const struct fake_resource *r = &m->resources[i];
        if (!is_bad(f, r->bytes) && (lists || !a->nack))
            apply_one(f, m->type, r, m->step);
        else if (m->type == SLD_XDS_ENDPOINT)
            let_down(f, r->name);
        record(f, m->type, r->name, r->version, a->nack);
    }
    for (size_t i = 0; i < m->removed_count; i++) {
        remove_one(f, m->type, m->removed[i]);
        record(f, m->type, m->removed[i], SLD_STR_NONE, a->nack);
    }
    if (lists && f->kind == SLD_XDS_SOTW_ADS)
        remove_others(f, m);
    if (m->type == SLD_XDS_CLUSTER && !a->nack)
        f->renewing = false;
    watch_children(f, m);
    fake_free(m);
    return true;
}

static bool warming(const struct fake *f)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->clusters, &at));) {
        if (!((struct fake_cluster *)s->value)->warm) {
            trace(f, "%.*s is warming", SLD_FMT(s->key));
            return true;
        }
    }
    return false;
}

static void declare(struct fake *f, enum sld_xds_type t)
{
    struct sld_buf names, versions;
    bool wild = t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER;
    if (!wild && sld_map_count(&f->watches[t]) == 0)
        return;
    sld_buf_init(&names, SIZE_MAX / 2);
    sld_buf_init(&versions, SIZE_MAX / 2);
    join_keys(&names, &f->watches[t], false);
    join_keys(&versions, &f->versions[t], true);
    FAKE_SEND(f, .type = t, .names = wild ? NULL : names.p, .versions = versions.p,
              .version = sld_map_count(&f->held[t]) ? "1" : NULL);
    sld_buf_fini(&names);
    sld_buf_fini(&versions);
}

void fake_start(struct fake *f)
{
    // While a cluster warms Envoy sends nothing about clusters, not even that it wants them.
    f->clusters_later = warming(f);
    f->renewing = f->kind == SLD_XDS_SOTW_ADS;
    if (!f->clusters_later)
        declare(f, SLD_XDS_CLUSTER);
    declare(f, SLD_XDS_ENDPOINT);
    declare(f, SLD_XDS_LISTENER);
    declare(f, SLD_XDS_ROUTE);
}

bool fake_answer(struct fake *f)
{
    bool clusters_wait = warming(f);
    if (f->clusters_later && !clusters_wait) {
        f->clusters_later = false;
        declare(f, SLD_XDS_CLUSTER);
        return true;
    }
    for (struct fake_ack **at = &f->acks; *at; at = &(*at)->next) {
        struct fake_ack *a = *at;
        if (a->type == SLD_XDS_CLUSTER && clusters_wait)
            continue;
        *at = a->next;
        if (!a->next)
            f->ack_tail = at;
        for (size_t i = 0; i < a->convict_count && f->convicted; i++)
            sld_map_set(f->convicted, sld_str_c(a->convicts[i]), f);
        struct sld_buf names;
        sld_buf_init(&names, SIZE_MAX / 2);
        join_keys(&names, &f->watches[a->type], false);
        FAKE_SEND(f, .type = a->type, .nonce = a->nonce, .error = a->nack ? a->words : NULL,
                  .names = f->kind == SLD_XDS_SOTW_ADS ? names.p : NULL);
        sld_buf_fini(&names);
        sld_xfree(a);
        return true;
    }
    return false;
}

void fake_settle(struct fake *f)
{
    while (fake_step(f) || (!f->hold_acks && fake_answer(f)))
        continue;
}

void fake_warm(struct fake *f, const char *cluster)
{
    struct fake_cluster *c = sld_map_get(&f->clusters, sld_str_c(cluster));
    assert_non_null(c);
    c->warm = true;
}

void fake_give_up(struct fake *f)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->clusters, &at));) {
        struct fake_cluster *c = s->value;
        c->let_down = c->let_down || (!c->warm && !c->gated);
        c->warm = c->warm || !c->gated;
    }
}

bool fake_holds(struct fake *f, enum sld_xds_type t, const char *name, const char *bytes)
{
    struct sld_blob *b = sld_map_get(&f->held[t], sld_str_c(name));
    return bytes ? b && sld_str_eq(b->data, sld_str_c(bytes)) : !b;
}
