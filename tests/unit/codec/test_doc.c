// Reading YAML and JSON into trees: shapes, positions, ceilings, encodings, and places of paths.
#include "support.h"

static const char *tree_json(struct fixture *f, const struct sld_node *n)
{
    struct sld_buf out;
    sld_buf_init(&out, 1 << 20);
    sld_doc_print_node(&out, n, SLD_TEXT_JSON_COMPACT);
    const char *s = sld_arena_cstr(&f->a, sld_buf_str(&out));
    sld_buf_fini(&out);
    return s;
}

static void assert_tree(struct fixture *f, const char *text, const char *expected)
{
    if (read_text(f, sld_str_c(text)) != SLD_OK)
        fail_msg("%d:%d: %s", f->err.line, f->err.column, f->err.msg);
    assert_int_equal(f->n, 1);
    assert_string_equal(tree_json(f, f->docs[0].root), expected);
}

static void assert_refused(struct fixture *f, struct sld_str text, enum sld_code code, int line,
                           int column)
{
    assert_int_not_equal(read_text(f, text), SLD_OK);
    if (f->code != code || f->err.line != line || f->err.column != column)
        fail_msg("code %d at %d:%d: %s", (int)f->code, f->err.line, f->err.column, f->err.msg);
}

static void test_shapes(void **state)
{
    struct fixture *f = *state;
    assert_tree(f, "a: 1\nb: [x, 'y', \"z\\n\"]\nc: {d: ~, e: null, f: }\n",
                "{\"a\":1,\"b\":[x,\"y\",\"z\\n\"],\"c\":{\"d\":null,\"e\":null,\"f\":null}}");
    assert_tree(f, "a: |\n  one\n  two\nb: >-\n  one\n  two\n",
                "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\"}");
    assert_tree(f, "!!str 1: !!str 2\n", "{\"1\":\"2\"}");
    assert_tree(f, "a: !!null x\nb: \"null\"\n", "{\"a\":null,\"b\":\"null\"}");
    assert_tree(f, " { \"a\" : [ 1 , -2.5e3 , true , null , \"\\u00e9\\ud83d\\ude00\\n\" ] } ",
                "{\"a\":[1,-2.5e3,true,null,\"\xc3\xa9\xf0\x9f\x98\x80\\n\"]}");
    assert_tree(f, "{a: 1, b: [c]}", "{\"a\":1,\"b\":[c]}"); // flow YAML, not JSON
    assert_tree(f,
                "\xef\xbb\xbf"
                "a: 1\n",
                "{\"a\":1}");
    assert_tree(f, "[]", "[]");
    assert_int_equal(read_text(f, SLD_STR("")), SLD_OK);
    assert_int_equal(f->n, 0);
    assert_int_equal(read_text(f, SLD_STR("# nothing\n")), SLD_OK);
    assert_int_equal(f->n, 0);
}

static void test_positions(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(read_text(f, SLD_STR("a:\n  b: x\n  c: [1, {d: y}]\n")), SLD_OK);
    const struct sld_node *a = sld_node_get(f->docs[0].root, SLD_STR("a"));
    const struct sld_node *c = sld_node_get(a, SLD_STR("c"));
    assert_int_equal(sld_node_get(a, SLD_STR("b"))->line, 2);
    assert_int_equal(sld_node_get(a, SLD_STR("b"))->column, 6);
    assert_int_equal(sld_node_get(c->items[1], SLD_STR("d"))->column, 14);
    assert_int_equal(read_text(f, SLD_STR("{\n \"a\": {\"b\": [1,\n  2]}}")), SLD_OK);
    const struct sld_node *b =
        sld_node_get(sld_node_get(f->docs[0].root, SLD_STR("a")), SLD_STR("b"));
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 13);
    assert_int_equal(b->items[1]->line, 3);
    assert_int_equal(b->items[1]->column, 3);
}

static void test_several_documents(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        read_text(f, SLD_STR("# first\na: 1\n---\nb: 2\n...\n# more\n---\n---\nc: \xc3\xa9\n")),
        SLD_OK);
    assert_int_equal(f->n, 4);
    struct sld_document *docs = f->docs;
    assert_int_equal(docs[0].line, 1);
    assert_int_equal(docs[1].line, 3);
    assert_null(docs[2].root);
    assert_int_equal(docs[3].line, 8);
    assert_memory_equal(docs[3].text.p, "---\nc: \xc3\xa9\n", docs[3].text.n);
    // Each slice reads as the same document by itself.
    assert_memory_equal(docs[1].text.p, "---\nb: 2\n...\n# more\n", docs[1].text.n);
    assert_int_equal(read_text(f, docs[1].text), SLD_OK);
    assert_int_equal(f->n, 1);
    assert_string_equal(tree_json(f, f->docs[0].root), "{\"b\":2}");
}

