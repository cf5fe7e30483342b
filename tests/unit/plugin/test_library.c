// The library for authors: its table is whole, every example of the manual runs, phases are kept, arguments are looked at.
#include "plugin/support.h"

#include <dirent.h>

#include "plugin/author.h"
#include "plugin/library.h"

#include "plugin/library_support.h"

static void the_table_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < pl_library_count; i++) {
        const struct pl_module *m = pl_library[i];
        assert_true(m->doc[0]);
        assert_true(i == 0 || strcmp(pl_library[i - 1]->name, m->name) < 0);
        for (size_t k = 0; k < m->binding_count; k++) {
            const struct pl_binding *b = &m->bindings[k];
            bool known = !b->of;
            for (size_t c = 0; c < m->class_count; c++)
                known |= b->of && strcmp(m->classes[c].name, b->of) == 0;
            if (!b->fn || !b->doc[0] || !b->example || !known)
                fail_msg("%s.%s is not told in full", m->name, b->name);
            for (size_t p = 0; p < PL_PARAMS_MAX && b->params[p].name; p++)
                assert_non_null(b->params[p].type);
        }
    }
}

static void every_example_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < pl_library_count; i++) {
        for (size_t k = 0; k < pl_library[i]->binding_count; k++) {
            const struct pl_binding *b = &pl_library[i]->bindings[k];
            expect_call_in(b->phases == PL_IN_TASK ? PL_TASK : PL_REQUEST, b->example, "nil");
        }
    }
}

// The manual is made of the table, and shows each of the examples that ran above.
static void the_manual_has_every_example(void **state)
{
    (void)state;
    struct sld_buf out;
    sld_buf_init(&out, 1U << 20);
    sld_library_print_manual(&out);
    assert_false(out.full);
    for (size_t i = 0; i < pl_library_count; i++) {
        for (size_t k = 0; k < pl_library[i]->binding_count; k++) {
            const struct pl_binding *b = &pl_library[i]->bindings[k];
            if (sld_str_find(sld_buf_str(&out), sld_str_c(b->example)) < 0)
                fail_msg("the manual does not show %s.%s", pl_library[i]->name, b->name);
        }
    }
    assert_true(sld_str_find(sld_buf_str(&out), SLD_STR("### keys")) < 0);
    assert_true(sld_str_find(sld_buf_str(&out), SLD_STR("### jwt.verify(token, keys, [options])\n")) > 0);
    assert_true(sld_str_find(sld_buf_str(&out), SLD_STR("### set:contains(address)\n")) > 0);
    sld_buf_fini(&out);
}

static int load_text(lua_State *L)
{
    struct sld_str *s = lua_touserdata(L, 1);
    pl_compile(L, *s, "@luals.lua");
    lua_call(L, 0, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    return 0;
}

static int run_text(lua_State *L)
{
    const struct sld_str *s = lua_touserdata(L, 1);
    pl_compile(L, *s, "@luals.lua");
    lua_call(L, 0, 0);
    return 0;
}

// What hooks are given is defined too: each method that there is, and what may be called where it is not says so.
static void definitions_of_handles_are_lua(void **state)
{
    (void)state;
    struct try t;
    struct sld_buf out;
    struct sld_plugin_limits l = small;
    l.memory_bytes = 8U << 20;
    assert_int_equal(try_begin(&t, &l, "return function() end"), SLD_OK);
    sld_buf_init(&out, 1U << 20);
    sld_library_print_luals(&out, pl_library_count);
    struct sld_str text = sld_buf_str(&out);
    assert_string_equal(sld_library_name(pl_library_count), "plugin");
    if (pl_run(t.h, PL_LOAD, run_text, &text, &t.err))
        fail_msg("%s", t.err.msg);
    for (size_t k = 0; k < pl_handles.binding_count; k++) {
        char name[80];
        const struct pl_binding *b = &pl_handles.bindings[k];
        snprintf(name, sizeof(name), "function %s:%s(", strchr(b->of, '.') + 1, b->name);
        assert_true(sld_str_find(text, sld_str_c(name)) > 0);
    }
    // Each hook that a plugin may have.
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        char name[80];
        snprintf(name, sizeof(name), "---@field %s? fun(conf: ", sld_hook_name((enum sld_hook)h));
        if (sld_str_find(text, sld_str_c(name)) < 0)
            fail_msg("%s is not told", name);
    }
    sld_buf_fini(&out);
    try_end(&t);
}

