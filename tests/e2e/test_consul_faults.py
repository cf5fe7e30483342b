"""Networks and servers at their worst between Solder and a real Consul: what is served stays right, what is stale is
told, and it heals by itself."""

import time

import pytest

import faults
import harness
from consul import Consul
from harness import Poller, eventually
from world import World


@pytest.fixture(scope="module")
def world():
    w = World(vault=False)
    try:
        yield w.start()
    finally:
        w.close()


@pytest.fixture(autouse=True)
def healed(request):
    """A test that fails leaves no fault to the others."""
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").consul_proxy.heal()


SLOW = {"latency": faults.latency(0.3), "drip": faults.drip(0.0005, 64), "index_back": faults.index_back}
SPOILED = {
    "reset": faults.reset, "cut_head": faults.cut_head, "cut_body": faults.cut_body,
    "cut_body_unnoticed": faults.cut_body_unnoticed, "garbage": faults.garbage, "not_http": faults.not_http,
    "429": faults.status(429, "Your IP is issuing too many concurrent connections"),
    "500": faults.status(500, "rpc error making call"), "503": faults.status(503, "unavailable"),
    "403": faults.status(403, "ACL not found"), "no_leader": faults.no_leader, "empty_body": faults.empty(b""),
}
if harness.LONG:  # silence is noticed after half a minute; black_hole below has it in every run
    SPOILED["half_open"] = faults.half_open
# Answers that are well formed and say that there is nothing.
EMPTY = {"keys_gone": faults.empty(b"", 404), "lists_empty": faults.empty(b"[]"), "maps_empty": faults.empty(b"{}"),
         "lower_and_empty": faults.empty(b"[]", index=1)}


def pollers(world, *texts):
    """Two that ask all the time: for the text, which must be one of TEXTS, and for the service of Consul."""
    return (Poller(world.port, lambda a: None if a.status == 200 and a.text in texts else f"{a.status} {a.text[:200]}",
                   path="/text"), Poller(world.port, path="/echo"))


def test_a_deletion_is_a_deletion(world):
    """Guards against ghosts: what somebody deletes goes, also the last of its kind, also a service's last instance.
    Before all others: when an index went back, Solder is slow to believe that services disappeared."""
    world.plain("here")
    world.wait_plain("here")
    world.consul.delete("gloo/gateway.solo.io/v1/VirtualService/gloo-system/plain")
    eventually(lambda: not harness.listens(world.port), 60)  # a gateway without a virtual service has no listener
    world.plain("again")
    world.wait_plain("again")
    world.consul.deregister("echo-1")
    world.site.wait_answer(503, "/echo", timeout=60)
    world.register()
    world.site.wait_answer(200, "/echo", timeout=60)


@pytest.mark.parametrize("name", SLOW)
def test_slow_but_right(world, name):
    """Answers that come late, in drops or with an index that went back are answers: edits are in force by them."""
    old, new = f"before {name}", f"after {name}"
    world.plain(old)
    world.wait_plain(old)
    text, echo = pollers(world, old, new)
    with text, echo:
        world.consul_proxy.set(SLOW[name])
        world.consul_proxy.wait_spoiled(3, 60)
        world.plain(new)
        world.wait_plain(new)
    text.assert_clean()
    echo.assert_clean()


@pytest.mark.parametrize("name", [*SPOILED, *EMPTY])
def test_spoiled(world, name):
    """Last good stays while answers are spoiled, or say that there is nothing, which is no proof that somebody deleted
    everything; it is told, and edits made meanwhile are in force afterwards."""
    old, new = f"before {name}", f"after {name}"
    world.plain(old)
    world.wait_plain(old)
    world.wait_healed("keys")
    text, echo = pollers(world, old, new)
    with text, echo:
        began = time.time()
        world.consul_proxy.set({**SPOILED, **EMPTY}[name])
        world.plain(new)
        assert world.wait_stale("keys", began)
        if name in SPOILED:  # of services a list of nothing is looked into first
            assert world.wait_stale("services", began)
        world.consul_proxy.wait_spoiled(5, 60)
        assert world.site.ask("/text").text == old
        assert world.site.object("virtualservices", "plain")["state"] == "Accepted"
        text.more(20)
        echo.more(20)
        world.consul_proxy.heal()
        world.wait_plain(new)
        world.wait_healed("keys")
        world.wait_healed("services")
    text.assert_clean()
    echo.assert_clean()


def nobody_listens(world):
    world.consul_proxy.refuse()
    return world.consul_proxy.accept


def black_hole(world):
    world.consul_proxy.swallow()
    return world.consul_proxy.accept


def stopped(world):
    world.consul.pause()
    return world.consul.resume


@pytest.mark.parametrize("begin", (nobody_listens, black_hole, *([stopped] if harness.LONG else [])),
                         ids=lambda f: f.__name__)
