// Fields of messages one by one.
#include "codec/edit.h"
#include "codec/support.h"

static unsigned at(const void *m, const char *name)
{
    int i = sld_msg_field_index(sld_msg_info(((const ProtobufCMessage *)m)->descriptor), sld_str_c(name));
    assert_true(i >= 0);
    return (unsigned)i;
}

static const struct sld_node *node(struct fixture *f, const char *text)
{
    assert_int_equal(read_text(f, sld_str_c(text)), SLD_OK);
    f->r = (struct sld_report){.arena = &f->a};
    return f->docs[0].root;
}

// Sets FIELD of M from TEXT.
static bool set(struct fixture *f, void *m, const char *field, const char *text)
{
    return sld_msg_set(&f->a, m, at(m, field), node(f, text), &f->r);
}

static void numbers_and_texts_are_read(void **state)
{
    struct fixture *f = *state;
    void *m = DECODE(f, scalars, "{aInt32: -1, aSint64: -2, aUint64: 18446744073709551615, aFloat: 0.5, aDouble: 2.5, "
                                 "aBool: true, aColor: GREEN, aString: x, aBytes: eA==}");
    assert_true(sld_msg_get(m, at(m, "a_int32"), 0).i == -1 && sld_msg_get(m, at(m, "a_sint64"), 0).i == -2);
    assert_true(sld_msg_get(m, at(m, "a_uint64"), 0).u == UINT64_MAX);
    assert_true(sld_msg_get(m, at(m, "a_float"), 0).d == 0.5 && sld_msg_get(m, at(m, "a_double"), 0).d == 2.5);
    assert_true(sld_msg_get(m, at(m, "a_bool"), 0).b);
    assert_true(sld_str_eq(sld_msg_get(m, at(m, "a_string"), 0).s, SLD_STR("x")));
    struct sld_value v = sld_msg_get(m, at(m, "a_bytes"), 0);
    assert_true(v.kind == SLD_VALUE_BYTES && sld_str_eq(v.s, SLD_STR("x")));
    assert_int_equal(sld_msg_get(m, at(m, "a_color"), 0).kind, SLD_VALUE_STRING);
    assert_int_equal(sld_msg_count(m, at(m, "a_int64")), 0);
}

static void a_field_is_set_and_cleared(void **state)
{
    struct fixture *f = *state;
    void *m = DECODE(f, scalars, "{aInt32: 1, aString: x}");
    assert_true(set(f, m, "a_int32", "7") && set(f, m, "aString", "y") && set(f, m, "a_double", "1.5"));
    assert_string_equal(json(f, m), "{\"aInt32\":7,\"aDouble\":1.5,\"aString\":\"y\"}");
    assert_true(set(f, m, "a_int32", "null") && set(f, m, "a_string", "''"));
    assert_string_equal(json(f, m), "{\"aDouble\":1.5}");
    assert_true(sld_str_eq(sld_msg_get(m, at(m, "a_string"), 0).s, SLD_STR("")));
    assert_false(set(f, m, "a_double", "many"));
    assert_finding(f, 0, SLD_FIELD_TYPE, "aDouble", "expected");
    assert_string_equal(json(f, m), "{\"aDouble\":1.5}");
}

static void one_arm_at_a_time(void **state)
{
    struct fixture *f = *state;
    void *m = DECODE(f, choice, "{text: a, beside: b}");
    assert_true(set(f, m, "number", "0"));
    assert_string_equal(json(f, m), "{\"number\":0,\"beside\":\"b\"}");
    assert_int_equal(sld_msg_get(m, at(m, "text"), 0).kind, SLD_VALUE_NONE);
    assert_int_equal(sld_msg_get(m, at(m, "number"), 0).kind, SLD_VALUE_INT);
    assert_true(set(f, m, "wrapped", "5"));
    assert_true(sld_msg_get(m, at(m, "wrapped"), 0).u == 5);
    assert_true(set(f, m, "text", "null")); // another arm stays
    assert_string_equal(json(f, m), "{\"wrapped\":5,\"beside\":\"b\"}");
    assert_true(set(f, m, "wrapped", "null"));
    assert_string_equal(json(f, m), "{\"beside\":\"b\"}");
}

