"""Hooks of requests that run in the worker: what a policy can say, and what its faults cost."""

import os
import signal

from harness import Poller, alive, cli, eventually, gateway, route, says, to, vs

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


def hook(site, name="policy"):
    plugin_ = next(p for p in site.api("/v1/plugins")["items"] if p["name"] == name)
    return next(h for h in plugin_["hooks"] if h["name"] == "authorize")


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
    site.wait_answer(200, host="other.example")
    pid = worker(site)["pid"]
    with Poller(site.port, host="other.example") as neighbours:
        # It rests in the end, on both loops, instead of taking all the time of these.
        eventually(lambda: [ask(site, "/loop").status for _ in range(12)] == [503] * 12 and
                   [ask(site).status for _ in range(4)] == [503] * 4)
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
    # The filter is there while some plugin is loaded that has a hook for it.
    assert "solder.authorize" in str(site.xds("lds"))
    for name in ("aa", "bb", "cc"):
        (site.dir / "plugins" / f"{name}.lua").unlink()
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
    waits = 'if req.path == "/wait" then require("solder.time").sleep("600ms") end req:set_header("x-was", "1")'
    text = 'local time = require "solder.time"\n' + small("policy", waits.replace('require("solder.time")', "time"))
    start(site, ("policy", text), policy={})
    with Poller(site.port) as p:
        a = site.ask("/wait")
        assert a.status == 200 and a.json["headers"]["x-was"] == ["1"]
    p.assert_clean()


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
