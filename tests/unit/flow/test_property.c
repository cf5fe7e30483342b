// Random tables, random edits: after every round the state equals one built from scratch.
// SLD_SEED=n repeats a run, SLD_ROUNDS=n makes it longer or shorter.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "flow/flow.h"

enum { RAW_KEYS = 24, ENTRIES = 5, DERIVED_MAX = 9 };

static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
    rng += 0x9e3779b97f4a7c15ULL;
    uint64_t z = rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % below;
}

// What one derived table does, chosen per run; the same for the flow and its oracle.
struct shape {
    unsigned kind;   // of reader, see step()
    unsigned parent; // place of the parent among the tables
    unsigned other;  // another table to read
    uint64_t salt;
};

struct graph {
    struct shape shapes[DERIVED_MAX];
    size_t n;
};

// One flow made from the graph.
struct world {
    const struct graph *graph;
    struct sld_table *tables[3 + DERIVED_MAX];
    struct sld_index *indexes[3 + DERIVED_MAX];
};

struct step_of {
    struct world *world;
    const struct shape *shape;
};

static struct step_of step_args[2][DERIVED_MAX];
static struct world worlds[2];

static struct sld_blob *number(uint64_t v)
{
    return sld_blob_create(sld_str_n((const char *)&v, sizeof v));
}

static uint64_t value_of(const void *v)
{
    uint64_t n = 0;
    if (v)
        memcpy(&n, ((const struct sld_blob *)v)->data.p, sizeof n);
    return n;
}

static uint64_t mixed(uint64_t a, uint64_t b)
{
    uint64_t z = (a ^ (b + 0x9e3779b97f4a7c15ULL)) * 0xbf58476d1ce4e5b9ULL;
    return z ^ (z >> 29);
}

static uint64_t hits_sum(struct sld_flow *f, const struct sld_hit *hits, size_t n)
{
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++) {
        struct sld_str text = sld_flow_key_str(f, hits[i].key);
        if (i > 0) { // the order is a promise
            int c = sld_str_cmp(sld_flow_key_str(f, hits[i - 1].key), text);
            SLD_PRE(c < 0 || (c == 0 && hits[i - 1].rank < hits[i].rank));
        }
        sum = mixed(sum, sld_hash_bytes(text).lo);
        sum = mixed(sum, value_of(hits[i].value));
    }
    return sum;
}

static void index_value(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                        void *arg, void *user)
{
    (void)key;
    struct sld_flow *f = user;
    uint64_t v = value_of(value);
    add(arg, sld_flow_keyf(f, "e%u", (unsigned)(v % ENTRIES)));
    add(arg, sld_flow_keyf(f, "e%u", (unsigned)(v / 7 % ENTRIES)));
}

static void step(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct step_of *s = user;
    struct sld_flow *f = sld_ctx_flow(ctx);
    struct sld_table *other = s->world->tables[s->shape->other];
    uint64_t v = mixed(in ? value_of(in) : 0, s->shape->salt), x = v;
    size_t n;
    const struct sld_hit *hits;
    switch (s->shape->kind) {
    case 0: // a row, present or absent, named by the content
        x = mixed(v, value_of(sld_ctx_get(ctx, other,
                                          sld_flow_keyf(f, "k%u", (unsigned)(v % RAW_KEYS)))));
        break;
    case 1: // existence alone, then perhaps content
        x = sld_ctx_has(ctx, other, sld_flow_keyf(f, "k%u", (unsigned)(v % RAW_KEYS)));
        if (v % 3 == 0)
            x += value_of(sld_ctx_get(ctx, other, sld_flow_keyf(f, "k%u",
                                                                (unsigned)(v % RAW_KEYS)))) % 2;
        break;
    case 2: // an index entry
        hits = sld_ctx_lookup(ctx, s->world->indexes[s->shape->other],
                              sld_flow_keyf(f, "e%u", (unsigned)(v % ENTRIES)), &n);
        x = mixed(v % 2, hits_sum(f, hits, n));
        break;
    case 3: // the whole table
        hits = sld_ctx_all(ctx, other, &n);
        x = hits_sum(f, hits, n);
        break;
    case 4: // one to many, with colliding claims and equal contents
        for (unsigned i = 0; i < v % 4; i++)
            sld_ctx_emit(ctx, sld_flow_keyf(f, "k%u", (unsigned)(mixed(v, i) % RAW_KEYS)),
                         number(v % 3));
        return;
    case 5: // few contents: the wave is cut; sometimes no row, though what was read decides that
        x = value_of(sld_ctx_get(ctx, other, sld_flow_keyf(f, "k%u", (unsigned)(v % RAW_KEYS)))) % 3;
        if (x == 2)
            return;
        break;
    default: // a join: raw if it is good, else what was accepted
        v = value_of(sld_ctx_get(ctx, s->world->tables[0], key));
        x = v % 4 ? v : mixed(value_of(sld_ctx_get(ctx, s->world->tables[1], key)), 1);
        if (!sld_ctx_has(ctx, other, key) && x % 5 == 0)
            return;
        break;
    }
    sld_ctx_emit(ctx, key, number(x));
}

