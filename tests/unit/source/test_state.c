// The state directory: what survives a restart, and what does not break it.
#include "state_world.h"

// Two generations on disk: "accepted" says a=2, its predecessor a=1.
static void two_generations(struct fixture *f)
{
    open_state(f);
    accept(f, "a", "1");
    reopen(f);
    accept(f, "a", "2");
    close_state(f);
}

// ---- What survives ----

static void test_accepted_forms_survive(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    assert_string_equal(f->warn.msg, "");
    accept(f, "b", "two");
    accept(f, "a", "one");
    reopen(f);
    assert_string_equal(list(f), "a=one b=two ");
    assert_string_equal(f->warn.msg, "");
}

static void on_whole(struct sld_str source, struct sld_raw *raw, void *arg)
{
    (void)source;
    (void)arg;
    struct sld_raw *want = raw_of(SLD_KIND_UPSTREAM, "a", "one");
    assert_int_equal(raw->kind, want->kind);
    assert_true(sld_str_eq(sld_raw_ident(raw).ns, sld_raw_ident(want).ns));
    assert_true(sld_str_eq(sld_raw_origin(raw), sld_raw_origin(want)));
    assert_true(sld_str_eq(sld_raw_path(raw), sld_raw_path(want)));
    assert_true(sld_str_eq(sld_raw_default_ns(raw), sld_raw_default_ns(want)));
    assert_int_equal(raw->line, want->line);
    assert_int_equal(raw->item, want->item);
    assert_true(sld_hash_eq(raw->obj.hash, want->obj.hash));
    SLD_UNREF(want);
}

static void test_a_form_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "one");
    reopen(f);
    sld_state_each(f->state, on_whole, f);
}

static void test_forgotten_forms_go(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    accept(f, "b", "1");
    reopen(f);
    sld_state_forget(f->state, (struct sld_ident){SLD_KIND_UPSTREAM, SLD_STR("ns"), SLD_STR("a")});
    reopen(f);
    assert_string_equal(list(f), "b=1 ");
}

static void test_secrets_are_never_stored(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    struct sld_raw *raw = raw_of(SLD_KIND_SECRET, "s", "hunter2");
    sld_state_accept(f->state, SLD_STR("/etc/solder"), raw);
    SLD_UNREF(raw);
    accept(f, "a", "1");
    close_state(f);
    assert_true(sld_str_find(slurp("state/accepted"), SLD_STR("hunter2")) < 0);
    open_state(f);
    assert_string_equal(list(f), "a=1 ");
}

static void test_history_is_newest_first_and_bounded(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    for (int i = 1; i <= 6; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        accept(f, "a", text);
    }
    accept(f, "a", "6"); // the same again is no new form
    reopen(f);
    assert_string_equal(history(f, "a"), "a=6 a=5 a=4 a=3 ");
    assert_string_equal(history(f, "b"), "");
}

