// Discovery by plugins: the task is kept going, and what it publishes becomes documents, checked as a whole.
#include "plugin/support.h"

#include "plugin/found.h"
#include "plugin/load.h"
#include "plugin/world.h"

struct bench {
    struct sld_plugin *plugin;
    struct pl_world *world;
    struct sld_discover *d;
    struct sld_map units; // name: struct sld_blob
    char log[2000];       // what was told: "+name -name synced !words ok"
    struct sld_err err;
};

static void note(struct bench *b, const char *how, struct sld_str what)
{
    size_t n = strlen(b->log);
    snprintf(b->log + n, sizeof(b->log) - n, "%s%.*s ", how, SLD_FMT(what));
}

static void on_put(void *user, struct sld_str name, struct sld_blob *bytes)
{
    struct bench *b = user;
    note(b, "+", name);
    struct sld_blob *before = sld_map_set(&b->units, name, sld_obj_ref(bytes));
    SLD_UNREF(before);
}

static void on_gone(void *user, struct sld_str name)
{
    struct bench *b = user;
    note(b, "-", name);
    struct sld_blob *before = sld_map_remove(&b->units, name);
    assert_non_null(before);
    SLD_UNREF(before);
}

static void on_synced(void *user)
{
    note(user, "synced", SLD_STR(""));
}

static void on_problem(void *user, struct sld_str message)
{
    note(user, message.p ? "!" : "ok", message);
}

static const struct sld_discover_events events = {.on_put = on_put, .on_gone = on_gone, .on_synced = on_synced, .on_problem = on_problem};

static void begin(struct bench *b, const char *body)
{
    char script[6000];
    struct sld_plugin_limits l = sld_plugin_limits_default;
    struct sld_discover_events ev = events;
    snprintf(script, sizeof(script),
             "local s = require 'solder.schema'\nreturn {api = 1, name = 'finder', needs = {'dns', 'files', 'http'},\n"
             "schema = s.record{every = s.duration{default = '10s'}},\ndiscover = function(conf, d)\n%s\nend}",
             body);
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(SLD_STR("finder"), SLD_STR("finder"), sld_str_c(script));
    *b = (struct bench){.world = pl_world_create(1000000)};
    if (sld_plugin_load(bundle, &l, &b->plugin, &b->err))
        fail_msg("%s", b->err.msg);
    SLD_UNREF(bundle);
    ev.user = b;
    const struct sld_str files[] = {SLD_STR("/etc/one"), SLD_STR("/srv/all/")};
    sld_plugin_grant_files(b->plugin, files, 2);
    b->d = sld_discover_start(b->plugin, pl_world_reactor(b->world), NULL, &ev);
}

static void end(struct bench *b)
{
    sld_discover_stop(b->d);
    assert_int_equal(pl_world_pending(b->world), 0);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&b->units, &at));)
        SLD_UNREF(slot->value);
    sld_map_fini(&b->units);
    SLD_UNREF(b->plugin);
    pl_world_destroy(b->world);
}

// What was told since the last time.
static void told(struct bench *b, const char *want)
{
    assert_string_equal(b->log, want);
    b->log[0] = 0;
}

static void document(struct bench *b, const char *name, const char *want)
{
    const struct sld_blob *blob = sld_map_get(&b->units, sld_str_c(name));
    assert_non_null(blob);
    assert_string_equal(blob->bytes, want);
}

