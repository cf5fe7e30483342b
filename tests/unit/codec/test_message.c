// Messages: bytes, hashes, merging, copies, differences, constraints, and the side tables.
#include "support.h"

#include "codec/format.h"

static void test_side_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < sld_schema.count; i++) {
        const struct sld_msg_info *info = &sld_schema.msgs[i];
        assert_ptr_equal(sld_msg_info(info->desc), info);
        assert_ptr_equal(sld_msg_find(sld_str_c(info->desc->name)), info);
        for (unsigned k = 0; k < info->desc->n_fields; k++) {
            const struct sld_rules *u = info->fields[k].rules;
            assert_int_equal(sld_msg_field_index(info, sld_str_c(info->desc->fields[k].name)),
                             (int)k);
            assert_int_equal(sld_msg_field_index(info, sld_str_c(info->fields[k].json_name)),
                             (int)k);
            assert_true(!u || !u->format || sld_format_known(u->format));
        }
    }
    assert_null(sld_msg_find(SLD_STR("sldtest.Nothing")));
    const struct sld_msg_info *info = sld_msg_find(SLD_STR("sldtest.Scalars"));
    assert_string_equal(info->doc, "All scalars.");
    assert_string_equal(info->fields[0].doc, "The first field. In two lines.");
    assert_int_equal(sld_msg_field_index(info, SLD_STR("aInt")), -1);
    assert_int_equal(sld_msg_field_index(info, SLD_STR("")), -1);
    const struct sld_msg_info *choice = sld_msg_find(SLD_STR("sldtest.Choice"));
    assert_string_equal(choice->fields[0].oneof, "kind");
    assert_null(choice->fields[choice->desc->n_fields - 1].oneof);
    assert_true(sld_msg_find(SLD_STR("sldtest.Maps"))->fields[0].is_map);
    const struct sld_msg_info *rules = sld_msg_find(SLD_STR("sldtest.Rules"));
    assert_string_equal(rules->fields[sld_msg_field_index(rules, SLD_STR("port"))].default_text,
                        "80");
    assert_true(rules->fields[sld_msg_field_index(rules, SLD_STR("password"))].sensitive);
}

static void test_bytes_and_hash_do_not_know_map_order(void **state)
{
    struct fixture *f = *state;
    Sldtest__Maps *x =
        DECODE(f, maps, "{strings: {b: 1, a: 2, \"\": 3}, messages: {5: {}, -1: {}}}");
    Sldtest__Maps *y =
        DECODE(f, maps, "{messages: {-1: {}, 5: {}}, strings: {\"\": 3, a: 2, b: 1}}");
    struct sld_str bytes = sld_msg_encode(&f->a, &x->base);
    assert_true(sld_str_eq(bytes, sld_msg_encode(&f->a, &y->base)));
    assert_true(sld_hash_eq(sld_msg_hash(&x->base), sld_hash_bytes(bytes)));
    assert_string_equal(x->strings[0]->key, "b"); // encoding changes nothing
    assert_true(sld_msg_equal(&x->base, &y->base));
    sld_msg_sort_maps(&x->base);
    assert_string_equal(x->strings[0]->key, "");
    assert_int_equal(x->messages[0]->key, -1);
    y->messages[0]->key = 9;
    assert_false(sld_msg_equal(&x->base, &y->base));
    assert_false(sld_msg_equal(&x->base, NULL));
    assert_int_equal(sld_msg_encode(&f->a, sld_msg_new(&f->a, &sldtest__maps__descriptor)).n, 0);
    assert_non_null(sld_msg_encode(&f->a, sld_msg_new(&f->a, &sldtest__maps__descriptor)).p);
}

static void *decode_wire(struct fixture *f, const ProtobufCMessageDescriptor *desc,
                         struct sld_str s, unsigned depth)
{
    return sld_msg_decode(&f->a, desc, s, depth, &f->err);
}

