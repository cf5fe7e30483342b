"""Hooks of requests that run in the worker: what a policy can say, and what its faults cost."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE, Popen

from harness import SOLDER, Poller, alive, cli, eventually, gateway, route, says, to, vs

POLICY = """
local s = require "solder.schema"
return {
  api = 1, name = "policy", version = "1",
  schema = s.record{ token = s.string{required = true}, who = s.string{default = "nobody"} },
  authorize = function(conf, req)
    if req.path == "/loop" then while true do end end
    if req.path == "/raise" then error("not today") end
    if req.headers["x-token"] ~= conf.token then
      return req:deny{status = 401, headers = {["www-authenticate"] = "Token", ["set-cookie"] = {"a=1", "b=2"}}, body = "who are you?\\n"}
    end
    if req.query.drop then req:remove_query("drop") req:set_query("kept", "y es") end
    req:set_header("x-who", conf.who)
    req:add_header("x-list", "two")
    req:remove_header("x-token")
    req:set_response_header("x-seen", req.method .. " " .. req.host .. " " .. (req.route or "?"))
    req:add_response_header("x-more", "1")
    req:set_metadata("who", {name = conf.who})
    return req.path ~= "/forbidden"
  end,
}
"""


def plugin(folder, text, name="policy"):
    folder.mkdir(exist_ok=True)
    new = folder / f".{name}"
    new.write_text(text)
    new.rename(folder / f"{name}.lua")


def small(name, body, more=""):
    return f'return {{api = 1, name = "{name}", {more} authorize = function(conf, req) {body} end}}'


def uses(**configs):
    return {"extensions": {"configs": configs}}


def ask(site, path="/", token="good", **more):
    headers = dict(more.pop("headers", {}))
    if token:
        headers["x-token"] = token
    return site.ask(path, headers=headers, **more)


def worker(site):
    return site.api("/v1/plugins")["worker"]


def worker_up(site, other_than=0):
    def up():
        w = worker(site)
        return w["state"] == "Running" and w["pid"] != other_than and w["pid"]
    return eventually(up, 40)


def hook_of(site, name, hook_):
    plugin_ = next(p for p in site.api("/v1/plugins")["items"] if p["name"] == name)
    return next(h for h in plugin_["hooks"] if h["name"] == hook_)


def hook(site, name="policy"):
    return hook_of(site, name, "authorize")


def start(site, *plugins, **configs):
    """A site whose route / has the plugins (name, text) with these configurations."""
    for name, text in plugins:
        plugin(site.dir / "plugins", text, name)
    site.upstream()
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(**configs))]))
    site.start("--plugins", site.dir / "plugins", "--worker-threads", "2")


def test_a_policy_decides_and_edits(site):
    log = site.dir / "access.log"
    site.write("gateway.yaml", gateway("gateway-proxy", site.port, options={"accessLoggingService": {"accessLog": [
        {"fileSink": {"path": str(log), "stringFormat":
                      "%REQ(:PATH)% who=%DYNAMIC_METADATA(envoy.filters.http.ext_authz:policy:who:name)%\n"}}]}}))
    start(site, ("policy", POLICY), policy={"token": "good", "who": "alice"})
    a = ask(site, "/x?drop=1&a=b", headers={"x-list": "one"})
    assert a.status == 200, a
    seen = a.json["headers"]
    assert seen["x-who"] == ["alice"] and seen["x-list"] == ["one,two"] and "x-token" not in seen
    assert a.json["path"] == "/x?a=b&kept=y%20es"
    assert a.headers["x-more"] == "1" and a.headers["x-seen"] == "GET x gloo-system_shop-route-0-matcher-0"
    eventually(lambda: "who=alice" in log.read_text())
    a = ask(site, token="bad")
    assert (a.status, a.text, a.headers["www-authenticate"]) == (401, "who are you?\n", "Token")
    assert a.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert ask(site, "/forbidden").status == 403
    assert ask(site, "/raise").status == 503
    eventually(lambda: (hook(site)["calls"], hook(site)["errors"], hook(site)["denied"]) == (4, 1, 2))
    said = cli("describe", "plugin", "policy", "--admin", f"unix:{site.admin}").stdout
    assert "authorize: 4 calls, 1 errors" in said and "plugin.lua:8: not today" in said
    assert site.metric("solder_plugin_calls_total", plugin="policy", hook="authorize") == 4
    assert site.metric("solder_worker_up") == 1
    # No configuration is Envoy's business.
    assert "alice" not in site.envoy_admin("/config_dump?include_eds").text


def test_faults_of_one_cost_its_requests_alone(site):
    start(site, ("policy", POLICY), ("other", small("other", "return true")), policy={"token": "good"})
    site.write("other.yaml", vs("other", "other.example", [route("/", to("echo"), uses(other={}))]))
    site.write("apart.yaml", vs("apart", "apart.example", [route("/", to("echo"), uses(policy={"token": "good", "who": "bob"}))]))
    site.wait_answer(200, host="other.example")
    site.wait_answer(200, host="apart.example", headers={"x-token": "good"})
    pid = worker(site)["pid"]
    with Poller(site.port, host="other.example") as neighbours:
        # It rests in the end, on both loops, instead of taking all the time of these; but not with the configuration of others.
        eventually(lambda: [ask(site, "/loop").status for _ in range(12)] == [503] * 12 and
                   [ask(site).status for _ in range(4)] == [503] * 4)
        assert [ask(site, host="apart.example").status for _ in range(8)] == [200] * 8
        site.write("new.yaml", vs("new", "new.example", [route("/", says(200, "new"))]))
        site.wait_answer(200, host="new.example")
        neighbours.more(50)
    neighbours.assert_clean()
    assert worker(site)["pid"] == pid
    assert "steps" in cli("describe", "plugin", "policy", "--admin", f"unix:{site.admin}").stdout
    # A new version begins anew.
    plugin(site.dir / "plugins", POLICY.replace('version = "1"', 'version = "2"'))
    eventually(lambda: ask(site).status == 200)


def test_a_worker_that_is_killed_comes_again(site):
    start(site, ("policy", POLICY), policy={"token": "good"})
    site.write("plain.yaml", vs("plain", "plain.example", [route("/", to("echo"))]))
    site.wait_answer(200, host="plain.example")
    pid = worker_up(site)
    with Poller(site.port, host="plain.example") as neighbours:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))
        other = worker_up(site, pid)
        eventually(lambda: ask(site).status == 200)
        assert ask(site, token="bad").status == 401
        # One that hangs is killed, and comes again too; meanwhile nothing gets through.
        os.kill(other, signal.SIGSTOP)
        assert ask(site, token="bad").status == 503
        worker_up(site, other)
        eventually(lambda: ask(site).status == 200)
        assert not alive(other)
    neighbours.assert_clean()
    assert worker(site)["restarts"] == 2
    assert [e["event"] for e in site.events() if e["event"].startswith("worker_hung")] == ["worker_hung"]


def test_it_ends_with_the_server(site):
    start(site, ("policy", POLICY), policy={"token": "good"})
    pid = worker_up(site)
    site.kill()
    eventually(lambda: not alive(pid))
    # Envoy lives on, and lets nothing through that was not asked about.
    assert ask(site).status == 503
    site.start("--plugins", site.dir / "plugins")
    assert ask(site).status == 200


def test_a_new_version_costs_no_request(site):
    start(site, ("policy", POLICY), policy={"token": "good"})

    def whole(a):
        return None if a.status == 200 and a.json["headers"]["x-who"][0] in ("v1", "v2", "v3", "v4", "nobody") else repr(a)
    with Poller(site.port, check=whole, threads=4, headers={"x-token": "good"}) as p:
        for n in range(1, 5):
            plugin(site.dir / "plugins", POLICY.replace('"x-who", conf.who', f'"x-who", "v{n}"'))
            eventually(lambda: ask(site).json["headers"]["x-who"] == [f"v{n}"])
            p.more(50)
        # One that does not load, or whose configuration does not fit any more: the one before goes on.
        plugin(site.dir / "plugins", "return {")
        eventually(lambda: site.events("plugin_refused"))
        p.more(50)
        # New configurations.
        for who in ("v1", "v2"):
            plugin(site.dir / "plugins", POLICY)
            site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(policy={"token": "good", "who": who}))]))
            eventually(lambda: ask(site).json["headers"]["x-who"] == [who])
            p.more(50)
    p.assert_clean()


def test_a_wrong_configuration_is_a_finding(site):
    start(site, ("policy", POLICY), policy={"token": "good", "who": "alice"})
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(policy={"token": "good", "hwo": "bob"}))]))
    site.wait_state("VirtualService", "shop", "Rejected", "SLD0101")
    assert "options.extensions.configs.policy.hwo" in "\n".join(site.findings("VirtualService", "shop"))
    assert ask(site).json["headers"]["x-who"] == ["alice"]


def test_several_plugins_and_places(site):
    trail = 'req:set_header("x-trail", (req.headers["x-trail"] or "") .. "%s" .. (conf.n or "")) '
    schema = 'schema = require("solder.schema").record{n = require("solder.schema").string{}},'
    for name in ("aa", "bb", "cc"):
        stop = 'if req.path == "/stop" then return false end' if name == "bb" else ""
        plugin(site.dir / "plugins", small(name, trail % name + stop, schema), name)
    site.upstream()
    site.write("vs.yaml", vs("shop", "*", [
        route("/own", to("echo"), uses(bb={"n": "2"}, cc={})),
        route("/", to("echo")),
    ], options=uses(bb={"n": "1"}, aa={})))
    site.write("plain.yaml", vs("plain", "plain.example", [route("/", to("echo"))]))
    site.start("--plugins", site.dir / "plugins")
    assert site.ask("/").json["headers"]["x-trail"] == ["aabb1"]
    # What a route says takes the place of what its virtual host says, plugin by plugin.
    assert site.ask("/own").json["headers"]["x-trail"] == ["aabb2cc"]
    assert site.ask("/stop").status == 403
    assert "x-trail" not in site.ask("/", host="plain.example").json["headers"]
    # The filter is there while some plugin has a hook for it.
    assert "solder.authorize" in str(site.xds("lds"))
    for name in ("aa", "bb", "cc"):
        plugin(site.dir / "plugins", f'return {{api = 1, name = "{name}", {schema} shape_route = function() end}}', name)
    eventually(lambda: "solder.authorize" not in str(site.xds("lds")))


def test_bodies_are_shown_to_who_asks(site):
    body = 'request_body = {mode = "buffered", max = "1KiB"},'
    start(site, ("policy", small("policy", 'req:set_header("x-body", req.body) return req.body ~= "no"', body)), policy={})
    a = site.ask("/", method="POST", body=b"yes")
    assert a.status == 200 and a.json["headers"]["x-body"] == ["yes"] and a.json["body"] == "yes", a
    assert site.ask("/", method="POST", body=b"no").status == 403
    assert site.ask("/", method="POST", body=b"x" * 2000).status == 413


def test_secrets_are_seen_there_alone(site):
    text = """local s = require "solder.schema"
