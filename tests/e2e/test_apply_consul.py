"""apply, delete, diff, get, check and translate on a real Consul: what is not the same in a directory."""

import json
import subprocess

import pytest
import yaml

import pki
from consul import flat, key_of
from harness import NS, SOLDER, cli, doc, dump, free_port, opaque_secret, route, says, upstream, vs

NO_VARIABLES = {f"CONSUL_{v}": "" for v in ("HTTP_ADDR", "HTTP_TOKEN", "CACERT", "CLIENT_CERT", "CLIENT_KEY")}


def host(name, body="1", domain=None):
    return vs(name, domain or f"{name}.test", [route("/", says(200, body))])


class Store:
    """The root ROOT of an agent, by the command line."""

    def __init__(self, agent, root="gloo", address=None, **env):
        self.agent, self.root = agent, root
        self.address = address or f"consul://127.0.0.1:{agent.port}/{root}"
        self.env = {**NO_VARIABLES, **env}

    def run(self, command, *args, text=None, docs=None, **env):
        text = dump(*docs) if docs is not None else text
        where = [] if command in ("check", "translate") else ["--from" if command == "get" else "--config"]
        return cli(command, *args, *(["-f", "-"] if text is not None else []), *where, self.address, stdin=text,
                   env={**self.env, **env})

    def apply(self, *docs, args=(), **env):
        return self.run("apply", *args, docs=docs, **env)

    def value(self, d):
        return self.agent.get(key_of(d, self.root)).text


@pytest.fixture
def store(make_consul):
    return Store(make_consul())


FLAT = """\
# Why this is here.
virtualHost:   # aligned by hand
  domains: ["a.test"]   # one
  routes:
  - matchers: [{prefix: /}]
    directResponseAction: {status: 200, body: 'it''s'}
metadata: {namespace: gloo-system, name: a}
"""


def as_file(tmp_path, text, kind="virtualservices", ns=NS, name="a.yaml"):
    folder = tmp_path / "in" / kind / ns
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return tmp_path / "in"


# ---- What is stored ----

def test_text_is_kept(store, tmp_path):
    """Gloo's flat form is stored byte for byte, YAML as YAML and JSON as JSON."""
    done = store.run("apply", "-f", as_file(tmp_path, FLAT))
    assert done.returncode == 0 and done.stdout == "virtualservices/gloo-system/a created\n", done
    assert store.value(host("a")) == FLAT
    text = json.dumps(yaml.safe_load(FLAT), indent=3)
    as_file(tmp_path, text)
    assert store.run("apply", "-f", tmp_path / "in").stdout == "virtualservices/gloo-system/a unchanged\n"
    assert store.value(host("a")) == FLAT
    other = text.replace("200", "201")
    as_file(tmp_path, other)
    assert store.run("apply", "-f", tmp_path / "in").stdout == "virtualservices/gloo-system/a configured\n"
    assert store.value(host("a")) == other


def test_kubernetes_form_becomes_gloos(store):
    """Gloo reads flat documents from Consul alone; JSON stays JSON."""
    d = host("a")
    assert store.apply(d).returncode == 0
    stored = yaml.safe_load(store.value(d))
    assert set(stored) == {"metadata", "virtualHost"} and stored["metadata"] == {"name": "a", "namespace": NS}
    assert store.value(d)[0] != "{"
    d = host("b")
    assert store.run("apply", text=json.dumps(d)).returncode == 0
    assert json.loads(store.value(d))["virtualHost"]["domains"] == ["b.test"]


def test_what_others_wrote(store):
    """Documents that Gloo, curl or consul kv put there; the key says who they are."""
    store.agent.write(host("a"), upstream("u", 8080))
    store.agent.put(key_of(host("named")), yaml.safe_dump(flat(host("other"))))
    assert store.run("diff", docs=[host("a")]).returncode == 0
    done = store.run("diff", docs=[host("a", "2")])
    assert done.returncode == 1 and 'directResponseAction.body: "1" -> "2"' in done.stdout, done
    assert store.run("get", "all", "-o", "name").stdout.split() == [
        f"upstreams/{NS}/u", f"virtualservices/{NS}/a", f"virtualservices/{NS}/named"]
    row = store.run("get", "vs", "a", "--no-headers").stdout.split()
    assert row == [NS, "a", "VirtualService", str(store.agent.get(key_of(host("a"))).index), key_of(host("a"))]
    assert store.run("delete", "vs", "named").returncode == 0
    assert store.agent.get(key_of(host("named"))) is None
    done = store.run("delete", "vs", "named")
    assert done.returncode == 1 and "there is no VirtualService named in namespace gloo-system" in done.stderr


def test_roots_are_apart(store):
    """Only what is below the root counts and is touched."""
    a, b = Store(store.agent, "gl"), Store(store.agent, "gloo/inner/")
    for s, body in (store, "1"), (a, "2"), (b, "3"):
        assert s.apply(host("a", body)).stdout.endswith("created\n")
    assert '"2"' in a.run("diff", docs=[host("a", "x")]).stdout
    assert a.run("delete", "vs", "a").returncode == 0
    assert store.run("diff", docs=[host("a", "1")]).returncode == 0
    assert b.run("diff", docs=[host("a", "3")]).returncode == 0


