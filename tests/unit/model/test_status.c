// Statuses and Gloo's text for them (gloo-compat 0.3).
#include "support.h"

#define F(sev, where, words)                                                                       \
    {                                                                                              \
        .code = SLD_FIELD_TYPE, .severity = (sev), .path = SLD_STR_INIT(where),                    \
        .message = SLD_STR_INIT(words)                                                             \
    }

static void check(const struct sld_finding *f, size_t n, enum sld_status_state want,
                  const char *reason)
{
    struct sld_status *s = sld_status_create(f, n, false, true);
    assert_int_equal(s->state, want);
    assert_str(s->reason, reason);
    SLD_UNREF(s);
}

static void test_states_and_reasons(void **state)
{
    (void)state;
    const struct sld_finding note = F(SLD_NOTE, "", "by the way");
    const struct sld_finding warn[] = {F(SLD_WARNING, "", "w1"), F(SLD_WARNING, "p", "w2")};
    const struct sld_finding error[] = {F(SLD_ERROR, "a.b", "e1")};
    const struct sld_finding mixed[] = {F(SLD_WARNING, "", "w1"), F(SLD_ERROR, "", "e1"),
                                        F(SLD_NOTE, "", "n"), F(SLD_ERROR, "x", "e2")};
    check(NULL, 0, SLD_ACCEPTED, "");
    check(&note, 1, SLD_ACCEPTED, "");
    check(warn, 2, SLD_STATUS_WARNING, "warning: \n  w1\np: w2");
    check(error, 1, SLD_REJECTED, "1 error occurred:\n\t* a.b: e1\n\n");
    check(mixed, 4, SLD_REJECTED, "2 errors occurred:\n\t* e1\n\t* x: e2\n\n\nwarning: \n  w1");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(sld_status_state_name(SLD_PENDING), "Pending");
    assert_string_equal(sld_status_state_name(SLD_ACCEPTED), "Accepted");
    assert_string_equal(sld_status_state_name(SLD_REJECTED), "Rejected");
    assert_string_equal(sld_status_state_name(SLD_STATUS_WARNING), "Warning");
    assert_int_equal(SLD_STATUS_WARNING, 3); // Gloo's numbers
}

static void test_findings_are_copied_errors_first_each_once(void **state)
{
    (void)state;
    char words[] = "told twice";
    struct sld_finding f[] = {
        F(SLD_NOTE, "", "n"),
        F(SLD_WARNING, "", "w"),
        {.code = SLD_FIELD_TYPE, .severity = SLD_ERROR, .message = sld_str_c(words)},
        {.code = SLD_FIELD_TYPE, .severity = SLD_ERROR, .message = sld_str_c(words)},
        {.code = SLD_FIELD_ENUM, .severity = SLD_ERROR, .message = sld_str_c(words)},
        {.code = SLD_FIELD_ENUM, .severity = SLD_ERROR, .message = sld_str_c(words), .line = 4},
    };
    struct sld_status *s = sld_status_create(f, SLD_ARRAY_LEN(f), true, false);
    memset(words, 'x', 4);
    assert_int_equal(s->count, 5);
    assert_int_equal(s->errors, 3);
    assert_int_equal(s->warnings, 1);
    assert_str(s->findings[0].message, "told twice");
    assert_int_equal(s->findings[2].line, 4);
    assert_int_equal(s->findings[3].severity, SLD_WARNING);
    assert_int_equal(s->findings[4].severity, SLD_NOTE);
    assert_true(s->last_good);
    assert_false(s->served);
    SLD_UNREF(s);
}

// N findings of SEV whose words are LEN bytes long.
static struct sld_finding *many(struct sld_arena *a, size_t n, enum sld_severity sev, size_t len)
{
    struct sld_finding *f = SLD_ARENA_ARRAY(a, struct sld_finding, n);
    for (size_t i = 0; i < n; i++) {
        char *text = sld_arena_alloc(a, len + 1);
        memset(text, 'a', len);
        snprintf(text, len + 1, "%0*zu", (int)len, i);
        f[i] = (struct sld_finding){
            .code = SLD_FIELD_TYPE, .severity = sev, .message = sld_str_n(text, len)};
    }
    return f;
}