return {api = 1, name = "policy", needs = {"secrets"}, schema = s.record{key = s.secret_ref{}},
  authorize = function(conf, req)
    req:set_response_header("x-shown", tostring(conf.key))
    return req.headers["x-key"] == conf.key:value()
  end}"""
    def secret(value):
        return {"apiVersion": "gloo.solo.io/v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "gloo-system"},
                "spec": {"header": {"headers": {"key": value}}}}
    site.write("key.yaml", secret("one"))
    start(site, ("policy", text), policy={"key": {"name": "key"}})
    a = site.ask("/", headers={"x-key": "one"})
    assert a.status == 200 and a.headers["x-shown"] == "***"
    assert site.ask("/", headers={"x-key": "two"}).status == 403
    before = site.xds("rds")
    site.write("key.yaml", secret("two"))
    eventually(lambda: site.ask("/", headers={"x-key": "two"}).status == 200)
    assert site.ask("/", headers={"x-key": "one"}).status == 403
    assert site.xds("rds") == before  # nothing changed for Envoys


def test_a_call_that_waits_lets_others_pass(site):
    """It waits for somebody who answers when others were let pass, on both loops."""
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{other.getsockname()[1]}/"
        body = f'if req.path == "/wait" then assert(http.request{{url = "{url}"}}) end req:set_header("x-was", "1")'
        start(site, ("policy", 'local http = require "solder.http"\n' + small("policy", body, 'needs = {"http"},')), policy={})
        waits = pool.submit(site.ask, "/wait")
        with other.accept()[0] as asker:
            assert [site.ask().status for _ in range(20)] == [200] * 20
            assert not waits.done()
            asker.recv(65536)
            asker.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        a = waits.result(30)
        assert a.status == 200 and a.json["headers"]["x-was"] == ["1"]


def test_counters_are_those_of_all_loops_and_versions(site):
    text = 'local counters = require "solder.counters"\n' + small("policy", 'req:set_header("x-count", tostring(counters.add("asked")))')
    start(site, ("policy", text), policy={})

    def counts(n):
        return [int(ask(site).json["headers"]["x-count"][0]) for _ in range(n)]
    assert counts(20) == list(range(1, 21))
    plugin(site.dir / "plugins", text.replace('"x-count"', '"x-new", "1") req:set_header("x-count"'))
    asked = 20

    def new():
        nonlocal asked
        asked += 1
        return "x-new" in ask(site).json["headers"]
    eventually(new)
    # The first answer of the new version may have come from one loop alone.
    assert counts(20) == list(range(asked + 1, asked + 21))


def test_a_document_sets_all_ceilings(site):
    """Each limit of the document is in force in the worker."""
    bodies = {
        "string": ('("x"):rep(2000)', {"stringKib": 1}, "longer than 1024 bytes"),
        "pattern": ('("x"):rep(2000):find("a.*b")', {"patternTextKib": 1}, "at most 1024"),
        "coroutines": ('for i = 1, 4 do coroutine.create(print) end', {"coroutines": 3}, "more than 3 coroutines"),
        "outbound": ('local h = http.request{url = "http://127.0.0.1:1"} h = http.request{url = "http://127.0.0.1:1"}', {"outboundCalls": 1},
                     "more than 1 calls to others in one call"),
        "time": ('time.sleep("1m")', {"requestTime": "50ms"}, "longer than 50 ms in all"),
        "steps": ('while true do end', {"callSteps": 3000}, "more than 3000 steps"),
    }
    docs, routes = [], []
    for name, (body, limits, _) in bodies.items():
        text = (f'local http, time = require "solder.http", require "solder.time" return {{api = 1, name = "{name}", needs = {{"http"}}, '
                f'authorize = function(conf, req) local x {body if "=" in body or " " in body else "= " + body} end}}')
        docs.append({"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": name, "namespace": "gloo-system"},
                     "spec": {"inline": text, "limits": limits, "needs": ["http"]}})
        routes.append(route(f"/{name}", to("echo"), uses(**{name: {}})))
    site.upstream()
    site.write("plugins.yaml", *docs)
    site.write("vs.yaml", vs("shop", "*", [*routes, route("/", to("echo"))]))
    site.start("--worker-threads", "1")
    site.wait_answer(200)
    for name, (_, _, words) in bodies.items():
        assert site.ask(f"/{name}").status == 503, name
        eventually(lambda: words in cli("describe", "plugin", name, "--admin", f"unix:{site.admin}").stdout)


def test_requests_are_recorded_and_replayed(site):
    """What a policy decided is told without secrets; another version is shown to decide otherwise."""
    start(site, ("policy", POLICY), policy={"token": "good", "who": "alice"})
    admin = ("--admin", f"unix:{site.admin}")
    with Popen([SOLDER, "plugin", "record", "policy", "--count", "12", *admin], stdout=PIPE, stderr=PIPE, text=True) as recorder:
        while recorder.poll() is None:
            for path in "/a?session=hidden-1", "/forbidden", "/raise":
                ask(site, path, headers={"authorization": "hidden-2"})
        lines, said = recorder.communicate()
    assert recorder.returncode == 0 and said == "12 requests\n", said
    # One of each.
    lines = "".join({json.loads(line)["request"]["path"]: line + "\n" for line in lines.splitlines()}.values())
    records = [json.loads(line) for line in lines.splitlines()]
    assert sorted(r["decision"]["result"] for r in records) == ["allow", "deny", "error"]
    assert "hidden" not in lines and '"authorization","***"' in lines
    allowed = next(r for r in records if r["decision"]["result"] == "allow")
    assert allowed["request"]["path"] == "/a?session=***" and allowed["conf"]["who"] == "alice"
    assert "set x-who: alice" in allowed["decision"]["edits"]
    file = site.dir / "requests.jsonl"
    # Requests are told with their headers but for those that are hidden, and x-token is called like a secret.
    file.write_text(lines.replace('"x-token","***"', '"x-token","good"'))
    script = site.dir / "plugins" / "policy.lua"
    same = cli("plugin", "test", script, "--replay", file)
    assert same.returncode == 0 and same.stdout == "3 requests: 3 decided as before, 0 differ\n", same
    plugin(site.dir / "plugins", POLICY.replace('"/forbidden"', '"/a"'))
    differs = cli("plugin", "test", script, "--replay", file)
    assert differs.returncode == 1 and "3 requests: 1 decided as before, 2 differ" in differs.stdout, differs
    assert "GET /forbidden       deny 403 -> allow" in differs.stdout and "authorization is hidden" in differs.stdout
    whole = json.loads(cli("plugin", "test", script, "--replay", file, "-o", "json").stdout)
    assert whole["differ"] == 2 and {r["differs"].split(",")[0] for r in whole["requests"]} == {"", "result"}
    assert cli("plugin", "record", "nobody", *admin).returncode == 1
    assert cli("plugin", "test", script, "--replay", site.dir / "gone").returncode == 2


def test_open_goes_on_without_it(site):
    site.write("plugin.yaml", {"apiVersion": "solder.dev/v1", "kind": "Plugin",
                               "metadata": {"name": "policy", "namespace": "gloo-system"},
                               "spec": {"onError": "open", "inline": small("policy", 'req:set_header("x-half", "1") error("no")')}})
    site.upstream()
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(policy={}))]))
    site.start()
    a = site.ask("/")
    assert a.status == 200 and "x-half" not in a.json["headers"]
    eventually(lambda: hook(site)["errors"] == 1)


EDGE = """
return {api = 1, name = "edgy", runs = "envoy", authorize = function(conf, req) return req.headers["x-token"] == "good" end}
"""


def test_what_a_guard_that_is_gone_guarded_is_closed(site):
    start(site, ("policy", POLICY), ("edgy", EDGE), policy={"token": "good"})
    site.write("edgy.yaml", vs("edgy", "edgy.example", [route("/", to("echo"))], options=uses(edgy={})))
    site.write("plain.yaml", vs("plain", "plain.example", [route("/", to("echo"))]))
    hosts = ("x", "edgy.example")
    for host in hosts:
        eventually(lambda: ask(site, host=host).status == 200)
        assert ask(site, host=host, token="bad").status in (401, 403)
    bad = []  # what anybody without the token is answered while the guards go and come

    def closed():
        bad.extend(ask(site, host=h, token="bad").status for h in hosts)
        return all(ask(site, host=h).status == 503 for h in hosts)

    def words(name):
        return "\n".join(site.findings("VirtualService", name))
    with Poller(site.port, host="plain.example") as neighbours:
        for name in ("policy", "edgy"):
            (site.dir / f"plugins/{name}.lua").unlink()
        eventually(closed)
        eventually(lambda: "plugin policy, which guarded this, is gone" in words("shop") and "plugin edgy" in words("edgy"))
        neighbours.more(20)
    neighbours.assert_clean()
    assert {p["name"]: p["state"] for p in site.api("/v1/plugins")["items"]} == {"policy": "Gone", "edgy": "Gone"}
    # After a restart, too.
    site.stop()
    site.start("--plugins", site.dir / "plugins")
    eventually(closed)
    # What is not named any more is open; what is there again guards.
    site.write("edgy.yaml", vs("edgy", "edgy.example", [route("/", to("echo"))]))
    eventually(lambda: ask(site, host="edgy.example", token="bad").status == 200)
    hosts = ("x",)
    plugin(site.dir / "plugins", POLICY)
    eventually(lambda: not closed())
    assert ask(site).status == 200 and ask(site, token="bad").status == 401
    assert set(bad) <= {401, 403, 503}
