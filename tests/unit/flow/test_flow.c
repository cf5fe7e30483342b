// The behaviours of flow.h one by one.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/wait.h>

#include <cmocka.h>

#include "flow/flow.h"

static void put(struct sld_table *t, sld_id key, const char *text)
{
    struct sld_blob *b = sld_blob_create(sld_str_c(text));
    sld_flow_set(t, key, b);
    SLD_UNREF(b);
}

static const char *text_of(const void *v)
{
    return v ? ((const struct sld_blob *)v)->data.p : NULL;
}

static void assert_row(struct sld_table *t, sld_id key, const char *text)
{
    const char *have = text_of(sld_flow_get(t, key));
    if (text) {
        assert_non_null(have);
        assert_string_equal(have, text);
    } else {
        assert_null(have);
    }
}

static void emit_text(struct sld_ctx *ctx, sld_id key, const char *text)
{
    sld_ctx_emit(ctx, key, sld_blob_create(sld_str_c(text)));
}

// What most tests use: source a, source b; out = STEP over a.
struct fix {
    struct sld_flow *f;
    struct sld_table *a, *b, *out;
    struct sld_index *by_text; // of b: an entry per letter of the value
    sld_id k1, k2, k3;
    unsigned calls;
};

static struct fix x;

static void by_letter(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                      void *arg, void *user)
{
    (void)key;
    (void)user;
    for (const char *c = text_of(value); *c; c++)
        add(arg, sld_flow_keyf(x.f, "%c", *c));
}

static void make(sld_step *step)
{
    x = (struct fix){.f = sld_flow_create()};
    x.k1 = sld_flow_key(x.f, SLD_STR("k1"));
    x.k3 = sld_flow_key(x.f, SLD_STR("k3")); // ids are not in order of texts
    x.k2 = sld_flow_key(x.f, SLD_STR("k2"));
    x.a = sld_flow_source(x.f, "a");
    x.b = sld_flow_source(x.f, "b");
    x.by_text = sld_flow_index(x.f, "b by letter", x.b, by_letter, NULL);
    x.out = sld_flow_derive(x.f, "out", x.a, step, NULL);
}

static void copy(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    x.calls++;
    emit_text(ctx, key, text_of(in));
}

static void test_sources(void **state)
{
    (void)state;
    make(copy);
    assert_false(sld_flow_pending(x.f));
    put(x.a, x.k1, "one");
    assert_true(sld_flow_pending(x.f));
    assert_row(x.a, x.k1, "one"); // the pending value
    assert_row(x.out, x.k1, NULL);
    assert_int_equal(sld_flow_count(x.a), 1);
    struct sld_round r = sld_flow_run(x.f);
    assert_int_equal(r.number, 1);
    assert_int_equal(r.sources, 1);
    assert_int_equal(r.computed, 1);
    assert_row(x.out, x.k1, "one");
    put(x.a, x.k1, "two"); // the last writer wins
    put(x.a, x.k1, "three");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "three");
    assert_int_equal(x.calls, 2);
    put(x.a, x.k2, "gone"); // set and deleted in one round
    sld_flow_delete(x.a, x.k2);
    assert_row(x.a, x.k2, NULL);
    r = sld_flow_run(x.f);
    assert_int_equal(r.sources + r.computed, 0);
    sld_flow_delete(x.a, x.k1);
    assert_int_equal(sld_flow_count(x.a), 0);
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, NULL);
    assert_int_equal(sld_flow_count(x.out), 0);
    assert_int_equal(x.calls, 2); // a vanished parent runs no step
    sld_flow_destroy(x.f);
}

static void test_equal_set(void **state)
{
    (void)state;
    make(copy);
    put(x.a, x.k1, "same");
    sld_flow_run(x.f);
    const void *a = sld_flow_get(x.a, x.k1), *out = sld_flow_get(x.out, x.k1);
    put(x.a, x.k1, "same");
    struct sld_round r = sld_flow_run(x.f);
    assert_int_equal(r.sources + r.computed, 0);
    assert_ptr_equal(sld_flow_get(x.a, x.k1), a); // the old object stays
    assert_ptr_equal(sld_flow_get(x.out, x.k1), out);
    sld_flow_delete(x.a, x.k1); // deleted and set again in one round
    put(x.a, x.k1, "same");
    r = sld_flow_run(x.f);
    assert_int_equal(r.sources + r.computed, 0);
    sld_flow_destroy(x.f);
}