static void test_long_reasons_say_how_much_is_left_out(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {3, 7, 50, 99, 400, 2000};
    for (size_t i = 0; i < SLD_ARRAY_LEN(lengths); i++) {
        for (int sev = SLD_WARNING; sev <= SLD_ERROR; sev++) {
            struct sld_status *s = sld_status_create(
                many(&f->a, 500, (enum sld_severity)sev, lengths[i]), 500, false, true);
            assert_true(s->reason.n <= SLD_REASON_MAX);
            assert_true(s->reason.n > 500 || lengths[i] < 8);
            assert_true(mentions(s->reason, " more"));
            assert_int_equal(s->count, SLD_REPORT_MAX);
            assert_int_equal(sev == SLD_ERROR ? s->errors : s->warnings, 500);
            size_t told = 0, left = 0;
            for (size_t k = 0; k < s->reason.n; k++)
                told += s->reason.p[k] == '\n' && k + 1 < s->reason.n;
            ptrdiff_t at = sld_str_find(s->reason, SLD_STR("and "));
            assert_int_equal(sscanf(s->reason.p + at, "and %zu more", &left), 1);
            // Every line but that of the rest and, for errors, the two at the end, tells of one.
            assert_int_equal(told - (sev == SLD_ERROR ? 2 : 1) + left, 500);
            SLD_UNREF(s);
        }
    }
}

static void test_errors_leave_no_room_for_warnings(void **state)
{
    struct fixture *f = *state;
    struct sld_finding *all = SLD_ARENA_ARRAY(&f->a, struct sld_finding, 60);
    memcpy(all, many(&f->a, 50, SLD_ERROR, 80), 50 * sizeof(*all));
    memcpy(all + 50, many(&f->a, 10, SLD_WARNING, 80), 10 * sizeof(*all));
    struct sld_status *s = sld_status_create(all, 60, false, true);
    assert_int_equal(s->state, SLD_REJECTED);
    assert_true(s->reason.n <= SLD_REASON_MAX);
    assert_true(mentions(s->reason, "50 errors occurred:"));
    assert_true(mentions(s->reason, " more\n\n"));
    assert_true(sld_str_utf8(s->reason, NULL));
    SLD_UNREF(s);
}

static void test_cuts_between_characters(void **state)
{
    (void)state;
    static char text[3001];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 <= 3000; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        size_t n = shift + (3000 - shift) / 3 * 3;
        struct sld_finding one = {
            .code = SLD_FIELD_TYPE, .severity = SLD_ERROR, .message = sld_str_n(text, n)};
        struct sld_status *s = sld_status_create(&one, 1, false, true);
        assert_true(s->reason.n <= SLD_REASON_MAX);
        assert_true(sld_str_utf8(s->reason, NULL));
        SLD_UNREF(s);
    }
}

static void test_hash_is_of_everything(void **state)
{
    (void)state;
    const struct sld_finding a[] = {F(SLD_ERROR, "p", "m")}, b[] = {F(SLD_ERROR, "p", "n")},
                             c[] = {F(SLD_ERROR, "pm", "")};
    struct sld_status *all[] = {
        sld_status_create(a, 1, false, false), sld_status_create(b, 1, false, false),
        sld_status_create(c, 1, false, false), sld_status_create(a, 1, true, false),
        sld_status_create(a, 1, false, true),  sld_status_create(NULL, 0, false, false)};
    struct sld_status *same = sld_status_create(a, 1, false, false);
    assert_true(sld_hash_eq(same->obj.hash, all[0]->obj.hash));
    SLD_UNREF(same);
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++) {
        for (size_t k = 0; k < i; k++)
            assert_false(sld_hash_eq(all[i]->obj.hash, all[k]->obj.hash));
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++)
        SLD_UNREF(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_states_and_reasons),
        T(test_names),
        T(test_findings_are_copied_errors_first_each_once),
        T(test_long_reasons_say_how_much_is_left_out),
        T(test_errors_leave_no_room_for_warnings),
        T(test_cuts_between_characters),
        T(test_hash_is_of_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
