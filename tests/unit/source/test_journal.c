// The journal of the state directory: what is on disk at once, and how it ends.
#include <sys/stat.h>

#include "state_world.h"

enum { JOURNAL_MAX = 1024 * 1024, JOURNAL_HEAD = 66 }; // length of its first line

static bool journal_says(struct fixture *f)
{
    return sld_str_find(slurp("state/journal"), sld_str_c(f->needle)) >= 0;
}

// With this in its way the file cannot be written, so that what changes stays in the journal.
static void hinder_file(void)
{
    assert_int_equal(mkdir(tree_path("state/accepted.new"), 0700), 0);
}

static void hinder_no_more(void)
{
    assert_int_equal(rmdir(tree_path("state/accepted.new")), 0);
}

// Runs until the journal holds TEXT.
static void journaled(struct fixture *f, const char *text)
{
    f->needle = text;
    assert_true(until(f, journal_says));
}

static struct sld_str keep(char room[65536], const char *rel)
{
    struct sld_str s = slurp(rel);
    assert_non_null(s.p);
    memcpy(room, s.p, s.n);
    return sld_str_n(room, s.n);
}

// What a process that is killed leaves behind: this file of accepted forms, and this journal.
static void crash(struct fixture *f, struct sld_str accepted, struct sld_str journal)
{
    close_state(f);
    unlink(tree_path("state/accepted.previous"));
    spit("state/accepted", accepted.p, accepted.n);
    spit("state/journal", journal.p, journal.n);
    open_state(f);
}

static char accepted_room[65536], journal_room[65536];

static const struct sld_ident secret_ident = {SLD_KIND_SECRET, SLD_STR_INIT("ns"),
                                              SLD_STR_INIT("s")};

static void on_chain(struct sld_ident id, struct sld_hash chain, void *arg)
{
    assert_int_equal(id.kind, SLD_KIND_SECRET);
    *(int *)arg = (int)chain.lo;
}

// A file that says a=1 b=1 c=1, and a journal with two batches: a=second and c forgotten; a
// certificate in service and b refused.
static void two_batches(struct fixture *f, struct sld_str *accepted, struct sld_str *journal)
{
    open_state(f);
    accept(f, "a", "1");
    accept(f, "b", "1");
    accept(f, "c", "1");
    reopen(f);
    *accepted = keep(accepted_room, "state/accepted");
    hinder_file();
    accept(f, "a", "second");
    sld_state_forget(f->state, ident_of("c"));
    journaled(f, "second");
    sld_state_certificate(f->state, secret_ident, (struct sld_hash){5, 7});
    refuse(f, "b", "9", "no such thing");
    journaled(f, "no such thing");
    *journal = keep(journal_room, "state/journal");
    hinder_no_more();
}

static void test_what_is_told_is_on_disk_at_once(void **state)
{
    struct fixture *f = *state;
    struct sld_str accepted, journal;
    two_batches(f, &accepted, &journal);
    crash(f, accepted, journal);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(list(f), "a=second b=1 ");
    assert_string_equal(history(f, "a"), "a=second a=1 ");
    assert_string_equal(refusals(f), "upstreams ns/b#9:no such thing ");
    int chain = 0;
    sld_state_each_certificate(f->state, on_chain, &chain);
    assert_int_equal(chain, 5);
    reopen(f); // now the file says it
    assert_false(exists("state/journal"));
    assert_string_equal(list(f), "a=second b=1 ");
    assert_string_equal(refusals(f), "upstreams ns/b#9:no such thing ");
}

static void test_the_journal_before_the_first_file(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    hinder_file();
    refuse(f, "a", "1", "bad");
    journaled(f, "bad");
    struct sld_str journal = keep(journal_room, "state/journal");
    hinder_no_more();
    close_state(f);
    unlink(tree_path("state/accepted"));
    unlink(tree_path("state/accepted.previous"));
    spit("state/journal", journal.p, journal.n);
    open_state(f);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(refusals(f), "upstreams ns/a#1:bad ");
}

static void test_a_journal_that_cannot_be_read_is_told(void **state)
{
    struct fixture *f = *state;
    struct sld_str accepted, journal;
    two_batches(f, &accepted, &journal);
    crash(f, accepted, SLD_STR(""));
    close_state(f);
    spit("state/accepted", accepted.p, accepted.n);
    unlink(tree_path("state/journal"));
    assert_int_equal(mkdir(tree_path("state/journal"), 0700), 0);
    open_state(f);
    assert_non_null(strstr(f->warn.msg, "journal"));
    assert_non_null(strstr(f->warn.msg, "may be missing"));
    assert_string_equal(list(f), "a=1 b=1 c=1 ");
    rmdir(tree_path("state/journal"));
}

