// Text of messages: YAML, JSON, redaction, the JSON writer, JSON Schema.
#include "support.h"

static void test_yaml(void **state)
{
    struct fixture *f = *state;
    void *m =
        DECODE(f, tree,
               "base: \"yes\"\nleft: {}\nchildren: [{base: a b, lists: {ints: [1, 2], scalars: "
               "[{aInt64: 5}]}}, {}]\n"
               "named: {\"1\": {base: \"#\"}}\nknown: {duration: 1m, object: {a: ~, b: [[]]}}\n");
    assert_clean(f);
    assert_string_equal(print(f, m, SLD_TEXT_YAML, false), "base: \"yes\"\n"
                                                           "left: {}\n"
                                                           "children:\n"
                                                           "- base: a b\n"
                                                           "  lists:\n"
                                                           "    ints:\n"
                                                           "    - 1\n"
                                                           "    - 2\n"
                                                           "    scalars:\n"
                                                           "    - aInt64: \"5\"\n"
                                                           "- {}\n"
                                                           "named:\n"
                                                           "  \"1\":\n"
                                                           "    base: \"#\"\n"
                                                           "known:\n"
                                                           "  duration: \"60s\"\n"
                                                           "  object:\n"
                                                           "    a: null\n"
                                                           "    b:\n"
                                                           "    - []\n");
    assert_string_equal(
        print(f, sld_msg_new(&f->a, &sldtest__tree__descriptor), SLD_TEXT_YAML, false), "{}\n");
}

static void test_json(void **state)
{
    struct fixture *f = *state;
    void *m = DECODE(f, lists, "ints: [1, 2]\nstrings: [\"a\\\"b\\n\\u0001\\u2028\"]\n");
    assert_string_equal(print(f, m, SLD_TEXT_JSON, false), "{\n"
                                                           "  \"ints\": [\n"
                                                           "    1,\n"
                                                           "    2\n"
                                                           "  ],\n"
                                                           "  \"strings\": [\n"
                                                           "    \"a\\\"b\\n\\u0001\\u2028\"\n"
                                                           "  ]\n"
                                                           "}\n");
}

static void test_redaction(void **state)
{
    struct fixture *f = *state;
    void *m = DECODE(
        f, rules,
        "named: seen\npassword: hush\ncredentials: {aString: hush, aInt32: 7, aBytes: aGk=}\n"
        "any: {\"@type\": type.googleapis.com/sldtest.Rules, password: hush}\n");
    assert_clean(f);
    const char *text = print(f, m, SLD_TEXT_JSON_COMPACT, true);
    assert_string_equal(
        text, "{\"named\":\"seen\",\"any\":{\"@type\":\"type.googleapis.com/sldtest.Rules\","
              "\"password\":\"***\"},\"password\":\"***\",\"credentials\":{\"aInt32\":\"***\","
              "\"aString\":\"***\",\"aBytes\":\"***\"}}");
    assert_non_null(strstr(print(f, m, SLD_TEXT_YAML, false), "hush"));
    assert_null(strstr(print(f, m, SLD_TEXT_YAML, true), "hush"));
}

static void test_unknown_any(void **state)
{
    struct fixture *f = *state;
    Google__Protobuf__Any *any = SLD_MSG(&f->a, Google__Protobuf__Any, google__protobuf__any);
    any->type_url = SLD_MSG_STR(&f->a, SLD_STR("type.googleapis.com/no.Such"));
    any->value.data = (uint8_t *)SLD_MSG_STR(&f->a, SLD_STR("hi"));
    any->value.len = 2;
    assert_string_equal(json(f, any),
                        "{\"@type\":\"type.googleapis.com/no.Such\",\"value\":\"aGk=\"}");
    assert_string_equal(print(f, any, SLD_TEXT_JSON_COMPACT, true),
                        "{\"@type\":\"type.googleapis.com/no.Such\",\"value\":\"***\"}");
}

static void test_json_writer(void **state)
{
    (void)state;
    struct sld_buf out;
    struct sld_json j;
    sld_buf_init(&out, 1 << 16);
    sld_json_init(&j, &out);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "a");
    sld_json_begin(&j, '[');
    sld_json_int(&j, -1);
    sld_json_str(&j, SLD_STR("\"\x01\xc3\xa9"));
    sld_json_str(&j, SLD_STR_NONE);
    sld_json_begin(&j, '{');
    sld_json_end(&j, '}');
    sld_json_begin(&j, '[');
    sld_json_end(&j, ']');
    sld_json_end(&j, ']');
    sld_json_key(&j, "b");
    sld_json_bool(&j, true);
    sld_json_key(&j, "c");
    sld_json_raw(&j, SLD_STR("{\"d\":1}"));
    sld_json_key(&j, "bad");
    sld_json_str(&j, SLD_STR("x\xffy\xc2"));
    sld_json_key(&j, "e");
    sld_json_null(&j);
    sld_json_end(&j, '}');
    sld_buf_addc(&out, 0);
    assert_string_equal(out.p, "{\"a\":[-1,\"\\\"\\u0001\xc3\xa9\",null,{},[]],\"b\":true,\"c\":{"
                               "\"d\":1},\"bad\":\"x\\ufffdy\\ufffd\",\"e\":null}");
    sld_buf_fini(&out);
}

static const struct sld_node *at(const struct sld_node *n, const char *const *keys)
{
    for (; *keys; keys++) {
        n = sld_node_get(n, sld_str_c(*keys));
        if (!n)
            fail_msg("no %s", *keys);
    }
    return n;
}

#define AT(n, ...) at((n), (const char *const[]){__VA_ARGS__, NULL})

static void assert_text(const struct sld_node *n, const char *text)
{
    assert_true(sld_str_eq(sld_node_text(n), sld_str_c(text)));
}

static void test_json_schema(void **state)
{
    struct fixture *f = *state;
    struct sld_buf out;
    sld_buf_init(&out, 1 << 24);
    sld_schema_print_json(&out, &sldtest__rules__descriptor);
    assert_int_equal(read_text(f, sld_buf_str(&out)), SLD_OK);
    const struct sld_node *root = f->docs[0].root, *rules = AT(root, "$defs", "sldtest.Rules");
    assert_text(AT(root, "$ref"), "#/$defs/sldtest.Rules");
    assert_text(AT(rules, "properties", "port", "default"), "80");
    assert_text(AT(rules, "properties", "port", "maximum"), "65535");
    assert_text(AT(rules, "properties", "inner", "$ref"), "#/$defs/sldtest.Rules");
    assert_text(AT(rules, "properties", "hosts", "items", "type"), "string");
    assert_text(AT(rules, "properties", "headers", "additionalProperties", "type"), "string");
    assert_text(AT(rules, "required")->items[0], "required");
    assert_text(AT(rules, "additionalProperties"), "false");
    assert_text(AT(root, "$defs", "sldtest.Scalars", "properties", "aInt32", "description"),
                "The first field. In two lines.");
    assert_int_equal(AT(root, "$defs")->count, 5);
    sld_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_yaml),        TEST(test_json),        TEST(test_redaction),
        TEST(test_unknown_any), TEST(test_json_writer), TEST(test_json_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