static void first_letter(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    emit_text(ctx, key, (char[]){text_of(in)[0], 0});
}

static void test_cut(void **state)
{
    (void)state;
    make(first_letter);
    struct sld_table *last = sld_flow_derive(x.f, "last", x.out, copy, NULL);
    put(x.a, x.k1, "abc");
    sld_flow_run(x.f);
    const void *kept = sld_flow_get(x.out, x.k1);
    put(x.a, x.k1, "axy");
    struct sld_round r = sld_flow_run(x.f);
    assert_int_equal(r.computed, 1);
    assert_int_equal(r.cut, 1);
    assert_int_equal(x.calls, 1);
    assert_ptr_equal(sld_flow_get(x.out, x.k1), kept);
    put(x.a, x.k1, "b");
    r = sld_flow_run(x.f);
    assert_int_equal(r.computed, 2);
    assert_int_equal(r.cut, 0);
    assert_row(last, x.k1, "b");
    struct sld_table_stats stats[4];
    assert_int_equal(sld_flow_stats(x.f, stats, 4), 4);
    assert_string_equal(stats[2].name, "out");
    assert_int_equal(stats[2].rank, 2);
    assert_int_equal(stats[2].rows, 1);
    assert_int_equal(stats[2].computed, 3);
    assert_int_equal(stats[2].cut, 1);
    sld_flow_destroy(x.f);
}

static bool begins_with_a(const void *value)
{
    return text_of(value)[0] == 'a';
}

static void test_filter(void **state)
{
    (void)state;
    make(copy);
    sld_flow_filter(x.out, begins_with_a);
    put(x.a, x.k1, "a1");
    put(x.a, x.k2, "b1");
    assert_int_equal(sld_flow_run(x.f).computed, 1);
    assert_row(x.out, x.k1, "a1");
    assert_row(x.out, x.k2, NULL);
    put(x.a, x.k1, "b2"); // out
    put(x.a, x.k2, "a2"); // in
    assert_int_equal(sld_flow_run(x.f).computed, 1);
    assert_row(x.out, x.k1, NULL);
    assert_row(x.out, x.k2, "a2");
    put(x.a, x.k1, "b3");
    sld_flow_delete(x.a, x.k2);
    assert_int_equal(sld_flow_run(x.f).computed, 0);
    assert_int_equal(sld_flow_count(x.out), 0);
    sld_flow_destroy(x.f);
}

// The row of b that the parent's value names.
static void get_named(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    x.calls++;
    const void *v = sld_ctx_get(ctx, x.b, sld_flow_key(x.f, sld_str_c(text_of(in))));
    emit_text(ctx, key, v ? text_of(v) : "absent");
}

static void test_absence_and_forgotten_reads(void **state)
{
    (void)state;
    make(get_named);
    put(x.a, x.k1, "k2");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "absent");
    put(x.b, x.k2, "here"); // a reader of nothing wakes
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "here");
    put(x.b, x.k3, "other"); // nobody read it
    assert_int_equal(sld_flow_run(x.f).computed, 0);
    put(x.a, x.k1, "k3");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "other");
    put(x.b, x.k2, "changed"); // no longer read
    assert_int_equal(sld_flow_run(x.f).computed, 0);
    sld_flow_delete(x.b, x.k3);
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "absent");
    sld_flow_delete(x.a, x.k1);
    sld_flow_run(x.f);
    put(x.b, x.k3, "again"); // its reader is gone
    assert_int_equal(sld_flow_run(x.f).computed, 0);
    sld_flow_destroy(x.f);
}

