// The KV source against a store that answers as Consul does, also on its bad days: nothing that is
// there is ever told gone, and everything is told in the end (core/source/consul/kv_inside.h).
#include "source/kv_world.h"

static void start(struct fake *f)
{
    static const size_t once = 1;
    io_do(&f->io, fake_source_open, f);
    until(f, is_synced, &once);
}

static struct fake *start_with(size_t n)
{
    struct fake *f = fake_start();
    char path[128];
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof(path), VS "v%zu", i);
        put(f, path, "first");
    }
    start(f);
    until(f, all_told, NULL);
    while (!is(f, marked, NULL))
        continue; // a question of its own to the store, which is answered
    return f;
}

static void stop(struct fake *f)
{
    assert_int_equal(f->wrong, 0);
    fake_stop(f);
}

// ---- Answers ----

#define ITEM(key, index, value)                                                                    \
    "{\"LockIndex\":0,\"Key\":" key ",\"Flags\":0,\"Value\":" value ",\"ModifyIndex\":" index "}"

static void items_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int n; // -1: refused
    } rows[] = {
        {"[]", 0},
        {" [ " ITEM("\"a\"", "7", "\"eA==\"") " ]\n", 1},
        {"[" ITEM("\"a\"", "7", "null") "," ITEM("\"\\u0061b\"", "8", "\"\"") "]", 2},
        {"[{\"Session\":\"x\",\"New\":{\"a\":[1]},\"ModifyIndex\":3,\"Key\":\"k\"}]", 1},
        {"", -1},
        {"null", -1},
        {"{}", -1},
        {"[" ITEM("\"a\"", "7", "\"eA==\""), -1},
        {"[" ITEM("\"a\"", "7", "\"eA=="), -1},
        {"[" ITEM("\"a\"", "7", "\"eA==\"") "] x", -1},
        {"[" ITEM("\"\"", "7", "\"eA==\"") "]", -1},
        {"[" ITEM("\"a\"", "0", "\"eA==\"") "]", -1},
        {"[" ITEM("7", "7", "\"eA==\"") "]", -1},
        {"[" ITEM("\"a\"", "\"7\"", "\"eA==\"") "]", -1},
        {"[7]", -1},
        {"<html>", -1},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct sld_arena a = {0};
        struct consul_item *items;
        size_t n;
        bool ok = kv_read_items(&a, sld_str_c(rows[i].body), &items, &n);
        if (ok != (rows[i].n >= 0) || (ok && n != (size_t)rows[i].n))
            fail_msg("%s: %s, %zu items", rows[i].body, ok ? "read" : "refused", n);
        sld_arena_fini(&a);
    }
}

static void names_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int n;
    } rows[] = {{"[]", 0},       {"[\"a\", \"b/\"]\n", 2}, {"[\"a\"", -1}, {"[\"\"]", -1},
                {"[null]", -1}, {"[1]", -1},              {"\"a\"", -1},  {"", -1}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct sld_arena a = {0};
        struct sld_str *names;
        size_t n;
        bool ok = kv_read_names(&a, sld_str_c(rows[i].body), &names, &n);
        if (ok != (rows[i].n >= 0) || (ok && n != (size_t)rows[i].n))
            fail_msg("%s: %s, %zu names", rows[i].body, ok ? "read" : "refused", n);
        sld_arena_fini(&a);
    }
}

// ---- Cutting ----

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static int by_text(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static bool covers(const struct kv_cut *c, struct sld_str name)
{
    return c->exact ? sld_str_eq(c->prefix, name) : sld_str_starts(name, c->prefix);
}

// Web servers make another path of one with such parts.
static bool is_path(struct sld_str prefix)
{
    static const char *const bad[] = {"//", "/./", "/../"};
    struct sld_arena a = {0};
    struct sld_str text = SLD_ARENA_JOIN(&a, SLD_STR("x/"), prefix, SLD_STR("/"));
    bool is = !sld_str_ends(prefix, SLD_STR("//"));
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        ptrdiff_t at = sld_str_find(text, sld_str_c(bad[i]));
        is &= at < 0 || (i == 0 && (size_t)at + 2 == text.n);
    }
    sld_arena_fini(&a);
    return is;
}

