// Reading JSON without building anything (core/codec/scan.h), against the reader that builds trees.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/doc.h"
#include "scan_all.h"

static bool whole(const char *text)
{
    struct sld_arena a = {0};
    struct sld_scan s;
    sld_scan_init(&s, sld_str_c(text), &a);
    read_all(&s);
    bool ok = sld_scan_end(&s);
    sld_scan_init(&s, sld_str_c(text), &a);
    sld_scan_skip(&s);
    bool skipped = sld_scan_end(&s);
    assert_true(skipped || !ok);
    sld_arena_fini(&a);
    return ok;
}

static void members_are_read_in_any_order(void **state)
{
    (void)state;
    const char *text =
        "\n[ {\"Key\": \"a/\\u00e9\\\"\", \"Flags\":18446744073709551615, \"Value\":null,"
        " \"more\":{\"x\":[1,{\"y\":\"\\\\\"}],\"z\":false}, \"Weight\":-7, \"Ok\" : true},"
        "{}, {\"Tags\":null,\"Key\":\"\"}\t]\n";
    struct sld_arena a = {0};
    struct sld_scan s;
    struct sld_str key;
    sld_scan_init(&s, sld_str_c(text), &a);
    assert_int_equal(sld_scan_type(&s), SLD_SCAN_ARRAY);
    assert_true(sld_scan_array(&s));
    unsigned items = 0, members = 0;
    while (sld_scan_item(&s)) {
        items++;
        sld_scan_object(&s);
        while (sld_scan_member(&s, &key)) {
            members++;
            if (sld_str_eq(key, SLD_STR("Key"))) {
                struct sld_str v = sld_scan_str(&s);
                assert_true(sld_str_eq(v, items == 1 ? SLD_STR("a/\xc3\xa9\"") : SLD_STR("")));
                assert_non_null(v.p);
            } else if (sld_str_eq(key, SLD_STR("Flags"))) {
                assert_true(sld_scan_u64(&s) == UINT64_MAX);
            } else if (sld_str_eq(key, SLD_STR("Value"))) {
                assert_null(sld_scan_str(&s).p);
            } else if (sld_str_eq(key, SLD_STR("Weight"))) {
                assert_int_equal(sld_scan_i64(&s), -7);
            } else if (sld_str_eq(key, SLD_STR("Ok"))) {
                assert_true(sld_scan_bool(&s));
            } else if (sld_str_eq(key, SLD_STR("Tags"))) {
                assert_true(sld_scan_array(&s));
                assert_false(sld_scan_item(&s));
            } else {
                sld_scan_skip(&s);
            }
        }
    }
    assert_true(sld_scan_end(&s));
    assert_int_equal(items, 3);
    assert_int_equal(members, 8);
    sld_arena_fini(&a);
}

static void a_value_of_another_type_is_a_mistake(void **state)
{
    (void)state;
    static const char *const texts[] = {"[\"x\"]", "[1.5]", "[-1]", "[18446744073709551616]",
                                        "[{}]",    "[true]"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        struct sld_arena a = {0};
        struct sld_scan s;
        sld_scan_init(&s, sld_str_c(texts[i]), &a);
        assert_true(sld_scan_array(&s));
        assert_true(sld_scan_item(&s));
        assert_int_equal(sld_scan_u64(&s), 0);
        assert_false(sld_scan_item(&s));
        assert_false(sld_scan_end(&s));
        assert_true(whole(texts[i]));
        sld_arena_fini(&a);
    }
}

static void strings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text; // TEXT NULL: refused
    } rows[] = {
        {"\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"", "\b\f\n\r\t/\\\""},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                               "A"},
        {"\"\\ude00\"", "\xef\xbf\xbd"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
        {"\"\xff\"", NULL},
        {"\"\\x\"", NULL},
        {"\"\\u12g4\"", NULL},
        {"\"\\u12\"", NULL},
        {"\"", NULL},
        {"\"\\\"", NULL},
        {"x", NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct sld_arena a = {0};
        struct sld_scan s;
        sld_scan_init(&s, sld_str_c(rows[i].json), &a);
        struct sld_str v = sld_scan_str(&s);
        assert_int_equal(sld_scan_end(&s), rows[i].text != NULL);
        if (rows[i].text)
            assert_true(sld_str_eq(v, sld_str_c(rows[i].text)));
        sld_arena_fini(&a);
    }
}

// Every cut of a text is noticed; where a byte is replaced by another, what is read here is read by
// the reader of trees too.
static void cuts_and_changes(void **state)
{
    (void)state;
    const char text[] = "[{\"Key\":\"a\\n\",\"N\":-1.5e+3,\"b\":[true,null,false,{}]},[],0,\"\"]";
    char copy[sizeof(text)];
    assert_true(whole(text));
    for (size_t n = 0; n + 1 < sizeof(text); n++) {
        memcpy(copy, text, n);
        copy[n] = 0;
        assert_false(whole(copy));
    }
    static const char others[] = "\"{}[],:\\0 -a";
    for (size_t n = 0; n + 1 < sizeof(text); n++) {
        for (const char *o = others; *o; o++) {
            memcpy(copy, text, sizeof(text));
            copy[n] = *o;
            struct sld_arena a = {0};
            struct sld_document *docs;
            size_t count;
            enum sld_code code = SLD_YAML_SYNTAX;
            // What is no JSON is read as YAML, which takes more.
            bool tree = sld_doc_read(&a, sld_str_c(copy), &sld_doc_limits_default, &docs, &count,
                                     &code, NULL) == SLD_OK;
            if (whole(copy))
                assert_true(tree || code == SLD_DOC_DUPLICATE_KEY);
            sld_arena_fini(&a);
        }
    }
    static const char *const bad[] = {"01",   "-",     "1.",         ".5",    "1e",    "+1",
                                      "nul",  "nullx", "truex",      "[1 2]", "{1:2}", "{\"a\" 1}",
                                      "[,1]", "[1,]",  "{\"a\":1,}", "1 1",   "",      " "};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++)
        assert_false(whole(bad[i]));
    static const char *const good[] = {"0",   "-0",  "1e5",          "1.5E-3",
                                       "[ ]", "{ }", "\"\\u0000\"", " null "};
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++)
        assert_true(whole(good[i]));
}

static void depth_has_a_ceiling(void **state)
{
    (void)state;
    char text[2 * (SLD_SCAN_DEPTH_MAX + 1) + 1];
    for (int n = SLD_SCAN_DEPTH_MAX; n <= SLD_SCAN_DEPTH_MAX + 1; n++) {
        memset(text, '[', (size_t)n);
        memset(text + n, ']', (size_t)n);
        text[2 * n] = 0;
        assert_int_equal(whole(text), n == SLD_SCAN_DEPTH_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read_in_any_order),
        cmocka_unit_test(a_value_of_another_type_is_a_mistake),
        cmocka_unit_test(strings),
        cmocka_unit_test(cuts_and_changes),
        cmocka_unit_test(depth_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