# ---- Conflicts ----

def test_conflict_names_the_versions(store):
    """Somebody wrote between reading and applying; --force writes all the same."""
    store.apply(host("a", "1"))
    read = yaml.safe_load(store.run("get", "vs", "a", "-o", "yaml").stdout)
    before = store.agent.get(key_of(read)).index
    assert read["metadata"]["resourceVersion"] == str(before)
    store.agent.write(host("a", "theirs"))
    after = store.agent.get(key_of(read)).index
    done = store.apply(read)
    assert done.returncode == 1 and done.stdout == "", done
    assert f"read at version {before} and is at {after} now: somebody changed it" in done.stderr
    assert "theirs" in store.value(read)
    assert store.apply(read, args=["--force"]).returncode == 0 and "theirs" not in store.value(read)


def test_writers_at_once(store):
    """Consul lets one of those win who found nothing; the others are told, and nothing is torn."""
    argv = [str(SOLDER), "apply", "-f", "-", "--config", store.address]
    running = [subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for _ in range(8)]
    for n, p in enumerate(running):
        p.stdin.write(dump(host("same", str(n)), host(f"own{n}", "x")))
        p.stdin.close()
    said = [(p.wait(30), p.stdout.read(), p.stderr.read()) for p in running]
    assert sum("/same created" in out for _, out, _ in said) == 1, said
    for n, (code, out, err) in enumerate(said):
        assert f"/own{n} created" in out
        assert ("/same " in out) == (code == 0) and ("somebody" in err) == (code == 1), said
    assert len(store.run("get", "vs", "-o", "name").stdout.split()) == 9


# ---- Rights ----

def test_tokens(make_consul, tmp_path):
    """No token, a wrong one, one that may only read, one that sees a part: Consul's word and where to mend it."""
    c = make_consul(acl=True)
    s = Store(c)
    c.write(host("a"), upstream("u", 8080))
    before = c.get(key_of(host("a"))).index
    for env in {}, {"CONSUL_HTTP_TOKEN": "none"}:
        done = s.apply(host("b"), **env)
        assert done.returncode == 1 and "mend the token" in done.stderr and "40" in done.stderr, done
        assert s.address in done.stderr
    c.policy("read", 'key_prefix "gloo/" { policy = "read" }')
    reader = {"CONSUL_HTTP_TOKEN": c.make_token("read")[1]}
    assert s.run("get", "all", "-o", "name", **reader).stdout.split() == [f"upstreams/{NS}/u", f"virtualservices/{NS}/a"]
    for d in host("a", "2"), host("new"):
        done = s.apply(d, **reader)
        assert done.returncode == 1 and "403" in done.stderr and "Permission denied" in done.stderr, done
    assert s.run("delete", "vs", "a", **reader).returncode == 1
    # What it may not read is not taken for missing.
    c.policy("part", 'key_prefix "gloo/gloo.solo.io/" { policy = "write" }')
    part = {"CONSUL_HTTP_TOKEN": c.make_token("part")[1]}
    assert s.run("get", "all", "-o", "name", **part).stdout.split() == [f"upstreams/{NS}/u"]
    done = s.apply(host("a", "2"), **part)
    assert done.returncode == 1 and "403" in done.stderr and "created" not in done.stdout, done
    assert c.get(key_of(host("a"))).index == before
    # The settings' token, and a file's.
    token = c.make_token("read")[1]
    (tmp_path / "settings.yaml").write_text(dump(doc("Settings", "default", {"consul": {"token": token}})))
    assert s.run("get", "vs", "a", "--settings", tmp_path / "settings.yaml").returncode == 0
    (tmp_path / "token").write_text(token + "\n")
    assert s.run("get", "vs", "a", CONSUL_HTTP_TOKEN_FILE=str(tmp_path / "token")).returncode == 0


# ---- Ways there ----

def test_no_agent():
    """Nobody listens: which address that was."""
    port = free_port()
    done = cli("apply", "-f", "-", "--config", f"consul://127.0.0.1:{port}/gloo", stdin=dump(host("a")),
               env=NO_VARIABLES)
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr, done
    done = cli("get", "vs", "--from", "consul:///gloo", env={**NO_VARIABLES, "CONSUL_HTTP_ADDR": f"127.0.0.1:{port}"})
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr and "CONSUL_HTTP_ADDR" in done.stderr, done


@pytest.mark.parametrize("address, words", [
    ("consul://a b/gloo", "no address of a Consul agent"), ("consul://h:port/gloo", "no address of a Consul agent"),
    ("consul+unix://x", "names no socket"), ("consuls:///gloo", "names no host"),
])
def test_no_address(address, words):
    """Addresses that are none."""
    done = cli("get", "vs", "--from", address, env=NO_VARIABLES)
    assert done.returncode == 1 and words in done.stderr, done