// Every name is in exactly one part, and no part is larger than it has to be.
static void check_cuts(const struct sld_str *names, size_t n, size_t max)
{
    struct kv_cut cuts[KV_PARTS_MAX];
    size_t count = kv_cut(names, n, max, cuts), held = 0;
    assert_in_range(count, 1, max);
    for (size_t i = 0; i < count; i++) {
        held += cuts[i].count;
        for (size_t k = 0; k < n; k++) {
            bool in = k >= cuts[i].first && k < cuts[i].first + cuts[i].count;
            assert_int_equal(covers(&cuts[i], names[k]), in);
        }
        assert_true(cuts[i].count > 0);
        assert_true(is_path(cuts[i].prefix));
    }
    assert_int_equal(held, n);
}

static void names_are_cut_into_parts(void **state)
{
    (void)state;
    static char room[600][64];
    struct sld_str names[600];
    for (unsigned seed = 1; seed <= 60; seed++) {
        unsigned r = seed;
        size_t n = 0, want = 1 + next_random(&r) % 600;
        static const char letters[] = "ab1-/.";
        for (size_t i = 0; i < want; i++) {
            int at = snprintf(room[n], sizeof(room[n]), "%s", seed % 2 ? VS "v" : "");
            unsigned length = 1 + next_random(&r) % 9;
            for (unsigned k = 0; k < length; k++)
                room[n][at++] = letters[next_random(&r) % (seed % 3 ? 4 : 6)];
            room[n][at] = 0;
            names[n] = sld_str_c(room[n]);
            n++;
        }
        qsort(names, n, sizeof(names[0]), by_text);
        size_t distinct = 0;
        for (size_t i = 0; i < n; i++) {
            if (!i || !sld_str_eq(names[i], names[distinct - 1]))
                names[distinct++] = names[i];
        }
        check_cuts(names, distinct, 1 + next_random(&r) % KV_PARTS_MAX);
    }
}

static void ten_thousand_names_are_cut_small(void **state)
{
    (void)state;
    static char room[10000][80];
    static struct sld_str names[10000];
    for (size_t i = 0; i < 10000; i++) {
        snprintf(room[i], sizeof(room[i]), VS "vs-%zu", i);
        names[i] = sld_str_c(room[i]);
    }
    qsort(names, 10000, sizeof(names[0]), by_text);
    struct kv_cut cuts[KV_PARTS_MAX];
    size_t count = kv_cut(names, 10000, KV_PARTS_MAX, cuts), large = 0;
    for (size_t i = 0; i < count; i++)
        large = cuts[i].count > large ? cuts[i].count : large;
    assert_in_range(large, 1, 1200);
    assert_in_range(count, 60, KV_PARTS_MAX);
}

// ---- What is told ----

static void everything_is_told_and_followed(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    assert_int_equal(number(f, &f->puts), 3);
    put(f, VS "v1", "second");
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->puts), 4); // only what changed is told again
    put(f, VS "w", "new");
    until(f, all_told, NULL);
    put(f, VS "v0", NULL);
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 1);
    stop(f);
}

// As when we wrote it.
static void a_status_alone_is_no_news(void **state)
{
    (void)state;
    struct fake *f = start_with(2);
    put(f, VS "v0", "x: 1\n");
    until_puts(f, 3);
    put(f, VS "v0", "x: 1\nnamespacedStatuses: {statuses: {}}\n");
    put(f, VS "v1", "x: 1\n");
    until_puts(f, 4);
    put(f, VS "v0", "x: 2\nnamespacedStatuses: {statuses: {}}\n");
    until(f, all_told, NULL); // and what was told before that is counted, too
    assert_int_equal(number(f, &f->puts), 5);
    stop(f);
}

static void folders_and_foreign_keys_are_no_units(void **state)
{
    (void)state;
    struct fake *f = fake_start();
    put(f, "", "");
    put(f, VS, "");
    put(f, "notes/readme", "x");
    put(f, "gloo.solo.io/v1/Secret/gloo-system/s", "x");
    put(f, "solder/leader", "x");
    put(f, VS "v", "x");
    start(f);
    put(f, VS "v", "y");
    until_puts(f, 2);
    assert_int_equal(number(f, &f->told.live), 1);
    put(f, "notes/readme", NULL);
    put(f, VS, NULL);
    put(f, VS "w", "z");
    until_puts(f, 3);
    assert_int_equal(number(f, &f->gones), 0);
    stop(f);
}

