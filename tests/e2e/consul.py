"""A real Consul agent, and what tests do to it."""

import base64
import functools
import json
import os
import threading
import time
import urllib.parse

import yaml

import harness
from server import Server

CONSUL = os.environ.get("SLD_CONSUL") or str(harness.CACHE / "consul/1.8.7/consul")
MANAGEMENT = "11111111-1111-1111-1111-111111111111"
GROUPS = {"Settings": "gloo.solo.io/v1", "Proxy": "gloo.solo.io/v1", "Artifact": "gloo.solo.io/v1", **harness.KINDS}
TXN_MAX = 64  # operations in a transaction, of Consul 1.8


@functools.cache
def modern():
    """Whether CONSUL is the agent alone, of a newer release, which spells some options differently."""
    import subprocess
    return "Consul v1.8." not in subprocess.run([CONSUL, "version"], stdin=subprocess.DEVNULL, capture_output=True,
                                                text=True).stdout


def flat(doc):
    """A document as Gloo stores it outside Kubernetes: metadata and the fields of spec side by side."""
    meta = {k: v for k, v in doc["metadata"].items()}
    return {"metadata": meta, **doc.get("spec", {})}


def key_of(doc, root="gloo"):
    """Its place in the KV store."""
    meta = doc["metadata"]
    return f"{root}/{GROUPS[doc['kind']]}/{doc['kind']}/{meta['namespace']}/{meta['name']}"


class Entry:
    """A key with what Consul says of it."""

    def __init__(self, item):
        self.key, self.index, self.session = item["Key"], item["ModifyIndex"], item.get("Session")
        self.value = base64.b64decode(item["Value"] or "")

    @property
    def text(self):
        return self.value.decode()

    @property
    def doc(self):
        return yaml.safe_load(self.value)