static void has_k2(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    bool has = sld_ctx_has(ctx, x.b, x.k2);
    if (text_of(in)[0] == 'c') // reads the content too: the stronger read counts, and both are one
        has = sld_ctx_get(ctx, x.b, x.k2) != NULL;
    emit_text(ctx, key, has ? "yes" : "no");
}

static void count_read(enum sld_read_kind kind, const char *name, sld_id key, void *arg)
{
    (void)name;
    (void)key;
    ((unsigned *)arg)[kind]++;
}

static void list_reader(sld_id parent_key, void *arg)
{
    char *text = arg;
    snprintf(text + strlen(text), 64 - strlen(text), "%.*s ", SLD_FMT(sld_flow_key_str(x.f, parent_key)));
}

static void assert_readers(const struct sld_table *t, sld_id key, const char *want)
{
    char text[64] = "";
    sld_flow_readers(t, key, x.out, list_reader, text);
    assert_string_equal(text, want);
}

static char traced[512];

static void list_step(const struct sld_trace *s, void *arg)
{
    (void)arg;
    size_t n = strlen(traced);
    struct sld_str parent = sld_flow_key_str(x.f, s->parent);
    snprintf(traced + n, sizeof(traced) - n, "%s(%.*s) made %zu", sld_table_name(s->table), SLD_FMT(parent), s->made_count);
    n = strlen(traced);
    if (s->round)
        snprintf(traced + n, sizeof(traced) - n, " in %d by %s %.*s", (int)s->round, s->cause_table,
                 SLD_FMT(sld_flow_key_str(x.f, s->cause_key)));
    snprintf(traced + strlen(traced), sizeof(traced) - strlen(traced), "; ");
}

static void assert_trace(sld_id key, const char *want)
{
    traced[0] = 0;
    sld_flow_trace(x.f, key, list_step, NULL);
    assert_string_equal(traced, want);
}

// What was made of a row, of that and so on, and which change made each step run last.
static void test_trace(void **state)
{
    (void)state;
    make(has_k2);
    struct sld_table *next = sld_flow_derive(x.f, "next", x.out, copy, NULL);
    sld_flow_single(next);
    put(x.a, x.k1, "existence");
    put(x.a, x.k3, "content");
    sld_flow_run(x.f);
    assert_trace(x.k1, "out(k1) made 1 in 1 by a k1; next(k1) made 1 in 1 by out k1; ");
    put(x.b, x.k2, "v1");
    sld_flow_run(x.f);
    assert_trace(x.k1, "out(k1) made 1 in 2 by b k2; next(k1) made 1 in 2 by out k1; ");
    put(x.b, x.k2, "v2");
    sld_flow_run(x.f); // read by k3 alone, whose row stays as it was
    assert_trace(x.k1, "out(k1) made 1 in 2 by b k2; next(k1) made 1 in 2 by out k1; ");
    assert_trace(x.k3, "out(k3) made 1 in 3 by b k2; next(k3) made 1 in 2 by out k3; ");
    assert_trace(x.k2, ""); // rows of b are read, and no step's parents
    sld_flow_delete(x.a, x.k1);
    sld_flow_run(x.f);
    assert_trace(x.k1, "");
    for (unsigned i = 0; i < 2000; i++) {
        put(x.a, sld_flow_keyf(x.f, "other%u", i), "x");
        sld_flow_run(x.f);
    }
    assert_trace(x.k3, "out(k3) made 1; next(k3) made 1; ");
    sld_flow_destroy(x.f);
}

static void test_existence(void **state)
{
    (void)state;
    make(has_k2);
    put(x.a, x.k1, "existence");
    put(x.a, x.k3, "content");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "no");
    put(x.b, x.k2, "v1");
    assert_int_equal(sld_flow_run(x.f).computed, 2);
    assert_row(x.out, x.k1, "yes");
    put(x.b, x.k2, "v2");
    assert_int_equal(sld_flow_run(x.f).computed, 1); // only the reader of the content
    unsigned kinds[4] = {0};
    sld_flow_reads(x.out, x.k1, count_read, kinds);
    assert_int_equal(kinds[SLD_READ_EXISTS], 1);
    sld_flow_reads(x.out, x.k3, count_read, kinds);
    assert_int_equal(kinds[SLD_READ_EXISTS], 1);
    assert_int_equal(kinds[SLD_READ_ROW], 1);
    assert_readers(x.b, x.k2, "k1 k3 ");
    assert_readers(x.b, x.k1, "");
    sld_flow_delete(x.b, x.k2);
    assert_int_equal(sld_flow_run(x.f).computed, 2);
    assert_row(x.out, x.k1, "no");
    sld_flow_destroy(x.f);
}