static void test_documents_before_an_error_are_kept(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, SLD_STR("a: 1\n---\nb: [\n"), SLD_YAML_SYNTAX, 4, 1);
    assert_int_equal(f->n, 1);
    assert_string_equal(tree_json(f, f->docs[0].root), "{\"a\":1}");
}

static void test_anchors_and_merge_keys(void **state)
{
    struct fixture *f = *state;
    assert_tree(f, "a: &x {b: 1, c: 2}\nd: *x\n",
                "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":2}}");
    assert_tree(f, "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n",
                "{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":3,\"c\":2}}");
    assert_tree(f, "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}\n",
                "{\"a\":{\"b\":1},\"c\":{\"b\":2,\"d\":3},\"e\":{\"b\":1,\"d\":3}}");
    assert_tree(f, "a: {\"<<\": 1}\n", "{\"a\":{\"<<\":1}}");
    assert_refused(f, SLD_STR("a: {<<: 1}\n"), SLD_YAML_SYNTAX, 1, 9);
    assert_refused(f, SLD_STR("a: *nowhere\n"), SLD_YAML_SYNTAX, 1, 4);
    assert_refused(f, SLD_STR("a: &x [*x]\n"), SLD_YAML_SYNTAX, 1, 8);
    // Anchors end with their document.
    assert_refused(f, SLD_STR("a: &x 1\n---\nb: *x\n"), SLD_YAML_SYNTAX, 3, 4);
}

static void test_syntax_errors_have_places(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, SLD_STR("a: 1\n\tb: 2\n"), SLD_YAML_SYNTAX, 2, 1);
    assert_refused(f, SLD_STR("a: \"x\nb: 1\n"), SLD_YAML_SYNTAX, 3, 1);
    assert_refused(f, SLD_STR("? [a]\n: b\n"), SLD_YAML_SYNTAX, 1, 3);
    assert_int_equal(read_text(f, SLD_STR("{\"a\": 1,, \"b\": 2}")), SLD_INVALID);
}

static void test_duplicate_keys(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, SLD_STR("a: 1\nb:\n  c: 1\n  c: 2\n"), SLD_DOC_DUPLICATE_KEY, 4, 3);
    assert_refused(f, SLD_STR("{\"a\": 1,\n \"a\": 2}"), SLD_DOC_DUPLICATE_KEY, 2, 2);
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    for (int i = 0; i < 100; i++)
        sld_buf_addf(&b, "k%d: 1\n", i);
    assert_int_equal(read_text(f, sld_buf_str(&b)), SLD_OK);
    sld_buf_addz(&b, "\"k7\": 1\n");
    assert_refused(f, sld_buf_str(&b), SLD_DOC_DUPLICATE_KEY, 101, 1);
    sld_buf_fini(&b);
}

static void test_encoding(void **state)
{
    struct fixture *f = *state;
    assert_refused(f, (struct sld_str){"a: 1\nb: \0x\n", 11}, SLD_DOC_ENCODING, 2, 4);
    assert_refused(f, SLD_STR("a: 1\nb: \xff\n"), SLD_DOC_ENCODING, 2, 4);
    assert_refused(f, SLD_STR("{\"a\": \"\xed\xa0\x80\"}"), SLD_DOC_ENCODING, 1, 8);
}

static struct sld_str repeat(struct sld_buf *b, const char *what, size_t n)
{
    sld_buf_init(b, 1 << 26);
    for (size_t i = 0; i < n; i++)
        sld_buf_addz(b, what);
    return sld_buf_str(b);
}

