"""A proxy that spoils HTTP between Solder and a server, as networks, servers and their operators do.

    with Proxy(consul.port) as p:
        p.set(status(500))      # from now on, also for what is under way
        p.heal()

A fault is a function that gets an Exchange and answers it. Requests under way when it is set are answered by it
as soon as the server would have answered.
"""

import http.client
import select
import socket
import struct
import threading
import time

import harness

HOP = ("connection", "content-length", "keep-alive", "transfer-encoding")


class Reply:
    def __init__(self, status, headers, body, reason="X"):
        self.status, self.headers, self.body, self.reason = status, list(headers), body, reason

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()] + [(name, str(value))]

    def bytes(self):
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{k}: {v}" for k, v in self.headers),
                 f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


class _Gone(Exception):
    """The client went, or was sent away."""


class Exchange:
    """A request and what is done about it: the fault calls forward() at most once, then one of the others."""

    def __init__(self, proxy, conn, method, path, headers, body):
        self.proxy, self.conn, self.sock = proxy, conn, conn.sock
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.got = None

    def forward(self):
        """The server's Reply."""
        if self.got is None:
            self.got = self.conn.forward(self)
        return self.got

    def send(self, reply):
        self.raw(reply.bytes())

    def raw(self, data):
        self.sock.sendall(data)

    def close(self):
        """An end as after the last byte."""
        raise _Gone

    def reset(self):
        """An end as of a machine that fell over."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Gone

    def hold(self):
        """Nothing more is said, until the client goes or the fault is over; then the connection is reset."""
        mine = self.proxy.fault
        while self.proxy.fault is mine and not self.proxy.ended:
            if select.select([self.sock], [], [], 0.02)[0] and not self.sock.recv(65536):
                raise _Gone
        self.reset()


class _Connection:
    """One of a client, and the one to the server that serves it."""

    def __init__(self, proxy, sock):
        self.proxy, self.sock, self.up = proxy, sock, None
        self.file = sock.makefile("rb")

    def run(self):
        try:
            while self._one():
                pass
        except (_Gone, OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            self.file.close()
            self.sock.close()
            if self.up:
                self.up.close()
            self.proxy.forget(self)

    def _one(self):
        line = self.file.readline(65536).split()
        if len(line) != 3:
            return False
        method, path, _ = (w.decode("latin-1") for w in line)
        headers = []
        while (h := self.file.readline(65536).strip()):
            name, _, value = h.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        size = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
        x = Exchange(self.proxy, self, method, path, headers, self.file.read(size) if size else b"")
        self.proxy.answer(x)
        return True

    def forward(self, x):
        if self.up is None:
            self.up = http.client.HTTPConnection("127.0.0.1", self.proxy.port_behind, timeout=None)
        try:
            self._request(x)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The server may have closed a connection that rested: once more, on a new one.
            self.up.close()
            self._request(x)
        answer = self.up.getresponse()
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP]
        reply = Reply(answer.status, headers, answer.read(), answer.reason)
        if answer.will_close:
            self.up.close()
        return reply

    def _request(self, x):
        fresh = self.up.sock is None
        self.up.putrequest(x.method, x.path, skip_host=True, skip_accept_encoding=True)
        for k, v in x.headers:
            if k.lower() not in HOP:
                self.up.putheader(k, v)
        if x.body or x.method in ("PUT", "POST"):
            self.up.putheader("Content-Length", str(len(x.body)))
        self.up.endheaders(x.body or None)
        while True:
            ready = select.select([self.up.sock, self.sock], [], [], 30)[0]
            if self.up.sock in ready:
                if not fresh and not self.up.sock.recv(1, socket.MSG_PEEK):
                    raise http.client.RemoteDisconnected
                return
            if self.sock in ready and not self.sock.recv(1, socket.MSG_PEEK):
                raise _Gone


class Proxy:
    """Listens on `port` of 127.0.0.1 for a server's PORT.

    `seen` holds (method, path, status or None if a fault answered); `waiting` is how many requests the server has
    not answered yet.
    """

    def __init__(self, port):
        self.port_behind, self.port = port, harness.free_port()
        self.fault, self.ended, self.lock = None, False, threading.Lock()
        self.listener, self.connections, self.seen, self.spoiled, self.waiting = None, set(), [], 0, 0
        self.filler = None

    def __enter__(self):
        self.accept()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    # What it does

    def set(self, fault, match="", times=None):
        """FAULT holds for requests whose path has MATCH, TIMES times or until heal()."""
        left = [times]

        def chosen(x):
            with self.lock:
                if match not in x.path or left[0] == 0:
                    return None
                if left[0] is not None:
                    left[0] -= 1
                self.spoiled += 1
            return fault
        self.fault = chosen

    def heal(self):
        self.fault = None

    def refuse(self):
        """Connections are refused, and those that there are end."""
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def swallow(self):
        """Whatever is sent here vanishes: nothing more is said on the connections there are, and attempts to make one
        are not answered. Until accept()."""
        self.fault = lambda x: half_open
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        # Behind a full queue of connections that nobody takes, the kernel drops whatever asks for another.
        self.listener = self._listener(0)
        self.filler = socket.create_connection(("127.0.0.1", self.port))

    def accept(self):
        """The end of refuse() and swallow()."""
        if self.filler:
            self.filler.close()
            self.listener.close()
            self.filler = None
            self.heal()
        self.listener = self._listener(256)
        threading.Thread(target=self._listen, args=(self.listener,), daemon=True).start()

    def drop(self):
        """Resets every connection there is."""
        with self.lock:
            connections = list(self.connections)
        for c in connections:
            try:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.sock.shutdown(socket.SHUT_RD)
            except OSError:
                pass

    def close(self):
        self.ended = True
        self.refuse()

    def wait_spoiled(self, more=1, timeout=20):
        """Waits until MORE requests from now on were answered by a fault."""
        goal = self.spoiled + more
        harness.eventually(lambda: self.spoiled >= goal, timeout)

    # How

    def _listener(self, queue):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(queue)
        return listener

    def _listen(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c = _Connection(self, sock)
            with self.lock:
                self.connections.add(c)
            threading.Thread(target=c.run, daemon=True).start()

    def forget(self, c):
        with self.lock:
            self.connections.discard(c)

    def _forward(self, x):
        with self.lock:
            self.waiting += 1
        try:
            return x.forward()
        finally:
            with self.lock:
                self.waiting -= 1

    def answer(self, x):
        at = self.fault
        fault = at and at(x)
        if not fault:
            reply = self._forward(x)
            # It may have taken long: another fault may hold by now.
            fault = self.fault and self.fault is not at and self.fault(x)
            if not fault:
                self.seen.append((x.method, x.path, reply.status))
                x.send(reply)
                return
        self.seen.append((x.method, x.path, None))
        fault(x)


# ---- Faults ----

def latency(seconds):
    """Every answer comes so much later."""
    def fault(x):
        reply = x.forward()
        time.sleep(seconds)
        x.send(reply)
    return fault


def status(code, body="", **headers):
    """The server says CODE without having looked."""
    def fault(x):
        x.send(Reply(code, [("Content-Type", "text/plain"), *((k.replace("_", "-"), v) for k, v in headers.items())],
                     body.encode()))
    return fault


def reset(x):
    """The connection is reset instead of an answer."""
    x.reset()


def half_open(x):
    """Nobody says anything any more, and nobody hangs up."""
    x.hold()


def cut_head(x):
    """The answer ends in the middle of its headers."""
    x.raw(x.forward().bytes()[:24])
    x.close()


def cut_body(x):
    """The answer ends in the middle of its body, which had a length."""
    reply = x.forward()
    data = reply.bytes()
    x.raw(data[:len(data) - (len(reply.body) + 1) // 2])
    x.close()


def cut_body_unnoticed(x):
    """The same of a body without a length: the end of the connection is the end of the body, says HTTP."""
    reply = x.forward()
    head = reply.bytes()[:-len(reply.body) or None].replace(b"Content-Length:", b"X-Length:")
    x.raw(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + reply.body[:len(reply.body) // 2])
    x.close()


def garbage(x):
    """200, and a body that nobody understands."""
    reply = x.forward()
    x.send(Reply(200, [(k, v) for k, v in reply.headers if k.lower() != "content-encoding"],
                 b"\x00\xff<html>an error page of somebody in between</html>"))


def not_http(x):
    """Something that is not HTTP at all."""
    x.raw(b"\x15\x03\x01\x00\x02\x02\x16" * 9)
    x.close()


def drip(pause, size=1):
    """The answer comes SIZE bytes at a time."""
    def fault(x):
        data = x.forward().bytes()
        for i in range(0, len(data), size):
            x.raw(data[i:i + size])
            time.sleep(pause)
    return fault


def index_back(x):
    """Consul's index is lower than it ever was: a snapshot was restored, a server has lost its state."""
    reply = x.forward()
    reply.set("X-Consul-Index", 1)
    x.send(reply)


def empty(body=b"[]", code=200, index=None):
    """A list with nothing in it, all the headers in order: 404 and no body for keys, "[]" or "{}" for services."""
    def fault(x):
        reply = x.forward()
        headers = [(k, v) for k, v in reply.headers if k.lower() != "content-encoding"]
        made = Reply(code, headers, body)
        if index is not None:
            made.set("X-Consul-Index", index)
        x.send(made)
    return fault


def no_leader(x):
    """What a Consul agent says while its servers elect."""
    x.send(Reply(500, [("Content-Type", "text/plain"), ("X-Consul-Knownleader", "false")], b"No cluster leader"))