// Key texts and values of the entry that the parent's value names, or of all rows for "*".
static void list(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    size_t n;
    const struct sld_hit *hits =
        text_of(in)[0] == '*' ? sld_ctx_all(ctx, x.b, &n)
                              : sld_ctx_lookup(ctx, x.by_text,
                                               sld_flow_key(x.f, sld_str_c(text_of(in))), &n);
    struct sld_str all = SLD_STR("");
    for (size_t i = 0; i < n; i++)
        all = sld_arena_fmt(sld_ctx_scratch(ctx), "%.*s%.*s=%s ", SLD_FMT(all),
                            SLD_FMT(sld_flow_key_str(x.f, hits[i].key)), text_of(hits[i].value));
    sld_ctx_emit(ctx, key, sld_blob_create(all));
}

static void test_index(void **state)
{
    (void)state;
    make(list);
    put(x.a, x.k1, "p");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, ""); // an absent entry is a read too
    put(x.b, x.k3, "p");
    put(x.b, x.k1, "pp");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=pp k3=p ");
    put(x.b, x.k2, "pq"); // between the two, by text
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=pp k2=pq k3=p ");
    put(x.b, x.k2, "q"); // leaves the entry
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=pp k3=p ");
    put(x.b, x.k2, "qr"); // moves between other entries
    assert_int_equal(sld_flow_run(x.f).computed, 0);
    put(x.b, x.k1, "px"); // stays, other content
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=px k3=p ");
    unsigned kinds[4] = {0};
    sld_flow_reads(x.out, x.k1, count_read, kinds);
    assert_int_equal(kinds[SLD_READ_ENTRY], 1); // one however many rows
    assert_int_equal(kinds[SLD_READ_ROW] + kinds[SLD_READ_TABLE] + kinds[SLD_READ_EXISTS], 0);
    sld_flow_delete(x.b, x.k1);
    sld_flow_delete(x.b, x.k3);
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "");
    sld_flow_destroy(x.f);
}

static void test_index_of_two_tables(void **state)
{
    (void)state;
    make(copy);
    struct sld_table *c = sld_flow_source(x.f, "c");
    sld_flow_index_add(x.by_text, c);
    struct sld_table *both = sld_flow_derive(x.f, "both", x.a, list, NULL);
    put(x.a, x.k3, "p");
    put(c, x.k2, "p2");
    put(x.b, x.k2, "p");
    put(c, x.k1, "p1");
    sld_flow_run(x.f);
    assert_row(both, x.k3, "k1=p1 k2=p k2=p2 "); // of one key, the lower table first
    sld_flow_delete(x.b, x.k2);
    put(c, x.k1, "q");
    sld_flow_run(x.f);
    assert_row(both, x.k3, "k2=p2 ");
    sld_flow_delete(c, x.k2);
    sld_flow_run(x.f);
    assert_row(both, x.k3, "");
    sld_flow_destroy(x.f);
}

static void test_whole_table(void **state)
{
    (void)state;
    make(list);
    put(x.a, x.k1, "*");
    put(x.b, x.k3, "c");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k3=c ");
    put(x.b, x.k2, "b");
    put(x.b, x.k1, "a");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=a k2=b k3=c ");
    sld_flow_delete(x.b, x.k2);
    put(x.b, x.k3, "z");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "k1=a k3=z ");
    sld_flow_destroy(x.f);
}