static void reread_on_io(void *arg)
{
    struct fake *f = arg;
    sld_consul_source_ops.reread(f->s);
}

static void a_second_reading_tells_everything(void **state)
{
    (void)state;
    static const size_t twice = 2;
    struct fake *f = start_with(3);
    io_do(&f->io, reread_on_io, f);
    until(f, is_synced, &twice);
    assert_int_equal(number(f, &f->puts), 6);
    stop(f);
}

// ---- Bad days ----

static void bad_answers_change_nothing(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        const char *words;
    } rows[] = {
        {CUT, "cut"},          {GARBAGE, "no list of keys"}, {EMPTY_LIST, "empty list"},
        {ALIEN, "not asked"},  {NO_BASE64, "no base64"},     {FAILS, "No cluster leader"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct fake *f = start_with(3);
        if (rows[i].fault == NO_BASE64)
            put(f, VS "v1", "next");
        until(f, all_told, NULL);
        fails(f, rows[i].fault);
        put(f, VS "v2", "second");
        until(f, problem_has, rows[i].words);
        assert_int_equal(number(f, &f->gones), 0);
        assert_int_equal(number(f, &f->told.live), 3);
        fails(f, FINE);
        until(f, no_problem, NULL);
        until(f, all_told, NULL);
        assert_int_equal(number(f, &f->gones), 0);
        stop(f);
    }
}

static void hidden_keys_are_not_gone(void **state)
{
    (void)state;
    static const char *const hidden[] = {"gloo/", "gloo/gateway.solo.io/", "gloo/" VS "v1", "gloo/solder/"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(hidden); i++) {
        struct fake *f = start_with(3);
        hides(f, hidden[i]);
        until(f, problem_has, "may not be read");
        until(f, problem_has, "Permission denied");
        assert_int_equal(number(f, &f->gones), 0);
        hides(f, NULL);
        put(f, VS "v2", "second");
        until(f, no_problem, NULL);
        until(f, all_told, NULL);
        assert_int_equal(number(f, &f->gones), 0);
        put(f, VS "v1", NULL);
        until(f, all_told, NULL);
        stop(f);
    }
}

static void waits_on_io(void *arg)
{
    struct fake *f = arg;
    struct kv *kv = (struct kv *)f->s;
    kv->refill_ms = kv->refill_ms == 1 ? 600 * 1000 : 1;
}

// From now on what is not back is not waited for; after twice, longer than any test takes.
static void waits(struct fake *f)
{
    io_do(&f->io, waits_on_io, f);
}

static void a_store_that_lost_its_state_is_doubted(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    waits(f);
    loses(f, true);
    until(f, problem_has, "may have lost its state");
    put(f, VS "v0", "first"); // somebody fills it again
    put(f, VS "other", "new");
    until_puts(f, 4);
    assert_false(is(f, no_problem, NULL));
    assert_int_equal(number(f, &f->gones), 0);
    put(f, VS "v1", "first");
    until(f, no_problem, NULL); // most of it is back: what is not was not wanted
    forget(f);
    until_gones(f, 1);
    assert_int_equal(number(f, &f->told.live), 3);
    fake_stop(f);
}

// Half of it is back: the other half may be to come.
static void a_store_that_is_filled_again_is_waited_for(void **state)
{
    (void)state;
    struct fake *f = start_with(6);
    waits(f);
    waits(f);
    loses(f, true);
    until(f, problem_has, "may have lost its state");
    for (int i = 0; i < 3; i++)
        put(f, (const char *[]){VS "v0", VS "v1", VS "v2"}[i], "second");
    until(f, problem_has, "3 of 6 objects that were there are not back");
    put(f, VS "v3", "second");
    until(f, problem_has, "2 of 6 objects");
    put(f, VS "v4", "second");
    until(f, problem_has, "1 of 6 objects");
    assert_int_equal(number(f, &f->gones), 0);
    waits(f); // the last one does not come
    put(f, VS "v0", NULL);
    put(f, VS "v0", "third");
    forget(f);
    until_gones(f, 1);
    until(f, no_problem, NULL);
    assert_int_equal(number(f, &f->told.live), 5);
    fake_stop(f);
}

