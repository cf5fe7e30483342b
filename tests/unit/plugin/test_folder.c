// A folder of plugins: what is read, and what happens at each edit.
#include "plugin/support.h"

#include "plugin/shape.h"
#include "tree.h"

#define NAMED(name, rest) "return {api = 1, name = '" name "', " rest "}"

struct seen {
    char text[1000]; // "+name:version -name !name" in order
};

static void on_plugin(void *user, struct sld_str name, struct sld_plugin_slot *slot)
{
    struct seen *s = user;
    size_t n = strlen(s->text);
    struct sld_str version = slot && slot->plugin ? sld_plugin_info(slot->plugin)->version : SLD_STR("");
    snprintf(s->text + n, sizeof(s->text) - n, "%s%.*s:%.*s ", !slot ? "-" : slot->plugin ? "+" : "?", SLD_FMT(name), SLD_FMT(version));
}

static void on_problem(void *user, struct sld_str name, struct sld_str words)
{
    struct seen *s = user;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof(s->text) - n, "!%.*s:%.*s ", SLD_FMT(name), SLD_FMT(words));
}

#define READ(p, s, want)                                                                           \
    do {                                                                                           \
        struct sld_err err_ = {0};                                                                 \
        (s)->text[0] = 0;                                                                          \
        if (sld_plugins_reread((p), &err_))                                                        \
            fail_msg("%s", err_.msg);                                                              \
        assert_string_equal((s)->text, (want));                                                    \
    } while (0)

static void edits(void **state)
{
    (void)state;
    struct seen s = {0};
    tree_create();
    tree_mkdir("a");
    tree_mkdir("a/lib");
    tree_mkdir("a/spec");
    struct sld_plugins_events ev = {on_plugin, on_problem, &s};
    struct sld_plugins *p = sld_plugins_create(sld_str_c(tree_root), &small, &ev);
    tree_write("b.lua", NAMED("b", "version = '1'"));
    tree_write("a/plugin.lua", "local x = require 'lib.x' " NAMED("a", "version = x"));
    tree_write("a/lib/x.lua", "return 'lib' .. ...");
    tree_write("a/spec/x_spec.lua", "(");
    tree_write("a/README.md", "(");
    tree_write(".hidden.lua", "(");
    tree_write("notes.txt", "(");
    READ(p, &s, "+a:liblib.x +b:1 ");
    READ(p, &s, "");
    tree_write("b.lua", NAMED("b", "version = '2'"));
    READ(p, &s, "+b:2 ");
    tree_write("b.lua", "return {");
    READ(p, &s, "!b:plugin.lua:1: unexpected symbol near <eof> ");
    READ(p, &s, ""); // told once
    tree_write("b.lua", NAMED("b", "version = '2'"));
    READ(p, &s, "+b:2 ");
    tree_write("a/lib/x.lua", "error('no')");
    READ(p, &s, "!a:lib/x.lua:1: no ");
    tree_write("c.lua", "return 1");
    READ(p, &s, "?c: ");
    tree_write("c.lua", NAMED("c", ""));
    READ(p, &s, "+c: ");
    tree_unlink("b.lua");
    READ(p, &s, "-b: ");
    tree_write("Bad_Name.lua", NAMED("bad", ""));
    READ(p, &s, "?Bad_Name: ");
    sld_plugins_destroy(p);
    tree_destroy();
}

static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    struct sld_plugins_events ev = {on_plugin, on_problem, NULL};
    struct sld_plugins *p = sld_plugins_create(SLD_STR("/no/such/folder"), &small, &ev);
    struct sld_err err = {0};
    assert_int_equal(sld_plugins_reread(p, &err), SLD_IO);
    assert_non_null(strstr(err.msg, "the folder of plugins /no/such/folder cannot be read"));
    sld_plugins_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(edits), cmocka_unit_test(a_folder_that_is_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
