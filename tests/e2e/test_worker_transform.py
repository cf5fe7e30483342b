"""Hooks that change requests and responses in the worker: each phase on the real Envoy, and what their faults cost."""

import http.client
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import Connection, Poller, Raw, alive, eventually, gateway, route, to, upstream, vs
from test_worker import hook_of, plugin, uses, worker_up

TURN = """
return {
  api = 1, name = "turn", request_body = {mode = "buffered"}, response_body = {mode = "buffered"},
  transform_request = function(conf, req)
    if req.path == "/here" then
      return req:respond{status = 200, headers = {["x-from"] = "plugin", ["set-cookie"] = {"a=1", "b=2"}}, body = "here\\0\\xff"}
    elseif req.path == "/move" then
      req:set_method("PUT")
      req:set_path("/moved")
      req:set_host("else.where")
      req:set_query("b", "1 2&3")
      req:remove_query("c")
    elseif req.path == "/fail" then
      req:set_header("x-half", "done")
      error("on the way up")
    elseif req.path == "/loop" then
      while true do end
    end
    req:set_header("x-route", req.route or "?")
    req:add_header("x-many", "two")
    req:set_response_header("x-later", req.source)
    req:set_metadata("seen", {path = req.path})
    if req.body ~= "" then
      req:set_body("<" .. req.body .. ">")
    end
  end,
  transform_response = function(conf, res)
    res:set_header("x-request", res.request.method .. " " .. res.request.path .. " " .. (res.request.headers["x-a"] or "-"))
    if res.status == 404 then
      res:set_status(410)
    elseif res.status == 500 then
      res:respond{status = 502, headers = {["x-instead"] = "1"}, body = "instead\\n"}
    elseif res.status == 418 then
      error("on the way back")
    elseif res.headers["content-type"] == "application/json" then
      res:remove_header("x-upstream")
      res:add_header("set-cookie", "c=3")
      res:set_body((res.body:gsub("secret", "******")))
    end
  end,
}
"""
FLOW = """
local time = require "solder.time"
return {
  api = 1, name = "flow", request_body = {mode = "streamed"}, response_body = {mode = "streamed"},
  transform_request = function(conf, req)
    if req.path == "/plain" then return end
    for chunk in req:chunks() do req:write((chunk:gsub("a", "bb"))) end
    req:write("!")
  end,
  transform_response = function(conf, res)
    local n = 0
    if res.request.path == "/plain" then return end
    res:set_header("x-flow", "1")
    for chunk in res:chunks() do
      n = n + 1
      if n == 2 and res.request.path == "/fail" then error("in the middle") end
      if n == 2 then time.sleep("20ms") end
      res:write((chunk:gsub("x", "yz")))
    end
    res:write("?")
  end,
}
"""
# Behind flow on the way up, in front of it on the way back.
MARK = """
return {
  api = 1, name = "mark", response_body = {mode = "streamed"},
  transform_request = function(conf, req) req:set_header("x-trail", (req.headers["x-trail"] or "") .. "mark") end,
  transform_response = function(conf, res)
    res:set_header("x-mark", res.headers["x-flow"] or "first")
    for chunk in res:chunks() do res:write((chunk:gsub("x", "w"))) end
  end,
}
"""
BACK = 'return {api = 1, name = "back", transform_response = function(conf, res) res:set_header("x-back", tostring(res.status)) end}'
TAIL = """
return {
  api = 1, name = "tail",
  transform_response = function(conf, res)
    if res.trailers then res:set_trailer("x-tail", (res.trailers["x-sum"] or "?") .. "!") end
  end,
}
"""


def small(name, text):
    return f'return {{api = 1, name = "{name}", transform_request = function(conf, req) {text} end}}'


def headers(answer, name):
    return answer.json["headers"].get(name)


def start(site, *docs, **plugins):
    for name, text in plugins.items():
        plugin(site.dir / "plugins", text, name)
    site.upstream()
    site.write("vs.yaml", *docs)
    site.start("--plugins", site.dir / "plugins", "--worker-threads", "2")