static void trust_ends_the_waiting(void **state)
{
    (void)state;
    struct fake *f = start_with(4);
    waits(f);
    waits(f);
    loses(f, true);
    until(f, problem_has, "may have lost its state");
    put(f, VS "v0", "first");
    put(f, VS "v1", "first");
    until(f, problem_has, "2 of 4 objects");
    forget(f);
    put(f, SENTINEL, "trust");
    until_gones(f, 2);
    until(f, no_problem, NULL);
    fake_stop(f);
}

static void no_longer_on_io(void *arg)
{
    struct kv *kv = (struct kv *)((struct fake *)arg)->s;
    assert_true(kv->refill_end_ns > sld_mono_ns());
    kv->refill_end_ns = sld_mono_ns();
}

// Who fills it key by key for ever keeps no deletion from counting for ever.
static void a_store_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    struct fake *f = start_with(6);
    waits(f);
    waits(f);
    loses(f, true);
    until(f, problem_has, "may have lost its state");
    for (int i = 0; i < 3; i++)
        put(f, (const char *[]){VS "v0", VS "v1", VS "v2"}[i], "second");
    until(f, problem_has, "3 of 6 objects that were there are not back");
    assert_true(is(f, problem_has, "for 600 s, at most 12000 s in all"));
    put(f, VS "v3", "second");
    until(f, problem_has, "2 of 6 objects");
    forget(f);
    io_do(&f->io, no_longer_on_io, f); // as if that time was over
    put(f, VS "v4", "second");
    until_gones(f, 1);
    until(f, no_problem, NULL);
    assert_int_equal(number(f, &f->told.live), 5);
    fake_stop(f);
}

static void another_sentinel_on_io(void *arg)
{
    struct fake *f = arg;
    f->now = &f->empty;
    fake_set(f, SLD_STR("gloo/" SENTINEL), SLD_STR("{\"id\": \"another\"}"));
    fake_wake(f, true);
}

static void another_store_is_doubted(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    io_do(&f->io, another_sentinel_on_io, f);
    until(f, problem_has, "another key solder/sentinel");
    assert_int_equal(number(f, &f->gones), 0);
    loses(f, false);
    put(f, VS "v0", NULL);
    until(f, no_problem, NULL);
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 1);
    stop(f);
}

static bool all_second(struct fake *f, const void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        const char *v = sld_map_get(&f->told, sld_str_c(f->real.e[i].key + strlen("gloo/")));
        if (!v || strcmp(v, "second") != 0)
            return false;
    }
    return true;
}

static void an_index_may_be_that_of_another_value(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    f->empty.index = f->real.e[0].index - 1; // nobody reads it yet
    loses(f, true);
    until(f, problem_has, "may have lost its state");
    put(f, VS "v0", "second"); // in the order of before: the indexes are the same
    put(f, VS "v1", "second");
    put(f, VS "v2", "second");
    until(f, all_second, NULL);
    until(f, no_problem, NULL);
    fake_stop(f);
}

static bool has_sentinel(struct fake *f, const void *arg)
{
    const struct entry *e = fake_find(&f->real, SLD_STR("gloo/" SENTINEL));
    (void)arg;
    return e && !e->gone && strstr(e->value, "\"id\"") && f->problem[0] == 0;
}

static void the_sentinel_alone_may_go(void **state)
{
    (void)state;
    for (size_t n = 3; n <= 600; n += 597) {
        struct fake *f = start_with(n);
        waits(f);
        for (int i = 0; i < 2; i++) {
            put(f, SENTINEL, i ? "{\"id\": \"another\"}" : NULL);
            put(f, VS "v1", NULL);
            until(f, all_told, NULL);
            put(f, VS "v1", "again");
            until(f, all_told, NULL);
            until(f, has_sentinel, NULL);
        }
        assert_int_equal(number(f, &f->gones), 2);
        stop(f);
    }
}

