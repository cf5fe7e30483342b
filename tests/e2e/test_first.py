"""What a user can do first: run the example, edit it, point Envoys of their own at Solder."""

import shutil
import subprocess

import pytest

from harness import NS, ROOT, SOLDER, cli, eventually, free_port, gateway, request, route, says, to, vs

EXAMPLE = ROOT / "examples/first"


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="no examples/first")
def test_example_works_as_it_stands(site, default_ports):
    """`solder check examples/first` and `solder translate examples/first` work offline, with the
    server's own code; `solder run --config examples/first --envoy` serves it."""
    done = cli("check", EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# lds for gloo-system~gateway-proxy" in cli("translate", EXAMPLE).stdout
    shutil.rmtree(site.config)
    shutil.copytree(EXAMPLE, site.config)
    site.start()
    for o in site.api("/v1/objects")["items"]:
        assert o["state"] == "Accepted", o
    greeter = subprocess.Popen(["/usr/bin/python3", EXAMPLE / "upstream.py"], stdin=subprocess.DEVNULL)
    try:
        site.wait_answer(lambda a: a.status == 200 and a.text == "Hello from the upstream. You asked me for /greeting\n",
                         "/hello", port=8080)
    finally:
        greeter.kill()
        greeter.wait()


def test_static_binary():
    """`ldd` says "not a dynamic executable"."""
    done = subprocess.run(["ldd", SOLDER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    assert "not a dynamic executable" in done.stdout


def test_a_changed_file_changes_the_gateway(site):
    """Write documents under a directory; the gateway follows."""
    site.upstream()
    site.write("vs.yaml", vs("first", "*", [route("/", to("echo"))]))
    site.start()
    a = site.ask("/hello", headers={"X-A": "b"})
    assert a.status == 200 and a.json["path"] == "/hello" and a.json["headers"]["x-a"] == ["b"]
    site.write("vs.yaml", vs("first", "*", [route("/", to("echo"), {"prefixRewrite": "/api/"})]))
    site.wait_answer(lambda a: a.json["path"] == "/api/hello", "/hello")
    site.settled()
    site.remove("vs.yaml")
    site.wait_answer(404, "/hello")


def test_default_gateways_exist_while_there_are_none(make_site):
    """If no Gateway exists anywhere, gateway-proxy and gateway-proxy-ssl exist virtually in the write
    namespace; the first real Gateway removes both."""
    site = make_site(gateway_=False)
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "hi"))]))
    site.start(envoy=False)
    assert set(eventually(lambda: site.xds("lds"))) == {"listener-::-8080"}
    names = {o["name"] for o in site.api("/v1/objects?kind=gateway")["items"]}
    assert names <= {"gateway-proxy", "gateway-proxy-ssl"}
    site.write("gateway.yaml", gateway("mine", site.port))
    eventually(lambda: set(site.xds("lds")) == {f"listener-127.0.0.1-{site.port}"})


def test_no_virtual_service_yet(site, default_ports):
    """A role that is known has a configuration from the start, be it empty: no port but its own is
    opened, and the first virtual service counts at once."""
    site.start()
    assert "listener_for_unknown_role" not in site.envoy_admin("/listeners").text
    site.write("vs.yaml", vs("first", "*", [route("/", says(200))]))
    site.wait_answer(200)
    assert not site.events("stream_ended")


def test_readyz_without_envoy_means_ready_to_serve(site):
    """/readyz: without a supervised Envoy 200 once it is ready to serve."""
    site.start("--xds", f"127.0.0.1:{free_port()}", envoy=False)
    assert "envoy" not in site.get("/readyz?verbose").text


def test_own_envoy(site):
    """Point their own Envoy (not supervised) at the xDS port; `solder bootstrap` prints a bootstrap
    for it."""
    xds = f"127.0.0.1:{free_port()}"
    site.upstream()
    site.write("vs.yaml", vs("first", "*", [route("/", to("echo"))]))
    site.start("--xds", xds, envoy=False)
    site.envoy(xds=xds)
    site.wait_answer(200)
    site.write("vs.yaml", vs("first", "*", [route("/", says(201))]))
    site.wait_answer(201)
    envoys = site.api("/v1/envoys")
    assert [e["nodeId"] for e in envoys["envoys"]] == ["envoy"] and "supervised" not in envoys
    assert envoys["envoys"][0]["view"] == "gloo-system~gateway-proxy"


def test_three_envoys_at_once(site):
    """Several Envoys at once; node role chooses the view."""
    xds = f"127.0.0.1:{free_port()}"
    other = free_port()
    site.upstream()
    site.write("vs.yaml", vs("first", "*", [route("/", to("echo"))]))
    site.write("other.yaml", gateway("other", other, proxyNames=["other-proxy"], http_={
        "virtualServices": [{"name": "second", "namespace": NS}]}),
        vs("second", "second.test", [route("/", says(202))]))
    site.start("--xds", xds)
    site.envoy(xds=xds, role="gloo-system~other-proxy", name="second")
    site.envoy(xds=xds, role="gloo-system~other-proxy-2", name="third")
    site.wait_answer(200)
    site.wait_answer(202, host="second.test", port=other)
    envoys = eventually(lambda: (e := site.api("/v1/envoys")["envoys"]) and len(e) == 3 and e)
    assert sorted(e["role"] for e in envoys) == [
        "gloo-system~gateway-proxy", "gloo-system~other-proxy", "gloo-system~other-proxy-2"]
    site.write("other.yaml", gateway("other", other, proxyNames=["other-proxy"], http_={
        "virtualServices": [{"name": "second", "namespace": NS}]}),
        vs("second", "second.test", [route("/", says(203))]))
    site.wait_answer(203, host="second.test", port=other)


def test_unknown_role_gets_the_fallback_answer(site, default_ports):
    """An unknown role gets Gloo's fallback answer: a listener on :8080 answering 500 with a text about
    a bad bootstrap (3.14)."""
    xds = f"127.0.0.1:{free_port()}"
    site.start("--xds", xds, envoy=False)
    site.envoy(xds=xds, role="nobody~knows")
    a = eventually(lambda: (a := request(8080, "/")).status == 500 and a)
    assert "bootstrap" in a.text
