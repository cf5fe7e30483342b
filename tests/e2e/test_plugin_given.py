"""What plugins give Envoys besides edits: certificates, and clusters of their own."""

import http.server
import json
import threading

import pki
from harness import NS, Poller, Raw, eventually, free_port, gateway, route, says, to, vs

CERTS = """
local http, json = require "solder.http", require "solder.json"
return {
  api = 1, name = "certs", needs = {"http"},
  secret = function(conf, ref)
    local answer = assert(http.request{url = "http://127.0.0.1:PORT/" .. ref, timeout = "5s"})
    if answer.status == 404 then return nil end
    if answer.status ~= 200 then return nil, "the authority answers " .. answer.status end
    local pair = json.decode(answer.body)
    return {tls = {certChain = pair.cert, privateKey = pair.key}, expires_in = 2}
  end,
}
"""

ADDER = """
return {
  api = 1, name = "adder",
  extra = function(conf, add)
    local c = add:cluster("echo")
    c.type, c.connect_timeout = "STATIC", "1s"
    c.load_assignment = {cluster_name = c.name, endpoints = {{lb_endpoints = {{endpoint = {address = {socket_address =
      {address = "127.0.0.1", port_value = PORT}}}}}}}}
  end,
  shape_route = function(conf, route)
    route.route.cluster = "extra:adder/echo"
  end,
}
"""


class Authority:
    """Gives certificates for whoever asks; ANSWERS: by reference."""

    def __init__(self):
        self.answers = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = outer.answers.get(self.path[1:], (404, {}))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def give(self, ref, pair):
        self.answers[ref] = (200, {"cert": pair[0], "key": pair[1]})


def test_certificates_and_clusters_of_plugins(make_site):
    ca, authority, site, tls = pki.Authority(), Authority(), make_site(), free_port()
    folder = site.dir / "plugins"
    folder.mkdir()
    up = site.upstream(publish=False)
    (folder / "certs.lua").write_text(CERTS.replace("PORT", str(authority.port)))
    (folder / "adder.lua").write_text(ADDER.replace("PORT", str(up.port)))

    def shown():
        with Raw(tls, pki.client(site.dir, None), "a.test") as r:
            return pki.common_name(r.sock.getpeercert(True))

    one, two = ca.issue("one.test", "one.test"), ca.issue("two.test", "two.test")
    authority.give("web", one)
    secret = {"name": "plugin:certs/web", "namespace": NS}
    site.write("tls-gateway.yaml", gateway("gateway-proxy-ssl", tls, ssl_=True))
    site.write("a.yaml", vs("a", "a.test", [route("/", says(200, "a"))],
                            sslConfig={"sniDomains": ["a.test"], "secretRef": secret}))
    site.start("--plugins", folder)
    eventually(lambda: shown() == "one.test")
    # Rotated, before it ends, with no failed request.
    with Poller(tls, tls=pki.client(site.dir, None), sni="a.test", host="a.test", threads=2) as p:
        authority.give("web", two)
        eventually(lambda: shown() == "two.test")
        p.more(20)
    p.assert_clean()
    # When the plugin fails the last one stays, and whoever looks is told.
    authority.answers["web"] = (500, {})
    eventually(lambda: "plugin certs: the authority answers 500" in json.dumps(site.api("/v1/secrets")))
    assert shown() == "two.test"
    # One that there is not: the reference is the finding, and what refers to it goes on as it was accepted.
    site.write("b.yaml", vs("b", "b.test", [route("/", says(200, "b"))], sslConfig={
        "sniDomains": ["b.test"], "secretRef": {"name": "plugin:certs/none", "namespace": NS}}))
    eventually(lambda: "plugin:certs/none" in "\n".join(site.findings("VirtualService", "b")))
    # Nothing prints a key.
    key = one[1].splitlines()[1]
    assert key not in site.log_text() and key not in json.dumps(site.xds("sds"))
    # A cluster of a plugin's own.
    site.write("c.yaml", vs("c", "c.test", [route("/", to("nobody"), {"extensions": {"configs": {"adder": {}}}})]))
    site.wait_answer(200, host="c.test")
    assert "extra:adder/echo" in site.xds("cds")
    (folder / "adder.lua").unlink()
    eventually(lambda: "extra:adder/echo" not in site.xds("cds"))
