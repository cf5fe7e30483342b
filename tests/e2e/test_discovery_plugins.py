"""The plugins that come with Solder and discover: each on a real Envoy, with a server of the test's own behind it."""

import http.server
import json
import os
import signal
import socket
import socketserver
import struct
import threading
import urllib.parse

import pytest

from harness import ROOT, eventually, free_port, route, to, vs

PLUGINS = ROOT / "plugins"


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Fake:
    """An HTTP server at a port, or at the path of a socket, that can go away and come back there."""

    def __init__(self, at=None):
        self.at = at or free_port()
        self.asked, self.state, self.changed = [], None, threading.Condition()
        self.server = None
        self.up()

    def up(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def address_string(self):
                return "x"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                fake.asked.append((self.path, dict(self.headers)))
                status, headers, body = fake.reply(url.path, dict(urllib.parse.parse_qsl(url.query)), self.headers)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())
                except OSError:
                    pass  # whoever asked is gone

        if isinstance(self.at, int):
            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.at), Handler)
            self.server.daemon_threads = True
        else:
            self.at.unlink(missing_ok=True)
            self.server = _UnixServer(str(self.at), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None
        self.tell(self.state)  # those that wait for news get an answer, and nobody comes any more

    def tell(self, state):
        """Another state, of which those that wait are told."""
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def reply(self, path, query, headers):
        return 200, {}, self.state


@pytest.fixture
def fakes():
    made = []
    yield made
    for f in made:
        f.down()


def source(site, name):
    return next((s for s in site.api("/v1/sources")["sources"] if s["name"] == "plugin:" + name), None)


def endpoints(site, name):
    """Ports of the endpoints that Envoy gets for an upstream, or None."""
    for key, r in site.xds("eds").items():
        if key.startswith(f"{name}_"):
            hosts = [e for group in r["body"].get("endpoints", []) for e in group.get("lbEndpoints", [])]
            return sorted(h["endpoint"]["address"]["socketAddress"]["portValue"] for h in hosts)
    return None


def example(site, name, *edits, wait=True):
    """Serves the example of a plugin, EDITS made, and a route to the upstream shop."""
    text = (PLUGINS / name / "example.yaml").read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    site.write("plugin.yaml", text)
    site.write("vs.yaml", vs("shop", "*", [route("/more", to("more")), route("/", to("shop"))]))
    site.start("--plugins", PLUGINS, wait=wait)


def served_by(site, name, path="/"):
    site.wait_answer(lambda a: a.headers.get("x-upstream") == name, path)


def outlives(site, plugin, up, server, change):
    """What PLUGIN found stays while SERVER is down, over a restart too; then CHANGE is seen, which moves shop to upstream two."""
    server.down()
    eventually(lambda: not source(site, plugin)["up"] and source(site, plugin)["problem"])
    assert site.ask("/").headers.get("x-upstream") == "one" and endpoints(site, "shop") == [up.port]
    site.stop()
    site.start("--plugins", PLUGINS, wait=False)
    site.wait_ready()
    served_by(site, "one")
    eventually(lambda: not source(site, plugin)["up"])
    assert endpoints(site, "shop") == [up.port]
    change()
    server.up()
    served_by(site, "two")
    eventually(lambda: source(site, plugin)["up"])


def test_http_json(site, fakes):
    one, two = site.upstream("one", publish=False), site.upstream("two", publish=False)

    def services(**all):
        return {"services": [{"name": name, "instances": [{"ip": "127.0.0.1", "port": u.port, "state": state} for u, state in list_]}
                             for name, list_ in all.items()]}
    server = Fake()
    fakes.append(server)
    server.tell(services(shop=[(one, "up"), (two, "down")]))
    example(site, "http-json", ("127.0.0.1:9000", f"127.0.0.1:{server.at}"))
    served_by(site, "one")
    assert endpoints(site, "shop") == [one.port] and {p for p, _ in server.asked} == {"/v1/services"}
    # Endpoints change, upstreams come and go.
    server.tell(services(shop=[(two, "up")], more=[(one, "up")]))
    served_by(site, "two")
    served_by(site, "one", "/more")
    server.tell(services(shop=[(one, "up")]))
    served_by(site, "one")
    eventually(lambda: endpoints(site, "more") is None)
    # An answer that is none takes nothing away, and is told.
    server.tell({"services": [{"name": "shop"}]})
    eventually(lambda: "item 1: there is no list or object at 'instances'" in source(site, "http-json").get("problem", ""))
    assert site.ask("/").headers.get("x-upstream") == "one"
    server.tell(services(shop=[(one, "up")]))
    eventually(lambda: source(site, "http-json")["up"])
    outlives(site, "http-json", one, server, lambda: server.tell(services(shop=[(two, "up")])))


class Names:
    """A DNS server (TCP): SRV records by name as {name: [(target, port, weight)]}, None: it fails; each target is 127.0.0.1."""

    def __init__(self):
        self.at, self.records, self.server = free_port(), {}, None
        self.up()

    def up(self):
        names = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while size := self.rfile.read(2):
                    answer = names.answer(self.rfile.read(struct.unpack("!H", size)[0]))
                    self.wfile.write(struct.pack("!H", len(answer)) + answer)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", self.at), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    @staticmethod
    def encode(name):
        return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"

    def answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind, = struct.unpack_from("!H", question, at + 1)
        name, found, known = ".".join(labels).lower(), [], True
        targets = {target for list_ in self.records.values() for target, _, _ in list_ or ()}
        if name in self.records and self.records[name] is None:
            return question[:2] + struct.pack("!HHHHH", 0x8182, 1, 0, 0, 0) + question[12:at + 5]
        if kind == 33 and name in self.records:
            found = [struct.pack("!HHH", 0, weight, port) + self.encode(target) for target, port, weight in self.records[name]]
        elif name in targets:
            found = [socket.inet_aton("127.0.0.1")] if kind == 1 else []
        else:
            known = False
        head = struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, len(found), 0, 0)
        rest = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(data)) + data for data in found)
        return question[:2] + head + question[12:at + 5] + rest