def test_requests_and_responses_are_changed(site):
    meta = {"headerManipulation": {"responseHeadersToAdd": [
        {"header": {"key": "x-meta", "value": "%DYNAMIC_METADATA(solder.turn:seen)%"}}]}}
    start(site, vs("shop", "*", [route("/open", to("echo")), route("/", to("echo"), {**uses(turn={}), **meta})]), turn=TURN)
    a = site.ask("/x", method="POST", body="a secret", headers={"x-a": "1", "x-many": "one"})
    assert a.json["body"] == "<a ******>" and headers(a, "content-length") == ["10"]
    assert a.headers["x-request"] == "POST /x 1" and "x-upstream" not in a.headers and a.headers["x-later"] == "127.0.0.1"
    assert a.headers["content-length"] == str(len(a.body)) and a.headers.get_all("set-cookie") == ["c=3"]
    assert headers(a, "x-many") == ["one", "two"] and headers(a, "x-route") == ["gloo-system_shop-route-1-matcher-0"]
    assert json.loads(a.headers["x-meta"]) == {"path": "/x"}
    a = site.ask("/here")
    assert (a.status, a.body, a.headers["x-from"]) == (200, b"here\0\xff", "plugin")
    assert a.headers.get_all("set-cookie") == ["a=1", "b=2"] and "x-request" not in a.headers
    a = site.ask("/move?c=1&q=%31")
    assert (a.json["method"], a.json["path"], headers(a, "host")) == ("PUT", "/moved?q=%31&b=1%202%263", ["else.where"])
    assert (site.ask("/fail").status, site.ask("/fail").text) == (503, "a plugin failed\n")
    assert site.ask("/x?status=404").status == 410
    a = site.ask("/x?status=500")
    assert (a.status, a.text, a.headers["x-instead"]) == (502, "instead\n", "1") and "x-upstream" not in a.headers
    assert (site.ask("/x?status=418").status, site.ask("/x?status=418").text) == (503, "a plugin failed\n")
    assert site.ask("/x", method="POST", body="x" * (64 * 1024 + 1)).status == 413
    assert site.ask("/x", method="HEAD").status == 200
    assert site.ask("/open").headers["x-upstream"]
    with Poller(site.port, path="/open") as neighbours:
        assert [site.ask("/loop").status for _ in range(3)] == [503] * 3
        neighbours.more(20)
    neighbours.assert_clean()
    eventually(lambda: hook_of(site, "turn", "transform_request")["errors"] == 5)
    assert site.metric("solder_plugin_calls_total", plugin="turn", hook="transform_response") == 7
    # What a listener has does not follow routes.
    before = {n: r["version"] for n, r in site.xds("lds").items()}
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(turn={}))]))
    eventually(lambda: site.ask("/open").headers.get("x-request"))
    assert {n: r["version"] for n, r in site.xds("lds").items()} == before


def modes(site):
    """What Envoy has of the routes' processing modes, in order."""
    def walk(v):
        if isinstance(v, dict):
            found = v.get("typed_per_filter_config", {}).get("solder.transform")
            if found:
                yield found["overrides"]["processing_mode"]
            v = list(v.values())
        for x in v if isinstance(v, list) else ():
            yield from walk(x)
    return list(walk(site.envoy_admin("/config_dump").json))


def test_bodies_in_pieces_pass_through_all_plugins(site):
    start(site, vs("shop", "*", [route("/two", to("echo"), uses(flow={}, mark={})), route("/back", to("echo"), uses(back={})),
                                 route("/", to("echo"), uses(flow={}))]), flow=FLOW, mark=MARK, back=BACK)
    a = site.ask("/?bytes=1000000")
    assert a.body == b"yz" * 1000000 + b"?" and "content-length" not in a.headers and a.headers["x-flow"] == "1"
    assert site.ask("/?bytes=0").body == b"?"
    assert site.ask("/plain?bytes=300000").body == b"x" * 300000
    a = site.ask("/", method="POST", body="a" * 200000)
    assert a.text.endswith("?") and json.loads(a.text[:-1].replace("yz", "x"))["body"] == "b" * 400000 + "!"
    c = Connection(site.port)
    c.request("POST", "/", body=iter([b"a" * 1000, b"c", b"a"]), headers={"Host": "x"}, encode_chunked=True)
    assert b"b" * 2000 + b"cbb!" in c.getresponse().read()
    c.close()
    a = site.ask("/two?bytes=500000")
    assert a.body == b"w" * 500000 + b"?" and a.headers["x-mark"] == "first" and a.headers["x-flow"] == "1"
    # An error in the middle ends the response there, and not as if it were whole.
    with pytest.raises((OSError, http.client.HTTPException)):
        site.ask("/fail?bytes=3000000")
    assert site.ask("/back").headers["x-back"] == "200"
    # Envoy is asked for no more than the plugins of a route have a use for.
    two, back, one = modes(site)
    skip = {f"{way}_{part}_mode": "SKIP" for way in ("request", "response") for part in ("header", "trailer")}
    assert back == {**skip, "response_header_mode": "SEND"}
    assert one == two == {**{k: "SEND" for k in skip}, "request_body_mode": "STREAMED", "response_body_mode": "STREAMED"}