static bool odd(const void *value)
{
    return value_of(value) % 2;
}

static void build(struct sld_flow *f, void *arg)
{
    static const char *const names[] = {"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8"};
    size_t which = *(size_t *)arg;
    struct world *w = &worlds[which];
    w->tables[0] = sld_flow_source(f, "raw");
    w->tables[1] = sld_flow_source(f, "accepted");
    w->tables[2] = sld_flow_source(f, "extra");
    for (size_t i = 0; i < 3 + w->graph->n; i++) {
        if (i >= 3) {
            const struct shape *s = &w->graph->shapes[i - 3];
            struct step_of *so = &step_args[which][i - 3];
            *so = (struct step_of){w, s};
            struct sld_table *parents[] = {w->tables[0], w->tables[1], w->tables[s->parent], NULL};
            w->tables[i] = s->kind == 6 ? sld_flow_join(f, names[i - 3], parents, step, so)
                                        : sld_flow_derive(f, names[i - 3], w->tables[s->parent],
                                                          step, so);
        }
        if (i >= 3 && w->graph->shapes[i - 3].kind != 4 && w->graph->shapes[i - 3].salt % 3 == 0)
            sld_flow_single(w->tables[i]);
        if (i >= 3 && w->graph->shapes[i - 3].kind != 6 && w->graph->shapes[i - 3].salt % 4 == 0)
            sld_flow_filter(w->tables[i], odd);
        w->indexes[i] = sld_flow_index(f, "by value", w->tables[i], index_value, f);
        if (i % 3 == 2) // one index over several tables
            sld_flow_index_add(w->indexes[i], w->tables[i / 2]);
    }
}

// Follows the watchers: what they tell must add up to the table.
struct mirror {
    struct sld_umap values; // key -> value
};

static void on_change(struct sld_table *t, sld_id key, const void *old, const void *new_value,
                      void *user)
{
    struct mirror *m = user;
    (void)t;
    assert_ptr_equal(sld_umap_get(&m->values, key), old);
    assert_true(old != NULL || new_value != NULL);
    if (new_value)
        sld_umap_set(&m->values, key, (void *)(uintptr_t)new_value);
    else
        sld_umap_remove(&m->values, key);
}

// Follows the demand: who was told as wanted has readers, and nobody else.
static void on_demand(struct sld_table *t, sld_id key, bool wanted, void *user)
{
    struct sld_umap *told = user;
    assert_int_equal(sld_umap_has(told, key), !wanted);
    assert_int_equal(sld_flow_has_readers(t, key), wanted);
    if (wanted)
        sld_umap_set(told, key, told);
    else
        sld_umap_remove(told, key);
}

