"""What the end-to-end tests stand on: Solder and Envoy as processes, upstreams, clients, files.

SLD_BUILD is the build directory with the binary, SLD_ENVOY the Envoy to use. Everything a test starts
carries the path of its folder on the command line, and is ended with the folder.
"""

import http.client
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import yaml

BUILD = pathlib.Path(os.environ.get("SLD_BUILD", "build")).resolve()
SOLDER = BUILD / "solder"
CACHE = pathlib.Path(os.environ.get("SLD_CACHE", "/var/cache/solder"))
ENVOY = os.environ.get("SLD_ENVOY") or str(CACHE / "envoy/1.40.0/envoy")
ROOT = pathlib.Path(__file__).resolve().parents[2]

LONG = bool(os.environ.get("SLD_LONG"))  # tests/run long: what takes minutes is tested too

NS = "gloo-system"
ROLE = "gloo-system~gateway-proxy"


# ---- Waiting ----

class Late(AssertionError):
    """Something that should have come about did not."""


def eventually(fn, timeout=15, step=0.02):
    """Calls FN until it returns something true, which is returned; an exception counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        last = None
        try:
            value = fn()
            if value:
                return value
        except (AssertionError, OSError, LookupError, ValueError, http.client.HTTPException) as e:
            last = e
        if time.monotonic() > deadline:
            raise Late(f"not within {timeout} s: {last if last is not None else value!r}") from last
        time.sleep(step)


# ---- Ports ----

_ports = iter(random.Random(os.getpid() * 7919 + int(time.time())).sample(range(12000, 32000), 15000))


def free_port(kind=socket.SOCK_STREAM):
    """A port below those that outgoing connections take, free on all addresses, never given twice."""
    for port in _ports:
        with socket.socket(socket.AF_INET6, kind) as s:
            try:
                s.bind(("::", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no port is free")


def listens(port):
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


# ---- HTTP client ----

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"Answer({self.status}, {self.text[:300]!r})"


class Connection(http.client.HTTPConnection):
    """To a port of this machine or a unix socket, optionally with TLS. Says exactly what it is told."""

    def __init__(self, where, tls=None, sni=None, timeout=10, address="127.0.0.1"):
        super().__init__("x", timeout=timeout)
        self.where, self.tls, self.sni, self.address = where, tls, sni, address

    def connect(self):
        if isinstance(self.where, int):
            self.sock = socket.create_connection((self.address, self.where), self.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self.where))
        if self.tls:
            try:
                self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.sni)
            except Exception:
                self.sock.close()
                raise

    def ask(self, path="/", method="GET", host="x", headers=(), body=None):
        self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            self.putheader("Host", host)
        for name, value in headers.items() if isinstance(headers, dict) else headers:
            self.putheader(name, value)
        data = body.encode() if isinstance(body, str) else body
        if data is not None:
            self.putheader("Content-Length", str(len(data)))
        self.endheaders(data)
        answer = self.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def request(where, path="/", *, tls=None, sni=None, timeout=10, address="127.0.0.1", **more):
    """One request on a connection of its own."""
    c = Connection(where, tls, sni, timeout, address)
    try:
        return c.ask(path, **more)
    finally:
        c.close()


class Raw:
    """A connection on which bytes are sent and looked for."""

    def __init__(self, port, tls=None, sni=None):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=sni)
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def until(self, what):
        """Everything up to and with WHAT."""
        while what not in self.got:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError(f"closed after {self.got!r}")
            self.got += more
        at = self.got.index(what) + len(what)
        taken, self.got = self.got[:at], self.got[at:]
        return taken

    def rest(self):
        """Everything until the other side closes."""
        while True:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return self.got
            self.got += more


# ---- Upstreams ----

class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.upstream.connected(self.connection)

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    @property
    def upstream(self):
        return self.server.upstream

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if not size:
                    for line in iter(self.rfile.readline, b"\r\n"):
                        name, _, value = line.decode().partition(":")
                        self.trailers[name.lower()] = value.strip()
                    return body
                body += self.rfile.read(size)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _echo(self, status, *headers):
        """Becomes a tunnel that gives back what it gets."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while True:
            data = self.connection.recv(65536)
            if not data:
                return
            self.connection.sendall(data.upper())

    def do_CONNECT(self):
        self.upstream.take({"method": "CONNECT", "path": self.path, "headers": dict(self.headers)})
        self._echo(200)

    def _answer(self):
        up = self.upstream
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.trailers = {}
        seen = {"name": up.name, "method": self.command, "path": self.path, "trailers": self.trailers,
                "headers": {k.lower(): self.headers.get_all(k) for k in self.headers},
                "body": self._body().decode("utf-8", "replace"), "peer": up.peer_name(self.connection)}
        n = up.take(seen)
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._echo(101, ("Connection", "Upgrade"), ("Upgrade", "websocket"))
            return
        if up.gate and url.path == up.gate_path:
            up.gate.wait(30)
        status, body, headers = up.answer(n, query, seen)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if "trailers" in query:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\nX-Sum: %s\r\n\r\n" % (len(body), body, query["trailers"].encode()))
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


