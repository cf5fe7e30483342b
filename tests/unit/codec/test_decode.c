// Trees to messages: what proto3's JSON mapping as Gloo reads it accepts, and the findings for the
// rest.
#include "support.h"

static void test_names(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, scalars, "aInt32: 1\na_uint32: 2\nODD: 3\n",
                "{\"aInt32\":1,\"aUint32\":2,\"ODD\":3}");
    ASSERT_JSON(f, scalars, "odd_name: 3\n", "{\"ODD\":3}");
    DECODE(f, scalars, "aInt32: 1\na_int32: 2\n");
    assert_finding(f, 0, SLD_DOC_DUPLICATE_KEY, "aInt32", "set twice");
}

static void test_numbers(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(
        f, scalars,
        "{aInt32: \"-5\", aUint64: \"18446744073709551615\", aInt64: -9223372036854775808}",
        "{\"aInt32\":-5,\"aInt64\":\"-9223372036854775808\",\"aUint64\":\"18446744073709551615\"}");
    ASSERT_JSON(
        f, scalars, "{aInt32: 1e3, aUint32: 0x1F, aUint64: 1_000, aInt64: 010, aFixed32: 0o17}",
        "{\"aInt32\":1000,\"aInt64\":\"8\",\"aUint32\":31,\"aFixed32\":15,\"aUint64\":\"1000\"}");
    ASSERT_JSON(f, scalars, "{aDouble: 1.5, aFloat: \"2.5\"}", "{\"aFloat\":2.5,\"aDouble\":1.5}");
    ASSERT_JSON(f, scalars, "{aDouble: .inf, aFloat: \"-Infinity\"}",
                "{\"aFloat\":\"-Infinity\",\"aDouble\":\"Infinity\"}");
    DECODE(f, scalars,
           "aInt32: 2147483648\naUint32: -1\naUint64: 18446744073709551616\naInt64: 1.5\n"
           "aFloat: 1e39\naSint32: x\naFixed32: \"0x1F\"\naFixed64: []\n");
    assert_finding(f, 0, SLD_FIELD_RANGE, "aInt32", "out of range");
    assert_finding(f, 1, SLD_FIELD_RANGE, "aUint32", "out of range");
    assert_finding(f, 2, SLD_FIELD_RANGE, "aUint64", "out of range");
    assert_finding(f, 3, SLD_FIELD_TYPE, "aInt64", "expected a whole number, found 1.5");
    assert_finding(f, 4, SLD_FIELD_RANGE, "aFloat", "out of range");
    assert_finding(f, 5, SLD_FIELD_TYPE, "aSint32", "expected a whole number, found x");
    assert_finding(f, 6, SLD_FIELD_TYPE, "aFixed32", "found \"0x1F\"");
    assert_finding(f, 7, SLD_FIELD_TYPE, "aFixed64", "found a list");
    assert_int_equal(f->r.count, 8);
    DECODE(f, scalars, "aUint32: 4294967296\naFixed32: 4294967295\n");
    assert_finding(f, 0, SLD_FIELD_RANGE, "aUint32", "out of range");
    assert_int_equal(f->r.count, 1);
}

static void test_words(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, scalars, "{aBool: yes, aColor: BLUE, aString: 1.0, aBytes: aGk=}",
                "{\"aBool\":true,\"aColor\":\"BLUE\",\"aString\":\"1.0\",\"aBytes\":\"aGk=\"}");
    ASSERT_JSON(f, scalars, "{aColor: -1, aBytes: _-8}",
                "{\"aColor\":\"NEGATIVE\",\"aBytes\":\"/+8=\"}");
    ASSERT_JSON(f, scalars, "{aColor: 77}", "{\"aColor\":77}");
    DECODE(f, scalars, "aBool: \"true\"\naColor: BLUEE\naString: {}\naBytes: \"a*\"\n");
    assert_finding(f, 0, SLD_FIELD_TYPE, "aBool", "without quotes");
    assert_finding(f, 1, SLD_FIELD_ENUM, "aColor", "did you mean \"BLUE\"?");
    assert_finding(f, 2, SLD_FIELD_TYPE, "aString", "expected a string, found a mapping");
    assert_finding(f, 3, SLD_FIELD_FORMAT, "aBytes", "not base64");
    DECODE(f, scalars, "aColor: YELLOW\naString: \"a\\0b\"\n");
    assert_finding(f, 0, SLD_FIELD_ENUM, "aColor", "one of: NEGATIVE, RED, GREEN, BLUE");
    assert_finding(f, 1, SLD_FIELD_FORMAT, "aString", "NUL");
}