// END is above the ids of all keys.
static void assert_demand(struct sld_table *t, sld_id end, const struct sld_umap *told)
{
    size_t read = 0;
    for (sld_id key = 1; key < end; key++) {
        read += sld_flow_has_readers(t, key);
        assert_int_equal(sld_umap_has(told, key), sld_flow_has_readers(t, key));
    }
    assert_int_equal(told->live, read);
}

static void edit(struct sld_flow *f, struct world *w)
{
    for (uint64_t n = rnd(4) ? 1 + rnd(3) : rnd(40); n > 0; n--) {
        struct sld_table *t = w->tables[rnd(2) ? 0 : 2];
        sld_id key = sld_flow_keyf(f, "k%u", (unsigned)rnd(RAW_KEYS));
        if (rnd(3) == 0) {
            sld_flow_delete(t, key);
            continue;
        }
        struct sld_blob *v = number(rnd(rnd(2) ? 4 : 1000));
        sld_flow_set(t, key, v);
        SLD_UNREF(v);
    }
}

// The decision between rounds: a good raw row is accepted, a vanished one forgotten.
static void accept(struct sld_flow *f, struct world *w)
{
    for (unsigned i = 0; i < RAW_KEYS; i++) {
        sld_id key = sld_flow_keyf(f, "k%u", i);
        const void *raw = sld_flow_get(w->tables[0], key);
        if (!raw)
            sld_flow_delete(w->tables[1], key);
        else if (value_of(raw) % 4)
            sld_flow_set(w->tables[1], key, (void *)(uintptr_t)raw);
    }
}

static void play(uint64_t seed, unsigned rounds)
{
    struct graph g = {.n = 4 + rnd(DERIVED_MAX - 3)};
    for (size_t i = 0; i < g.n; i++)
        g.shapes[i] = (struct shape){(unsigned)rnd(7), (unsigned)rnd(i + 3), (unsigned)rnd(i + 3),
                                     rnd(1000)};
    worlds[0].graph = worlds[1].graph = &g;
    size_t mine = 0, oracle = 1;
    struct sld_flow *f = sld_flow_create();
    build(f, &mine);
    struct mirror mirrors[3 + DERIVED_MAX] = {0};
    struct sld_umap told[3 + DERIVED_MAX] = {0};
    for (size_t i = 0; i < 3 + g.n; i++) {
        sld_flow_watch(worlds[0].tables[i], on_change, &mirrors[i]);
        sld_flow_demand(worlds[0].tables[i], on_demand, &told[i]);
    }
    for (unsigned r = 0; r < rounds; r++) {
        edit(f, &worlds[0]);
        sld_flow_run(f);
        accept(f, &worlds[0]);
        sld_flow_run(f);
        struct sld_err err = {0};
        if (sld_flow_verify(f, build, &oracle, &err) != SLD_OK)
            fail_msg("SLD_SEED=%llu, round %u: %s", (unsigned long long)seed, r, err.msg);
        sld_id end = sld_flow_keyf(f, "end %u", r); // ids are counted up
        for (size_t i = 0; i < 3 + g.n; i++) {
            assert_int_equal(mirrors[i].values.live, sld_flow_count(worlds[0].tables[i]));
            assert_demand(worlds[0].tables[i], end, &told[i]);
        }
    }
    for (size_t i = 0; i < 3 + g.n; i++) {
        sld_umap_fini(&mirrors[i].values);
        sld_umap_fini(&told[i]);
    }
    sld_flow_destroy(f);
}

static void test_equals_rebuild(void **state)
{
    (void)state;
    const char *seed_text = getenv("SLD_SEED"), *rounds_text = getenv("SLD_ROUNDS");
    uint64_t seed = (uint64_t)time(NULL), rounds = 2000;
    if (seed_text)
        assert_true(sld_str_u64(sld_str_c(seed_text), &seed));
    if (rounds_text)
        assert_true(sld_str_u64(sld_str_c(rounds_text), &rounds));
    printf("SLD_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    rng = seed;
    for (uint64_t done = 0; done < rounds; done += 40)
        play(seed, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_rebuild)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