def test_the_agent_of_the_environment(make_consul):
    """consul:///root asks the agent of CONSUL_HTTP_ADDR; a unix socket does as well."""
    c = make_consul(unix=True)
    s = Store(c, address="consul:///gloo", CONSUL_HTTP_ADDR=f"http://127.0.0.1:{c.port}")
    assert s.apply(host("a")).returncode == 0
    by_socket = Store(c, address=f"consul+unix://{c.socket}?root=gloo")
    assert by_socket.run("diff", docs=[host("a")]).returncode == 0
    assert Store(c, address="consul:///", CONSUL_HTTP_ADDR=f"unix://{c.socket}").run("get", "vs", "a").returncode == 0


@pytest.mark.parametrize("tls", ["server", "mutual"])
def test_tls(make_consul, tls):
    """consuls:// trusts who CONSUL_CACERT says, and shows a certificate where one is wanted."""
    c = make_consul(tls=tls)
    ca = {"CONSUL_CACERT": str(c.dir / "ca.pem")}
    s = Store(c, address=f"consuls://localhost:{c.port}/gloo")
    done = s.apply(host("a"))
    assert done.returncode == 1 and "ertificate" in done.stderr, done
    if tls == "mutual":
        assert s.apply(host("a"), **ca).returncode == 1
        ca.update(CONSUL_CLIENT_CERT=str(c.dir / "client.pem"), CONSUL_CLIENT_KEY=str(c.dir / "client.key"))
    done = s.apply(host("a"), **ca)
    assert done.returncode == 0, done
    assert "a.test" in store_value(c, host("a"))
    done = Store(c, address=f"consul://localhost:{c.port}/gloo").run("get", "vs", "a", **ca)
    assert done.returncode == 1, done


def store_value(c, d):
    return c.get(key_of(d)).text


# ---- What is not kept there ----

def test_secrets_and_large_values(store):
    """Secrets do not go to Consul; a value has at most 512 KiB."""
    done = store.apply(opaque_secret("s", {"token": "x"}))
    assert done.returncode == 1 and "not kept in Consul" in done.stderr, done
    large = host("large")
    large["spec"]["virtualHost"]["routes"] = [route(f"/{i}", says(200, "x" * 800)) for i in range(600)]
    done = store.apply(large)
    assert done.returncode == 1 and "524288 in a value" in done.stderr, done
    assert store.agent.entries("gloo/") == {}


# ---- check and translate ----

def test_check_and_translate(store):
    """They read what the server would read, change nothing, and name keys."""
    c = store.agent
    done = store.run("check")
    assert done.returncode == 2 and 'no key below "gloo/"' in done.stderr, done
    c.write(host("a"), upstream("u", 8080))
    c.put("gloo/solder/leader", "{}")
    c.put("gloo/folder/", "")
    c.put("gloo/unrelated", "b: [")
    assert "2 resources, 0 errors" in store.run("check").stderr
    assert "a.test" in store.run("translate").stdout
    proxy = {"kind": "Proxy", "metadata": {"name": "gateway-proxy", "namespace": NS,
                                           "labels": {"created_by": "gloo-gateway"}}, "spec": {"listeners": []}}
    found = upstream("found", 8080)
    found["metadata"]["labels"] = {"discovered_by": "consulplugin"}
    c.write(proxy, found)
    done = store.run("check")
    assert done.returncode == 0 and "2 resources, 0 errors" in done.stderr, done
    c.put(key_of(host("broken")), "a: [b\n")
    c.put("gloo/gateway.solo.io/v2/VirtualService/gloo-system/v", yaml.safe_dump(flat(host("v"))))
    c.put(key_of(host("named")), yaml.safe_dump(flat(host("other", domain="n.test"))))
    before = {k: e.index for k, e in c.entries("gloo/").items()}
    done = store.run("check")
    assert done.returncode == 1, done
    assert f"{store.address}/gateway.solo.io/v1/VirtualService/{NS}/broken:2:1: error SLD0001" in done.stdout, done
    assert "gateway.solo.io/v2 has no VirtualService; store it under gateway.solo.io/v1/VirtualService/" in done.stdout
    assert "metadata.name" in done.stdout and "named" in done.stdout
    assert {k: e.index for k, e in c.entries("gloo/").items()} == before
    # apply counts the others' documents, but not what Gloo wrote for itself.
    done = store.apply(host("late", domain="a.test"))
    assert done.returncode == 1 and "gloo-system.a has it" in done.stderr, done
    assert store.apply(upstream("found", 8081)).stdout == f"upstreams/{NS}/found configured\n"


def test_token_that_sees_nothing(make_consul):
    """A list of nothing may be a matter of rights, and is told so."""
    c = make_consul(acl=True)
    c.write(host("a"))
    c.policy("none", 'key_prefix "other/" { policy = "read" }')
    done = Store(c).run("check", CONSUL_HTTP_TOKEN=c.make_token("none")[1])
    assert done.returncode == 2 and "the token may read" in done.stderr, done