static void test_null_is_unset(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, scalars, "{aInt32: null, aString: ~, aColor: }", "{}");
    ASSERT_JSON(f, known, "{duration: null, value: null, null: null}", "{\"value\":null}");
    ASSERT_JSON(f, choice, "{text: null, number: 0}", "{\"number\":0}");
    ASSERT_JSON(f, lists, "{ints: null}", "{}");
    DECODE(f, lists, "{ints: [1, null, 2]}");
    assert_finding(f, 0, SLD_FIELD_TYPE, "ints[1]", "expected a value, found null");
    DECODE(f, maps, "{strings: {a: null}}");
    assert_finding(f, 0, SLD_FIELD_TYPE, "strings.a", "found null");
}

static void test_durations_and_times(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, known, "{duration: 1m}", "{\"duration\":\"60s\"}");
    ASSERT_JSON(f, known, "{duration: 1h30m0.5s}", "{\"duration\":\"5400.5s\"}");
    ASSERT_JSON(f, known, "{duration: \"-500ms\"}", "{\"duration\":\"-0.5s\"}");
    ASSERT_JSON(f, known, "{timestamp: \"2026-11-24T11:00:00.25+01:00\"}",
                "{\"timestamp\":\"2026-11-24T10:00:00.25Z\"}");
    DECODE(f, known, "duration: 5\ntimestamp: 2026-02-29T00:00:00Z\n");
    assert_finding(f, 0, SLD_FIELD_FORMAT, "duration", "with a unit");
    assert_finding(f, 1, SLD_FIELD_FORMAT, "timestamp", "no time");
    DECODE(f, known, "duration: {seconds: 1}\n");
    assert_finding(f, 0, SLD_FIELD_TYPE, "duration", "expected a duration");
}

static void test_wrappers_and_values(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, known, "{uint32Value: 0, boolValue: false, stringValue: \"\"}",
                "{\"boolValue\":false,\"uint32Value\":0,\"stringValue\":\"\"}");
    ASSERT_JSON(f, known, "{object: {a: 1, b: \"1\", c: [true, yes, ~, 1.5e1, x], d: {}}}",
                "{\"object\":{\"a\":1,\"b\":\"1\",\"c\":[true,true,null,15,\"x\"],\"d\":{}}}");
    ASSERT_JSON(f, known, "{list: [1, [2]], empty: {}}", "{\"list\":[1,[2]],\"empty\":{}}");
    DECODE(f, known, "uint32Value: -1\nobject: [1]\nempty: {a: 1}\n");
    assert_finding(f, 0, SLD_FIELD_RANGE, "uint32Value", "out of range");
    assert_finding(f, 1, SLD_FIELD_TYPE, "object", "expected a mapping, found a list");
    assert_finding(f, 2, SLD_FIELD_UNKNOWN, "empty.a", "unknown field");
}

static void test_any(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, known, "any: {\"@type\": type.googleapis.com/sldtest.Scalars, aInt32: 7}",
                "{\"any\":{\"@type\":\"type.googleapis.com/sldtest.Scalars\",\"aInt32\":7}}");
    ASSERT_JSON(
        f, known, "any: {\"@type\": type.googleapis.com/google.protobuf.Duration, value: 1m}",
        "{\"any\":{\"@type\":\"type.googleapis.com/google.protobuf.Duration\",\"value\":\"60s\"}}");
    DECODE(f, known, "any: {\"@type\": type.googleapis.com/sldtest.Scalars, aInt32: x}");
    assert_finding(f, 0, SLD_FIELD_TYPE, "any.aInt32", "whole number");
    DECODE(f, known, "any: {\"@type\": type.googleapis.com/no.Such}");
    assert_finding(f, 0, SLD_FIELD_TYPE, "any", "not known here");
    DECODE(f, known, "any: {a: 1}");
    assert_finding(f, 0, SLD_FIELD_REQUIRED, "any", "@type");
}