static void a_whole_set_takes_the_place_of_the_last(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "local n = 0\n"
              "d.every(conf.every, function()\n"
              "  n = n + 1\n"
              "  if n == 1 then d.publish{upstreams = {b = {endpoints = {'10.0.0.2:80', {address = '10.0.0.1', port = 81, weight = 3}}}, a = {}}}\n"
              "  elseif n == 2 then\n"
              "    local again = {{port = 81, weight = 3, address = '10.0.0.1'}, '10.0.0.2:80', '10.0.0.2:80'}\n"
              "    d.publish{upstreams = {a = {}, b = {endpoints = again}}}\n"
              "  elseif n == 3 then d.publish{endpoints = {b = {'[::1]:9'}}, upstreams = {b = {}}}\n"
              "  else d.publish{} return false end\n"
              "end)");
    told(&b, "+a +b synced ok ");
    document(&b, "b", "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{\"name\":\"b\",\"labels\":{\"discovered_by\":"
                      "\"finder\"}},\"spec\":{\"static\":{\"hosts\":[{\"addr\":\"10.0.0.1\",\"port\":81,\"loadBalancingWeight\":3},{\"addr\":"
                      "\"10.0.0.2\",\"port\":80}]}}}\n");
    document(&b, "a", "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{\"name\":\"a\",\"labels\":{\"discovered_by\":"
                      "\"finder\"}},\"spec\":{\"static\":{\"hosts\":[]}}}\n");
    pl_world_pass(b.world, 10000); // the same in another order
    told(&b, "");
    pl_world_pass(b.world, 10000);
    told(&b, "+b -a ");
    pl_world_pass(b.world, 10000);
    told(&b, "-b ");
    assert_int_equal(pl_world_pending(b.world), 0); // it has ended well, and is left alone
    end(&b);
}

static void increments_leave_the_rest(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "d.publish{upstreams = {a = {endpoints = {'10.0.0.1:1'}, labels = {team = 'x'}, spec = {useHttp2 = true, static = {useTls = true}}}, b = {}}}\n"
              "d.sleep(1) d.publish{increment = true, endpoints = {a = {'10.0.0.2:2'}}}\n"
              "d.sleep(1) d.publish{increment = true, upstreams = {b = false, c = {endpoints = {'10.0.0.3:3'}}, nothing = false}}\n"
              "d.sleep(1) d.publish{increment = true, upstreams = {c = {labels = {x = 'y'}}}}");
    told(&b, "+a +b synced ok ");
    pl_world_pass(b.world, 1000);
    told(&b, "+a ");
    document(&b, "a", "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{\"name\":\"a\",\"labels\":{\"team\":\"x\","
                      "\"discovered_by\":\"finder\"}},\"spec\":{\"static\":{\"hosts\":[{\"addr\":\"10.0.0.2\",\"port\":2}],\"useTls\":true},"
                      "\"useHttp2\":true}}\n");
    pl_world_pass(b.world, 1000);
    told(&b, "+c -b ");
    pl_world_pass(b.world, 1000);
    told(&b, "+c ");
    document(&b, "c", "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{\"name\":\"c\",\"labels\":{\"x\":\"y\","
                      "\"discovered_by\":\"finder\"}},\"spec\":{\"static\":{\"hosts\":[{\"addr\":\"10.0.0.3\",\"port\":3}]}}}\n");
    end(&b);
}

// Nothing of a call that is wrong is told, and its words name the field.
static void refused(const char *what, const char *words)
{
    struct bench b;
    char body[3000];
    snprintf(body, sizeof(body), "d.publish{upstreams = {kept = {}}}\nlocal ok, why = pcall(d.publish, %s)\nd.publish{increment = true, upstreams = "
                                 "{answer = {labels = {why = tostring(why)}}}}",
             what);
    begin(&b, body);
    told(&b, "+kept synced ok +answer ");
    const struct sld_blob *blob = sld_map_get(&b.units, SLD_STR("answer"));
    if (!strstr(blob->bytes, words))
        fail_msg("%s: %s instead of %s", what, blob->bytes, words);
    end(&b);
}

