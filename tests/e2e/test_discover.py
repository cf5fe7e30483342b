"""Plugins that discover upstreams, with a registry of the test's own behind them."""

import http.server
import os
import signal
import threading

import pytest

from harness import NS, doc, eventually, free_port, route, to, vs

# Asks the registry each 0.1 s; a line of its answer is "upstream address:port".
FINDER = """
local s = require "solder.schema"
return {
  api = 1, name = "finder", version = "1", needs = {"http"},
  schema = s.record{url = s.url{default = "http://127.0.0.1:PORT/v1"}},
  discover = function(conf, d)
    local last
    d.every("100ms", function()
      local answer, why = d.http{url = conf.url, previous = last}
      if not answer then error(why, 0) end
      if answer == last then return end
      local upstreams = {}
      for name, place in answer.body:gmatch("(%S+) (%S+)\\n") do
        local u = upstreams[name] or {endpoints = {}, labels = {team = "x"}}
        if place ~= "-" then table.insert(u.endpoints, place) end
        upstreams[name] = u
      end
      last = answer
      d.publish{upstreams = upstreams}
    end)
  end,
}
"""


class Registry:
    """Answers each request with its text and an etag of it."""

    def __init__(self, port, text=""):
        self.text, self.asked, self.unchanged, self.paths = text, 0, 0, set()
        self.gate = threading.Event()  # nobody is answered while it is not set
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                body = outer.text
                tag = '"%x"' % (hash(body) & 0xffffffff)
                outer.asked += 1
                outer.gate.wait()
                outer.paths.add(self.path)
                same = self.headers.get("if-none-match") == tag
                outer.unchanged += same
                self.send_response(304 if same else 200)
                self.send_header("etag", tag)
                if not same:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                if not same:
                    self.wfile.write(body.encode())

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def registry(port):
    r = Registry(port)
    yield r
    r.close()


def plugin(site, text, port, name="finder"):
    folder = site.dir / "plugins"
    folder.mkdir(exist_ok=True)
    new = folder / ".new"
    new.write_text(text.replace("PORT", str(port)))
    new.rename(folder / f"{name}.lua")
    return folder


def declared(text, conf, needs):
    return {"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": "finder", "namespace": NS},
            "spec": {"inline": text, "config": conf, "needs": needs}}


def source(site, name="plugin:finder"):
    return next((s for s in site.api("/v1/sources")["sources"] if s["name"] == name), None)


def endpoints(site, name):
    """Ports of the endpoints that Envoy gets for an upstream, or None."""
    for key, r in site.xds("eds").items():
        if key.startswith(f"{name}_"):
            hosts = [e for group in r["body"].get("endpoints", []) for e in group.get("lbEndpoints", [])]
            return sorted(h["endpoint"]["address"]["socketAddress"]["portValue"] for h in hosts)
    return None


def test_what_a_plugin_finds_is_routed_to(site, registry, port):
    one, two = site.upstream("one", publish=False), site.upstream("two", publish=False)
    registry.text = f"shop 127.0.0.1:{one.port}\nempty -\n"
    site.write("vs.yaml", vs("shop", "*", [route("/empty", to("empty")), route("/", to("shop"))]))
    site.start("--plugins", plugin(site, FINDER, port))
    assert site.ask("/").headers.get("x-upstream") == "one"
    assert site.ask("/empty").status == 503
    # It is an ordinary upstream.
    found = site.object("Upstream", "shop")
    assert found["object"]["metadata"]["labels"] == {"discovered_by": "finder", "team": "x"}
    assert endpoints(site, "shop") == [one.port] and endpoints(site, "empty") == []
    # Endpoints change, upstreams come and go.
    registry.text = f"shop 127.0.0.1:{two.port}\nmore 127.0.0.1:{one.port}\n"
    site.wait_answer(lambda a: a.headers.get("x-upstream") == "two")
    eventually(lambda: endpoints(site, "more") == [one.port])
    eventually(lambda: endpoints(site, "empty") is None)
    # What did not change is not sent.
    before = registry.unchanged
    eventually(lambda: registry.unchanged > before + 2)


def test_readiness_waits_for_what_is_found(site, registry, port):
    one = site.upstream("one", publish=False)
    registry.text = f"shop 127.0.0.1:{one.port}\n"
    registry.gate.clear()
    site.write("vs.yaml", vs("shop", "*", [route("/", to("shop"))]))
    site.start("--plugins", plugin(site, FINDER, port), wait=False)
    eventually(lambda: registry.asked and any(e["source"] == str(site.config) for e in site.events("source_synced")))
    assert "plugin:finder was not read yet" in site.get("/readyz?verbose").text and site.get("/readyz").status == 503
    registry.gate.set()
    site.wait_ready()
    assert site.ask("/").status == 200


def test_readiness_waits_no_longer_than_it_may(site, registry, port):
    registry.gate.clear()
    text = declared(FINDER, {"url": f"http://127.0.0.1:{port}/"}, ["http"])
    text["spec"]["limits"] = {"publishTime": "200ms"}
    site.write("plugin.yaml", text)
    site.start(wait=False)
    site.wait_ready(15)  # half of what is waited for where nothing is said
    assert "has not published" in source(site)["problem"]
    registry.gate.set()
    eventually(lambda: source(site)["up"])


