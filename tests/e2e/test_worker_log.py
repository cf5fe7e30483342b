"""The hook log: what Envoy logs of a gateway's requests, in batches, in the worker."""

import json
import os
import signal

from harness import alive, eventually, gateway, route, to, vs
from test_worker import hook_of, plugin, uses, worker_up

SHIP = """
local s, http, json = require "solder.schema", require "solder.http", require "solder.json"
return {
  api = 1, name = "ship", needs = {"http"}, log_headers = {request = {"X-Tenant"}, response = {"x-upstream"}},
  schema = s.record{to = s.string{required = true}},
  log = function(conf, entries)
    for _, e in ipairs(entries) do if e.path == "/fail" then error("not this") end end
    local r, why = http.request{url = conf.to, method = "POST", body = json.encode(entries)}
    if not r then error(why) end
  end,
}
"""


def entries_of(up):
    """What the collector got, entry by entry."""
    return [e for seen in list(up.seen) if seen["path"] == "/logs" for e in json.loads(seen["body"])]


def test_entries_come_in_batches(site):
    plugin(site.dir / "plugins", SHIP, "ship")
    sink = site.upstream("sink", publish=False)
    site.upstream()
    log = {"ship": {"to": f"http://127.0.0.1:{sink.port}/logs"}}
    site.write("gateway.yaml", gateway("gateway-proxy", site.port, http_={"options": uses(**log)}))
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"))]))
    site.start("--plugins", site.dir / "plugins", "--worker-threads", "2")
    for i in range(40):
        assert site.ask(f"/n{i}?q=1", method="POST", body="abc", headers={"x-tenant": "acme"}).status == 200
    assert site.ask("/late?status=404").status == 404
    all_ = eventually(lambda: len(entries_of(sink)) >= 41 and entries_of(sink), 20)
    assert sorted(e["path"] for e in all_) == sorted([f"/n{i}?q=1" for i in range(40)] + ["/late?status=404"])
    assert len([s for s in sink.seen if s["path"] == "/logs"]) < 41  # in batches
    e = next(e for e in all_ if e["path"] == "/n7?q=1")
    assert (e["method"], e["host"], e["status"], e["scheme"], e["protocol"]) == ("POST", "x", 200, "http", "HTTP/1.1")
    assert e["request_bytes"] == 3 and e["response_bytes"] > 50 and 0 < e["duration"] < 10 and e["time"] > 1e9
    assert e["request_headers"] == {"x-tenant": "acme"} and e["response_headers"] == {"x-upstream": "echo"}
    assert e["upstream"]["cluster"] == "echo_gloo-system" and e["upstream"]["attempts"] == 1
    assert e["route"] == "gloo-system_shop-route-0-matcher-0" and e["source"] == "127.0.0.1" and len(e["id"]) == 36
    # What it fails with is gone, and counted.
    assert site.ask("/fail").status == 200
    eventually(lambda: site.metric("solder_worker_log_dropped_total") == 1)
    assert hook_of(site, "ship", "log")["errors"] == 1
    assert site.metric("solder_worker_logged_total") == 42
    # It is of use at gateways alone; and nobody notices when it is gone.
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), uses(**log))]))
    site.wait_state("VirtualService", "shop", "Rejected", "SLD0712")
    assert "configure it at the options of an HTTP gateway" in "\n".join(site.findings("VirtualService", "shop"))
    pid = worker_up(site)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    assert site.ask("/again").status == 200
    worker_up(site, pid)

    def again():
        site.ask("/again")
        return any(e["path"] == "/again" for e in entries_of(sink))
    eventually(again, 20, 0.2)