static void everything_is_checked_before_anything_is_told(void **state)
{
    (void)state;
    refused("{upstreams = {kept = {}, a = {endpoints = {'10.0.0.1:80', {address = '10.0.0.1', port = 0}}}}}",
            "publish: upstreams.a.endpoints[2].port: must be a whole number of 1 to 65535");
    refused("{upstreams = {a = {endpoints = {{address = '10.0.0.1', port = 65536}}}}}", "endpoints[1].port: must be");
    refused("{upstreams = {a = {endpoints = {{address = '10.0.0.1', port = 1.5}}}}}", "endpoints[1].port: must be");
    refused("{upstreams = {a = {endpoints = {{port = 1}}}}}", "publish: upstreams.a.endpoints[1].address: is missing");
    refused("{upstreams = {a = {endpoints = {{address = 'a'}}}}}", "publish: upstreams.a.endpoints[1].port: is missing");
    refused("{upstreams = {a = {endpoints = {{address = 'a b', port = 1}}}}}", "endpoints[1].address: must be an address or the name of a host");
    refused("{upstreams = {a = {endpoints = {{address = 'a', port = 1, weight = 0}}}}}", "weight: must be a whole number of 1 to 1000000");
    refused("{upstreams = {a = {endpoints = {{address = 'a', port = 1, prot = 0}}}}}", "endpoints[1].prot: is no field of an endpoint");
    refused("{upstreams = {a = {endpoints = {'nonsense'}}}}", "publish: upstreams.a.endpoints[1]: must be \\\"HOST:PORT\\\"");
    refused("{upstreams = {a = {endpoints = {'a:0'}}}}", "must be \\\"HOST:PORT\\\"");
    refused("{upstreams = {a = {endpoints = {x = 'a:1'}}}}", "publish: upstreams.a.endpoints: must be a list");
    refused("{upstreams = {a = {endpoints = 'a:1'}}}", "publish: upstreams.a.endpoints: must be a table");
    refused("{upstreams = {A = {}}}", "publish: upstreams: names of upstreams are made of a-z");
    refused("{upstreams = {[1] = {}}}", "publish: upstreams: names of upstreams are made of a-z");
    refused("{upstreams = {a = {endpoint = {}}}}", "publish: upstreams.a.endpoint: is no field of an upstream");
    refused("{upstreams = {a = false}}", "publish: upstreams.a: false takes an upstream away in an increment");
    refused("{upstreams = {a = 1}}", "publish: upstreams.a: must be a table");
    refused("{upstreams = {a = {labels = {discovered_by = 'me'}}}}", "labels.discovered_by: is the plugin's name");
    refused("{upstreams = {a = {labels = {x = {}}}}}", "publish: upstreams.a.labels: must be a table of strings");
    refused("{upstreams = {a = {spec = {static = {hosts = {}}}}}}", "publish: upstreams.a.spec.static: must be a table without hosts");
    refused("{endpoints = {a = {'a:1'}}, upstreams = {a = {endpoints = {}}}}", "publish: endpoints.a: is said twice");
    refused("{endpoints = {a = {'a:b'}}}", "publish: endpoints.a[1]: must be");
    refused("{endpoints = {a = {'a:1'}}, upstreams = {a = false}, increment = true}", "endpoints.a: is of an upstream that is taken away");
    refused("{upstream = {}}", "publish: upstream: is not known; there are upstreams, endpoints and increment");
    refused("nil", "table expected");
    refused("(function() local t = {} for i = 1, 5001 do t['u' .. i] = {} end return {upstreams = t} end)()",
            "publish: upstreams: more than 5000 upstreams");
    refused("(function() local t = {} for i = 1, 50001 do t[i] = 'a:1' end return {endpoints = {a = t}} end)()",
            "publish: endpoints.a: more than 50000 endpoints in all");
}