class Upstream:
    """Answers every request with what it saw of it, as JSON.

    A request may ask for ?status=N, ?bytes=N and ?trailers=SUM; `status` and `fail_first` hold for all of them, and
    requests for `gate_path` wait while there is a `gate`.
    """

    def __init__(self, name="echo", tls=None, path=None):
        self.name, self.tls = name, tls
        self.status, self.fail_first, self.headers = 200, 0, []
        self.gate, self.gate_path = None, "/slow"
        self.seen, self.connections, self.lock, self.sockets = [], 0, threading.Lock(), []
        if path:
            self.server = _UnixServer(str(path), _Handler)
            self.port = None
        else:
            self.server = _Server(("127.0.0.1", 0), _Handler)
            self.port = self.server.server_address[1]
        self.server.upstream = self
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def connected(self, sock):
        with self.lock:
            self.connections += 1
            self.sockets.append(sock)

    def peer_name(self, sock):
        """What the client's certificate says its common name is."""
        if not isinstance(sock, ssl.SSLSocket):
            return None
        cert = sock.getpeercert() or {}
        names = {k: v for part in cert.get("subject", ()) for k, v in part}
        return {"cn": names.get("commonName"), "version": sock.version(), "cipher": sock.cipher()[0],
                "alpn": sock.selected_alpn_protocol()}

    def take(self, seen):
        with self.lock:
            self.seen.append(seen)
            return len(self.seen)

    def paths(self):
        with self.lock:
            return [s["path"] for s in self.seen]

    def answer(self, n, query, seen):
        status = int(query.get("status", self.status))
        if n <= self.fail_first:
            status = 503
        if "bytes" in query:
            body = b"x" * int(query["bytes"])
        else:
            body = json.dumps(seen).encode()
        kind = ("Content-Type", "text/plain" if "bytes" in query else "application/json")
        return status, body, [kind, ("X-Upstream", self.name), *self.headers]

    def close_connections(self):
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        if self.gate:
            self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.close_connections()


class TcpEcho:
    """A TCP server that says its name, then gives back what it gets, in capitals."""

    def __init__(self, name="tcp"):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.name, self.port = name, self.sock.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        with c:
            try:
                c.sendall(self.name.encode() + b"\n")
                while data := c.recv(65536):
                    c.sendall(data.upper())
            except OSError:
                pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


# ---- A client that never stops asking ----

class Poller:
    """Asks without pause and keeps what CHECK objects to: a text for a wrong answer, else None.

    Connections are kept and, every tenth request, made anew: both kinds of client exist. SITE: at the first wrong
    answer its Envoy is asked what it has (Site.look).
    """

    def __init__(self, port, check=None, every=0.004, threads=1, site=None, **ask):
        self.port, self.every, self.ask, self.site = port, every, ask, site
        self.check = check or (lambda a: None if a.status == 200 else f"{a.status} {a.text[:200]}")
        self.count, self.wrong, self.ended = 0, [], threading.Event()
        self.tls, self.sni = ask.pop("tls", None), ask.pop("sni", None)
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.more(3)
        return self

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join(15)

    def more(self, n, timeout=20):
        """Waits for N answers from now on."""
        goal = self.count + n
        eventually(lambda: self.count >= goal, timeout)

    def _run(self):
        conn, uses = None, 0
        while not self.ended.wait(self.every):
            if conn is None or uses == 10:
                if conn:
                    conn.close()
                conn, uses = Connection(self.port, self.tls, self.sni), 0
            uses += 1
            try:
                a = conn.ask(**self.ask)
                wrong = self.check(a)
                if a.headers.get("Connection", "") == "close":
                    conn.close()
                    conn = None
            except (OSError, http.client.HTTPException) as e:
                # A server may close an idle connection just when it is used again: ask once more.
                again = uses > 1 and isinstance(e, (http.client.RemoteDisconnected, ConnectionResetError,
                                                    BrokenPipeError))
                conn.close()
                conn = None
                wrong = None if again else repr(e)
            self.count += 1
            if wrong:
                self.wrong.append((time.time(), wrong))
                if self.site:
                    self.site.look(wrong)

    def assert_clean(self):
        assert self.count > 0 and not self.wrong, \
            f"{len(self.wrong)} of {self.count} answers were wrong, the first: {self.wrong[:5]}"