static void the_word_trust_ends_the_doubt(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    loses(f, true);
    until(f, problem_has, "write the one word trust");
    forget(f); // it is meant
    put(f, SENTINEL, " trust\n");
    until(f, no_problem, NULL);
    until_gones(f, 3);
    fake_stop(f);
}

static void a_server_that_starts_is_waited_for(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    fails(f, STARTS);
    until(f, problem_has, "solder/sentinel");
    fails(f, FINE);
    until(f, no_problem, NULL);
    put(f, VS "v1", NULL);
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 1);
    stop(f);
}

static void keep_sentinel_on_io(void *arg)
{
    struct fake *f = arg;
    const struct entry *e = fake_find(&f->real, SLD_STR("gloo/" SENTINEL));
    f->now = &f->empty;
    fake_set(f, SLD_STR("gloo/" SENTINEL), sld_str_c(e->value));
    f->heals_in = 4; // three keys are asked for; again, if nobody was believed
    fake_wake(f, true);
}

static bool healed(struct fake *f, const void *arg)
{
    (void)arg;
    return f->now == &f->real;
}

// One that reads its log has the sentinel before the keys that were written later.
static void a_server_that_is_behind_proves_nothing(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    io_do(&f->io, keep_sentinel_on_io, f);
    until(f, healed, NULL);
    put(f, VS "v1", "second");
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 0);
    stop(f);
}

static void was_before_on_io(void *arg)
{
    struct fake *f = arg;
    const struct entry *e = fake_find(&f->real, SLD_STR("gloo/" SENTINEL));
    f->now = &f->empty;
    f->empty.index = 1;
    fake_set(f, SLD_STR("gloo/" SENTINEL), sld_str_c(e->value));
    for (size_t i = 0; i < 3; i++)
        fake_set(f, sld_str_c(f->real.e[i].key), SLD_STR("old"));
    f->reads_in = 3;
    fake_wake(f, true);
}

// As before the last deletion, when it had the same sentinel.
static void was_more_on_io(void *arg)
{
    struct fake *f = arg;
    const struct entry *e = fake_find(&f->real, SLD_STR("gloo/" SENTINEL));
    f->now = &f->empty;
    f->empty.index = e->index - 1;
    fake_set(f, SLD_STR("gloo/" SENTINEL), sld_str_c(e->value));
    fake_set(f, SLD_STR("gloo/" VS "gone"), SLD_STR("old"));
    f->reads_in = 3;
    fake_wake(f, true);
}

// It may know of values that are no more.
static void a_server_that_is_behind_tells_nothing(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    size_t puts = number(f, &f->puts);
    io_do(&f->io, was_before_on_io, f);
    until(f, healed, NULL);
    put(f, VS "v1", "second");
    until(f, all_told, NULL);
    until(f, no_problem, NULL);
    assert_int_equal(number(f, &f->puts), puts + 1);
    stop(f);
}

// The same of keys.
static void what_was_deleted_does_not_come_back(void **state)
{
    (void)state;
    struct fake *f = start_with(0);
    put(f, VS "gone", "old");
    until_puts(f, 1);
    put(f, VS "gone", NULL);
    until_gones(f, 1);
    io_do(&f->io, was_more_on_io, f);
    until(f, healed, NULL);
    put(f, VS "v1", "first");
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->puts), 2);
    stop(f);
}

static void stays_on_io(void *arg)
{
    struct fake *f = arg;
    f->reads_in = 0;
}

static bool is_old(struct fake *f, const void *arg)
{
    const char *v = sld_map_get(&f->told, SLD_STR(VS "v1"));
    (void)arg;
    return v && !strcmp(v, "old");
}

// One that was put back to an earlier time stays there.
static void a_store_that_was_put_back_counts(void **state)
{
    (void)state;
    struct fake *f = start_with(3);
    io_do(&f->io, was_before_on_io, f);
    io_do(&f->io, stays_on_io, f);
    until(f, is_old, NULL);
    until(f, no_problem, NULL);
    forget(f);
    fake_stop(f);
}

static bool is_asked(struct fake *f, const void *arg)
{
    return f->alone >= *(const size_t *)arg;
}