static void test_directory_is_private_and_made_with_parents(void **state)
{
    struct fixture *f = *state;
    struct sld_err err;
    struct stat st;
    assert_int_equal(sld_state_open(f->loop, sld_str_c(tree_path("p/q/state/")), HISTORY, &f->state,
                                    &f->warn, &err),
                     SLD_OK);
    assert_int_equal(stat(tree_path("p/q/state"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

// ---- Refusals ----

static void test_a_refusal_survives_beside_the_form_in_force(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    accept(f, "a", "2");
    accept(f, "b", "1");
    accept(f, "a", "1"); // the last good one comes back
    refuse(f, "a", "2", "no such thing");
    reopen(f);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(refusals(f), "upstreams ns/a#2:no such thing ");
    assert_string_equal(list(f), "a=1 b=1 ");
    accept(f, "a", "1"); // the same again changes nothing, also from another place
    struct sld_doc_place place = {.path = SLD_STR("d/b.yaml"), .default_ns = SLD_STR("gloo-system")};
    struct sld_raw *moved =
        sld_raw_create(ident_of("a"), SLD_STR("1"), 1, -1, SLD_STR("/etc/solder/d/b.yaml"), &place);
    sld_state_accept(f->state, SLD_STR("/etc/solder"), moved);
    SLD_UNREF(moved);
    reopen(f);
    assert_string_equal(refusals(f), "upstreams ns/a#2:no such thing ");
    assert_string_equal(history(f, "a"), "a=1 a=2 a=1 ");
}

static void test_an_object_that_was_never_good_keeps_its_refusal(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    accept(f, "b", "1");
    sld_state_forget(f->state, ident_of("a"));
    refuse(f, "a", "1", "bad");
    refuse(f, "c", "3", "");
    reopen(f);
    reopen(f); // what was read is written again
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(refusals(f), "upstreams ns/a#1:bad upstreams ns/c#3: ");
    assert_string_equal(list(f), "b=1 ");
    assert_string_equal(history(f, "a"), "");
    accept(f, "a", "2"); // mended
    sld_state_forget(f->state, ident_of("c"));
    reopen(f);
    assert_string_equal(refusals(f), "");
    assert_string_equal(history(f, "a"), "a=2 ");
}

static void test_another_form_forgets_the_refusal(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    refuse(f, "a", "2", "bad");
    accept(f, "b", "1");
    refuse(f, "b", "2", "bad");
    reopen(f);
    accept(f, "a", "3");
    sld_state_forget(f->state, ident_of("b"));
    reopen(f);
    assert_string_equal(refusals(f), "");
}

static void test_the_last_refusal_counts(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    refuse(f, "a", "2", "bad");
    reopen(f);
    refuse(f, "a", "3", "worse");
    reopen(f);
    assert_string_equal(refusals(f), "upstreams ns/a#3:worse ");
    refuse(f, "a", "3", "worst"); // the same document, other words
    reopen(f);
    assert_string_equal(refusals(f), "upstreams ns/a#3:worst ");
}

static void test_long_words_are_cut_between_characters(void **state)
{
    struct fixture *f = *state;
    char words[3001] = "";
    for (int i = 0; i < 1000; i++)
        memcpy(words + 3 * i, "\xe2\x82\xac", 4);
    open_state(f);
    refuse(f, "a", "1", words);
    reopen(f);
    words[1023] = 0; // 341 of them
    char want[1200];
    snprintf(want, sizeof(want), "upstreams ns/a#1:%s ", words);
    assert_string_equal(refusals(f), want);
}

static void test_refusals_of_secrets_are_not_stored(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    refuse(f, "a", "1", "bad");
    sld_state_refuse(f->state, (struct sld_ident){SLD_KIND_SECRET, SLD_STR("ns"), SLD_STR("s")},
                     (struct sld_hash){1, 2}, SLD_STR("envoy/1"), SLD_STR("hunter2 is no key"));
    close_state(f);
    assert_true(sld_str_find(slurp("state/accepted"), SLD_STR("hunter2")) < 0);
    open_state(f);
    assert_string_equal(refusals(f), "upstreams ns/a#1:bad ");
}

static size_t number_at(const char *p)
{
    size_t v = 0;
    for (int i = 3; i >= 0; i--)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

// What a reader sees that knows no tags above 11 and asks for a form in each record: "kind(forms)".
static const char *seen_by_old_reader(struct fixture *f)
{
    struct sld_str s = slurp("state/accepted"), head;
    sld_str_cut(&s, '\n', &head);
    assert_true(sld_str_eq(head, SLD_STR("solder-state 1 1")));
    s.n -= 16;
    f->list[0] = 0;
    while (s.n > 0) {
        size_t end = 4 + number_at(s.p), forms = 0;
        assert_true(end <= s.n);
        struct sld_str kind = SLD_STR_NONE;
        for (size_t at = 4; at < end; at += 5 + number_at(s.p + at + 1)) {
            assert_true(at + 5 + number_at(s.p + at + 1) <= end);
            if (s.p[at] == 2)
                kind = sld_str_n(s.p + at + 5, number_at(s.p + at + 1));
            forms += s.p[at] == 5;
        }
        assert_true(forms > 0);
        size_t n = strlen(f->list);
        snprintf(f->list + n, sizeof(f->list) - n, "%.*s(%zu) ", SLD_FMT(kind), forms);
        s = sld_str_sub(s, end, s.n);
    }
    return f->list;
}

static void test_older_readers_pass_over_refusals(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    refuse(f, "a", "2", "bad");
    refuse(f, "b", "1", "bad"); // without a kind: nothing an older reader knows
    accept(f, "c", "1");
    accept(f, "c", "2");
    close_state(f);
    assert_string_equal(seen_by_old_reader(f), "upstreams(1) (1) upstreams(2) ");
}

// ---- Certificates ----

static struct sld_ident secret_of(const char *name)
{
    return (struct sld_ident){SLD_KIND_SECRET, SLD_STR("ns"), sld_str_c(name)};
}

static void on_certificate(struct sld_ident id, struct sld_hash chain, void *arg)
{
    struct fixture *f = arg;
    size_t n = strlen(f->list);
    snprintf(f->list + n, sizeof(f->list) - n, "%s %.*s/%.*s#%d ", sld_kind_info(id.kind)->plural,
             SLD_FMT(id.ns), SLD_FMT(id.name), (int)chain.lo);
}

static const char *certificates(struct fixture *f)
{
    f->list[0] = 0;
    sld_state_each_certificate(f->state, on_certificate, f);
    return f->list;
}

static void test_certificates_in_service_are_remembered(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    sld_state_certificate(f->state, secret_of("s"), (struct sld_hash){1, 7});
    sld_state_certificate(f->state, secret_of("t"), (struct sld_hash){2, 7});
    sld_state_certificate(f->state, secret_of("vault:pki/issue/web?common_name=a"),
                          (struct sld_hash){4, 7});
    sld_state_certificate(f->state, secret_of("s"), (struct sld_hash){3, 7});
    accept(f, "a", "1");
    refuse(f, "a", "2", "bad");
    reopen(f);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(certificates(f), "secrets ns/s#3 secrets ns/t#2 secrets ns/vault:pki/issue/web?common_name=a#4 ");
    assert_string_equal(list(f), "a=1 ");
    assert_string_equal(refusals(f), "upstreams ns/a#2:bad ");
    close_state(f);
    assert_string_equal(seen_by_old_reader(f), "(1) (1) (1) upstreams(1) ");
    open_state(f);
    sld_state_forget(f->state, secret_of("s"));
    reopen(f);
    assert_string_equal(certificates(f),
                        "secrets ns/t#2 secrets ns/vault:pki/issue/web?common_name=a#4 ");
}

// ---- Locking ----

static void test_second_opener_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sld_state_dir *other = NULL;
    struct sld_err err;
    open_state(f);
    assert_int_equal(
        sld_state_open(f->loop, sld_str_c(tree_path("state")), HISTORY, &other, NULL, &err),
        SLD_CONFLICT);
    assert_non_null(strstr(err.msg, "in use by another Solder"));
    accept(f, "a", "1");
    reopen(f); // the first is untouched, and its lock goes with it
    assert_string_equal(list(f), "a=1 ");
}

// ---- Damage ----

static void test_damaged_file_is_set_aside(void **state)
{
    struct fixture *f = *state;
    two_generations(f);
    struct sld_str s = slurp("state/accepted");
    char copy[65536];
    memcpy(copy, s.p, s.n);
    copy[s.n / 2] ^= 1;
    spit("state/accepted", copy, s.n);
    open_state(f);
    assert_non_null(strstr(f->warn.msg, "damaged"));
    assert_true(exists("state/accepted.damaged"));
    assert_string_equal(list(f), "a=1 "); // its predecessor
}

// A name that no object can have, under a checksum that is right.
static void test_impossible_name_is_damage(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "name-1", "1");
    close_state(f);
    struct sld_str s = slurp("state/accepted");
    char copy[65536];
    memcpy(copy, s.p, s.n);
    size_t body = s.n - 16;
    ptrdiff_t at = sld_str_find(sld_str_n(copy, body), SLD_STR("name-1"));
    assert_true(at > 0);
    copy[at] = '/';
    struct sld_hash h =
        sld_hash_mix((struct sld_hash){0}, sld_hash_bytes(sld_str_n(copy, body)));
    for (size_t i = 0; i < 8; i++) {
        copy[body + i] = (char)(h.lo >> (8 * i));
        copy[body + 8 + i] = (char)(h.hi >> (8 * i));
    }
    spit("state/accepted", copy, s.n);
    open_state(f);
    assert_non_null(strstr(f->warn.msg, "a record cannot be read"));
    assert_string_equal(list(f), "");
}

static void test_every_cut_is_noticed(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    refuse(f, "a", "2", "bad");
    refuse(f, "b", "1", "bad");
    close_state(f);
    struct sld_str s = slurp("state/accepted");
    char copy[65536];
    size_t n = s.n;
    memcpy(copy, s.p, n);
    for (size_t cut = 0; cut < n; cut++) {
        unlink(tree_path("state/accepted.previous"));
        spit("state/accepted", copy, cut);
        open_state(f);
        assert_string_equal(list(f), "");
        assert_string_equal(refusals(f), "");
        assert_true(f->warn.msg[0] != 0);
        close_state(f);
    }
}

static void test_missing_file_falls_back(void **state)
{
    struct fixture *f = *state;
    two_generations(f);
    assert_int_equal(unlink(tree_path("state/accepted")), 0);
    open_state(f);
    assert_string_equal(list(f), "a=1 ");
    reopen(f); // it was written again
    assert_string_equal(list(f), "a=1 ");
}

static void test_leftover_of_a_crash_is_ignored(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    close_state(f);
    spit("state/accepted.new", "garbage", 7);
    open_state(f);
    assert_string_equal(list(f), "a=1 ");
    assert_string_equal(f->warn.msg, "");
}

// ---- Other versions ----

// Writes the records of "accepted" below another header, with EXTRA inside the first record.
static void rewrite(const char *header, struct sld_str extra)
{
    struct sld_str s = slurp("state/accepted"), head;
    sld_str_cut(&s, '\n', &head);
    struct sld_str body = sld_str_n(s.p, s.n - 16);
    struct sld_buf b;
    sld_buf_init(&b, 65536);
    sld_buf_addz(&b, header);
    size_t at = b.n;
    sld_buf_add(&b, body);
    sld_buf_add(&b, extra); // there is one record: its end is the end
    size_t n = b.n - at - 4;
    for (int i = 0; i < 4; i++)
        b.p[at + (size_t)i] = (char)(n >> (8 * i));
    struct sld_hash h = sld_hash_mix((struct sld_hash){0}, sld_hash_bytes(sld_buf_str(&b)));
    for (int i = 0; i < 8; i++)
        sld_buf_addc(&b, (char)(h.lo >> (8 * i)));
    for (int i = 0; i < 8; i++)
        sld_buf_addc(&b, (char)(h.hi >> (8 * i)));
    spit("state/accepted", b.p, b.n);
    sld_buf_fini(&b);
}

static void test_newer_file_for_old_readers_is_read(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    close_state(f);
    rewrite("solder-state 9 1\n", SLD_STR("\xf0\x03\x00\x00\x00new"));
    open_state(f);
    assert_string_equal(f->warn.msg, "");
    assert_string_equal(list(f), "a=1 ");
}

static void test_newer_file_for_new_readers_is_set_aside(void **state)
{
    struct fixture *f = *state;
    open_state(f);
    accept(f, "a", "1");
    close_state(f);
    rewrite("solder-state 9 9\n", SLD_STR(""));
    open_state(f);
    assert_non_null(strstr(f->warn.msg, "newer Solder"));
    assert_true(exists("state/accepted.newer"));
    assert_string_equal(list(f), "");
}

// ---- Writing ----

static bool written(struct fixture *f)
{
    (void)f;
    return exists("state/accepted");
}

static bool written_anew(struct fixture *f)
{
    struct stat st;
    return stat(tree_path("state/accepted"), &st) == 0 && st.st_ino != f->ino;
}

static void *accept_many(void *user)
{
    char name[16];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "n%04d", i);
        accept(user, name, "1");
    }
    return NULL;
}

static void test_accepts_from_another_thread(void **state)
{
    struct fixture *f = *state;
    pthread_t t;
    open_state(f);
    assert_int_equal(pthread_create(&t, NULL, accept_many, f), 0);
    assert_true(until(f, written));
    pthread_join(t, NULL);
    reopen(f); // also with a write on its way and a wake not run
    list(f);
    assert_int_equal(f->count, 3000);
}

static void test_writes_at_most_once_a_second(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    open_state(f);
    accept(f, "a", "1");
    assert_true(until(f, written));
    uint64_t first = sld_mono_ns();
    assert_int_equal(stat(tree_path("state/accepted"), &st), 0);
    f->ino = st.st_ino;
    accept(f, "a", "2");
    assert_true(until(f, written_anew));
    assert_true(sld_mono_ns() - first > UINT64_C(900) * 1000000);
}

static bool has_problem(struct fixture *f)
{
    return sld_state_problem(f->state) != NULL;
}

static void test_full_disk_is_survived_and_told(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, none;
    open_state(f);
    accept(f, "a", "1");
    reopen(f);
    assert_null(sld_state_problem(f->state));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = old;
    none.rlim_cur = 20;
    accept(f, "a", "2");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    bool told = until(f, has_problem);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(told);
    assert_non_null(strstr(sld_state_problem(f->state), "cannot be written"));
    assert_true(slurp("state/accepted").n > 20); // the old one is whole
    assert_false(exists("state/accepted.new"));
    reopen(f); // closing tries once more
    assert_string_equal(list(f), "a=2 ");
    assert_null(sld_state_problem(f->state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_accepted_forms_survive),
        T(test_a_form_comes_back_whole),
        T(test_forgotten_forms_go),
        T(test_secrets_are_never_stored),
        T(test_history_is_newest_first_and_bounded),
        T(test_directory_is_private_and_made_with_parents),
        T(test_a_refusal_survives_beside_the_form_in_force),
        T(test_an_object_that_was_never_good_keeps_its_refusal),
        T(test_another_form_forgets_the_refusal),
        T(test_the_last_refusal_counts),
        T(test_long_words_are_cut_between_characters),
        T(test_refusals_of_secrets_are_not_stored),
        T(test_older_readers_pass_over_refusals),
        T(test_certificates_in_service_are_remembered),
        T(test_second_opener_is_refused),
        T(test_damaged_file_is_set_aside),
        T(test_impossible_name_is_damage),
        T(test_every_cut_is_noticed),
        T(test_missing_file_falls_back),
        T(test_leftover_of_a_crash_is_ignored),
        T(test_newer_file_for_old_readers_is_read),
        T(test_newer_file_for_new_readers_is_set_aside),
        T(test_accepts_from_another_thread),
        T(test_writes_at_most_once_a_second),
        T(test_full_disk_is_survived_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