# ---- Documents ----

KINDS = {"Gateway": "gateway.solo.io/v1", "VirtualService": "gateway.solo.io/v1",
         "RouteTable": "gateway.solo.io/v1", "RouteOption": "gateway.solo.io/v1",
         "VirtualHostOption": "gateway.solo.io/v1", "Upstream": "gloo.solo.io/v1",
         "UpstreamGroup": "gloo.solo.io/v1", "Settings": "gloo.solo.io/v1",
         "MatchableHttpGateway": "gateway.solo.io/v1", "MatchableTcpGateway": "gateway.solo.io/v1"}


def doc(kind, name, spec, ns=NS, **meta):
    return {"apiVersion": KINDS[kind], "kind": kind, "metadata": {"name": name, "namespace": ns, **meta},
            "spec": spec}


def gateway(name, port, ssl_=False, address="127.0.0.1", http_=None, **more):
    return doc("Gateway", name, {"bindAddress": address, "bindPort": port, "ssl": ssl_,
                                 "httpGateway": http_ or {}, **more})


def upstream(name, *ports, ns=NS, **more):
    hosts = [{"addr": "127.0.0.1", "port": p} if isinstance(p, int) else p for p in ports]
    return doc("Upstream", name, {"static": {"hosts": hosts}, **more}, ns=ns)


def to(name, ns=NS):
    """The action that leads to an upstream."""
    return {"routeAction": {"single": {"upstream": {"name": name, "namespace": ns}}}}


def ref(name, ns=NS):
    return {"name": name, "namespace": ns}


def says(status, body=""):
    return {"directResponseAction": {"status": status, "body": body}}


def route(prefix, action, options=None, **matcher):
    m = dict(matcher) if prefix is None else {"prefix": prefix, **matcher}
    r = {"matchers": [m], **action}
    if options is not None:
        r["options"] = options
    return r


def vs(name, domains, routes, ns=NS, options=None, refs=None, meta=None, **more):
    vh = {"domains": [domains] if isinstance(domains, str) else domains, "routes": routes}
    if options is not None:
        vh["options"] = options
    if refs is not None:
        vh["optionsConfigRefs"] = {"delegateOptions": refs}
    return doc("VirtualService", name, {"virtualHost": vh, **more}, ns=ns, **(meta or {}))


def table(name, routes, ns=NS, meta=None, **more):
    return doc("RouteTable", name, {"routes": routes, **more}, ns=ns, **(meta or {}))


def tls_secret(name, cert, key, ca=None, ns=NS):
    data = {"tls.crt": cert, "tls.key": key}
    if ca:
        data["ca.crt"] = ca
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": ns}, "stringData": data}


def opaque_secret(name, data, ns=NS):
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": ns}, "stringData": data}


def dump(*docs):
    return "---\n".join(d if isinstance(d, str) else yaml.safe_dump(d, sort_keys=False) for d in docs)


def commands(page):
    """A page's blocks of shell, as one script."""
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.S | re.M))


# ---- Processes ----