class Consul(Server):
    """One agent that is server and client at once.

    persistent: it keeps its data when it is killed and started again (and starts in two seconds, not in a
    quarter). acl: without a token nothing is allowed; `token` is the one that may do everything, which requests
    use unless told otherwise. tls: "server" or "mutual", HTTPS on `port`. unix: also at `socket`. serf: the port
    at which other servers join it.
    """

    name = "consul"

    def __init__(self, persistent=False, acl=False, tls=None, unix=False, dc="dc1", serf=None, **config):
        super().__init__()
        self.dns = harness.free_port()
        self.token = MANAGEMENT if acl else None
        self.socket = self.dir / "consul.sock"
        free = harness.free_port
        ports = {"http": -1 if tls else self.port, "https": self.port if tls else -1, "dns": self.dns, "grpc": -1,
                 "server": free(), "serf_lan": serf or free(), "serf_wan": free()}
        c = {"disable_update_check": True, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "datacenter": dc,
             "node_name": "n1", "ports": ports, "leave_on_terminate": False, "log_level": "WARN"}
        if modern():
            ports["grpc_tls"] = -1
        if unix:
            c["addresses"] = {"https" if tls else "http": f"127.0.0.1 unix://{self.socket}"}
        if acl:
            c["acl"] = {"enabled": True, "default_policy": "deny",
                        "tokens": {"initial_management" if modern() else "master": MANAGEMENT, "agent": MANAGEMENT}}
        if tls:
            self.certificates(tls == "mutual")
            pair = {"ca_file": str(self.dir / "ca.pem"), "cert_file": str(self.dir / "server.pem"),
                    "key_file": str(self.dir / "server.key")}
            if modern():
                c["tls"] = {"defaults": pair, "https": {"verify_incoming": tls == "mutual"}}
            else:
                c.update(pair, verify_incoming_https=tls == "mutual")
        if persistent:
            c.update(server=True, bootstrap_expect=1, data_dir=str(self.dir / "data"),
                     performance={"raft_multiplier": 1})
        self.mode = [] if persistent else ["-dev"]
        (self.dir / "config.json").write_text(json.dumps({**c, **config}))

    def argv(self):
        return [CONSUL, *([] if modern() else ["agent"]), *self.mode, f"-config-file={self.dir / 'config.json'}"]

    def ready(self):
        return self.put("ready", "yes")

    # Requests

    def ask(self, method, path, body=None, token=None, timeout=30, **query):
        """One request with the management token or TOKEN ("" for none); returns its Answer."""
        token = self.token if token is None else token
        text = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None}, quote_via=urllib.parse.quote)
        return self.http(method, path + ("?" + text if text else ""),
                         json.dumps(body) if isinstance(body, (dict, list)) else body,
                         {"X-Consul-Token": token} if token else {}, timeout)

    def do(self, method, path, body=None, **query):
        """The same, and it must succeed; returns what it says."""
        a = self.ask(method, path, body, **query)
        assert a.status == 200, f"{method} {path}: {a}"
        return a.json if a.body else None

    # Keys and values

    def put(self, key, value, **query):
        """VALUE is text, bytes or a document; False when a check-and-set failed."""
        data = value if isinstance(value, (str, bytes)) else yaml.safe_dump(value)
        return self.do("PUT", "/v1/kv/" + urllib.parse.quote(key), data, **query)

    def get(self, key):
        """The Entry, or None."""
        a = self.ask("GET", "/v1/kv/" + urllib.parse.quote(key))
        return Entry(a.json[0]) if a.status == 200 else None

    def entries(self, prefix):
        """All of them below PREFIX, by key."""
        a = self.ask("GET", "/v1/kv/" + urllib.parse.quote(prefix), recurse="")
        return {i["Key"]: Entry(i) for i in a.json} if a.status == 200 else {}

    def delete(self, key, **query):
        return self.do("DELETE", "/v1/kv/" + urllib.parse.quote(key), **query)

    def delete_all(self, prefix):
        return self.delete(prefix, recurse="")

    def put_many(self, values):
        """Puts {key: text or bytes}, as few transactions as it takes."""
        items = list(values.items())
        for i in range(0, len(items), TXN_MAX):
            self.transact([{"KV": {"Verb": "set", "Key": k, "Value": base64.b64encode(
                v.encode() if isinstance(v, str) else v).decode()}} for k, v in items[i:i + TXN_MAX]])

    def transact(self, operations):
        return self.do("PUT", "/v1/txn", operations)

    def write(self, *docs, root="gloo"):
        """Puts documents (as harness.doc makes them) where Gloo has them."""
        for d in docs:
            assert self.put(key_of(d, root), flat(d))

    def remove(self, *docs, root="gloo"):
        for d in docs:
            self.delete(key_of(d, root))

    # Services of this agent

    def register(self, name, port, id=None, tags=(), address="127.0.0.1", status="passing", meta=None, weights=None):
        """An instance with a check that says STATUS until check() says otherwise, or without one if that is None."""
        id = id or f"{name}-{port}"
        service = {"ID": id, "Name": name, "Port": port, "Tags": list(tags), "Address": address, "Meta": meta or {}}
        if weights:
            service["Weights"] = {"Passing": weights[0], "Warning": weights[1]}
        if status:
            service["Check"] = {"CheckID": f"check:{id}", "TTL": "24h", "Status": status}
        self.do("PUT", "/v1/agent/service/register", service)
        return id

    def check(self, id, status):
        """The instance is now "passing", "warning" or "critical"."""
        self.do("PUT", f"/v1/agent/check/update/check:{id}", {"Status": status, "Output": f"a test says {status}"})

    def deregister(self, id):
        self.do("PUT", f"/v1/agent/service/deregister/{id}")

    def maintain(self, id, on=True):
        self.do("PUT", f"/v1/agent/service/maintenance/{id}", enable="true" if on else "false")

    def maintain_node(self, on=True):
        self.do("PUT", "/v1/agent/maintenance", enable="true" if on else "false")

    def catalog(self, node, address, services):
        """Instances at a node that is not this agent, many at a time. SERVICES are as the catalog's API has them."""
        first = {"Node": {"Verb": "set", "Node": {"Node": node, "Address": address, "Datacenter": "dc1"}}}
        operations = [first] + [{"Service": {"Verb": "set", "Node": node, "Service": s}} for s in services]
        for i in range(0, len(operations), TXN_MAX):
            self.transact(operations[i:i + TXN_MAX])

    # Rights

    def policy(self, name, rules):
        """Makes the policy, or gives it other RULES."""
        old = self.ask("GET", f"/v1/acl/policy/name/{name}") if modern() else None
        if old is None:
            known = {p["Name"]: p["ID"] for p in self.do("GET", "/v1/acl/policies")}
            id = known.get(name)
        else:
            id = old.json["ID"] if old.status == 200 else None
        self.do("PUT", "/v1/acl/policy" + (f"/{id}" if id else ""), {"Name": name, "Rules": rules})

    def make_token(self, *policies):
        """Returns (accessor, secret)."""
        t = self.do("PUT", "/v1/acl/token", {"Policies": [{"Name": p} for p in policies]})
        return t["AccessorID"], t["SecretID"]

    def delete_token(self, accessor):
        self.do("DELETE", f"/v1/acl/token/{accessor}")


class Watcher:
    """A blocking query without end beside the one who is tested.

    `seen` holds (monotonic ns when the answer was there, index, body).
    """

    def __init__(self, consul, path, **query):
        self.seen, self.ended, self.lock = [], False, threading.Condition()
        self.consul, self.path, self.query = consul, path, query
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.after(0)
        return self

    def __exit__(self, *_):
        self.ended = True  # the query that hangs ends with the server

    def _run(self):
        index = 0
        c = harness.Connection(self.consul.port, self.consul.context, "localhost", timeout=700)
        headers = {"X-Consul-Token": self.consul.token} if self.consul.token else {}
        while not self.ended:
            query = urllib.parse.urlencode({**self.query, "index": index, "wait": "600s"})
            try:
                a = c.ask(f"{self.path}?{query}", headers=headers)
                at = time.monotonic_ns()
                new = int(a.headers["X-Consul-Index"])
            except (OSError, ValueError, TypeError, harness.http.client.HTTPException):
                c.close()
                time.sleep(0.01)
                continue
            if new != index:
                with self.lock:
                    self.seen.append((at, new, a.body))
                    self.lock.notify_all()
            index = new

    def after(self, count, timeout=20):
        """Waits for more answers than COUNT; returns the first of them."""
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.seen) > count, timeout):
                raise harness.Late(f"{self.path}: no answer after {count}")
            return self.seen[count]