def test_nothing_is_heard(world, begin):
    """Connections are refused; packets vanish; the agent stands still: told with since when, and mends itself."""
    world.plain("before")
    world.wait_plain("before")
    world.wait_healed("keys")
    text, echo = pollers(world, "before", "meanwhile")
    with text, echo:
        began = time.time()
        end = begin(world)
        try:
            for part in ("keys", "services"):
                assert world.wait_stale(part, began)
            text.more(20)
            echo.more(20)
            assert world.site.ask("/text").text == "before"
        finally:
            end()
        world.plain("meanwhile")
        world.wait_plain("meanwhile")
        for part in ("keys", "services"):
            world.wait_healed(part)
    text.assert_clean()
    echo.assert_clean()


def test_leader_lost():
    """Of two servers one dies: the other has no leader any more and says so. Last good stays; when the leader is back
    everything is as before."""
    serf = [harness.free_port(), harness.free_port()]
    servers = []
    try:
        for i in range(2):
            servers.append(Consul(persistent=True, bootstrap_expect=2, node_name=f"n{i}",
                                  retry_join=[f"127.0.0.1:{serf[1 - i]}"], serf=serf[i], retry_interval="1s"))
            servers[i].start(wait=False)
        servers[0].wait_ready(60)
        world = World(vault=False, consul=servers[0])
        try:
            world.start()
            text, echo = pollers(world, "first", "again")
            with text, echo:
                began = time.time()
                servers[1].kill()
                why = world.wait_stale("keys", began)
                assert "Consul answered 500" in why, why
                assert world.wait_stale("services", began)
                text.more(20)
                echo.more(20)
                servers[1].start(wait=False)
                eventually(servers[0].ready, 60)
                world.plain("again")
                world.wait_plain("again")
                world.wait_healed("keys")
                world.wait_healed("services")
            text.assert_clean()
            echo.assert_clean()
        finally:
            world.close()
    finally:
        for s in servers:
            s.close()


READER = ('key_prefix "gloo/" { policy = "read" }\nservice_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }\n'
          'key_prefix "gloo/solder/" { policy = "write" }\nagent_prefix "" { policy = "read" }\n')


def test_token_ends_and_is_replaced():
    """The token in a file is deleted, then another one is written there. Last good stays meanwhile."""
    consul = Consul(acl=True).start()
    world = None
    try:
        consul.policy("solder", READER)
        accessor, secret = consul.make_token("solder")
        world = World(vault=False, consul=consul)
        file = world.site.dir / "token"
        file.write_text(secret + "\n")
        world.start(env={"CONSUL_HTTP_TOKEN_FILE": str(file)})
        text, echo = pollers(world, "first", "again")
        with text, echo:
            began = time.time()
            consul.delete_token(accessor)
            why = world.wait_stale("keys", began)
            assert "ACL not found" in why or "token" in why, why
            assert world.wait_stale("services", began)
            text.more(20)
            echo.more(20)
            assert secret not in world.site.log_text() and secret not in world.site.get("/healthz").text
            file.write_text(consul.make_token("solder")[1] + "\n")
            world.plain("again")
            world.wait_plain("again")
            world.wait_healed("keys")
            world.wait_healed("services")
        text.assert_clean()
        echo.assert_clean()
    finally:
        if world:
            world.close()
        consul.close()


def test_rights_are_lost_and_come_back():
    """A token whose policy no longer allows anything gets empty answers, not refusals; nothing is deleted by them."""
    consul = Consul(acl=True).start()
    world = None
    try:
        consul.policy("solder", READER)
        _, secret = consul.make_token("solder")
        world = World(vault=False, consul=consul, consul_settings={"token": secret})
        world.start()
        text, echo = pollers(world, "first", "again")
        with text, echo:
            began = time.time()
            consul.policy("solder", 'key_prefix "elsewhere/" { policy = "read" }')
            assert world.wait_stale("keys", began)
            eventually(lambda: world.doubts("echo"))
            text.more(20)
            echo.more(20)
            consul.policy("solder", READER)
            world.plain("again")
            world.wait_plain("again")
            world.wait_healed("keys")
            eventually(lambda: not world.doubts("echo"), 60)
        text.assert_clean()
        echo.assert_clean()
    finally:
        if world:
            world.close()
        consul.close()


def test_state_is_lost():
    """An agent that lost its data starts again at index 1 with nothing: that is no deletion, and is told until the
    documents are there again."""
    world = World(vault=False)
    try:
        world.start()
        text, echo = pollers(world, "first", "again")
        with text, echo:
            began = time.time()
            world.consul.kill()
            world.consul.start()
            assert world.wait_stale("keys", began)
            text.more(40)
            assert world.site.object("virtualservices", "plain")["state"] == "Accepted"
            world.fill("again")  # in the same order as before, so that indexes are the same
            world.wait_plain("again")
            world.wait_healed("keys")
            echo.more(20)
        text.assert_clean()
        echo.assert_clean()
    finally:
        world.close()