def test_dns_srv(site, fakes):
    one, two = site.upstream("one", publish=False), site.upstream("two", publish=False)
    server = Names()
    fakes.append(server)
    shop, more = "_http._tcp.shop.example", "_http._tcp.more.example"
    server.records = {shop: [("a.example", one.port, 7)]}
    example(site, "dns-srv", ("127.0.0.1:9000", f"127.0.0.1:{server.at}"), (f"shop: {shop}", f"shop: {shop}, more: {more}"))
    served_by(site, "one")
    assert endpoints(site, "shop") == [one.port] and endpoints(site, "more") == []
    assert site.ask("/more").status == 503
    # Endpoints change, one name is known now; another that cannot be asked for does not hold it up.
    server.records = {shop: [("b.example", two.port, 0)], more: [("a.example", one.port, 0)]}
    served_by(site, "two")
    served_by(site, "one", "/more")
    server.records = {shop: None, more: [("a.example", one.port, 0), ("b.example", two.port, 0)]}
    eventually(lambda: endpoints(site, "more") == sorted([one.port, two.port]))
    eventually(lambda: shop in source(site, "dns-srv").get("problem", ""))
    assert endpoints(site, "shop") == [two.port]
    server.records = {shop: [("a.example", one.port, 0)]}
    served_by(site, "one")
    eventually(lambda: endpoints(site, "more") == [] and source(site, "dns-srv")["up"])
    # A worker that is started anew and cannot ask for one name keeps what the former one found of it, and follows the others.
    server.records = {shop: None, more: [("a.example", two.port, 0)]}
    os.kill(site.events("worker_started")[-1]["pid"], signal.SIGKILL)
    eventually(lambda: len(site.events("worker_started")) == 2)
    served_by(site, "two", "/more")
    server.records = {shop: None, more: [("a.example", one.port, 0)]}
    served_by(site, "one", "/more")
    assert site.ask("/").headers.get("x-upstream") == "one" and endpoints(site, "shop") == [one.port]
    server.records = {shop: [("a.example", one.port, 0)]}
    eventually(lambda: endpoints(site, "more") == [] and source(site, "dns-srv")["up"])

    def change():
        server.records = {shop: [("a.example", two.port, 0)]}
    outlives(site, "dns-srv", one, server, change)


class Nomad(Fake):
    """Nomad's services API. The state: (index, {service: [(port, tags)]})."""

    def reply(self, path, query, headers):
        if headers.get("x-nomad-token") != "sesame":
            return 403, {}, b"Permission denied"
        assert query["namespace"] == "default"
        if "index" in query:
            after, wait = int(query["index"]), float(query["wait"].rstrip("s"))
            with self.changed:
                self.changed.wait_for(lambda: self.state[0] > after or not self.server, wait)
        index, services = self.state
        if path == "/v1/services":
            names = [{"ServiceName": name, "Tags": sorted({t for _, tags in list_ for t in tags})} for name, list_ in services.items()]
            body = [{"Namespace": "default", "Services": names}] if names else []
        else:
            name = urllib.parse.unquote(path.removeprefix("/v1/service/"))
            body = [{"ServiceName": name, "Address": "127.0.0.1", "Port": port, "Tags": tags} for port, tags in services.get(name, [])]
        return 200, {"X-Nomad-Index": str(index)}, body