// A row per letter of the value; its content is the claimant.
static void claim_letters(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    x.calls++;
    for (const char *c = text_of(in); *c; c++) {
        sld_id row = sld_flow_keyf(x.f, "%c", *c);
        emit_text(ctx, row, "replaced in the same step");
        sld_ctx_emit(ctx, row, sld_blob_create(sld_flow_key_str(x.f, key)));
    }
}

static void list_lost(sld_id key, sld_id loser, sld_id owner, void *arg)
{
    sld_buf_addf(arg, "%.*s:%.*s>%.*s ", SLD_FMT(sld_flow_key_str(x.f, key)),
                 SLD_FMT(sld_flow_key_str(x.f, owner)), SLD_FMT(sld_flow_key_str(x.f, loser)));
}

static void assert_lost(const char *want)
{
    struct sld_buf b;
    sld_buf_init(&b, 4096);
    sld_flow_lost(x.out, list_lost, &b);
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, want);
    sld_buf_fini(&b);
}

static void test_claims(void **state)
{
    (void)state;
    make(claim_letters);
    sld_id m = sld_flow_key(x.f, SLD_STR("m")), n = sld_flow_key(x.f, SLD_STR("n"));
    put(x.a, x.k3, "mn");
    sld_flow_run(x.f);
    assert_row(x.out, m, "k3");
    assert_lost("");
    put(x.a, x.k2, "m"); // later, but sorts first
    sld_flow_run(x.f);
    assert_row(x.out, m, "k2");
    assert_row(x.out, n, "k3");
    assert_int_equal(sld_flow_owner(x.out, m), x.k2);
    assert_lost("m:k2>k3 ");
    put(x.a, x.k1, "m");
    sld_flow_run(x.f);
    assert_row(x.out, m, "k1");
    assert_lost("m:k1>k2 m:k1>k3 ");
    x.calls = 0;
    sld_flow_delete(x.a, x.k1); // the next in order takes over, no step needed
    sld_flow_run(x.f);
    assert_row(x.out, m, "k2");
    assert_int_equal(x.calls, 0);
    put(x.a, x.k2, "z"); // the owner lets go of one key and claims another
    sld_flow_run(x.f);
    assert_row(x.out, m, "k3");
    assert_lost("");
    sld_flow_delete(x.a, x.k3);
    sld_flow_run(x.f);
    assert_row(x.out, m, NULL);
    assert_int_equal(sld_flow_owner(x.out, m), 0);
    assert_int_equal(sld_flow_count(x.out), 1);
    sld_flow_destroy(x.f);
}

static void join_step(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)user;
    assert_null(in);
    x.calls++;
    const void *a = sld_ctx_get(ctx, x.a, key), *b = sld_ctx_get(ctx, x.b, key);
    emit_text(ctx, key, a && text_of(a)[0] != '!' ? text_of(a) : b ? text_of(b) : "nothing good");
}

static void emit_again(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)user;
    const char *text = text_of(in);
    emit_text(ctx, x.k1, "first");
    emit_text(ctx, x.k2, text);
    if (strcmp(text, "short") != 0)
        emit_text(ctx, x.k3, text);
    emit_text(ctx, x.k1, text); // the last one counts
}

static void test_rows_that_are_emitted_twice(void **state)
{
    (void)state;
    make(emit_again);
    put(x.a, x.k1, "one");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "one");
    assert_row(x.out, x.k3, "one");
    put(x.a, x.k1, "short");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "short");
    assert_row(x.out, x.k2, "short");
    assert_row(x.out, x.k3, NULL);
    put(x.a, x.k1, "two");
    sld_flow_run(x.f);
    assert_row(x.out, x.k1, "two");
    assert_row(x.out, x.k3, "two");
    sld_flow_destroy(x.f);
}

static void test_who_looks_for_a_key_makes_none(void **state)
{
    (void)state;
    make(copy);
    assert_int_equal(sld_flow_key_find(x.f, SLD_STR("k2")), x.k2);
    assert_int_equal(sld_flow_key_find(x.f, SLD_STR("k4")), 0);
    assert_int_equal(sld_flow_key_find(x.f, SLD_STR("k4")), 0);
    sld_id k4 = sld_flow_key(x.f, SLD_STR("k4"));
    assert_int_equal(sld_flow_key_find(x.f, SLD_STR("k4")), k4);
    sld_flow_destroy(x.f);
}