static void ceilings_are_of_all_that_was_published(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "local function list(n) local t = {} for i = 1, n do t[i] = '10.0.0.1:' .. i end return t end\n"
              "d.publish{endpoints = {a = list(30000)}} d.sleep(1)\n"
              "local _, why = pcall(d.publish, {increment = true, endpoints = {b = list(20001)}}) d.sleep(1)\n"
              "d.publish{increment = true, endpoints = {b = list(20000)}} d.sleep(1)\n"
              "d.publish{increment = true, endpoints = {a = list(29999)}, upstreams = {b = {labels = {why = why}}}} d.sleep(1)\n"
              "d.publish{increment = true, upstreams = {b = false}, endpoints = {c = list(20001)}} d.sleep(1)\n"
              "d.publish{upstreams = {d = {}}, endpoints = {e = list(50000)}}");
    told(&b, "+a synced ok ");
    pl_world_pass(b.world, 1000);
    told(&b, "");
    pl_world_pass(b.world, 1000);
    told(&b, "+b ");
    pl_world_pass(b.world, 1000);
    told(&b, "+b +a ");
    const struct sld_blob *blob = sld_map_get(&b.units, SLD_STR("b"));
    assert_non_null(strstr(blob->bytes, "publish: endpoints: more than 50000 endpoints in all"));
    pl_world_pass(b.world, 1000);
    told(&b, "+c -b ");
    pl_world_pass(b.world, 1000);
    told(&b, "+d +e -a -c ");
    end(&b);
    // Names: those that are known are not new, and those that go make room.
    begin(&b, "local function many(c, n) local t = {} for i = 1, n do t[c .. i] = {} end return t end\n"
              "d.publish{upstreams = many('a', 5000)} d.sleep(1)\n"
              "d.publish{increment = true, upstreams = many('b', 4999)} d.sleep(1)\n"
              "d.publish{increment = true, upstreams = many('b', 4999)} d.sleep(1)\n"
              "d.publish{increment = true, upstreams = {a1 = false, none = false, c1 = {}, c2 = {}}} d.sleep(1)\n"
              "local _, why = pcall(d.publish, {increment = true, upstreams = {c3 = {}}})\n"
              "d.publish{increment = true, upstreams = {c1 = {labels = {why = tostring(why)}}}}");
    pl_world_pass(b.world, 2000);
    b.log[0] = 0;
    pl_world_pass(b.world, 1000);
    told(&b, "+c1 +c2 -a1 ");
    pl_world_pass(b.world, 1000);
    told(&b, "+c1 ");
    blob = sld_map_get(&b.units, SLD_STR("c1"));
    assert_non_null(strstr(blob->bytes, "publish: upstreams: more than 10000 upstreams in all"));
    end(&b);
}

static void a_task_that_fails_is_started_again(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "d.publish{upstreams = {a = {}}} d.sleep(5) error('no luck', 0)");
    told(&b, "+a synced ok ");
    pl_world_pass(b.world, 5000);
    told(&b, "!plugin finder: no luck ");
    assert_non_null(sld_map_get(&b.units, SLD_STR("a"))); // what was good stays
    pl_world_pass(b.world, 1000);
    told(&b, "ok "); // nothing is new; it is well again
    // Pauses grow to a minute.
    uint64_t starts = 0;
    struct sld_plugin_stats stats;
    pl_world_pass(b.world, 30 * 60 * 1000);
    sld_plugin_stats(b.plugin, &stats);
    starts = stats.hooks[SLD_HOOK_DISCOVER].calls;
    assert_in_range(starts, 20, 45);
    assert_int_equal(stats.hooks[SLD_HOOK_DISCOVER].errors, starts);
    end(&b);
    begin(&b, "while true do end");
    assert_non_null(strstr(b.log, "!plugin finder: plugin.lua:5: more than 5000000 steps"));
    end(&b);
    begin(&b, "return");
    told(&b, "!discover returned, and has published nothing ");
    end(&b);
}

static void on_http(void *user, const struct sld_http_call *call, struct sld_http_answer *out)
{
    static const struct sld_http_header headers[] = {{SLD_STR("ETag"), SLD_STR("\"1\"")}, {SLD_STR("X-A"), SLD_STR("1")}, {SLD_STR("x-a"), SLD_STR("2")}};
    static struct sld_err err;
    unsigned *asked = user;
    ++*asked;
    for (size_t i = 0; i < call->header_count; i++) {
        if (sld_str_eq(call->headers[i].name, SLD_STR("if-none-match"))) {
            out->status = 304;
            return;
        }
    }
    if (*asked == 1) {
        sld_err_set(&err, SLD_IO, "down");
        out->err = &err;
        return;
    }
    out->status = *asked == 2 ? 503 : 200;
    out->headers = headers;
    out->header_count = 3;
    out->body = sld_str_eq(call->body, SLD_STR("q")) ? SLD_STR("10.0.0.1:80") : SLD_STR("?");
}

