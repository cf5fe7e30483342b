"""The xDS port: mutual TLS, other clients, hostile ones."""

import pathlib
import queue
import socket
import threading

import grpc
import pytest

import pki
from harness import ROLE, Poller, cli, eventually, free_port, route, says, to, upstream, vs

TYPES = {"cds": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
         "lds": "type.googleapis.com/envoy.config.listener.v3.Listener",
         "rds": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"}
SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"


# ---- Protobuf's wire format, as much as is needed ----

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """(number, value) of a message's fields."""
    at = 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            b = data[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n
    while at < len(data):
        key = number()
        if key & 7 == 2:
            size = number()
            yield key >> 3, data[at:at + size]
            at += size
        else:
            yield key >> 3, number()


def node(role, name="fake", build=None):
    value = field(3, role)  # Value.string_value
    metadata = field(1, field(1, "role") + field(2, value))  # Struct.fields
    return field(1, name) + field(3, metadata) + (field(6, "fake") + field(7, build) if build else b"")


def sotw_request(kind, names=(), role=None, version="", nonce="", error=None, build=None):
    m = field(1, version) if version else b""
    if role:
        m += field(2, node(role, build=build))
    for n in names:
        m += field(3, n)
    m += field(4, TYPES.get(kind, kind))
    if nonce:
        m += field(5, nonce)
    if error:
        m += field(6, field(2, error))
    return m


class Stream:
    """An ADS stream that sends the bytes it is given."""

    def __init__(self, channel, method="StreamAggregatedResources"):
        self.out, self.got = queue.Queue(), queue.Queue()
        call = channel.stream_stream(SERVICE + method, request_serializer=None, response_deserializer=None)
        self.call = call(iter(self.out.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for m in self.call:
                self.got.put(m)
        except grpc.RpcError as e:
            self.got.put(e)

    def send(self, data):
        self.out.put(data)

    def next(self, timeout=10):
        return self.got.get(timeout=timeout)

    def close(self):
        self.out.put(None)
        self.call.cancel()


@pytest.fixture(scope="module")
def served(shared):
    """The shared site, restarted with a TCP port for Envoys."""
    shared.stop()
    shared.xds_port = free_port()
    shared.upstream()
    shared.write("vs.yaml", vs("v", "v.test", [route("/", to("echo"))]))
    shared.start("--xds", f"127.0.0.1:{shared.xds_port}")
    return shared


@pytest.fixture
def channel(served):
    with grpc.insecure_channel(f"127.0.0.1:{served.xds_port}", [("grpc.use_local_subchannel_pool", 1)]) as c:
        yield c


def answer(stream, kind):
    """The next response of that type: version, nonce, names of its resources."""
    while True:
        m = stream.next()
        assert isinstance(m, bytes), m
        parts = list(fields(m))
        if dict(parts).get(4) == TYPES[kind].encode():
            names = [dict(fields(dict(fields(v))[2])).get(1) for n, v in parts if n == 2]
            return dict(parts)[1].decode(), dict(parts)[5].decode(), names


# ---- Other clients ----

def test_state_of_the_world_client(served, channel):
    """SotW ADS is complete too: a client gets clusters, listeners and routes, and an update after an
    edit."""
    s = Stream(channel)
    s.send(sotw_request("cds", role=ROLE))
    version, nonce, names = answer(s, "cds")
    assert b"echo_gloo-system" in names
    s.send(sotw_request("cds", version=version, nonce=nonce))
    s.send(sotw_request("lds"))
    version, nonce, listeners = answer(s, "lds")
    assert len(listeners) >= 1
    s.send(sotw_request("lds", version=version, nonce=nonce))
    table = listeners[0].decode() + "-routes"
    s.send(sotw_request("rds", [table]))
    first, nonce, names = answer(s, "rds")
    assert names == [table.encode()]
    s.send(sotw_request("rds", [table], version=first, nonce=nonce))
    served.write("more.yaml", vs("sotw", "sotw.test", [route("/", says(200))]))
    second, nonce, names = answer(s, "rds")
    assert second != first
    eventually(lambda: "sotw" in [e["protocol"] for e in served.api("/v1/envoys")["envoys"]])
    s.close()
    eventually(lambda: len(served.api("/v1/envoys")["envoys"]) == 1)


def test_a_refusal_is_of_a_build(site):
    """What one build refused is tried again when only another one is connected, and not while the first one comes back."""
    port = free_port()
    site.write("us.yaml", upstream("us", 1001))
    site.start("--xds", f"127.0.0.1:{port}", envoy=False)

    def connect(channel, build):
        s = Stream(channel)
        s.send(sotw_request("cds", role=ROLE, build=build))
        return s, *answer(s, "cds")[:2]

    def state(want, last_good):
        o = site.wait_state("upstreams", "us", want)
        assert o["lastGood"] == last_good, o
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        s, version, nonce = connect(channel, "1")
        s.send(sotw_request("cds", version=version, nonce=nonce))
        eventually(lambda: site.api("/v1/envoys")["envoys"][0]["converged"])
        site.write("us.yaml", upstream("us", 1002, connectionConfig={"maxRequestsPerConnection": 7}))
        s.send(sotw_request("cds", version=version, nonce=answer(s, "cds")[1], error="us_gloo-system: not by me"))
        state("Rejected", True)
        s.close()
        eventually(lambda: not site.api("/v1/envoys")["envoys"])
        s, version, nonce = connect(channel, "1")
        s.send(sotw_request("cds", version=version, nonce=nonce))
        eventually(lambda: site.api("/v1/envoys")["envoys"][0]["converged"])
        state("Rejected", True)
        s.close()
        eventually(lambda: not site.api("/v1/envoys")["envoys"])
        s, version, nonce = connect(channel, "2")
        s.send(sotw_request("cds", version=version, nonce=nonce))
        state("Accepted", False)
        s.close()


# ---- Hostile clients ----

def deep(levels):
    """A node whose metadata is nested as deep."""
    value = field(3, "x")
    for _ in range(levels):
        value = field(5, field(1, field(1, "a") + field(2, value)))  # Value.struct_value
    return field(2, field(1, "n") + field(3, field(1, field(1, "role") + field(2, value)))) + field(4, TYPES["cds"])


@pytest.mark.parametrize("name, data", [
    ("garbage", b"\xff\xfe\x00garbage" * 50), ("empty", b""),
    ("unknown type", sotw_request("what.is/This", role=ROLE)),
    ("no node", sotw_request("cds")), ("deep", deep(5000)),
    ("names", sotw_request("rds", ["n" * 5000] * 500, role=ROLE)),
    ("many names", sotw_request("rds", [f"n{i}" for i in range(200000)], role=ROLE)),
    ("huge", field(2, field(1, "x" * 20000000))), ("utf8", sotw_request("cds", role="\udcff".encode("utf-8",
            "surrogateescape"))),
    ("wrong nonce", sotw_request("cds", role=ROLE, nonce="never", version="x")),
    ("nack of nothing", sotw_request("lds", role=ROLE, nonce="1", error="no")),
], ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("method", ["StreamAggregatedResources", "DeltaAggregatedResources"])
def test_hostile_messages(served, channel, method, name, data):
    """A hostile xDS client (garbage, unknown types, giant or deeply nested messages): stream error or
    silence for that client; bounded memory; others unaffected."""
    with Poller(served.port, host="v.test") as p:
        streams = [Stream(channel, method) for _ in range(3)]
        for s in streams:
            s.send(data)
            s.send(data)
        served.settled()
        p.more(5)
        for s in streams:
            s.close()
    p.assert_clean()
    assert memory(served) < 400 << 20


def memory(site):
    status = pathlib.Path(f"/proc/{site.proc.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def test_clients_that_never_read(served, channel):
    """Clients that never read: bounded memory, others unaffected."""
    s = []
    for _ in range(20):
        sock = socket.create_connection(("127.0.0.1", served.xds_port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        s.append(sock)
    big = [Stream(channel) for _ in range(10)]
    for b in big:
        b.send(sotw_request("cds", role=ROLE))
    with Poller(served.port, host="v.test") as p:
        for i in range(20):
            served.write("v.yaml", vs("never", "never.test", [route("/", says(200, f"{i}"))]))
            served.wait_answer(lambda a: a.text == f"{i}", host="never.test")
        p.more(5)
    p.assert_clean()
    for b in big:
        b.close()
    for sock in s:
        sock.close()
    assert memory(served) < 400 << 20


def test_garbage_on_the_port(served):
    """What is no HTTP/2 is closed."""
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 500, b"\x00" * 100000):
        with socket.create_connection(("127.0.0.1", served.xds_port), 10) as sock:
            try:
                sock.sendall(data)
                sock.settimeout(10)
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    served.settled()


def test_many_streams(served, channel):
    """Several hundred clients at once, then none."""
    streams = [Stream(channel) for _ in range(90)]
    for i, s in enumerate(streams):
        s.send(sotw_request("cds", role=ROLE))
    for s in streams:
        answer(s, "cds")
    assert len(served.api("/v1/envoys")["envoys"]) == 91
    for s in streams:
        s.close()
    eventually(lambda: len(served.api("/v1/envoys")["envoys"]) == 1)


# ---- Mutual TLS ----

@pytest.fixture
def tls_site(make_site):
    site = make_site()
    site.ca = pki.Authority("xds")
    for name, pair in (("server", site.ca.issue("solder", "localhost", "127.0.0.1")),
                       ("client", site.ca.issue("envoy"))):
        (site.dir / f"{name}.crt").write_text(pair[0])
        (site.dir / f"{name}.key").write_text(pair[1])
    (site.dir / "ca.pem").write_text(site.ca.pem)
    site.xds_port = free_port()
    site.write("vs.yaml", vs("v", "*", [route("/", says(200, "one"))]))
    site.start("--xds", f"0.0.0.0:{site.xds_port}", "--xds-cert", site.dir / "server.crt", "--xds-key",
               site.dir / "server.key",
               "--xds-client-ca", site.dir / "ca.pem", envoy=False)
    return site


def credentials(site, cert="client"):
    pair = [(site.dir / f"{cert}.{n}").read_bytes() for n in ("key", "crt")] if cert else [None, None]
    return grpc.ssl_channel_credentials((site.dir / "ca.pem").read_bytes(), *pair)


def reaches(site, credentials_):
    """Whether a client with these credentials is answered."""
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    if credentials_:
        channel = grpc.secure_channel(f"127.0.0.1:{site.xds_port}", credentials_, options)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{site.xds_port}", options)
    with channel:
        s = Stream(channel)
        s.send(sotw_request("cds", role=ROLE))
        got = s.next(20)
        s.close()
        return isinstance(got, bytes)


def test_mutual_tls(tls_site):
    """Beyond loopback mutual TLS is required: an Envoy with a certificate is served, others are not."""
    site = tls_site
    b = cli("bootstrap", "--xds", f"127.0.0.1:{site.xds_port}", "--ca", site.dir / "ca.pem", "--cert",
            site.dir / "client.crt",
            "--key", site.dir / "client.key", "--server-name", "localhost")
    assert b.returncode == 0, b.stderr
    site.envoy(xds=f"127.0.0.1:{site.xds_port}", bootstrap=b.stdout)
    site.wait_answer(200)
    assert reaches(site, credentials(site))
    assert not reaches(site, None)
    assert not reaches(site, credentials(site, None))


def test_certificates_of_the_xds_port_are_read_again(tls_site):
    """Mutual TLS with reload: new files count after SIGHUP; Envoys that are connected stay so."""
    site = tls_site
    other = pki.Authority("new")
    pair = other.issue("solder", "localhost")
    mine = other.issue("envoy")
    for name, text in (("server.crt", pair[0]), ("server.key", pair[1]), ("ca.pem", other.pem), ("new.crt", mine[0]),
                       ("new.key", mine[1])):
        (site.dir / name).write_text(text)
    site.proc.send_signal(1)
    eventually(lambda: reaches(site, credentials(site, "new")), 30)
    assert not reaches(site, credentials(site, "client"))
