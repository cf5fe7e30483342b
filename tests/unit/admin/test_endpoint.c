// The table of endpoints, and requests that never reach a socket.
#include "admin/inside.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct found {
    struct sld_arena arena;
    struct call call;
    struct answer answer;
    bool ok;
};

static void find(struct found *f, const char *path, const char *query)
{
    *f = (struct found){0};
    f->call.arena = &f->arena;
    answer_init(&f->answer);
    f->ok = endpoint_find(&f->call, sld_str_c(path), sld_str_c(query), &f->answer);
}

static void done(struct found *f)
{
    answer_fini(&f->answer);
    sld_arena_fini(&f->arena);
}

static void test_table(void **state)
{
    size_t n;
    const struct endpoint *e = endpoint_table(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || strcmp(e[i - 1].pub.path, e[i].pub.path) < 0);
        assert_true(e[i].pub.path[0] == '/' && strlen(e[i].pub.help) > 0);
        // Exactly one way to answer.
        assert_int_equal(!!e[i].io + !!e[i].model + !!e[i].start, 1);
        // Parameters are in order, known, and watches have theirs.
        struct sld_str rest = sld_str_c(e[i].pub.params), word, last = SLD_STR("");
        size_t count = 0;
        bool index = false, wait = false;
        while (sld_str_cut(&rest, ' ', &word) && word.n) {
            assert_true(sld_str_cmp(last, word) < 0);
            index |= sld_str_eq(word, SLD_STR("index"));
            wait |= sld_str_eq(word, SLD_STR("wait"));
            last = word;
            count++;
        }
        assert_true(count <= PARAMS_MAX);
        assert_true(index == e[i].watch && wait == e[i].watch);
        // Open endpoints tell nothing of the configuration.
        assert_true(!e[i].open || strncmp(e[i].pub.path, "/v1", 3) != 0);
    }
}

static void test_paths(void **state)
{
    static const struct {
        const char *path, *endpoint, *args[ARGS_MAX];
    } cases[] = {
        {"/v1", "/v1", {NULL}},
        {"/v1/", "/v1", {NULL}},
        {"/v1/objects", "/v1/objects", {NULL}},
        {"/v1/objects/us/ns/n", "/v1/objects/<kind>/<namespace>/<name>", {"us", "ns", "n"}},
        {"/v1/xds/a~b/cds", "/v1/xds/<view>/<type>", {"a~b", "cds"}},
        {"/readyz/x", "/readyz/<check>", {"x"}},
        {"/", NULL, {NULL}},
        {"", NULL, {NULL}},
        {"//", NULL, {NULL}},
        {"v1", NULL, {NULL}},
        {"/v1//objects", NULL, {NULL}},
        {"/v1/objects/us", NULL, {NULL}},
        {"/v1/objects/us//n", NULL, {NULL}},
        {"/v1/objects/us/ns/n/x", NULL, {NULL}},
        {"/v1/objects//", NULL, {NULL}},
        {"/V1", NULL, {NULL}},
    };
    (void)state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct found f;
        find(&f, cases[i].path, NULL);
        if (f.ok != (cases[i].endpoint != NULL))
            fail_msg("%s", cases[i].path);
        if (f.ok)
            assert_string_equal(f.call.ep->pub.path, cases[i].endpoint);
        else
            assert_int_equal(f.answer.status, 404);
        for (size_t k = 0; f.ok && k < ARGS_MAX && cases[i].args[k]; k++)
            assert_true(sld_str_eq(f.call.args[k], sld_str_c(cases[i].args[k])));
        done(&f);
    }
}

static void test_queries(void **state)
{
    struct found f;
    bool yes = false;
    uint64_t n = 9;
    (void)state;
    find(&f, "/v1/objects", "kind=a%20b&&limit=7&spec");
    assert_true(f.ok);
    assert_true(sld_str_eq(call_param(&f.call, "kind"), SLD_STR("a b")));
    assert_false(call_param(&f.call, "namespace").p != NULL);
    assert_true(call_u64(&f.call, "limit", 1, 10, &n, &f.answer));
    assert_int_equal(n, 7);
    assert_false(call_u64(&f.call, "limit", 1, 6, &n, &f.answer));
    assert_int_equal(f.answer.status, 400);
    assert_true(call_bool(&f.call, "spec", &yes, &f.answer));
    assert_true(yes);
    done(&f);
    find(&f, "/v1/objects", "kin=x");
    assert_false(f.ok);
    assert_true(sld_str_find(sld_buf_str(&f.answer.body), SLD_STR("only continue index kind")) > 0);
    done(&f);
    find(&f, "/v1", "x");
    assert_false(f.ok);
    done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