static void it_asks_others(void **state)
{
    struct bench b;
    unsigned asked = 0;
    (void)state;
    begin(&b, "local r, why = d.http{url = 'http://reg/x', body = 'q', method = 'POST', retries = 2}\n"
              "assert(r, why) assert(r.status == 200 and r.headers['x-a'] == '1, 2')\n"
              "d.publish{endpoints = {a = {r.body}}}\n"
              "local again, same = d.http{url = 'http://reg/x', previous = r} assert(again == r and same == true)\n"
              "d.publish{increment = true, endpoints = {b = {again.body}}}");
    pl_world_on_http(b.world, on_http, &asked);
    pl_world_pass(b.world, 5000);
    told(&b, "+a synced ok +b ");
    assert_int_equal(asked, 4);
    end(&b);
    begin(&b, "local r, why = d.http{url = 'http://nobody/'} d.publish{upstreams = {a = {labels = {why = why}}}}");
    pl_world_pass(b.world, 1);
    assert_non_null(strstr(((struct sld_blob *)sld_map_get(&b.units, SLD_STR("a")))->bytes, "nobody answers there"));
    end(&b);
}

// BODY fails with WORDS.
static void ask_fails(const char *options, const char *words)
{
    struct bench b;
    char body[1000];
    snprintf(body, sizeof(body), "d.http(%s)", options);
    begin(&b, body);
    pl_world_pass(b.world, 100);
    if (!strstr(b.log, words))
        fail_msg("%s: %s instead of %s", options, b.log, words);
    end(&b);
}

static void what_is_asked_is_checked(void **state)
{
    (void)state;
    ask_fails("{}", "plugin.lua:5: solder.http.request: 'url' must begin with http:// or https://");
    ask_fails("{url = 'file:///etc/passwd'}", "'url' must begin with http://");
    ask_fails("{url = 'http://a/\\n'}", "'url' is none");
    ask_fails("{url = 'http://a', methd = 'GET'}", "there is no 'methd'");
    ask_fails("{url = 'http://a', method = 'G T'}", "'method' must be one such as");
    ask_fails("{url = 'http://a', headers = {['x y'] = '1'}}", "headers: a name must be");
    ask_fails("{url = 'http://a', headers = {x = 'a\\r\\nb: c'}}", "headers: 'x' must be a string of one line");
    ask_fails("{url = 'http://a', headers = {['Content-Length'] = '1'}}", "is set by the client");
    ask_fails("{url = 'http://a', timeout = 0}", "'timeout' must be a time");
    ask_fails("{url = 'http://a', retries = 11}", "'retries' must be a whole number of 0 to 10");
    ask_fails("{url = 'http://a', max_body = 1 << 40}", "'max_body' must be a whole number");
    ask_fails("{url = 'http://a', ca_file = '/etc/passwd'}", "ca_file: the file /etc/passwd is not granted");
    ask_fails("{url = 'http://a', socket = '/var/run/docker.sock'}", "socket: the file /var/run/docker.sock is not granted");
    ask_fails("(function() local h = {} for i = 1, 65 do h['h' .. i] = 'x' end return {url = 'http://a', headers = h} end)()", "more than 64 headers");
    ask_fails("{url = 'http://a', method = (function() for i = 1, 600 do d.http{url = 'http://a'} end return 'GET' end)()}",
              "more than 600 calls to others in one minute");
}

static void on_dns(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out)
{
    static const struct sld_str addresses[] = {SLD_STR("10.0.0.1"), SLD_STR("10.0.0.2")};
    static const struct sld_dns_record services[] = {{SLD_STR("x"), 1, 2, 80}}, none[] = {{SLD_STR("."), 0, 0, 0}, {SLD_STR(""), 0, 0, 0}},
                                       portless[] = {{SLD_STR("y"), 1, 2, 0}}, texts[] = {{.text = SLD_STR("a text")}};
    static struct sld_err err;
    (void)user;
    if (sld_str_eq(name, SLD_STR("down"))) {
        sld_err_set(&err, SLD_IO, "no server");
        out->err = &err;
    } else if (!sld_str_eq(name, SLD_STR("none"))) {
        out->records = type == SLD_DNS_SRV ? services : texts;
        out->record_count = type == SLD_DNS_SRV || type == SLD_DNS_TXT;
        out->addresses = addresses;
        out->count = type <= SLD_DNS_AAAA ? 2 : 0;
    }
    if (sld_str_eq(name, SLD_STR("no-service"))) {
        out->records = none;
        out->record_count = 2;
    } else if (sld_str_eq(name, SLD_STR("portless"))) {
        out->records = portless;
    }
}