static void lists(void **state)
{
    struct fixture *f = *state;
    ProtobufCMessage *m = DECODE(f, lists, "{strings: [a, b], scalars: [{aInt32: 1}]}");
    unsigned strings = at(m, "strings"), scalars = at(m, "scalars"), ints = at(m, "ints");
    assert_true(sld_msg_set_item(&f->a, m, strings, 2, node(f, "c"), &f->r));
    assert_true(sld_msg_set_item(&f->a, m, strings, 0, node(f, "z"), &f->r));
    assert_true(sld_msg_set_item(&f->a, m, scalars, 1, node(f, "{aInt32: 2}"), &f->r));
    for (size_t i = 0; i < 20; i++)
        assert_true(sld_msg_set_item(&f->a, m, ints, i, node(f, "9"), &f->r));
    assert_int_equal(sld_msg_count(m, ints), 20);
    assert_false(sld_msg_set_item(&f->a, m, ints, 20, node(f, "x"), &f->r));
    assert_int_equal(sld_msg_count(m, ints), 20);
    assert_true(set(f, m, "ints", "null"));
    sld_msg_remove_item(m, strings, 1);
    assert_string_equal(json(f, m), "{\"strings\":[\"z\",\"c\"],\"scalars\":[{\"aInt32\":1},{\"aInt32\":2}]}");
    assert_true(sld_str_eq(sld_msg_get(m, strings, 1).s, SLD_STR("c")));
}

static void maps(void **state)
{
    struct fixture *f = *state;
    ProtobufCMessage *m = DECODE(f, maps, "{strings: {a: x}}");
    unsigned strings = at(m, "strings"), durations = at(m, "durations");
    assert_true(sld_msg_map_set(&f->a, m, strings, SLD_STR("b"), node(f, "'2'"), &f->r));
    assert_true(sld_msg_map_set(&f->a, m, strings, SLD_STR("a"), node(f, "y"), &f->r));
    assert_true(sld_msg_map_set(&f->a, m, durations, SLD_STR("d"), node(f, "1m"), &f->r));
    assert_false(sld_msg_map_set(&f->a, m, durations, SLD_STR("e"), node(f, "soon"), &f->r));
    assert_int_equal(sld_msg_map_find(m, strings, SLD_STR("b")), 1);
    assert_int_equal(sld_msg_map_find(m, strings, SLD_STR("c")), -1);
    assert_string_equal(json(f, m), "{\"strings\":{\"a\":\"y\",\"b\":\"2\"},\"durations\":{\"d\":\"60s\"}}");
    assert_true(sld_msg_map_set(&f->a, m, strings, SLD_STR("a"), node(f, "null"), &f->r));
    assert_true(sld_msg_map_set(&f->a, m, strings, SLD_STR("a"), node(f, "null"), &f->r));
    assert_int_equal(sld_msg_count(m, strings), 1);
}

static void packed_messages(void **state)
{
    struct fixture *f = *state;
    Sldtest__Known *m = DECODE(f, known, "{any: {'@type': type.googleapis.com/sldtest.Choice, number: 3}}");
    assert_clean(f);
    ProtobufCMessage *in = sld_msg_unpack(&f->a, m->any);
    assert_string_equal(json(f, in), "{\"number\":3}");
    Google__Protobuf__Any other = GOOGLE__PROTOBUF__ANY__INIT;
    other.type_url = sld_arena_cstr(&f->a, SLD_STR("type.googleapis.com/no.Such"));
    assert_null(sld_msg_unpack(&f->a, &other));
    other.type_url = m->any->type_url;
    other.value.data = (uint8_t *)sld_arena_cstr(&f->a, SLD_STR("\xff"));
    other.value.len = 1;
    assert_null(sld_msg_unpack(&f->a, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_and_texts_are_read), TEST(a_field_is_set_and_cleared), TEST(one_arm_at_a_time),
        TEST(lists),                      TEST(maps),                       TEST(packed_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