def test_a_registry_that_is_down(site, port):
    up = site.upstream("one", publish=False)
    site.write("vs.yaml", vs("shop", "*", [route("/", to("shop"))]))
    # Down at the start: it is told; up later: found.
    site.start("--plugins", plugin(site, FINDER, port), wait=False)
    eventually(lambda: source(site) and "onnect" in source(site).get("problem", ""))
    registry = Registry(port, f"shop 127.0.0.1:{up.port}\n")
    site.wait_ready()
    site.wait_answer(lambda a: a.status == 200 and a.headers.get("x-upstream") == "one")
    eventually(lambda: source(site)["up"])
    # Down again: what was found stays.
    registry.close()
    eventually(lambda: not source(site)["up"])
    assert site.ask("/").headers.get("x-upstream") == "one"
    # Over a restart too, while it is still down.
    site.stop()
    site.start("--plugins", site.dir / "plugins", wait=False)
    site.wait_ready()
    site.wait_answer(lambda a: a.status == 200 and a.headers.get("x-upstream") == "one")
    # Back, with another set.
    registry = Registry(port, f"other 127.0.0.1:{up.port}\n")
    eventually(lambda: endpoints(site, "other") == [up.port])
    eventually(lambda: endpoints(site, "shop") is None)
    registry.close()


def test_the_plugin_is_edited_live(site, registry, port):
    one = site.upstream("one", publish=False)
    registry.text = f"shop 127.0.0.1:{one.port}\ngone 127.0.0.1:{one.port}\n"
    site.write("vs.yaml", vs("shop", "*", [route("/", to("shop"))]))
    site.start("--plugins", plugin(site, FINDER, port))
    assert site.ask("/").status == 200
    # One that does not load, one that fails, one that publishes nonsense, one that never ends: what was found stays.
    plugin(site, "return {", port)
    eventually(lambda: any("plugin.lua:1" in e["error"] for e in site.events("plugin_refused")))
    for text, words in ((FINDER.replace("local last", "error('no luck')"), "no luck"),
                        (FINDER.replace('endpoints = {}', 'endpoint = {}'), "bad argument #1 to 'insert'"),
                        (FINDER.replace("table.insert(u.endpoints, place)", "table.insert(u.endpoints, 'x')"),
                         "publish: upstreams.gone.endpoints[1]: must be"),
                        (FINDER.replace("local last", "while true do end"), "more than 5000000 steps")):
        plugin(site, text, port)
        eventually(lambda: words in source(site).get("problem", ""))
        assert site.ask("/").status == 200 and endpoints(site, "gone") == [one.port]
    # Another version, which asks elsewhere and finds less.
    plugin(site, FINDER.replace("/v1", "/v2").replace("local u =", "if name == 'gone' then goto next end local u =")
           .replace("upstreams[name] = u", "upstreams[name] = u ::next::").replace("local u =", "local u; u ="), port)
    eventually(lambda: "/v2" in registry.paths and source(site)["up"])
    eventually(lambda: endpoints(site, "gone") is None)
    assert site.ask("/").status == 200
    # Gone: so is what it found.
    (site.dir / "plugins/finder.lua").unlink()
    eventually(lambda: endpoints(site, "shop") is None and source(site) is None)


def test_a_document_declares_it(site, registry, port):
    one = site.upstream("one", publish=False)
    registry.text = f"shop 127.0.0.1:{one.port}\n"
    site.write("vs.yaml", vs("shop", "*", [route("/", to("shop"))]))
    site.write("plugin.yaml", declared(FINDER, {"url": f"http://127.0.0.1:{port}/declared"}, ["http"]))
    site.start()
    site.wait_answer(lambda a: a.status == 200 and a.headers.get("x-upstream") == "one")
    assert registry.paths == {"/declared"}
    # What it needs has to be granted.
    site.write("plugin.yaml", declared(FINDER, {"url": f"http://127.0.0.1:{port}/more"}, []))
    site.wait_state("Plugin", "finder", "Rejected")
    assert "the plugin needs http" in "\n".join(site.findings("Plugin", "finder"))
    assert site.ask("/").status == 200 and registry.paths == {"/declared"}
    # A document of somebody's own counts more than what was found.
    two = site.upstream("two", publish=False)
    site.write("own.yaml", doc("Upstream", "shop", {"static": {"hosts": [{"addr": "127.0.0.1", "port": two.port}]}}))
    site.wait_answer(lambda a: a.status == 200 and a.headers.get("x-upstream") == "two")
    site.remove("own.yaml")
    site.wait_answer(lambda a: a.status == 200 and a.headers.get("x-upstream") == "one")


def test_the_worker_ends(site, registry, port):
    one = site.upstream("one", publish=False)
    registry.text = f"shop 127.0.0.1:{one.port}\n"
    site.write("vs.yaml", vs("shop", "*", [route("/", to("shop"))]))
    site.start("--plugins", plugin(site, FINDER, port))
    assert site.ask("/").status == 200
    [started] = site.events("worker_started")
    # It is killed: what was found stays, and another one goes on.
    registry.gate.clear()
    asked = registry.asked
    os.kill(started["pid"], signal.SIGKILL)
    eventually(lambda: "the worker is not there" in source(site).get("problem", ""))
    assert site.ask("/").status == 200
    eventually(lambda: registry.asked > asked + 1)
    registry.text = f"shop 127.0.0.1:{one.port}\nmore 127.0.0.1:{one.port}\n"
    registry.gate.set()
    eventually(lambda: source(site)["up"] and endpoints(site, "more") == [one.port])
    assert site.ask("/").status == 200