def test_nomad(site, fakes):
    one, two = site.upstream("one", publish=False), site.upstream("two", publish=False)
    server = Nomad()
    fakes.append(server)
    token = site.dir / "nomad-token"
    token.write_text("sesame\n")
    server.tell((20, {"shop": [(one.port, ["public"]), (two.port, ["inner"])], "inner": [(two.port, ["inner"])]}))
    example(site, "nomad", ("127.0.0.1:9000", f"127.0.0.1:{server.at}"), ("/etc/solder/nomad-token", str(token)),
            ("tags: [public]", "tags: [public]\n    wait: 2s"))
    served_by(site, "one")
    assert endpoints(site, "shop") == [one.port] and endpoints(site, "inner") is None
    # A change answers the question that waits.
    server.tell((21, {"shop": [(two.port, ["public"])], "more": [(one.port, ["public"])]}))
    served_by(site, "two")
    served_by(site, "one", "/more")
    assert any("index=20" in path for path, _ in server.asked)
    # Nothing changes: no service is read again.
    eventually(lambda: sum("index=21" in path for path, _ in server.asked) >= 2)
    assert not any(path.startswith("/v1/service/") for path, _ in server.asked[[i for i, (p, _) in enumerate(server.asked) if "index=21" in p][0]:])
    # The index goes back: Nomad was restored.
    server.tell((5, {"shop": [(one.port, ["public"])]}))
    served_by(site, "one")
    eventually(lambda: endpoints(site, "more") is None)
    # The token is not good any more; the file says another one later.
    token.write_text("wrong")
    eventually(lambda: "it needs the capability read-job" in source(site, "nomad").get("problem", ""))
    assert site.ask("/").headers.get("x-upstream") == "one"
    token.write_text("sesame")
    eventually(lambda: source(site, "nomad")["up"])
    outlives(site, "nomad", one, server, lambda: server.tell((6, {"shop": [(two.port, ["public"])]})))


class Docker(Fake):
    """Docker's list of containers. The state: [(name, labels, status, port)]."""

    def reply(self, path, query, headers):
        assert path == "/containers/json" and json.loads(query["filters"]) == {"label": ["solder.upstream"], "status": ["running"]}
        return 200, {"Content-Type": "application/json"}, [
            {"Id": name, "Names": ["/" + name], "Labels": labels, "Status": status, "Ports": [{"PrivatePort": port, "Type": "tcp"}],
             "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.1"}}}} for name, labels, status, port in self.state]


def test_docker(site, fakes):
    one, two = site.upstream("one", publish=False), site.upstream("two", publish=False)
    shop = {"solder.upstream": "shop"}
    server = Docker(site.dir / "docker.sock")
    fakes.append(server)
    server.tell([("a", shop, "Up", one.port), ("b", shop, "Up (unhealthy)", two.port)])
    example(site, "docker", ("/var/run/docker.sock", str(server.at)))
    served_by(site, "one")
    assert endpoints(site, "shop") == [one.port]
    # Containers come and go; one with a label that is none is left out, and told of.
    server.tell([("b", shop, "Up (healthy)", two.port), ("c", {"solder.upstream": "more"}, "Up", one.port),
                 ("d", {"solder.upstream": "Bad!"}, "Up", one.port)])
    served_by(site, "two")
    served_by(site, "one", "/more")
    eventually(lambda: "container /d is left out: its label upstream" in site.log_text())
    server.tell([("a", shop, "Up", one.port)])
    served_by(site, "one")
    eventually(lambda: endpoints(site, "more") is None)
    outlives(site, "docker", one, server, lambda: server.tell([("b", shop, "Up", two.port)]))


def test_the_socket_has_to_be_granted(site, fakes):
    server = Docker(site.dir / "docker.sock")
    fakes.append(server)
    server.tell([])
    example(site, "docker", ("files: [/var/run/docker.sock]", "files: [/elsewhere]"), ("/var/run/docker.sock", str(server.at)), wait=False)
    eventually(lambda: source(site, "docker") and "is not granted" in source(site, "docker").get("problem", ""))
    assert not server.asked