static void leads_on_io(void *arg)
{
    struct fake *f = arg;
    f->leaderless = !f->leaderless;
}

static void a_server_without_a_leader_proves_nothing(void **state)
{
    (void)state;
    static const size_t once = 1;
    struct fake *f = fake_start();
    f->read_only = true;
    put(f, VS "v0", "first");
    put(f, VS "v1", "first");
    start(f);
    until(f, all_told, NULL);
    io_do(&f->io, leads_on_io, f);
    size_t asked = number(f, &f->alone) + 2;
    put(f, VS "v1", NULL);
    until(f, is_asked, &asked);
    assert_int_equal(number(f, &f->gones), 0);
    io_do(&f->io, leads_on_io, f);
    until_gones(f, once);
    stop(f);
}

static void a_proof_is_never_stale(void **state)
{
    (void)state;
    struct fake *f = fake_start();
    f->options.consistency_mode = GLOO__CONSUL_CONSISTENCY_MODES__StaleMode;
    put(f, VS "v0", "first");
    put(f, VS "v1", "first");
    start(f);
    until(f, all_told, NULL);
    put(f, VS "v1", NULL);
    until(f, all_told, NULL);
    assert_true(number(f, &f->alone) > 0);
    assert_int_equal(number(f, &f->alone_stale), 0);
    assert_true(number(f, &f->stale) > 0); // what is read may be
    stop(f);
}

static void without_the_right_to_write_there_is_no_sentinel(void **state)
{
    (void)state;
    struct fake *f = fake_start();
    f->read_only = true;
    for (int i = 0; i < 3; i++)
        put(f, (const char *[]){VS "v0", VS "v1", VS "v2"}[i], "first");
    start(f);
    put(f, VS "v1", NULL);
    until(f, all_told, NULL);
    hides(f, "gloo/");
    until(f, problem_has, "may not be read");
    hides(f, NULL);
    until(f, no_problem, NULL);
    loses(f, true);
    until(f, problem_has, "index went back");
    loses(f, false);
    put(f, VS "v0", "second");
    until(f, no_problem, NULL);
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 1);
    stop(f);
}

static void one_is_left_on_io(void *arg)
{
    struct fake *f = arg;
    f->now = &f->empty;
    f->empty.index = 1;
    fake_set(f, SLD_STR("gloo/" VS "v0"), SLD_STR("old"));
    fake_wake(f, true);
}

static bool is_plain(struct fake *f, const void *arg)
{
    (void)arg;
    return ((const struct kv *)f->s)->trust == KV_PLAIN;
}

// Of several answers with a lower index the first ones were not used.
static void an_index_that_went_back_is_remembered(void **state)
{
    (void)state;
    struct fake *f = fake_start();
    f->read_only = true;
    for (int i = 0; i < 3; i++)
        put(f, (const char *[]){VS "v0", VS "v1", VS "v2"}[i], "first");
    start(f);
    until(f, all_told, NULL);
    while (!is(f, is_plain, NULL))
        continue; // its question to the store is answered
    io_do(&f->io, one_is_left_on_io, f);
    until(f, problem_has, "index went back");
    assert_int_equal(number(f, &f->gones), 0);
    fake_stop(f);
}

static void an_empty_store_needs_the_right_to_be_read(void **state)
{
    (void)state;
    static const size_t once = 1;
    struct fake *f = fake_start();
    put(f, VS "v", "x");
    f->hidden = "gloo/";
    io_do(&f->io, fake_source_open, f);
    until(f, problem_has, "may not be read");
    assert_int_equal(number(f, &f->synced), 0);
    hides(f, NULL);
    until(f, is_synced, &once);
    until(f, all_told, NULL);
    until(f, no_problem, NULL);
    stop(f);
}

// It is enough that one kind may be read.
static void an_empty_store_of_one_kind(void **state)
{
    (void)state;
    static const size_t once = 1;
    struct fake *f = fake_start();
    f->hidden = "gloo/gateway.solo.io/";
    io_do(&f->io, fake_source_open, f);
    until(f, is_synced, &once);
    assert_true(is(f, no_problem, NULL));
    stop(f);
}