static void test_join(void **state)
{
    (void)state;
    make(copy);
    struct sld_table *parents[] = {x.a, x.b, NULL};
    struct sld_table *j = sld_flow_join(x.f, "join", parents, join_step, NULL);
    put(x.a, x.k1, "good");
    put(x.b, x.k2, "accepted only");
    sld_flow_run(x.f);
    assert_row(j, x.k1, "good");
    assert_row(j, x.k2, "accepted only");
    put(x.a, x.k1, "!broken");
    put(x.b, x.k1, "last good");
    x.calls = 0;
    sld_flow_run(x.f);
    assert_row(j, x.k1, "last good");
    assert_int_equal(x.calls, 2); // one of the copy, one of the join: once per round
    sld_flow_delete(x.a, x.k1);
    sld_flow_run(x.f);
    assert_row(j, x.k1, "last good");
    sld_flow_delete(x.b, x.k1);
    sld_flow_run(x.f);
    assert_row(j, x.k1, NULL);
    assert_int_equal(sld_flow_count(j), 1);
    sld_flow_destroy(x.f);
}

static char told[256];

static void on_change(struct sld_table *t, sld_id key, const void *old, const void *new_value,
                      void *user)
{
    (void)user;
    size_t n = strlen(told);
    struct sld_str k = sld_flow_key_str(x.f, key);
    snprintf(told + n, sizeof told - n, "%s/%.*s:%s>%s ", sld_table_name(t), SLD_FMT(k),
             old ? text_of(old) : "-", new_value ? text_of(new_value) : "-");
    if (t == x.out && old == NULL)
        put(x.b, key, "next round");
}

static void test_watch(void **state)
{
    (void)state;
    make(copy);
    sld_flow_watch(x.out, on_change, NULL);
    sld_flow_watch(x.a, on_change, NULL);
    told[0] = 0;
    put(x.a, x.k1, "v");
    sld_flow_run(x.f);
    assert_string_equal(told, "a/k1:->v out/k1:->v ");
    assert_true(sld_flow_pending(x.f));
    assert_int_equal(sld_flow_run(x.f).sources, 1);
    assert_row(x.b, x.k1, "next round");
    told[0] = 0;
    put(x.a, x.k1, "w");
    sld_flow_run(x.f);
    sld_flow_delete(x.a, x.k1);
    sld_flow_run(x.f);
    assert_string_equal(told, "a/k1:v>w out/k1:v>w a/k1:w>- out/k1:w>- ");
    sld_flow_destroy(x.f);
}

static void on_demand(struct sld_table *t, sld_id key, bool wanted, void *user)
{
    (void)user;
    size_t n = strlen(told);
    struct sld_str k = sld_flow_key_str(x.f, key);
    snprintf(told + n, sizeof told - n, "%s/%.*s%c ", sld_table_name(t), SLD_FMT(k),
             wanted ? '+' : '-');
    if (wanted)
        put(t, key, "found");
}

static void test_demand(void **state)
{
    (void)state;
    make(get_named);
    sld_flow_demand(x.b, on_demand, NULL);
    told[0] = 0;
    put(x.b, x.k1, "nobody asks");
    sld_flow_run(x.f);
    assert_string_equal(told, "");
    put(x.a, x.k1, "k2"); // reads a row that is not there
    sld_flow_run(x.f);
    assert_string_equal(told, "b/k2+ ");
    assert_row(x.out, x.k1, "absent");
    assert_true(sld_flow_pending(x.f));
    sld_flow_run(x.f); // read again: no news
    assert_row(x.out, x.k1, "found");
    assert_string_equal(told, "b/k2+ ");
    put(x.a, x.k2, "k2"); // a second reader
    sld_flow_run(x.f);
    put(x.a, x.k1, "k3");
    sld_flow_run(x.f);
    assert_string_equal(told, "b/k2+ b/k3+ ");
    told[0] = 0;
    sld_flow_delete(x.a, x.k1);
    sld_flow_delete(x.a, x.k2);
    sld_flow_run(x.f);
    assert_true(strstr(told, "b/k2- ") && strstr(told, "b/k3- "));
    told[0] = 0;
    put(x.a, x.k1, "k2"); // again, by another task in one round
    put(x.a, x.k2, "k3");
    sld_flow_run(x.f);
    told[0] = 0;
    put(x.a, x.k1, "k3");
    put(x.a, x.k2, "k2");
    sld_flow_run(x.f);
    assert_string_equal(told, "");
    sld_flow_destroy(x.f);
}