// What editors read is Lua, and defines every function.
static void definitions_are_lua(void **state)
{
    (void)state;
    struct try t;
    assert_int_equal(try_begin(&t, &small, "return function() end"), SLD_OK);
    assert_int_equal(sld_library_count(), pl_library_count + 1);
    for (size_t i = 0; i < pl_library_count; i++) {
        struct sld_buf out;
        sld_buf_init(&out, 1U << 20);
        sld_library_print_luals(&out, i);
        struct sld_str text = sld_buf_str(&out);
        assert_string_equal(sld_library_name(i), pl_module_word(pl_library[i]));
        if (pl_run(t.h, PL_LOAD, load_text, &text, &t.err))
            fail_msg("%s: %s", pl_library[i]->name, t.err.msg);
        for (size_t k = 0; k < pl_library[i]->binding_count; k++) {
            char name[80];
            snprintf(name, sizeof(name), "%s%s(", pl_library[i]->bindings[k].of ? ":" : "function M.", pl_library[i]->bindings[k].name);
            assert_true(sld_str_find(text, sld_str_c(name)) > 0);
        }
        sld_buf_fini(&out);
    }
    try_end(&t);
}

// Every function that is not for all phases is refused in the others, with words that name it and them.
static void phases_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *call, *name;
    } calls[] = {
        {"require('solder.aes').encrypt(('k'):rep(16), '')", "solder.aes.encrypt"},
        {"require('solder.cache').new():delete('k')", "solder.cache.Cache.delete"},
        {"require('solder.cache').new():get('k')", "solder.cache.Cache.get"},
        {"require('solder.cache').new():get_or('k', print)", "solder.cache.Cache.get_or"},
        {"require('solder.cache').new():set('k', 1)", "solder.cache.Cache.set"},
        {"require('solder.consul').kv('a')", "solder.consul.kv"},
        {"require('solder.consul').service('a')", "solder.consul.service"},
        {"require('solder.counters').add('a')", "solder.counters.add"},
        {"require('solder.counters').get('a')", "solder.counters.get"},
        {"require('solder.dns').lookup('a')", "solder.dns.lookup"},
        {"require('solder.file').read('/a')", "solder.file.read"},
        {"require('solder.file').watch('/a')", "solder.file.watch"},
        {"require('solder.http').request{url = 'http://a/'}", "solder.http.request"},
        {"require('solder.http').stream{url = 'http://a/'}", "solder.http.stream"},
        {"require('solder.kv').delete('a')", "solder.kv.delete"},
        {"require('solder.kv').get('a')", "solder.kv.get"},
        {"require('solder.kv').incr('a')", "solder.kv.incr"},
        {"require('solder.kv').list()", "solder.kv.list"},
        {"require('solder.kv').set('a', 1)", "solder.kv.set"},
        {"require('solder.random').bytes(1)", "solder.random.bytes"},
        {"require('solder.random').integer(1)", "solder.random.integer"},
        {"require('solder.random').uuid()", "solder.random.uuid"},
        {"require('solder.time').every(1, print)", "solder.time.every"},
        {"require('solder.time').monotonic()", "solder.time.monotonic"},
        {"require('solder.time').now()", "solder.time.now"},
        {"require('solder.time').sleep(1)", "solder.time.sleep"},
        {"require('solder.vault').read('a')", "solder.vault.read"},
        {"require('solder.vault').write('a', {})", "solder.vault.write"},
    };
    size_t n = 0;
    for (size_t i = 0; i < SLD_ARRAY_LEN(calls); i++) {
        char words[120], script[200];
        snprintf(words, sizeof(words), "plugin.lua:2: %s cannot be called in check and shape_*", calls[i].name);
        expect_lib_error(calls[i].call, words);
        struct try t;
        snprintf(words, sizeof(words), "plugin.lua:1: %s cannot be called while the plugin loads", calls[i].name);
        snprintf(script, sizeof(script), "local x = %s return function() end", calls[i].call);
        assert_int_equal(try_begin(&t, &small, script), SLD_INVALID);
        if (!strstr(t.err.msg, words))
            fail_msg("%s instead of %s", t.err.msg, words);
        try_end(&t);
    }
    for (size_t i = 0; i < pl_library_count; i++) {
        for (size_t k = 0; k < pl_library[i]->binding_count; k++) {
            const struct pl_binding *b = &pl_library[i]->bindings[k];
            n += b->phases != 0 && !(b->of && strcmp(b->of, "http.Stream") == 0); // there is none to call
        }
    }
    assert_int_equal(n, SLD_ARRAY_LEN(calls));
    expect_lib_error("jwt.verify(jwt.sign({}, jwt.secret(('s'):rep(32))), jwt.secret(('s'):rep(32)))", "solder.jwt.verify needs the option now");
}

