// Tasks on a real loop: what they ask for comes from a server, a resolver and a disk; plans are followed.
#include "plugin/support.h"

#include "loop/loop.h"
#include "plugin/discover.h"
#include "tree.h"

enum { PATIENCE_MS = 20000 };

struct bench {
    struct sld_loop *loop;
    struct sld_reactor *reactor;
    struct sld_finders *finders;
    struct sld_http_server *server;
    struct sld_timer *patience;
    int port;
    char log[2000];
    const char *until; // the run ends when that was told
};

static void note(struct bench *b, const char *how, struct sld_str plugin, struct sld_str what)
{
    size_t n = strlen(b->log);
    snprintf(b->log + n, sizeof(b->log) - n, "%s%.*s:%.*s ", how, SLD_FMT(plugin), SLD_FMT(what));
    if (b->until && strstr(b->log, b->until))
        sld_loop_stop(b->loop);
}

static void on_begin(void *user, struct sld_str plugin)
{
    note(user, "begin ", plugin, SLD_STR(""));
}

// The labels of what is published show what a task saw.
static void on_put(void *user, struct sld_str plugin, struct sld_str name, struct sld_blob *bytes)
{
    ptrdiff_t at = sld_str_find(bytes->data, SLD_STR("\"saw\":\""));
    struct sld_str saw = at < 0 ? name : sld_str_sub(bytes->data, (size_t)at + 7, bytes->data.n);
    ptrdiff_t end = sld_str_index(saw, '"');
    note(user, "+", plugin, end < 0 ? saw : sld_str_sub(saw, 0, (size_t)end));
}

static void on_gone(void *user, struct sld_str plugin, struct sld_str name)
{
    note(user, "-", plugin, name);
}

static void on_synced(void *user, struct sld_str plugin)
{
    note(user, "synced ", plugin, SLD_STR(""));
}

static void on_problem(void *user, struct sld_str plugin, struct sld_str message)
{
    note(user, message.p ? "!" : "ok ", plugin, message);
}

static void on_secret(void *user, const struct sld_secret_news *n)
{
    struct sld_arena a = {0};
    struct sld_str what = n->problem.p ? n->problem : n->document ? n->document->data : SLD_STR("none");
    note(user, "secret ", n->plugin, sld_arena_fmt(&a, "%.*s=%.*s", SLD_FMT(n->ref), SLD_FMT(what)));
    sld_arena_fini(&a);
}

static void on_request(struct sld_http_request *rq, void *user)
{
    const struct sld_http_header extra = {SLD_STR("X-Path"), sld_http_path(rq)};
    (void)user;
    sld_http_respond(rq, sld_str_eq(sld_http_path(rq), SLD_STR("/busy")) ? 503 : 200, SLD_STR("text/plain"), &extra, 1, sld_http_body(rq));
}

static void on_late(void *user)
{
    const struct bench *b = user;
    fail_msg("\"%s\" was not told, but: %s", b->until, b->log);
}

static void begin(struct bench *b)
{
    const struct sld_finders_events ev = {on_begin, on_put, on_gone, on_synced, on_problem, on_secret, b};
    struct sld_err err;
    *b = (struct bench){.loop = sld_loop_create("test")};
    b->reactor = sld_reactor_create(b->loop);
    b->finders = sld_finders_create(b->reactor, &ev);
    b->server = sld_http_server_create(b->loop, NULL, on_request, b);
    b->patience = sld_timer_create(b->loop, on_late, b);
    assert_int_equal(sld_http_server_listen(b->server, SLD_STR("127.0.0.1:0"), NULL, &b->port, &err), SLD_OK);
}

static void end(struct bench *b)
{
    sld_finders_destroy(b->finders);
    sld_reactor_destroy(b->reactor);
    sld_http_server_destroy(b->server);
    sld_timer_destroy(b->patience);
    sld_loop_destroy(b->loop);
}

static void until(struct bench *b, const char *words)
{
    b->until = words;
    if (!strstr(b->log, words)) {
        sld_timer_start(b->patience, PATIENCE_MS);
        sld_loop_run(b->loop);
    }
}

// Plugin NAME is to run BODY, with FILE granted.
static void set(struct bench *b, const char *name, const char *body, const char *file)
{
    char script[2000];
    snprintf(script, sizeof(script),
             "return {api = 1, name = '%s', needs = {'dns', 'files', 'http'}, discover = function(conf, d)\nlocal url = 'http://127.0.0.1:%d'\n"
             "local function show(saw) d.publish{upstreams = {a = {labels = {saw = saw}}}} end\n%s\nend}",
             name, b->port, body);
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(sld_str_c(name), SLD_STR("test"), sld_str_c(script));
    struct sld_str files = sld_str_c(file);
    struct sld_discover_plan *p = sld_discover_plan_create(bundle, &sld_plugin_limits_default, SLD_STR(""), &files, 1);
    sld_finders_set(b->finders, p);
    SLD_UNREF(p);
    SLD_UNREF(bundle);
}