// What a journal with two batches says: 0, 1 or 2 of them, and nothing else.
static int batches_said(struct fixture *f)
{
    bool second = refusals(f)[0] != 0;
    list(f);
    if (strcmp(f->list, "a=1 b=1 c=1 ") == 0)
        return second ? -1 : 0;
    assert_string_equal(f->list, "a=second b=1 ");
    return second ? 2 : 1;
}

static void test_a_torn_journal_says_what_is_whole(void **state)
{
    struct fixture *f = *state;
    struct sld_str accepted, journal;
    two_batches(f, &accepted, &journal);
    int said = 0, times[3] = {0};
    for (size_t cut = 0; cut <= journal.n; cut++) {
        crash(f, accepted, sld_str_sub(journal, 0, cut));
        assert_string_equal(f->warn.msg, "");
        int now = batches_said(f);
        assert_true(now >= said);
        said = now;
        times[said]++;
    }
    assert_true(times[0] > JOURNAL_HEAD && times[1] > 0 && times[2] == 1);
    for (size_t at = 0; at < journal.n; at += 3) { // and a byte of it that is another one
        char copy[65536];
        memcpy(copy, journal.p, journal.n);
        copy[at] ^= 4;
        crash(f, accepted, sld_str_n(copy, journal.n));
        assert_in_range(batches_said(f), 0, 1);
    }
}

static void test_a_torn_journal_goes_on(void **state)
{
    struct fixture *f = *state;
    struct sld_str accepted, journal;
    two_batches(f, &accepted, &journal);
    crash(f, accepted, sld_str_sub(journal, 0, journal.n - 1));
    hinder_file();
    accept(f, "d", "later");
    journaled(f, "later");
    hinder_no_more();
    crash(f, accepted, keep(journal_room, "state/journal"));
    assert_string_equal(list(f), "a=second b=1 d=later ");
    assert_string_equal(refusals(f), "");
}

static void test_a_journal_of_another_file_says_nothing(void **state)
{
    struct fixture *f = *state;
    struct sld_str accepted, journal;
    two_batches(f, &accepted, &journal);
    accept(f, "a", "3");
    close_state(f); // as an older Solder would, which leaves the journal where it is
    spit("state/journal", journal.p, journal.n);
    open_state(f);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(list(f), "a=3 b=1 ");
    hinder_file();
    accept(f, "a", "fourth"); // its place is taken
    journaled(f, "fourth");
    hinder_no_more();
    assert_true(sld_str_find(slurp("state/journal"), SLD_STR("no such thing")) < 0);
}

// The journal below another header; it has one batch.
static struct sld_str below(struct sld_str journal, const char *numbers)
{
    static char out[65536];
    struct sld_str rest = journal, head;
    sld_str_cut(&rest, '\n', &head);
    int n = snprintf(out, sizeof(out), "solder-journal %s %.*s\n", numbers,
                     SLD_FMT(sld_str_sub(head, head.n - 32, 32)));
    struct sld_str records = sld_str_sub(rest, 20, rest.n);
    struct sld_hash h =
        sld_hash_mix(sld_hash_bytes(sld_str_n(out, (size_t)n)), sld_hash_bytes(records));
    memcpy(out + n, rest.p, rest.n);
    for (int i = 0; i < 8; i++) {
        out[n + 4 + i] = (char)(h.lo >> (8 * i));
        out[n + 12 + i] = (char)(h.hi >> (8 * i));
    }
    return sld_str_n(out, (size_t)n + rest.n);
}

static void test_journals_of_newer_solders(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    reopen(f);
    struct sld_str accepted = keep(accepted_room, "state/accepted");
    hinder_file();
    refuse(f, "a", "2", "bad");
    journaled(f, "bad");
    struct sld_str journal = keep(journal_room, "state/journal");
    hinder_no_more();
    crash(f, accepted, below(journal, "9 1"));
    assert_string_equal(refusals(f), "upstreams ns/a#2:bad ");
    crash(f, accepted, below(journal, "9 2")); // for its like alone
    assert_string_equal(refusals(f), "");
    assert_string_equal(list(f), "a=1 ");
}