static void modules_cannot_be_changed(void **state)
{
    (void)state;
    expect_lib_error("json.decode = nil", "'decode' cannot be set");
    expect_lib_error("rawset(json, 'x', 1)", "read-only");
    expect_lib_error("local o = jwt.secret(('s'):rep(32)) o.x = 1", "attempt to index");
    expect_lib("return getmetatable(jwt.secret(('s'):rep(32)))", "false");
    expect_lib("return tostring(jwt.secret(('s'):rep(32)))", "userdata");
    expect_lib_error("re.match(1)", "attempt to call a nil value (field 'match')");
    expect_lib_error("local c = assert(cidr.set{}) c.contains(assert(re.compile('a')), '10.0.0.1')", "cidr.Set expected, got");
}

static void wrong_arguments_say_where(void **state)
{
    (void)state;
    expect_lib_error("json.decode(1)", "plugin.lua:2: bad argument #1 to 'decode' (string expected, got number)");
    expect_lib_error("json.decode('1', {depth = 1})", "plugin.lua:2: there is no option 'depth' here; there are max_depth");
    expect_lib_error("json.decode('1', {max_depth = 65})", "max_depth must be a whole number from 0 to 64");
    expect_lib_error("json.decode('1', 1)", "table expected");
    expect_lib_error("hash.hmac('md5', '', '')", "sha1, sha256, sha384 or sha512 expected");
    expect_lib_error("random.bytes(-1)", "solder.random.bytes cannot be called");
    expect_lib_error("url.build{port = 70000}", "port must be a whole number from 0 to 65535");
    expect_lib_error("jwt.secret('short')", "a secret of 32 to 1024 bytes expected");
}

// What the library makes counts: bytes, steps and memory.
static void ceilings(void **state)
{
    (void)state;
    expect_lib_error("return hex.encode(('x'):rep(60000))", "at most 100000 are made here");
    expect_lib_error("return json.encode({('x'):rep(60000), ('y'):rep(60000)})", "at most 100000 are made here");
    expect_lib_limit("local s = ('x'):rep(90000) while true do hash.sha256(s) end", "more than 2000000 steps");
    expect_lib_limit("local e = assert(re.compile('(a|b)*c')) local s = ('a'):rep(9000) while true do e:match(s) end", "steps");
    expect_lib_limit("local all = {} for i = 1, 100 do all[i] = assert(re.compile('a' .. i)) end", "not enough memory");
    expect_lib_limit("local all = {} while true do all[#all + 1] = jwt.secret(('s'):rep(32)) end", "not enough memory");
    expect_lib("for i = 1, 100 do assert(re.compile('a' .. i)) if i % 5 == 0 then local s = {} for k = 1, 20000 do s[k] = k end end end return "
        "'kept'", "kept");
}

// What a plugin costs that does nothing, in each state that it has: at most 150 KB, for each of those that come with Solder too.
static void idle_states_are_small(void **state)
{
    (void)state;
    enum { IDLE_MAX = 150 * 1000 };
    DIR *d = opendir(SLD_SOURCE_DIR "/plugins");
    unsigned seen = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char path[400];
        struct sld_plugin_bundle *b;
        struct sld_plugin *p;
        struct sld_plugin_stats st;
        struct sld_err err = {0};
        snprintf(path, sizeof(path), SLD_SOURCE_DIR "/plugins/%s", e->d_name);
        if (e->d_name[0] == '.' || sld_plugin_bundle_read(sld_str_c(path), &b, &err))
            continue;
        if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err))
            fail_msg("%s", err.msg);
        sld_plugin_stats(p, &st);
        print_message("%s: %zu KB\n", e->d_name, st.used_bytes / 1000);
        if (st.used_bytes > IDLE_MAX)
            fail_msg("%s: %zu bytes", e->d_name, st.used_bytes);
        SLD_UNREF(p);
        SLD_UNREF(b);
        seen++;
    }
    closedir(d);
    assert_true(seen >= 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(every_example_runs),
        cmocka_unit_test(the_manual_has_every_example),
        cmocka_unit_test(idle_states_are_small),
        cmocka_unit_test(definitions_are_lua),
        cmocka_unit_test(definitions_of_handles_are_lua),
        cmocka_unit_test(phases_are_kept),
        cmocka_unit_test(modules_cannot_be_changed),
        cmocka_unit_test(wrong_arguments_say_where),
        cmocka_unit_test(ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