static void test_hostile_bytes(void **state)
{
    struct fixture *f = *state;
    const ProtobufCMessageDescriptor *tree = &sldtest__tree__descriptor,
                                     *lists = &sldtest__lists__descriptor;
    // base = "a" with a NUL; bad UTF-8; a length beyond the end; a group; field 0; a varint without
    // end.
    assert_null(decode_wire(f, tree,
                            (struct sld_str){"\x0a\x02"
                                             "a\0",
                                             4},
                            9));
    assert_string_equal(f->err.msg, "sldtest.Tree: a string has a NUL byte");
    assert_null(decode_wire(f, tree, SLD_STR("\x0a\x01\xff"), 9));
    assert_null(decode_wire(f, tree,
                            SLD_STR("\x0a\x05"
                                    "ab"),
                            9));
    assert_null(decode_wire(f, tree, SLD_STR("\x0b\x0c"), 9));
    assert_null(decode_wire(f, tree, (struct sld_str){"\x02\x00", 2}, 9));
    assert_null(
        decode_wire(f, lists, SLD_STR("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 9));
    assert_null(decode_wire(f, lists, SLD_STR("\x0a\x02\x01\x80"), 9));
    assert_non_null(decode_wire(f, tree, SLD_STR(""), 0));
}

static void test_depth_of_bytes(void **state)
{
    struct fixture *f = *state;
    const ProtobufCMessageDescriptor *tree = &sldtest__tree__descriptor;
    assert_non_null(decode_wire(f, tree, (struct sld_str){"\x12\x02\x12\x00", 4}, 2));
    assert_null(decode_wire(f, tree, (struct sld_str){"\x12\x02\x12\x00", 4}, 1));
    assert_int_equal(f->err.rc, SLD_LIMIT);
    // A hundred thousand levels, built inside out.
    struct sld_buf b;
    sld_buf_init(&b, 1 << 26);
    enum { LEVELS = 100000, WIDTH = 5 };
    for (int i = LEVELS; i-- > 0;) {
        unsigned n = (unsigned)i * WIDTH;
        char level[WIDTH] = {0x12, (char)(0x80 | (n & 0x7f)), (char)(0x80 | ((n >> 7) & 0x7f)),
                             (char)(0x80 | ((n >> 14) & 0x7f)), (char)(n >> 21)};
        sld_buf_add(&b, (struct sld_str){level, WIDTH});
    }
    assert_null(decode_wire(f, tree, sld_buf_str(&b), 100));
    assert_int_equal(f->err.rc, SLD_LIMIT);
    sld_buf_fini(&b);
}

// Two bytes of input for each empty message of 200 bytes and more.
static void test_arena_ceiling_of_bytes(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    for (int i = 0; i < 100000; i++)
        sld_buf_add(&b, (struct sld_str){"\x1a\x00", 2});
    struct sld_arena a = {0};
    sld_arena_limit(&a, 1 << 20);
    assert_null(sld_msg_decode(&a, &sldtest__tree__descriptor, sld_buf_str(&b), 10, &f->err));
    assert_int_equal(f->err.rc, SLD_LIMIT);
    assert_true(a.used_bytes <= 1 << 20);
    sld_arena_fini(&a);
    sld_buf_fini(&b);
}

static void test_unknown_fields_are_kept(void **state)
{
    struct fixture *f = *state;
    struct sld_str wire = SLD_STR("\x08\x05\xa2\x06\x01x\xa8\x06\x07");
    void *m = decode_wire(f, &sldtest__scalars__descriptor, wire, 5);
    assert_true(sld_str_eq(sld_msg_encode(&f->a, m), wire));
    assert_true(sld_str_eq(sld_msg_encode(&f->a, sld_msg_copy(&f->a, m)), wire));
}

static void test_fill(void **state)
{
    struct fixture *f = *state;
    Sldtest__Tree *dst = DECODE(f, tree, "base: mine\nleft: {base: l}\nnamed: {a: {}}\n");
    Sldtest__Tree *src = DECODE(
        f, tree, "base: yours\nleft: {children: [{}]}\nchildren: [{}, {}]\nnamed: {b: {}}\n");
    sld_msg_fill(&dst->pb_base, &src->pb_base);
    assert_string_equal(
        json(f, dst),
        "{\"base\":\"mine\",\"left\":{\"base\":\"l\"},\"children\":[{},{}],\"named\":{\"a\":{}}}");
    assert_ptr_equal(dst->children, src->children); // shared, not copied
    Sldtest__Choice *text = DECODE(f, choice, "text: a\n"),
                    *number = DECODE(f, choice, "number: 1\nbeside: b\n");
    sld_msg_fill(&text->base, &number->base);
    assert_string_equal(json(f, text), "{\"text\":\"a\",\"beside\":\"b\"}");
    Sldtest__Choice *empty = sld_msg_new(&f->a, &sldtest__choice__descriptor);
    sld_msg_fill(&empty->base, &number->base);
    assert_string_equal(json(f, empty), "{\"number\":1,\"beside\":\"b\"}");
}

static void test_copy_shares_nothing(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    Sldtest__Tree *m =
        DECODE(f, tree,
               "base: x\nchildren: [{base: y}]\nnamed: {k: {base: z}}\nlists: {strings: [q]}\n"
               "choice: {text: t}\nknown: {bytesValue: aGk=}\n");
    Sldtest__Tree *copy = sld_msg_copy(&a, &m->pb_base);
    assert_true(sld_msg_equal(&m->pb_base, &copy->pb_base));
    copy->children[0]->base[0] = 'Y';
    copy->lists->strings[0][0] = 'Q';
    copy->known->bytes_value->value.data[0] = 'H';
    assert_string_equal(m->children[0]->base, "y");
    assert_string_equal(m->lists->strings[0], "q");
    assert_false(sld_msg_equal(&m->pb_base, &copy->pb_base));
    sld_arena_fini(&a);
}

static void test_fields(void **state)
{
    struct fixture *f = *state;
    Sldtest__Choice *m = DECODE(f, choice, "flag: false\nbeside: x\n");
    const struct sld_msg_info *info = sld_msg_info(m->base.descriptor);
    unsigned flag = (unsigned)sld_msg_field_index(info, SLD_STR("flag"));
    unsigned text = (unsigned)sld_msg_field_index(info, SLD_STR("text"));
    assert_true(sld_msg_field_set(&m->base, flag));
    assert_false(sld_msg_field_set(&m->base, text));
    sld_msg_field_clear(&m->base, text);
    assert_true(sld_msg_field_set(&m->base, flag));
    sld_msg_field_clear(&m->base, flag);
    assert_string_equal(json(f, m), "{\"beside\":\"x\"}");
    Sldtest__Lists *l = DECODE(f, lists, "ints: [1]\n");
    assert_true(sld_msg_field_set(&l->base, 0));
    sld_msg_field_clear(&l->base, 0);
    assert_string_equal(json(f, l), "{}");
}

static void test_values_in_code(void **state)
{
    struct fixture *f = *state;
    Sldtest__Known *m = SLD_MSG(&f->a, Sldtest__Known, sldtest__known);
    m->bool_value = sld_msg_bool(&f->a, true);
    m->uint32_value = sld_msg_u32(&f->a, 5);
    m->uint64_value = sld_msg_u64(&f->a, UINT64_MAX);
    m->double_value = sld_msg_double(&f->a, 0.25);
    m->string_value = sld_msg_string(&f->a, SLD_STR("s"));
    m->duration = sld_msg_duration_ms(&f->a, -1500);
    m->any = sld_msg_any(&f->a, &m->uint32_value->base);
    assert_string_equal(
        json(f, m),
        "{\"duration\":\"-1.5s\",\"any\":{\"@type\":\"type.googleapis.com/google.protobuf."
        "UInt32Value\",\"value\":5},\"boolValue\":true,\"uint32Value\":5,\"uint64Value\":"
        "\"18446744073709551615\",\"doubleValue\":0.25,\"stringValue\":\"s\"}");
    assert_int_equal(sld_duration_ms(m->duration), -1500);
    assert_int_equal(sld_duration_ms(NULL), 0);
    m->duration->seconds = 2;
    m->duration->nanos = 1500000;
    assert_int_equal(sld_duration_ms(m->duration), 2002);
}

static void check(struct fixture *f, const char *text, enum sld_code code)
{
    void *m = DECODE(f, rules, text);
    assert_clean(f);
    sld_msg_check(&f->r, m, code, NULL);
}

#define GOOD "required: x\nnamed: abc\nhosts: [a.b]\nneeds: {a: x}\n"

static void test_constraints_hold(void **state)
{
    struct fixture *f = *state;
    check(f,
          GOOD "port: 65535\nratio: 0.5\ntimeout: 60s\npattern: abc\nword: two\nheaders: {x-y: "
               "abc}\nwrapped: 1\n"
               "unchecked: {}\nignored: x\n",
          0);
    assert_clean(f);
}

static void test_constraints_broken(void **state)
{
    struct fixture *f = *state;
    check(f,
          "port: 65536\nratio: 1\ntimeout: 0s\nhosts: [a, a, '-']\ncolor: 9\npattern: Abc\nword: "
          "three\n"
          "headers: {\"a b\": toolong}\nwrapped: 0\nnamed: \xc3\xa9\nneeds: {}\n",
          0);
    assert_finding(f, 0, SLD_FIELD_REQUIRED, "required", "is required");
    assert_finding(f, 1, SLD_FIELD_RANGE, "named", "at least 2 characters, has 1");
    assert_finding(f, 2, SLD_FIELD_RANGE, "port", "65536: must be at most 65535");
    assert_finding(f, 3, SLD_FIELD_RANGE, "ratio", "must be less than 1");
    assert_finding(f, 4, SLD_FIELD_RANGE, "timeout", "0s: must be greater than 0s");
    assert_finding(f, 5, SLD_FIELD_RANGE, "hosts", "at most 2 elements, has 3");
    assert_finding(f, 6, SLD_FIELD_FORMAT, "hosts", "\"a\" stands twice");
    assert_finding(f, 7, SLD_FIELD_FORMAT, "hosts[2]", "is not a host name");
    assert_finding(f, 8, SLD_FIELD_ENUM, "color", "9 is no value of Color");
    assert_finding(f, 9, SLD_FIELD_FORMAT, "pattern", "does not match [a-z]+");
    assert_finding(f, 10, SLD_FIELD_ENUM, "word", "is not one of: one, two");
    assert_finding(f, 11, SLD_FIELD_FORMAT, "headers[\"a b\"]", "is not a header name");
    assert_finding(f, 12, SLD_FIELD_RANGE, "headers[\"a b\"]", "at most 3 bytes, has 7");
    assert_finding(f, 13, SLD_FIELD_RANGE, "wrapped", "must be at least 1");
    assert_finding(f, 14, SLD_FIELD_REQUIRED, "needs", "one of these is required: a, b");
    assert_int_equal(f->r.count, 15);
}

static void test_constraints_below(void **state)
{
    struct fixture *f = *state;
    check(f,
          GOOD "inner: {required: x, named: ab, hosts: []}\n"
               "any: {\"@type\": type.googleapis.com/sldtest.Needs}\n",
          0);
    assert_finding(f, 0, SLD_FIELD_REQUIRED, "any", "one of these");
    assert_finding(f, 1, SLD_FIELD_RANGE, "inner.hosts", "at least 1 elements, has 0");
    assert_int_equal(f->r.count, 2);
    check(f, GOOD "port: 70000\n", SLD_ENVOY_CONSTRAINT);
    assert_finding(f, 0, SLD_ENVOY_CONSTRAINT, "port", "at most");
}

static void test_states(void **state)
{
    struct fixture *f = *state;
    check(f, GOOD "notBuilt: x\nenterprise: {a: 1}\nold: y\n", 0);
    assert_finding(f, 0, SLD_FIELD_NOT_BUILT, "notBuilt", "no effect yet");
    assert_finding(f, 1, SLD_FIELD_ENTERPRISE, "enterprise", "enterprise");
    assert_finding(f, 2, SLD_FIELD_DEPRECATED, "old", "deprecated");
    assert_int_equal(f->r.errors, 0);
    assert_int_equal(f->r.warnings, 2);
    assert_int_equal(f->r.items[2].severity, SLD_NOTE);
}

static const struct sld_field_info *field(const ProtobufCMessageDescriptor *desc, const char *name)
{
    const struct sld_msg_info *info = sld_msg_info(desc);
    int i = sld_msg_field_index(info, sld_str_c(name));
    assert_true(i >= 0);
    return &info->fields[i];
}

static void test_options_are_served_or_warned_of(void **state)
{
    struct fixture *f = *state;
    const char *text = GOOD "option: x\noptions: {plain: a, limited: b, ignored: c}\n";
    check(f, text, 0);
    assert_finding(f, 0, SLD_FIELD_NOT_BUILT, "option", "no effect yet");
    assert_finding(f, 1, SLD_FIELD_NOT_BUILT, "options.plain", "no effect yet");
    assert_finding(f, 2, SLD_FIELD_NOT_BUILT, "options.limited", "no effect yet");
    assert_int_equal(f->r.count, 3);
    f->r.count = 0;
    struct sld_umap served = {0};
    sld_umap_set(&served, (uintptr_t)field(&sldtest__rules__descriptor, "option"), NULL);
    sld_umap_set(&served, (uintptr_t)field(&sldtest__options__descriptor, "limited"), NULL);
    sld_msg_check(&f->r, DECODE(f, rules, text), 0, &served);
    assert_finding(f, 0, SLD_FIELD_NOT_BUILT, "options.plain", "no effect yet");
    assert_int_equal(f->r.count, 1);
    sld_umap_fini(&served);
}

static void assert_change(struct sld_change c, const char *path, const char *before,
                          const char *after)
{
    assert_true(sld_str_eq(c.path, sld_str_c(path)));
    assert_true(before ? sld_str_eq(c.before, sld_str_c(before)) : !c.before.p);
    assert_true(after ? sld_str_eq(c.after, sld_str_c(after)) : !c.after.p);
}

static void test_differences(void **state)
{
    struct fixture *f = *state;
    size_t n;
    Sldtest__Tree *x = DECODE(f, tree,
                              "base: a\nleft: {base: l}\nchildren: [{base: p}, {base: q}]\n"
                              "named: {k: {base: 1}, gone: {}}\nknown: {duration: 1s}\n");
    Sldtest__Tree *y = DECODE(f, tree,
                              "left: {base: m}\nchildren: [{base: p}, {base: r}, {}]\n"
                              "named: {k: {base: 2}, new: {}}\nknown: {duration: 2s}\n");
    struct sld_change *c = sld_msg_diff(&f->a, &x->pb_base, &y->pb_base, &n);
    assert_int_equal(n, 8);
    assert_change(c[0], "base", "\"a\"", NULL);
    assert_change(c[1], "left.base", "\"l\"", "\"m\"");
    assert_change(c[2], "children[1].base", "\"q\"", "\"r\"");
    assert_change(c[3], "children[2]", NULL, "{}");
    assert_change(c[4], "named.gone", "{}", NULL);
    assert_change(c[5], "named.k.base", "\"1\"", "\"2\"");
    assert_change(c[6], "named.new", NULL, "{}");
    assert_change(c[7], "known.duration", "\"1s\"", "\"2s\"");
    sld_msg_diff(&f->a, &x->pb_base, &x->pb_base, &n);
    assert_int_equal(n, 0);
    sld_msg_diff(&f->a, &x->pb_base, sld_msg_copy(&f->a, &x->pb_base), &n);
    assert_int_equal(n, 0);
    c = sld_msg_diff(&f->a, NULL, &y->pb_base, &n);
    assert_int_equal(n, 7);
    assert_change(c[0], "left", NULL, "{\"base\":\"m\"}");
}

static void test_differences_hide_secrets(void **state)
{
    struct fixture *f = *state;
    size_t n;
    Sldtest__Rules *x = DECODE(f, rules, "password: one\ncredentials: {aString: s1, aInt32: 1}\n");
    Sldtest__Rules *y = DECODE(f, rules, "password: two\ncredentials: {aString: s2, aInt32: 2}\n");
    struct sld_change *c = sld_msg_diff(&f->a, &x->base, &y->base, &n);
    assert_int_equal(n, 2);
    assert_change(c[0], "password", "\"***\"", "\"***\"");
    assert_change(c[1], "credentials", "{\"aInt32\":\"***\",\"aString\":\"***\"}",
                  "{\"aInt32\":\"***\",\"aString\":\"***\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_side_tables),
        TEST(test_bytes_and_hash_do_not_know_map_order),
        TEST(test_hostile_bytes),
        TEST(test_depth_of_bytes),
        TEST(test_arena_ceiling_of_bytes),
        TEST(test_unknown_fields_are_kept),
        TEST(test_fill),
        TEST(test_copy_shares_nothing),
        TEST(test_fields),
        TEST(test_values_in_code),
        TEST(test_constraints_hold),
        TEST(test_constraints_broken),
        TEST(test_constraints_below),
        TEST(test_states),
        TEST(test_options_are_served_or_warned_of),
        TEST(test_differences),
        TEST(test_differences_hide_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