static void it_asks_for_names(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "local function all(t) return table.concat(t, ' ') end\n"
              "local srv = d.dns('x', 'SRV')[1] local none, why = d.dns('down') assert(none == nil)\n"
              "d.publish{upstreams = {a = {labels = {a = all(d.dns('x')), a4 = all(d.dns('x', 'A')), txt = all(d.dns('x', 'TXT')),\n"
              "none = tostring(#d.dns('none')), why = why, srv = all{srv.target, srv.port, srv.priority, srv.weight}}}}}");
    pl_world_on_dns(b.world, on_dns, NULL);
    pl_world_pass(b.world, 10);
    told(&b, "+a synced ok ");
    const struct sld_blob *blob = sld_map_get(&b.units, SLD_STR("a"));
    assert_non_null(strstr(blob->bytes, "\"a\":\"10.0.0.1 10.0.0.2\",\"a4\":\"10.0.0.1 10.0.0.2\",\"none\":\"0\",\"srv\":\"x 80 1 2\","
                                        "\"txt\":\"a text\",\"why\":\"no server\""));
    end(&b);
    begin(&b, "local srv = d.dns('portless', 'SRV')[1]\n"
              "d.publish{upstreams = {a = {labels = {no = tostring(#d.dns('no-service', 'SRV')), srv = srv.target .. srv.port}}}}");
    pl_world_on_dns(b.world, on_dns, NULL);
    pl_world_pass(b.world, 10);
    told(&b, "+a synced ok ");
    blob = sld_map_get(&b.units, SLD_STR("a"));
    assert_non_null(strstr(blob->bytes, "\"no\":\"0\",\"srv\":\"y0\""));
    end(&b);
    begin(&b, "d.dns('x', 'MX')");
    assert_non_null(strstr(b.log, "bad argument #2 to 'dns' (invalid option 'MX')"));
    end(&b);
    begin(&b, "d.dns('')");
    assert_non_null(strstr(b.log, "a name of at most 253 bytes"));
    end(&b);
}

static void it_reads_files_that_are_granted(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "local text, stamp = d.file.read('/etc/one')\nstamp = text and stamp\n"
              "while true do\n"
              "  local changed = d.file.watch('/etc/one', stamp, 10)\n"
              "  local text, why = d.file.read('/etc/one') stamp = text and why\n"
              "  d.publish{upstreams = {a = {labels = {text = text or why, changed = tostring(changed)}}}}\n"
              "end");
    told(&b, "");
    pl_world_file(b.world, SLD_STR("/etc/one"), SLD_STR("first"));
    pl_world_pass(b.world, 499);
    told(&b, "+a synced ok ");
    assert_non_null(strstr(((struct sld_blob *)sld_map_get(&b.units, SLD_STR("a")))->bytes, "\"changed\":\"true\",\"text\":\"first\""));
    pl_world_pass(b.world, 11000); // nothing changes
    told(&b, "+a ");
    assert_non_null(strstr(((struct sld_blob *)sld_map_get(&b.units, SLD_STR("a")))->bytes, "\"changed\":\"false\""));
    pl_world_file(b.world, SLD_STR("/etc/one"), SLD_STR_NONE);
    pl_world_pass(b.world, 600);
    told(&b, "+a ");
    assert_non_null(strstr(((struct sld_blob *)sld_map_get(&b.units, SLD_STR("a")))->bytes, "there is no file /etc/one"));
    end(&b);
    static const char *const refused[] = {"/etc/two", "/srv/al", "/srv/all/../x", "/srv/all/..", "etc/one", "/etc/one/x"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(refused); i++) {
        char body[100];
        snprintf(body, sizeof(body), "d.file.read('%s')", refused[i]);
        begin(&b, body);
        if (!strstr(b.log, "is not granted"))
            fail_msg("%s: %s", refused[i], b.log);
        end(&b);
    }
    begin(&b, "local text = d.file.read('/srv/all/of/it') d.publish{upstreams = {a = {}}}");
    told(&b, "+a synced ok ");
    end(&b);
}

