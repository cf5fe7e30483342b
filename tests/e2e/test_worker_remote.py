"""The worker for Envoys of other machines: by TLS, at addresses they are told; and what is said where they cannot reach it."""

import signal
import socket
import ssl

import pki
import pytest
from harness import cli, eventually, free_port, gateway, route, to, vs

POLICY = """
return {api = 1, name = "policy", authorize = function(conf, req)
  if req.headers["x-token"] ~= "good" then return req:deny{status = 401} end
  req:set_header("x-who", "alice")
end}
"""


def free_ports(n):
    """N free ports in a row; the first."""
    while True:
        first = free_port()
        try:
            held = []
            for i in range(n):
                held.append(socket.create_server(("127.0.0.1", first + i)))
            return first
        except OSError:
            continue
        finally:
            for s in held:
                s.close()


@pytest.fixture
def far(site):
    """A site with certificates, whose xDS port others reach."""
    site.ca = pki.Authority("xds")
    for name, pair in (("server", site.ca.issue("solder", "127.0.0.1", "localhost")), ("client", site.ca.issue("envoy"))):
        (site.dir / f"{name}.crt").write_text(pair[0])
        (site.dir / f"{name}.key").write_text(pair[1])
    (site.dir / "ca.pem").write_text(site.ca.pem)
    (site.dir / "plugins").mkdir()
    (site.dir / "plugins/policy.lua").write_text(POLICY)
    site.xds_port = free_port()
    site.flags = ("--plugins", site.dir / "plugins", "--xds", f"0.0.0.0:{site.xds_port}", "--xds-cert", site.dir / "server.crt", "--xds-key",
                  site.dir / "server.key", "--xds-client-ca", site.dir / "ca.pem", "--worker-threads", "2")
    site.upstream()
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), {"extensions": {"configs": {"policy": {}}}})]))
    return site


@pytest.mark.parametrize("hook", ["transform_request = function(conf, req) end", "transform_response = function(conf, res) end",
                                  "log = function(conf, entries) end"])
def test_each_hook_there_is_said_to_be_out_of_reach(far, hook):
    site = far
    (site.dir / "plugins/policy.lua").write_text(f'return {{api = 1, name = "policy", {hook}}}')
    if hook.startswith("log"):
        site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"))]))
        site.write("gateway.yaml", gateway("gateway-proxy", site.port, http_={"options": {"extensions": {"configs": {"policy": {}}}}}))
    site.start(*site.flags, envoy=False)
    eventually(lambda: any("--worker-listen" in f for f in site.findings("Gateway", "gateway-proxy")))


def context(site, cert=True):
    c = ssl.create_default_context(cafile=site.dir / "ca.pem")
    c.set_alpn_protocols(["h2"])
    if cert:
        c.load_cert_chain(site.dir / "client.crt", site.dir / "client.key")
    return c


def greets(port, ctx):
    """The certificate of who speaks HTTP/2 there; None: nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as raw, ctx.wrap_socket(raw, server_hostname="127.0.0.1") as s:
            return s.getpeercert() if s.recv(9) and s.selected_alpn_protocol() == "h2" else None
    except (ssl.SSLError, ConnectionError):
        return None


def test_envoys_of_other_machines_ask_by_tls(far):
    site, port = far, free_ports(2)

    def warned():
        return any("--worker-listen" in f for f in site.findings("Gateway", "gateway-proxy"))
    # Without an address for them it is said what they get.
    site.start(*site.flags, envoy=False)
    eventually(warned)
    site.stop()
    site.start(*site.flags, "--worker-listen", f"127.0.0.1:{port}", envoy=False)
    b = cli("bootstrap", "--xds", f"127.0.0.1:{site.xds_port}", "--ca", site.dir / "ca.pem", "--cert", site.dir / "client.crt", "--key",
            site.dir / "client.key")
    assert b.returncode == 0, b.stderr
    site.envoy(bootstrap=b.stdout)
    eventually(lambda: site.ask("/", headers={"x-token": "good"}).status == 200)
    for _ in range(8):
        a = site.ask("/", headers={"x-token": "good"})
        assert a.status == 200 and a.json["headers"]["x-who"] == ["alice"]
        assert site.ask("/").status == 401
    assert not warned()
    # Each loop is there, for those with a certificate alone.
    first = [greets(p, context(site)) for p in (port, port + 1)]
    assert all(first)
    assert not greets(port, context(site, cert=False))
    # New certificates count for new connections; those that are there go on.
    pair = site.ca.issue("solder", "127.0.0.1", "localhost")
    for name, text in zip(("crt", "key"), pair):
        (site.dir / f"server.{name}").write_text(text)
    site.proc.send_signal(signal.SIGHUP)
    eventually(lambda: all((c := greets(p, context(site))) and c["serialNumber"] != first[0]["serialNumber"] for p in (port, port + 1)))
    assert site.ask("/", headers={"x-token": "good"}).status == 200
    # What cannot be used leaves them.
    (site.dir / "server.key").write_text("no key")
    site.proc.send_signal(signal.SIGHUP)
    eventually(lambda: site.events("worker_tls_kept"))
    assert greets(port, context(site))


@pytest.mark.parametrize("flags, words", [
    (("--worker-listen", "0.0.0.0:1000"), "tell by --worker-address which one Envoys take"),
    (("--worker-listen", "127.0.0.1:1000", "--worker-address", "[::]:1000"), "--worker-address [::]:1000 is every address"),
    (("--worker-listen", "127.0.0.1"), "--worker-listen takes HOST:PORT"),
    (("--worker-listen", "127.0.0.1:65535"), "--worker-listen takes HOST:PORT with 2 ports"),
    (("--worker-listen", "127.0.0.1:1000", "--worker-address", "unix:/x"), "--worker-address takes HOST:PORT"),
    (("--worker-listen", "127.0.0.1:1000", "--envoy", "/none"), "leave --envoy away"),
    (("--worker-address", "127.0.0.1:1000"), "go with --worker-listen"),
    (("--worker-listen", "127.0.0.1:1000"), "--worker-listen needs --worker-cert"),
    (("--worker-listen", "127.0.0.1:1000", "--worker-cert", "x"), "--worker-cert, --worker-key and --worker-client-ca go together"),
])
def test_flags_that_make_no_sense_are_told(tmp_path, flags, words):
    (tmp_path / "config").mkdir()
    r = cli("run", "--config", tmp_path / "config", "--state-dir", tmp_path / "state", "--admin", f"unix:{tmp_path}/a", "--xds",
            f"unix:{tmp_path}/x", "--worker-threads", "2", *flags)
    assert r.returncode != 0 and words in r.stderr, r.stderr
