"""examples/consul-vault/MIGRATING.md, followed literally: its commands, on a tree of keys that Gloo made."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import pytest

import pki
from harness import ENVOY, ROOT, SOLDER, Upstream, commands, eventually, listens, request

PAGE = ROOT / "examples/consul-vault/MIGRATING.md"
TREE = pathlib.Path(__file__).parent / "gloo-tree"

# As Gloo's installation for Consul has it.
SETTINGS = """consul:
  address: {consul}
  dnsAddress: {dns}
  serviceDiscovery: {{}}
consulKvArtifactSource: {{}}
consulKvSource: {{}}
discovery:
  fdsMode: DISABLED
discoveryNamespace: gloo-system
gateway:
  validation:
    alwaysAccept: true
gloo:
  xdsBindAddr: 0.0.0.0:9977
metadata:
  name: default
  namespace: gloo-system
refreshRate: 2s
vaultSecretSource:
  address: {vault}
"""


def tree():
    """{key: text} of what Gloo wrote."""
    return {f"gloo/{p.relative_to(TREE)}": p.read_text() for p in sorted(TREE.rglob("*")) if p.is_file()}


@pytest.fixture
def world(make_consul, make_vault, default_ports, tmp_path):
    """A Consul with Gloo's tree, a Vault with its secret, the services that its routes lead to, and what the page
    expects on the machine."""
    c, v = make_consul(), make_vault()
    c.put_many(tree())
    c.put("gloo/unrelated", "not Gloo's")
    authority = pki.Authority()
    v.write_tls("secure-cert", *authority.issue("secure.example.com"))
    ups = [Upstream("orders"), Upstream("hello")]
    for up in ups:
        c.register(up.name, up.port, tags=["v1"])
    (tmp_path / "gloo/gloo-system").mkdir(parents=True)
    (tmp_path / "gloo/gloo-system/default.yaml").write_text(SETTINGS.format(
        consul=c.address, dns=f"127.0.0.1:{c.dns}", vault=f"http://{v.address}"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/solder").symlink_to(SOLDER)
    (tmp_path / "bin/envoy").symlink_to(ENVOY)
    c.authority = authority
    petstore = subprocess.Popen([ROOT / "examples/first/upstream.py", "8081"], stdin=subprocess.DEVNULL)
    yield c, v, tmp_path
    petstore.kill()
    petstore.wait()
    for up in ups:
        up.close()


def ask(path, host="x", **more):
    return request(8080, path, host=host, **more)


def test_page_followed_literally(world):
    """A tree that Gloo made loads unchanged, and is served."""
    c, v, folder = world
    script = commands(PAGE.read_text())
    for said, there in (("127.0.0.1:8500", c.address), ("http://127.0.0.1:8200", f"http://{v.address}")):
        assert said in script
        script = script.replace(said, there)
    assert "gloo/gloo-system/default.yaml" in script
    before = c.entries("gloo/")
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "VAULT_TOKEN": v.token, "NO_COLOR": "1"}
    log = folder / "page.log"
    with open(log, "w") as out:
        page = subprocess.Popen(["bash", "-euxc", f"cd {folder}\n{script}"], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, env=env, start_new_session=True)
    try:
        ended = page.wait(120)
        said = log.read_text()
        assert ended == 0, said[-6000:]
        look_at(c, v, folder, said, before)
    finally:
        # The page leaves a Solder behind, which takes its Envoy along.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(page.pid, signal.SIGTERM)
        eventually(lambda: not listens(9091) and not listens(8080), 30)


def look_at(c, v, folder, said, before):
    # Of all that Gloo made nothing is wrong but what check says of secrets, as it does not ask Vault.
    assert {m for m in re.findall(r"\berror (SLD\d+)", said)} <= {"SLD0206"}, said[-6000:]
    assert "You asked me for /api/pets" in said
    # Everything that Gloo made is in force.
    for name in ("default", "secure", "snake"):
        a = request(9091, f"/v1/objects/virtualservices/gloo-system/{name}", host="localhost")
        assert a.json["state"] == "Accepted", a
    assert ask("/a/1").text == "delegated"
    assert "You asked me for /group" in ask("/group").text
    assert ask("/orders").json["name"] == "orders"
    assert ask("/discovered").json["name"] == "hello"
    snake = ask("/", "snake.example.com")
    assert snake.text == "snake" and snake.headers["x-stamp"] == "from a RouteOption"
    assert ask("/nothing").status == 404, "a Proxy that Gloo left is no input"
    tls = pki.client(folder, c.authority.pem)
    eventually(lambda: request(8443, "/", tls=tls, sni="secure.example.com", host="secure.example.com").text == "secure")
    # The bytes are Gloo's still, but for the Proxies that the page had deleted.
    after = c.entries("gloo/")
    assert {k for k in before if k not in after} == {k for k in before if "/Proxy/" in k}
    assert {k: e.value for k, e in after.items() if k in before} == {k: before[k].value for k in after if k in before}
    assert all(k in before or k.startswith("gloo/solder/") for k in after), sorted(after)
    # Statuses stand beside them.
    eventually(lambda: "Accepted" in c.get("gloo-status/gateway.solo.io/v1/VirtualService/gloo-system/default").text)