// ---- As a source ----

static void source_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    (void)bytes;
    assert_true(settled);
    note(user, "+", path);
}

static void source_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    assert_int_equal(path.n, 0);
    assert_int_equal(code, SLD_SOURCE_STALE);
    note(user, message.p ? "!" : "ok", message);
}

static void source_gone(void *user, struct sld_str path)
{
    note(user, "-", path);
}

static void stop(void *user)
{
    sld_loop_stop(user);
}

// Who has not published in its time is waited for no longer; later that changes nothing.
static void it_is_waited_for_so_long(void **state)
{
    struct bench b = {0};
    struct sld_err err;
    struct sld_source *s = NULL;
    (void)state;
    struct sld_loop *loop = sld_loop_create("test");
    struct sld_source_events ev = {.on_synced = on_synced, .on_problem = source_problem, .user = &b};
    assert_int_equal(sld_plugin_source_ops.open(loop, SLD_STR("plugin:x"), NULL, &ev, &s, &err), SLD_OK);
    sld_found_patience(s, 0);
    struct sld_timer *guard = sld_timer_create(loop, stop, loop);
    sld_timer_start(guard, 20); // far less than is waited for where nothing is said
    sld_loop_run(loop);
    told(&b, "synced !the plugin has not published anything so far ");
    sld_found_patience(s, 0);
    sld_timer_start(guard, 1);
    sld_loop_run(loop);
    told(&b, "");
    sld_timer_destroy(guard);
    sld_plugin_source_ops.close(s);
    sld_loop_destroy(loop);
}

static void put(struct sld_source *s, const char *name, const char *text)
{
    struct sld_blob *b = sld_blob_create(sld_str_c(text));
    sld_found_put(s, sld_str_c(name), b);
    SLD_UNREF(b);
}

static void what_another_task_does_not_say_goes(void **state)
{
    struct bench b = {0};
    struct sld_err err;
    struct sld_source *s = NULL;
    (void)state;
    struct sld_loop *loop = sld_loop_create("test");
    struct sld_source_events ev = {.on_put = source_put, .on_gone = source_gone, .on_synced = on_synced, .on_problem = source_problem, .user = &b};
    assert_int_equal(sld_plugin_source_ops.open(loop, SLD_STR("plugin:x"), NULL, &ev, &s, &err), SLD_OK);
    sld_found_begin(s);
    put(s, "a", "1");
    put(s, "b", "1");
    sld_found_problem(s, SLD_STR_NONE);
    sld_found_synced(s);
    told(&b, "+a +b synced ");
    sld_found_problem(s, SLD_STR("down"));
    told(&b, "!down ");
    sld_found_begin(s); // another one: what was told stays until it has spoken
    put(s, "a", "1");
    put(s, "c", "1");
    told(&b, "+c ");
    sld_found_problem(s, SLD_STR_NONE);
    sld_found_synced(s);
    told(&b, "ok -b synced ");
    sld_plugin_source_ops.reread(s);
    assert_non_null(strstr(b.log, "+a "));
    assert_non_null(strstr(b.log, "+c "));
    assert_non_null(strstr(b.log, "synced"));
    b.log[0] = 0;
    sld_found_gone(s, SLD_STR("a"));
    told(&b, "-a ");
    sld_plugin_source_ops.close(s);
    sld_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_set_takes_the_place_of_the_last),
        cmocka_unit_test(increments_leave_the_rest),
        cmocka_unit_test(everything_is_checked_before_anything_is_told),
        cmocka_unit_test(ceilings_are_of_all_that_was_published),
        cmocka_unit_test(a_task_that_fails_is_started_again),
        cmocka_unit_test(it_asks_others),
        cmocka_unit_test(what_is_asked_is_checked),
        cmocka_unit_test(it_asks_for_names),
        cmocka_unit_test(it_reads_files_that_are_granted),
        cmocka_unit_test(what_another_task_does_not_say_goes),
        cmocka_unit_test(it_is_waited_for_so_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