static void build_impure(struct sld_flow *f, void *arg)
{
    (void)arg;
    struct sld_table *a = sld_flow_source(f, "a");
    sld_flow_source(f, "b");
    sld_flow_derive(f, "out", a, first_letter, NULL);
}

static void test_verify_sees_a_difference(void **state)
{
    (void)state;
    make(copy);
    put(x.a, x.k1, "v");
    sld_flow_run(x.f);
    struct sld_err err = {0};
    assert_int_equal(sld_flow_verify(x.f, build_impure, NULL, &err), SLD_OK);
    put(x.a, x.k1, "vv");
    sld_flow_run(x.f);
    assert_int_equal(sld_flow_verify(x.f, build_impure, NULL, &err), SLD_INTERNAL);
    assert_string_equal(err.msg, "out: row k1 is stale");
    sld_flow_destroy(x.f);
}

// ---- What must end the process ----

static void reads_itself(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    (void)user;
    sld_ctx_get(ctx, x.out, key);
}

static void runs_a_round(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)in;
    (void)user;
    sld_flow_run(sld_ctx_flow(ctx));
}

static void gets_behind_the_back(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)ctx;
    (void)in;
    (void)user;
    sld_flow_get(x.b, key);
}

static struct sld_ctx *leaked;

static void leaks_its_ctx(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)in;
    (void)user;
    leaked = ctx;
}

static void run_with(sld_step *step)
{
    make(step);
    put(x.a, x.k1, "v");
    sld_flow_run(x.f);
}

static void die_own_rank(void) { run_with(reads_itself); }
static void die_reentry(void) { run_with(runs_a_round); }
static void die_unrecorded(void) { run_with(gets_behind_the_back); }
static void die_outside(void)
{
    run_with(leaks_its_ctx);
    sld_ctx_get(leaked, x.b, x.k1);
}
static void die_late_table(void)
{
    run_with(copy);
    sld_flow_source(x.f, "late");
}
static void die_set_derived(void)
{
    make(copy);
    put(x.out, x.k1, "v");
}

static void emits_another_key(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)in;
    (void)user;
    sld_ctx_emit(ctx, sld_flow_key(sld_ctx_flow(ctx), SLD_STR("other")), sld_blob_create(SLD_STR("1")));
}

static void die_another_key(void)
{
    struct sld_flow *f = sld_flow_create();
    struct sld_table *a = sld_flow_source(f, "a");
    sld_flow_single(sld_flow_derive(f, "out", a, emits_another_key, NULL));
    sld_flow_set(a, sld_flow_key(f, SLD_STR("k")), sld_blob_create(SLD_STR("1")));
    sld_flow_run(f);
}

static void test_misuse_aborts(void **state)
{
    (void)state;
    void (*const cases[])(void) = {die_own_rank, die_reentry, die_unrecorded,
                                   die_outside, die_late_table, die_set_derived, die_another_key};
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            signal(SIGABRT, SIG_DFL); // cmocka's own handler would go on
            close(2);
            cases[i]();
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("case %zu did not abort", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_equal_set),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_absence_and_forgotten_reads),
        cmocka_unit_test(test_existence),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_index_of_two_tables),
        cmocka_unit_test(test_whole_table),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_rows_that_are_emitted_twice),
        cmocka_unit_test(test_who_looks_for_a_key_makes_none),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_demand),
        cmocka_unit_test(test_verify_sees_a_difference),
        cmocka_unit_test(test_misuse_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