static void test_lists_and_maps(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, maps, "{messages: {2: {aInt32: 1}, -1: {}}, flags: {true: RED, false: BLUE}}",
                "{\"messages\":{\"-1\":{},\"2\":{\"aInt32\":1}},\"flags\":{\"false\":\"BLUE\","
                "\"true\":\"RED\"}}");
    DECODE(f, maps, "messages: {x: {}, 1: {aInt32: y}}\nstrings: {a b: []}\nflags: []\n");
    assert_finding(f, 0, SLD_FIELD_TYPE, "messages.x", "whole number");
    assert_finding(f, 1, SLD_FIELD_TYPE, "messages.1.aInt32", "whole number");
    assert_finding(f, 2, SLD_FIELD_TYPE, "strings[\"a b\"]", "expected a string");
    assert_finding(f, 3, SLD_FIELD_TYPE, "flags", "expected a mapping");
    DECODE(f, lists, "ints: 5\nscalars: [{aInt32: 1}, {aInt32: x}]\n");
    assert_finding(f, 0, SLD_FIELD_TYPE, "ints", "expected a list, found 5");
    assert_finding(f, 1, SLD_FIELD_TYPE, "scalars[1].aInt32", "whole number");
}

static void test_oneofs(void **state)
{
    struct fixture *f = *state;
    ASSERT_JSON(f, choice, "{nothing: {}}", "{\"nothing\":{}}");
    ASSERT_JSON(f, choice, "{flag: false}", "{\"flag\":false}");
    Sldtest__Choice *m = DECODE(f, choice, "text: a\nnumber: 1\nscalars: {}\n");
    assert_finding(f, 0, SLD_FIELD_ONEOF, "number", "\"number\" and \"text\" exclude each other");
    assert_finding(f, 1, SLD_FIELD_ONEOF, "scalars", "\"scalars\" and \"text\"");
    assert_int_equal(m->kind_case, SLDTEST__CHOICE__KIND_TEXT);
}

static void test_unknown_fields(void **state)
{
    struct fixture *f = *state;
    DECODE(f, tree, "left: {chldren: []}\nzzz: 1\n");
    assert_finding(f, 0, SLD_FIELD_UNKNOWN, "left.chldren", "did you mean \"children\"?");
    assert_finding(f, 1, SLD_FIELD_UNKNOWN, "zzz", "unknown field \"zzz\"");
    assert_int_equal(f->r.errors, 2);
    decode_as(f, &sldtest__tree__descriptor, "zzz: 1\nbase: x\n", true);
    assert_int_equal(f->r.errors, 0);
    assert_int_equal(f->r.warnings, 1);
    assert_finding(f, 0, SLD_FIELD_UNKNOWN, "zzz", "unknown field");
}

// One run finds all, and what is well is decoded.
static void test_decoding_goes_on_behind_errors(void **state)
{
    struct fixture *f = *state;
    void *m =
        DECODE(f, tree,
               "base: a\nleft: 5\nchildren: [{base: b}, 7, {base: c}]\nlists: {ints: [1, x, 3]}\n");
    assert_int_equal(f->r.errors, 3);
    assert_string_equal(
        json(f, m),
        "{\"base\":\"a\",\"left\":{},\"children\":[{\"base\":\"b\"},{},{\"base\":\"c\"}],"
        "\"lists\":{\"ints\":[1,3]}}");
    assert_non_null(sld_doc_decode(&f->a, &sldtest__tree__descriptor, NULL, false, &f->r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_numbers),
        TEST(test_words),
        TEST(test_null_is_unset),
        TEST(test_durations_and_times),
        TEST(test_wrappers_and_values),
        TEST(test_any),
        TEST(test_lists_and_maps),
        TEST(test_oneofs),
        TEST(test_unknown_fields),
        TEST(test_decoding_goes_on_behind_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