static void what_was_restored_is_expected(void **state)
{
    (void)state;
    static const size_t once = 1;
    struct fake *f = fake_start();
    f->restored = 10;
    put(f, VS "v", "x");
    io_do(&f->io, fake_source_open, f);
    until(f, problem_has, "1 of the 10 objects");
    assert_int_equal(number(f, &f->synced), 0);
    put(f, SENTINEL, "trust");
    until(f, is_synced, &once);
    until(f, no_problem, NULL);
    stop(f);
}

// More may be to come before the rest counts as gone.
static void what_was_restored_is_waited_for(void **state)
{
    (void)state;
    static const size_t once = 1;
    for (int i = 0; i < 2; i++) {
        struct fake *f = fake_start();
        f->restored = 6;
        put(f, VS "v0", "x");
        put(f, VS "v1", "x");
        put(f, VS "v2", "x");
        io_do(&f->io, fake_source_open, f);
        until(f, problem_has, "3 of 6 objects");
        waits(f);
        waits(f);
        put(f, VS "v3", "x");
        until(f, problem_has, "2 of 6 objects");
        assert_int_equal(number(f, &f->synced), 0);
        if (i)
            waits(f);
        else
            put(f, VS "v5", "x");
        put(f, VS "v4", "x");
        until(f, is_synced, &once);
        until(f, no_problem, NULL);
        stop(f);
    }
}

// ---- Many keys ----

// All values come with each answer; those of keys that did not change are left as they are.
static void only_what_changed_is_decoded(void **state)
{
    (void)state;
    struct fake *f = start_with(200);
    const struct kv *kv = (const struct kv *)f->s;
    until(f, no_problem, NULL);
    put(f, VS "v1", "second");
    until(f, all_told, NULL);
    assert_int_equal(number(f, &kv->part_count), 1);
    size_t before = number(f, &kv->decoded), answers = number(f, &f->answers);
    put(f, VS "v77", "second");
    until(f, all_told, NULL);
    put(f, VS "v78", NULL);
    until_gones(f, 1);
    assert_int_equal(number(f, &kv->decoded), before + 1);
    assert_in_range(number(f, &f->answers), answers + 2, answers + 9);
    io_do(&f->io, reread_on_io, f); // everything is told again
    until_puts(f, 200 + 2 + 199);
    assert_int_equal(number(f, &kv->decoded), before + 1 + 200);
    stop(f);
}

static void an_edit_of_many_transfers_its_part(void **state)
{
    (void)state;
    struct fake *f = start_with(1500);
    const struct kv *kv = (const struct kv *)f->s;
    put(f, VS "v77", "second");
    until(f, all_told, NULL);
    assert_in_range(number(f, &kv->part_count), 8, KV_PARTS_MAX);
    size_t before = number(f, &f->bytes), all = 1500 * 150;
    put(f, VS "v78", "second");
    put(f, VS "v1499", "second");
    until(f, all_told, NULL);
    assert_in_range(number(f, &f->bytes) - before, 1, all / 4);
    // New keys between the parts, before and behind all of them, and one that others begin with.
    static const char *const news[] = {"a",        VS "w",  VS "v-", "zz/z", VS "v", "gloo.solo.io/v1/Upstream/a/b",
                                       VS "v15000", VS "0", VS "v1"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(news); i++)
        put(f, news[i], "new");
    put(f, "a", NULL);
    put(f, "zz/z", NULL);
    until(f, all_told, NULL);
    assert_int_equal(number(f, &f->gones), 0);
    for (size_t i = 1; i < SLD_ARRAY_LEN(news); i++)
        put(f, news[i], NULL);
    until(f, all_told, NULL);
    stop(f);
}

// A new key between the parts, and an edit right after it: the one is not hidden by the other.
static void a_new_key_is_not_hidden_by_an_edit(void **state)
{
    (void)state;
    struct fake *f = start_with(1500);
    char name[128], value[16];
    put(f, VS "v77", "second");
    until(f, all_told, NULL);
    size_t turns = number(f, &f->turns);
    for (unsigned i = 0; i < 14; i++) {
        snprintf(name, sizeof(name), VS "%c", 'b' + (int)i); // no part has one that begins so
        snprintf(value, sizeof(value), "%u", i);
        put(f, name, "new");
        put(f, VS "v77", value);
        until(f, all_told, NULL);
    }
    assert_true(number(f, &f->turns) < turns + 9); // whoever looks only at times needs more
    stop(f);
}