def processes_of(text):
    """Pids of the processes whose command line has TEXT."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        try:
            if p.name.isdigit() and int(p.name) != os.getpid() and text.encode() in (p / "cmdline").read_bytes():
                found.append(int(p.name))
        except OSError:
            continue
    return found


def end_all(text):
    """Kills them, and waits until they are gone."""
    def gone():
        pids = [p for p in processes_of(text) if not _zombie(p)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids
    eventually(gone)


def _zombie(pid):
    try:
        return ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def alive(pid):
    return not _zombie(pid)


def cli(*args, cwd=None, env=None, stdin=None, timeout=60):
    """Runs one command of Solder; returns its CompletedProcess."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SOLDER_")}
    return subprocess.run([SOLDER, *map(str, args)], cwd=cwd, env={**clean, "NO_COLOR": "1", **(env or {})},
                          input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)


# ---- Solder ----

live = []  # sites that exist, for the report of a failed test


class Site:
    """A folder with configuration and state, and the Solder that runs on it."""

    def __init__(self, gateway_=True):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sld-e2e-", dir="/tmp"))
        self.config, self.state = self.dir / "config", self.dir / "state"
        self.config.mkdir()
        self.admin = self.dir / "admin.sock"
        self.log = self.dir / "solder.log"
        self.proc, self.upstreams, self.others, self.seen = None, [], [], {}
        self.port, self.marks = free_port(), 0
        if gateway_:
            self.write("gateway.yaml", gateway("gateway-proxy", self.port))
        live.append(self)

    # Files

    def write(self, name, *docs):
        """Writes DOCS (texts or documents) into a file by renaming over it; returns its path."""
        path = self.config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = docs[0] if len(docs) == 1 and isinstance(docs[0], bytes) else dump(*docs).encode()
        fd, temp = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(fd, "wb") as f:
            f.write(data)
        os.chmod(temp, 0o644)
        os.rename(temp, path)
        return path

    def write_in_place(self, name, *docs):
        (self.config / name).write_text(dump(*docs))

    def remove(self, name):
        (self.config / name).unlink()

    def rename(self, old, new):
        (self.config / old).rename(self.config / new)

    def upstream(self, name="echo", publish=True, **more):
        """An upstream server, and the Upstream resource of that name that leads to it."""
        up = Upstream(name, **more)
        self.upstreams.append(up)
        if publish:
            self.write(f"upstream-{name}.yaml", upstream(name, up.port))
        return up

    # Solder's life

    def start(self, *args, envoy=True, wait=True, configs=None, env=None, wrap=None, **popen):
        argv = [*(wrap or [SOLDER]), "run", "--state-dir", self.state, "--admin", f"unix:{self.admin}",
                "--log-format", "json"]
        for c in [self.config] if configs is None else configs:
            argv += ["--config", c]
        if envoy:
            argv += ["--envoy", ENVOY]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SOLDER_")}
        self.state.mkdir(exist_ok=True)
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([*map(str, argv), *map(str, args)], stdin=subprocess.DEVNULL,
                                         stdout=log, stderr=log, start_new_session=True,
                                         env={**clean, **(env or {})}, **popen)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        def ready():
            assert self.proc.poll() is None, f"Solder ended with {self.proc.returncode}:\n{self.log_text()[-3000:]}"
            return self.get("/readyz").status == 200
        try:
            eventually(ready, timeout)
        except Late as e:
            assert self.proc.poll() is None, f"Solder ended with {self.proc.returncode}:\n{self.log_text()[-3000:]}"
            raise Late(f"{e}; {self.get('/readyz?verbose').text}") from e

    def stop(self, timeout=30):
        self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(timeout)

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def envoy_pid(self):
        return eventually(lambda: self.api("/v1/envoys")["supervised"]["pid"])

    def look(self, why):
        """Keeps, once, what Envoy has at this moment, for the report of a failed test."""
        if self.seen:
            return
        self.seen["why"] = f"{time.time()}: {why}"
        for name, path in (("clusters", "/clusters"), ("config_dump", "/config_dump?include_eds"),
                           ("stats", "/stats?usedonly")):
            try:
                self.seen[name] = request(self.state / "envoy" / "admin.sock", path, timeout=2).text
            except (OSError, http.client.HTTPException) as e:
                self.seen[name] = repr(e)

    def keep(self):
        """Writes what explains a failure beside the build: the whole log, what `look` saw, the state on disk."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "test").split("::")[-1].split(" ")[0]
        folder = BUILD / "failed" / test / self.dir.name
        folder.mkdir(parents=True, exist_ok=True)
        print(f"kept: {folder}")
        (folder / "solder.log").write_text(self.log_text())
        for name, text in self.seen.items():
            (folder / name).write_text(text)
        for file in self.state.iterdir():
            if file.is_file() and file.name != "lock":
                shutil.copy(file, folder)

    def log_envoy(self):
        """Has Envoy's clusters and configuration log all they do; only a failed test shows it."""
        a = request(self.state / "envoy" / "admin.sock", "/logging?paths=upstream:debug,config:debug", method="POST")
        assert a.status == 200, a

    def close(self):
        if sys.exc_info()[0]:  # a test that ends it by itself fails
            self.keep()
        if self in live:
            live.remove(self)
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        end_all(str(self.dir))
        for p in self.others:
            p.wait()
        for u in self.upstreams:
            u.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def events(self, name=None):
        """Lines of the log, as objects."""
        out = []
        for line in self.log_text().splitlines():
            try:
                e = json.loads(line)
            except ValueError:
                continue
            if name is None or e.get("event") == name:
                out.append(e)
        return out

    # Asking

    def get(self, path, **more):
        return request(self.admin, path, **more)

    def api(self, path):
        a = self.get(path)
        assert a.status == 200, a
        return a.json

    def object(self, kind, name, ns=NS):
        return self.api(f"/v1/objects/{kind}/{ns}/{name}")

    def findings(self, kind, name, ns=NS):
        """Texts "SLD0123 path: message" of an object."""
        return [f"{f['code']} {f.get('path', '')}: {f['message']}" for f in self.object(kind, name, ns)["findings"]]

    def wait_state(self, kind, name, state, code=None, ns=NS, timeout=15):
        """Waits until the object has STATE and a finding with CODE; returns it."""
        def there():
            o = self.object(kind, name, ns)
            assert o["state"] == state, f"{kind} {name} is {o['state']}: {o['reason']}"
            codes = [f["code"] for f in o["findings"]]
            assert code is None or code in codes, f"{kind} {name} has {codes}"
            return o
        return eventually(there, timeout)

    def xds(self, kind, view=ROLE):
        """Resources of a type, by name."""
        return {i["name"]: i for i in self.api(f"/v1/xds/{view}/{kind}?limit=5000")["resources"]}

    def ask(self, path="/", host="x", port=None, **more):
        return request(port or self.port, path, host=host, **more)

    def wait_answer(self, check, path="/", host="x", timeout=15, **more):
        """Waits until the gateway's answer satisfies CHECK: a status, or a function; returns it."""
        last = []

        def there():
            a = self.ask(path, host, **more)
            last[:] = [a]
            return a if (a.status == check if isinstance(check, int) else check(a)) else None
        try:
            return eventually(there, timeout)
        except Late as e:
            raise Late(f"{e}; last answer: {last}") from e

    def settled(self):
        """Waits until everything written so far is in force, by way of a mark written behind it."""
        self.marks += 1
        mark = f"mark {self.marks}"
        self.write("zz-mark.yaml", vs("zz-mark", "mark.test", [route("/", says(200, mark))]))
        # Every worker of Envoy takes it over by itself, and each connection is another one's.
        self.wait_answer(lambda _: all(self.ask(host="mark.test").text == mark for _ in range(8)))

    def metric(self, name, **labels):
        """Sum of the samples of a metric that have LABELS."""
        total, found = 0.0, False
        for line in self.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.split("{")[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
                total, found = total + float(value), True
        assert found, f"no metric {name} {labels}"
        return total

    def envoy_admin(self, path, method="GET"):
        return request(self.state / "envoy/admin.sock", path, method=method)

    def envoy(self, *args, role=ROLE, xds=None, name="envoy", bootstrap=None):
        """Starts an Envoy of one's own, with Solder's bootstrap; returns its process and admin socket."""
        sock = self.dir / f"{name}.sock"
        b = None if bootstrap else cli("bootstrap", "--role", role, "--xds", xds, "--envoy-admin",
                                       f"unix:{sock}", "--node-id", name)
        assert not b or b.returncode == 0, b.stderr
        path = self.dir / f"{name}.yaml"
        path.write_text(bootstrap or b.stdout)
        with open(self.log, "ab") as log:
            p = subprocess.Popen([ENVOY, "-c", path, "--disable-hot-restart", "--log-level", "warning",
                                  "--concurrency", "1", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
        self.others.append(p)
        return p, sock
