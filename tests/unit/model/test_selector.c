// Label selectors, with Kubernetes' rules (gloo-compat 1.2, 3.2).
#include "support.h"

#include "gateway.pb-c.h"

#define OP(name) GLOO__SELECTOR_EXPRESSION__OPERATOR__##name

// Metadata with labels team=one, n=10, empty="".
static const Gloo__Metadata *meta(struct fixture *f)
{
    return sld_doc_decode(&f->a, &gloo__metadata__descriptor,
                          tree(f, "labels: {team: one, n: '10', empty: ''}\n"), false, &f->r);
}

static const Gloo__Selector *selector(struct fixture *f, const char *text)
{
    f->r = (struct sld_report){.arena = &f->a};
    const Gloo__Selector *s =
        sld_doc_decode(&f->a, &gloo__selector__descriptor, tree(f, text), false, &f->r);
    assert_int_equal(f->r.count, 0);
    return s;
}

static bool labels(struct fixture *f, const char *text)
{
    const Gloo__Selector *s = selector(f, text);
    return sld_selector_labels_match(s->labels, s->n_labels, meta(f));
}

static bool expression(struct fixture *f, const char *text)
{
    char all[200];
    snprintf(all, sizeof(all), "expressions: [%s]\n", text);
    const Gloo__Selector *s = selector(f, all);
    return sld_expressions_match(s->expressions, s->n_expressions, meta(f));
}

static void test_labels(void **state)
{
    struct fixture *f = *state;
    assert_true(labels(f, "labels: {}"));
    assert_true(labels(f, "labels: {team: one}"));
    assert_true(labels(f, "labels: {team: one, n: 10, empty: ''}"));
    assert_false(labels(f, "labels: {team: two}"));
    assert_false(labels(f, "labels: {team: one, other: x}"));
    assert_false(labels(f, "labels: {other: ''}")); // absent is not empty
    assert_false(labels(f, "labels: {team: ''}"));
}

static void test_labels_of_other_maps(void **state)
{
    struct fixture *f = *state;
    const Gloo__HttpGateway *g =
        sld_doc_decode(&f->a, &gloo__http_gateway__descriptor,
                       tree(f, "virtualServiceSelector: {team: one}\n"), false, &f->r);
    assert_true(sld_selector_labels_match(g->virtual_service_selector,
                                          g->n_virtual_service_selector, meta(f)));
    assert_false(sld_selector_labels_match(g->virtual_service_selector,
                                           g->n_virtual_service_selector, NULL));
    assert_true(sld_selector_labels_match(NULL, 0, NULL));
}

static void test_operators(void **state)
{
    static const struct {
        bool matches;
        const char *text;
    } cases[] = {
        {true, "{key: team, operator: Equals, values: [one]}"},
        {true, "{key: team, values: [one]}"},
        {false, "{key: team, operator: Equals, values: [two]}"},
        {false, "{key: other, operator: Equals, values: [one]}"},
        {true, "{key: team, operator: DoubleEquals, values: [one]}"},
        {true, "{key: empty, operator: Equals, values: ['']}"},
        {false, "{key: other, operator: Equals, values: ['']}"},
        {true, "{key: team, operator: NotEquals, values: [two]}"},
        {true, "{key: other, operator: NotEquals, values: [two]}"},
        {false, "{key: team, operator: NotEquals, values: [one]}"},
        {true, "{key: team, operator: In, values: [zero, one]}"},
        {false, "{key: team, operator: In, values: [zero]}"},
        {false, "{key: other, operator: In, values: [zero]}"},
        {true, "{key: team, operator: NotIn, values: [zero]}"},
        {true, "{key: other, operator: NotIn, values: [zero]}"},
        {false, "{key: team, operator: NotIn, values: [zero, one]}"},
        {true, "{key: empty, operator: Exists}"},
        {false, "{key: other, operator: Exists}"},
        {true, "{key: other, operator: DoesNotExist}"},
        {false, "{key: empty, operator: DoesNotExist}"},
        {true, "{key: n, operator: GreaterThan, values: ['9']}"},
        {false, "{key: n, operator: GreaterThan, values: ['10']}"},
        {true, "{key: n, operator: LessThan, values: ['11']}"},
        {false, "{key: n, operator: LessThan, values: ['10']}"},
        {false, "{key: team, operator: GreaterThan, values: ['0']}"},
        {false, "{key: other, operator: LessThan, values: ['0']}"},
        {true, "{key: team, operator: Exists}, {key: n, operator: Exists}"},
        {false, "{key: team, operator: Exists}, {key: other, operator: Exists}"},
        {true, ""},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        if (expression(*state, cases[i].text) != cases[i].matches)
            fail_msg("%s", cases[i].text);
    }
}