def test_trailers(site):
    up = site.upstream()
    site.write("gateway.yaml", gateway("gateway-proxy", site.port, http_={
        "options": {"httpConnectionManagerSettings": {"enableTrailers": True}}}))
    plugin(site.dir / "plugins", TAIL, "tail")
    site.write("upstream-echo.yaml", upstream("echo", up.port, connectionConfig={"http1ProtocolOptions": {"enableTrailers": True}}))
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(tail={}))]))
    site.start("--plugins", site.dir / "plugins")

    def tail():
        with Raw(site.port) as raw:
            raw.send(b"GET /?trailers=7 HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close\r\n\r\n")
            return raw.rest()
    assert b"x-tail: 7!" in tail()
    assert site.ask("/").status == 200  # none came, and nobody waits for them
    assert hook_of(site, "tail", "transform_response")["errors"] == 0


HEAD_TAIL = """{
  transform_request = function(conf, req)
    req:set_header("x-head", "1")
    local sum = req.trailers and req.trailers["x-sum"]
    if sum then req:set_trailer("x-tail", sum .. "!") end
    if sum == "0" then error("no sum") end
  end,
}"""


@pytest.mark.parametrize("runs", ["solder", "envoy"])
def test_request_trailers(site, runs):
    up = site.upstream()
    site.write("gateway.yaml", gateway("gateway-proxy", site.port, http_={
        "options": {"httpConnectionManagerSettings": {"enableTrailers": True}}}))
    plugin(site.dir / "plugins", f'return {{api = 1, name = "headtail", runs = "{runs}", {HEAD_TAIL[1:]}', "headtail")
    site.write("upstream-echo.yaml", upstream("echo", up.port, connectionConfig={"http1ProtocolOptions": {"enableTrailers": True}}))
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(headtail={}))]))
    site.start("--plugins", site.dir / "plugins")

    def put(tail):
        with Raw(site.port) as raw:
            raw.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n%s\r\n" % tail)
            return raw.rest()
    head, _, body = put(b"X-Sum: 7\r\n").partition(b"\r\n\r\n")
    assert b" 200 " in head and b'"x-tail": "7!"' in body and b'"x-sum": "7"' in body and b'"x-head": ["1"]' in body
    answer = put(b"")  # none come, and nobody waits for them
    assert b" 200 " in answer and b'"trailers": {}' in answer
    assert b'"x-head": ["1"]' in site.ask("/").body
    # Who fails behind the headers cuts off the request, or can no more do anything about it.
    assert (b" 200 " in put(b"X-Sum: 0\r\n")) == (runs == "envoy")


def test_faults_of_the_worker_cost_its_routes_alone(site):
    start(site, vs("shop", "*", [route("/plain", to("echo")), route("/open", to("echo"), uses(lax={})), route("/", to("echo"), uses(strict={}))]),
          strict=small("strict", 'req:set_header("x-strict", "1")'))
    text = small("lax", 'req:set_header("x-lax", "1") if req.path == "/open/no" then error("no") end')
    site.write("lax.yaml", {"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": "lax", "namespace": "gloo-system"},
                            "spec": {"onError": "open", "inline": text}})
    eventually(lambda: headers(site.ask("/open"), "x-lax") == ["1"])
    assert headers(site.ask("/"), "x-strict") == ["1"]
    a = site.ask("/open/no")
    assert a.status == 200 and headers(a, "x-lax") is None
    pid = worker_up(site)
    with Poller(site.port, path="/plain") as neighbours:
        os.kill(pid, signal.SIGSTOP)
        # Both at once: the server ends a worker that hangs.
        with ThreadPoolExecutor() as pool:
            shut, open_ = pool.map(site.ask, ("/", "/open"))
        assert shut.status in (503, 504)
        assert open_.status == 200 and headers(open_, "x-lax") is None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))
        eventually(lambda: site.ask("/open").status == 200)
        worker_up(site, pid)
        eventually(lambda: headers(site.ask("/"), "x-strict") == ["1"])
    neighbours.assert_clean()