static void test_depth_ceiling(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    static const char *const levels[] = {"[", "{\"a\":", "- ", "{a: ", "? "};
    for (size_t i = 0; i < SLD_ARRAY_LEN(levels); i++) {
        // With no ceiling while parsing this would take minutes or overflow the stack.
        assert_int_equal(read_text(f, repeat(&b, levels[i], 100000)), SLD_LIMIT);
        assert_int_equal(f->code, SLD_DOC_LIMIT);
        sld_buf_fini(&b);
    }
    struct sld_doc_limits limits = sld_doc_limits_default;
    limits.max_depth = 3;
    assert_int_equal(read_limited(f, SLD_STR("[[1]]"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("[[[1]]]"), limits), SLD_LIMIT);
    assert_int_equal(read_limited(f, SLD_STR("- - 1"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("- - - 1"), limits), SLD_LIMIT);
    // An alias is as deep as what it stands for.
    assert_int_equal(read_limited(f, SLD_STR("- &x [1]\n- *x"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("- &x [1]\n- [*x]"), limits), SLD_LIMIT);
}

static void test_node_ceiling(void **state)
{
    struct fixture *f = *state;
    struct sld_doc_limits limits = sld_doc_limits_default;
    limits.max_nodes = 5;
    assert_int_equal(read_limited(f, SLD_STR("[1, 2, 3, 4]"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("[1, 2, 3, 4, 5]"), limits), SLD_LIMIT);
    assert_int_equal(read_limited(f, SLD_STR("- 1\n- 2\n- 3\n- 4\n"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("- 1\n- 2\n- 3\n- 4\n- 5\n"), limits), SLD_LIMIT);
    assert_int_equal(
        read_limited(f, SLD_STR("1\n---\n2\n---\n3\n---\n4\n---\n5\n---\n6\n"), limits), SLD_LIMIT);
}

// Nine levels of nine aliases each: 387 million values if expanded.
static void test_alias_bomb(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_buf_addz(&b, "a0: &a0 x\n");
    for (int i = 1; i <= 9; i++) {
        sld_buf_addf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            sld_buf_addf(&b, "%s*a%d", k ? "," : "", i - 1);
        sld_buf_addz(&b, "]\n");
    }
    assert_int_equal(read_text(f, sld_buf_str(&b)), SLD_LIMIT);
    assert_int_equal(f->code, SLD_DOC_LIMIT);
    assert_true(f->a.used_bytes < 1 << 20);
    sld_buf_reset(&b);
    sld_buf_addz(&b, "a0: &a0 {k: x}\n");
    for (int i = 1; i <= 30; i++)
        sld_buf_addf(&b, "a%d: &a%d {<<: [*a%d, *a%d], k%d: [*a%d, *a%d]}\n", i, i, i - 1, i - 1, i,
                     i - 1, i - 1);
    assert_int_equal(read_text(f, sld_buf_str(&b)), SLD_LIMIT);
    sld_buf_fini(&b);
}

static void test_size_ceilings(void **state)
{
    struct fixture *f = *state;
    struct sld_doc_limits limits = sld_doc_limits_default;
    limits.max_docs = 2;
    assert_int_equal(read_limited(f, SLD_STR("a\n---\nb\n"), limits), SLD_OK);
    assert_int_equal(read_limited(f, SLD_STR("a\n---\nb\n---\nc\n"), limits), SLD_LIMIT);
    assert_int_equal(f->err.line, 4);
    limits.max_bytes = 3;
    assert_int_equal(read_limited(f, SLD_STR("a: 1"), limits), SLD_LIMIT);
}

static void test_nodes_in_code(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(read_text(f, SLD_STR("{\"a\": 1}")), SLD_OK);
    struct sld_node *m = f->docs[0].root;
    for (int i = 0; i < 20; i++)
        sld_node_set(&f->a, m, sld_arena_fmt(&f->a, "k%d", i), sld_node_map(&f->a));
    sld_node_set(&f->a, m, SLD_STR("a"), sld_node_scalar(&f->a, SLD_STR("two"), true));
    assert_int_equal(m->count, 21);
    assert_true(sld_str_eq(sld_node_text(sld_node_get(m, SLD_STR("a"))), SLD_STR("two")));
    assert_null(sld_node_text(sld_node_get(m, SLD_STR("k1"))).p);
    assert_null(sld_node_get(NULL, SLD_STR("a")));
}

static void assert_place(struct sld_str text, const char *path, int line, int column)
{
    int l, c;
    assert_true(sld_doc_locate(text, 10, sld_str_c(path), &l, &c));
    if (l != line || c != column)
        fail_msg("%s is at %d:%d", path, l, c);
}

static void test_locate(void **state)
{
    (void)state;
    const struct sld_str text =
        SLD_STR("metadata:\n  name: x\nspec:\n  virtual_host:\n    routes:\n    - matchers:\n"
                "      - regex: '('\n    - labels:\n        solo.io/x: y\n");
    assert_place(text, "metadata.name", 11, 3);
    assert_place(text, "virtualHost.routes[0].matchers[0].regex", 16, 9);
    assert_place(text, "spec.virtual_host.routes[1]", 17, 7);
    assert_place(text, "virtualHost.routes[1].labels[\"solo.io/x\"]", 18, 9);
    // What is missing is found at its nearest ancestor.
    assert_place(text, "virtualHost.routes[1].options.timeout", 17, 7);
    assert_place(text, "virtualHost.routes[7]", 14, 5);
    assert_place(text, "sslConfig", 10, 1);
    assert_place(SLD_STR("{\"spec\":\n {\"a\": [1,\n 2]}}"), "a[1]", 12, 2);
    int line, column;
    assert_false(sld_doc_locate(SLD_STR("a: ["), 5, SLD_STR("a"), &line, &column));
    assert_int_equal(line, 5);
    assert_int_equal(column, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shapes),
        TEST(test_positions),
        TEST(test_several_documents),
        TEST(test_documents_before_an_error_are_kept),
        TEST(test_anchors_and_merge_keys),
        TEST(test_syntax_errors_have_places),
        TEST(test_duplicate_keys),
        TEST(test_encoding),
        TEST(test_depth_ceiling),
        TEST(test_node_ceiling),
        TEST(test_alias_bomb),
        TEST(test_size_ceilings),
        TEST(test_nodes_in_code),
        TEST(test_locate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