static void test_invalid_expressions(void **state)
{
    static const struct {
        const char *path, *text;
    } cases[] = {
        {"[0].values", "{key: team, operator: Equals}"},
        {"[0].values", "{key: team, operator: Equals, values: [a, b]}"},
        {"[0].values", "{key: team, operator: NotEquals, values: []}"},
        {"[0].values", "{key: team, operator: In}"},
        {"[0].values", "{key: team, operator: NotIn}"},
        {"[0].values", "{key: team, operator: Exists, values: [a]}"},
        {"[0].values", "{key: team, operator: DoesNotExist, values: [a]}"},
        {"[0].values", "{key: n, operator: GreaterThan, values: [x]}"},
        {"[0].values", "{key: n, operator: LessThan, values: ['1', '2']}"},
        {"[0].values", "{key: n, operator: LessThan, values: ['1.5']}"},
        {"[0].values", "{key: n, operator: LessThan, values: ['-5']}"}, // no label can have it
        {"[0].values", "{key: team, operator: In, values: ['a b']}"},
        {"[0].values", "{key: team, operator: NotIn, values: ['-a']}"},
        {"[0].key", "{key: '', operator: Exists}"},
        {"[0].key", "{key: 'a b', operator: DoesNotExist}"},
        {"[0].key", "{key: UPPER.com/x/y, operator: DoesNotExist}"},
        {"[0].key", "{key: /x, operator: DoesNotExist}"},
        {"[0].operator", "{key: x, operator: 77}"},
        {"[1].values", "{key: team, operator: Exists}, {key: x, operator: In}"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char all[200];
        snprintf(all, sizeof(all), "expressions: [%s]\n", cases[i].text);
        f->r = (struct sld_report){.arena = &f->a};
        const Gloo__Selector *s =
            sld_doc_decode(&f->a, &gloo__selector__descriptor, tree(f, all), false, &f->r);
        f->r = (struct sld_report){.arena = &f->a};
        if (sld_expressions_check(&f->r, s->expressions, s->n_expressions))
            fail_msg("%s is valid", cases[i].text);
        assert_int_equal(f->r.errors, 1);
        finding(f->r.items, f->r.count, SLD_GW_SELECTOR, cases[i].path);
        assert_false(sld_expressions_match(s->expressions, s->n_expressions, meta(f)));
    }
}

static void test_valid_expressions(void **state)
{
    struct fixture *f = *state;
    const Gloo__Selector *s =
        selector(f, "expressions: [{key: solo.io/team_x.y, operator: In, values: [a.b-c_D, '']}, "
                    "{key: n, operator: GreaterThan, values: ['5']}]\n");
    struct sld_str before = sld_report_enter(&f->r, "httpGateway", -1);
    assert_true(sld_expressions_check(&f->r, s->expressions, s->n_expressions));
    assert_int_equal(f->r.count, 0);
    sld_report_leave(&f->r, before);
}

static void test_namespaces(void **state)
{
    (void)state;
    char a[] = "a", all[] = "*";
    char *one[] = {a}, *star[] = {a, all};
    assert_true(sld_namespaces_match(one, 1, SLD_STR("a")));
    assert_false(sld_namespaces_match(one, 1, SLD_STR("b")));
    assert_true(sld_namespaces_match(star, 2, SLD_STR("b")));
    assert_false(sld_namespaces_match(NULL, 0, SLD_STR("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_labels),
        T(test_labels_of_other_maps),
        T(test_operators),
        T(test_invalid_expressions),
        T(test_valid_expressions),
        T(test_namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