static off_t size_of(const char *rel)
{
    struct stat st;
    return stat(tree_path(rel), &st) == 0 ? st.st_size : 0;
}

static bool both_written(struct fixture *f)
{
    (void)f;
    return size_of("state/accepted") > 1400000;
}

static void test_the_journal_is_bounded(void **state)
{
    struct fixture *f = *state;
    static char big[700001];
    memset(big, 'x', sizeof(big) - 1);
    open_state(f);
    accept(f, "a", big);
    accept(f, "b", big); // together more than a journal may hold
    refuse(f, "c", "1", "bad");
    assert_true(until(f, both_written)); // at once, for all that
    assert_in_range(size_of("state/journal"), 0, JOURNAL_MAX);
    accept(f, "d", "small");
    journaled(f, "small"); // and then it goes on
    assert_in_range(size_of("state/journal"), 0, 1000);
    reopen(f);
    list(f);
    assert_int_equal(f->count, 3);
    assert_string_equal(refusals(f), "upstreams ns/c#1:bad ");
}

// On another thread: when it is told that all is on disk, it is.
static void *refuse_and_wait(void *user)
{
    struct fixture *f = user;
    refuse(f, "a", "1", "bad");
    sld_state_sync(f->state, WAIT_MS);
    f->needle = "bad";
    f->found = journal_says(f) || sld_str_find(slurp("state/accepted"), SLD_STR("bad")) >= 0;
    atomic_store(&f->over, true);
    return NULL;
}

static bool is_over(struct fixture *f)
{
    return atomic_load(&f->over);
}

static void test_waiting_for_the_disk(void **state)
{
    struct fixture *f = *state;
    pthread_t t;
    open_state(f);
    assert_int_equal(pthread_create(&t, NULL, refuse_and_wait, f), 0);
    assert_true(until(f, is_over));
    pthread_join(t, NULL);
    assert_true(f->found);
    sld_state_sync(f->state, 0); // nobody answers: it does not wait for ever
}

// What the journal has no room for is waited for until the file has it.
static bool written_or_too_long(struct fixture *f)
{
    return size_of("state/journal") > JOURNAL_MAX || both_written(f);
}

static void test_what_is_in_the_journal_counts(void **state)
{
    struct fixture *f = *state;
    static char big[700001];
    open_state(f);
    hinder_file();
    memset(big, 'x', sizeof(big) - 1);
    accept(f, "a", big);
    journaled(f, "xxxx");
    memset(big, 'y', sizeof(big) - 1);
    accept(f, "b", big);
    hinder_no_more();
    assert_true(until(f, written_or_too_long));
    assert_in_range(size_of("state/journal"), 0, JOURNAL_MAX);
}

static void test_waiting_behind_a_full_journal(void **state)
{
    struct fixture *f = *state;
    static char big[700001];
    memset(big, 'x', sizeof(big) - 1);
    pthread_t t;
    open_state(f);
    accept(f, "a", big);
    accept(f, "b", big);
    assert_int_equal(pthread_create(&t, NULL, refuse_and_wait, f), 0);
    assert_true(until(f, is_over));
    pthread_join(t, NULL);
    assert_true(f->found);
}

static void test_secrets_are_not_in_the_journal(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    struct sld_raw *raw = raw_of(SLD_KIND_SECRET, "s", "hunter2");
    sld_state_accept(f->state, SLD_STR("/etc/solder"), raw);
    SLD_UNREF(raw);
    sld_state_refuse(f->state, (struct sld_ident){SLD_KIND_SECRET, SLD_STR("ns"), SLD_STR("s")},
                     (struct sld_hash){1, 2}, SLD_STR("envoy/1"), SLD_STR("hunter2 is no key"));
    accept(f, "a", "plain");
    journaled(f, "plain");
    assert_true(sld_str_find(slurp("state/journal"), SLD_STR("hunter2")) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_is_told_is_on_disk_at_once),
        T(test_the_journal_before_the_first_file),
        T(test_a_journal_that_cannot_be_read_is_told),
        T(test_a_torn_journal_says_what_is_whole),
        T(test_a_torn_journal_goes_on),
        T(test_a_journal_of_another_file_says_nothing),
        T(test_journals_of_newer_solders),
        T(test_the_journal_is_bounded),
        T(test_waiting_for_the_disk),
        T(test_what_is_in_the_journal_counts),
        T(test_waiting_behind_a_full_journal),
        T(test_secrets_are_not_in_the_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