// ---- All of it, at random ----

static void random_step(struct fake *f, unsigned *r, unsigned keys)
{
    char path[128], value[32];
    static const char *const hidden[] = {"gloo/", "gloo/gateway.solo.io/", "gloo/" VS "v1", "gloo/solder/"};
    unsigned what = next_random(r) % 20;
    snprintf(path, sizeof(path), VS "%s%u", next_random(r) % 8 ? "v" : "w", next_random(r) % keys);
    snprintf(value, sizeof(value), "%u", next_random(r));
    if (what < 10)
        put(f, path, value);
    else if (what < 15)
        put(f, path, NULL);
    else if (what == 15)
        hides(f, hidden[next_random(r) % SLD_ARRAY_LEN(hidden)]);
    else if (what == 16)
        fails(f, (enum fault)(next_random(r) % (STARTS + 1)));
    else
        fails(f, FINE);
}

static void nothing_is_lost_at_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        unsigned r = seed, keys = seed % 2 ? 20 : 700;
        struct fake *f = start_with(keys);
        waits(f);
        for (int i = 0; i < 150; i++) {
            random_step(f, &r, keys);
            if (next_random(&r) % 3 == 0)
                io_do(&f->io, setting_on_io,
                      &(struct setting){f, f->fault, f->hidden, &f->real}); // time is over for all
        }
        fails(f, FINE);
        until(f, all_told, NULL);
        until(f, no_problem, NULL);
        stop(f);
    }
}

int main(void)
{
    sld_log_set_level(SLD_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_read_or_refused),
        cmocka_unit_test(names_are_read_or_refused),
        cmocka_unit_test(names_are_cut_into_parts),
        cmocka_unit_test(ten_thousand_names_are_cut_small),
        cmocka_unit_test(everything_is_told_and_followed),
        cmocka_unit_test(a_status_alone_is_no_news),
        cmocka_unit_test(folders_and_foreign_keys_are_no_units),
        cmocka_unit_test(a_second_reading_tells_everything),
        cmocka_unit_test(bad_answers_change_nothing),
        cmocka_unit_test(hidden_keys_are_not_gone),
        cmocka_unit_test(a_store_that_lost_its_state_is_doubted),
        cmocka_unit_test(a_store_that_is_filled_again_is_waited_for),
        cmocka_unit_test(trust_ends_the_waiting),
        cmocka_unit_test(a_store_is_not_waited_for_for_ever),
        cmocka_unit_test(another_store_is_doubted),
        cmocka_unit_test(an_index_may_be_that_of_another_value),
        cmocka_unit_test(the_sentinel_alone_may_go),
        cmocka_unit_test(the_word_trust_ends_the_doubt),
        cmocka_unit_test(a_server_that_starts_is_waited_for),
        cmocka_unit_test(a_server_that_is_behind_proves_nothing),
        cmocka_unit_test(a_server_that_is_behind_tells_nothing),
        cmocka_unit_test(what_was_deleted_does_not_come_back),
        cmocka_unit_test(a_store_that_was_put_back_counts),
        cmocka_unit_test(a_server_without_a_leader_proves_nothing),
        cmocka_unit_test(a_proof_is_never_stale),
        cmocka_unit_test(without_the_right_to_write_there_is_no_sentinel),
        cmocka_unit_test(an_index_that_went_back_is_remembered),
        cmocka_unit_test(an_empty_store_needs_the_right_to_be_read),
        cmocka_unit_test(an_empty_store_of_one_kind),
        cmocka_unit_test(what_was_restored_is_expected),
        cmocka_unit_test(what_was_restored_is_waited_for),
        cmocka_unit_test(only_what_changed_is_decoded),
        cmocka_unit_test(an_edit_of_many_transfers_its_part),
        cmocka_unit_test(a_new_key_is_not_hidden_by_an_edit),
        cmocka_unit_test(nothing_is_lost_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