static void requests(void **state)
{
    struct bench b;
    (void)state;
    begin(&b);
    set(&b, "a", "local r = d.http{url = url .. '/one', method = 'POST', body = 'hello'} show(r.body .. r.status .. r.headers['x-path'])", "/");
    until(&b, "+a:hello200/one ");
    set(&b, "b", "local r = d.http{url = url .. '/busy', retries = 1} show(tostring(r.status))", "/");
    until(&b, "+b:503 ");
    set(&b, "c", "local r, why = d.http{url = 'http://127.0.0.1:1/', timeout = '5s'} show(why)", "/");
    until(&b, "+c:http://127.0.0.1:1/: Failed to connect");
    set(&b, "d", "local r, why = d.http{url = url .. '/', method = 'POST', body = ('x'):rep(1000), max_body = 10} show(why)", "/");
    until(&b, "the answer is larger than allowed");
    end(&b); // with a pause of a task that failed, or none at all
}

static void names(void **state)
{
    struct bench b;
    (void)state;
    begin(&b);
    set(&b, "a", "show(d.dns('localhost', 'A')[1])", "/");
    until(&b, "+a:127.0.0.1 ");
    set(&b, "b", "local r, why = d.dns('x', 'A', '127.0.0.1:1') show(why)", "/");
    until(&b, "+b:the DNS server 127.0.0.1:1 cannot be asked for x");
    // Any number of servers, one after the other; the system's is none of them.
    set(&b, "d", "local why for i = 1, 20 do why = select(2, d.dns('x', 'A', '127.0.0.1:' .. i)) end show(why .. d.dns('localhost', 'A')[1])", "/");
    until(&b, "+d:the DNS server 127.0.0.1:20 cannot be asked for x");
    set(&b, "c", "d.dns('x', 'A', 'nonsense:x')", "/");
    until(&b, "solder.dns.lookup: \"nonsense:x\" is not HOST:PORT");
    end(&b);
}

static void files(void **state)
{
    struct bench b;
    char path[300], body[600];
    (void)state;
    tree_create();
    begin(&b);
    tree_write("one", "first");
    snprintf(path, sizeof(path), "%s/", tree_root);
    snprintf(body, sizeof(body),
             "local path = '%s/one'\nwhile true do\n  local text, stamp = d.file.read(path)\n  show(text or stamp)\n"
             "  d.file.watch(path, text and stamp)\nend",
             tree_root);
    set(&b, "a", body, path);
    until(&b, "+a:first ");
    tree_write("one", "the second");
    until(&b, "+a:the second ");
    snprintf(path, sizeof(path), "%s/one", tree_root);
    assert_int_equal(remove(path), 0);
    until(&b, "+a:there is no file ");
    snprintf(path, sizeof(path), "%s/", tree_root);
    snprintf(body, sizeof(body), "local text, why = d.file.read('%s/') show(why)", tree_root);
    set(&b, "b", body, path);
    until(&b, "is not a plain file");
    end(&b);
    tree_destroy();
}

static void streams(void **state)
{
    struct bench b;
    (void)state;
    begin(&b);
    set(&b, "a", "local s <close> = assert(d.http.stream{url = url .. '/x', method = 'POST', "
                 "body = 'one\\ntwo\\n' .. ('x'):rep(90000) .. '\\nlast', "
                 "max_line = 100000})\nlocal n = s:status() .. s:header('X-Path')\nfor line in s:lines() do n = n .. ' ' .. #line end\nshow(n)", "/");
    until(&b, "+a:200/x 3 3 90000 4 ");
    set(&b, "b", "local s, why = d.http.stream{url = 'http://127.0.0.1:1/'} show(why)", "/");
    until(&b, "+b:http://127.0.0.1:1/: ");
    end(&b);
}

static void secrets(void **state)
{
    struct bench b;
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(
        SLD_STR("g"), SLD_STR("test"), SLD_STR("return {api = 1, name = 'g', secret = function(conf, ref) if ref == 'a/b' then return {apiKey = "
                                               "{apiKey = 'x'}} end end}"));
    struct sld_discover_plan *p = sld_discover_plan_create(bundle, &small, SLD_STR(""), NULL, 0);
    (void)state;
    begin(&b);
    sld_finders_want(b.finders, SLD_STR("g"), SLD_STR("a/b"), true); // before its plugin is there
    sld_finders_set(b.finders, p);
    until(&b, "secret g:a/b={\"apiVersion\"");
    sld_finders_want(b.finders, SLD_STR("g"), SLD_STR("c"), true);
    until(&b, "secret g:c=none ");
    end(&b);
    SLD_UNREF(p);
    SLD_UNREF(bundle);
}

static void plans_are_followed(void **state)
{
    struct bench b;
    (void)state;
    begin(&b);
    set(&b, "a", "show('one') d.sleep(1000)", "/");
    until(&b, "begin a: +a:one synced a: ok a: ");
    b.log[0] = 0;
    set(&b, "a", "show('one') d.sleep(1000)", "/"); // the same
    assert_string_equal(b.log, "");
    set(&b, "a", "nonsense", "/"); // does not load: the former goes on
    assert_non_null(strstr(b.log, "!a:plugin.lua:"));
    assert_null(strstr(b.log, "begin"));
    b.log[0] = 0;
    set(&b, "a", "show('two') d.sleep(1000)", "/");
    until(&b, "begin a: +a:two synced a: ok a: ");
    sld_finders_remove(b.finders, SLD_STR("a"));
    sld_finders_remove(b.finders, SLD_STR("nobody"));
    b.log[0] = 0;
    set(&b, "a", "show('two') d.sleep(1000)", "/"); // it may come again
    until(&b, "begin a: +a:two ");
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests), cmocka_unit_test(names), cmocka_unit_test(files),
                                       cmocka_unit_test(streams), cmocka_unit_test(secrets),
                                       cmocka_unit_test(plans_are_followed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
