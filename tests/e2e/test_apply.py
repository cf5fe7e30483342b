"""apply, delete, diff and get on a store: the same commands for a directory and for Consul."""

import os
import re
import subprocess

import pytest
import yaml

from harness import NS, cli, doc, dump, eventually, gateway, opaque_secret, ref, route, says, to, upstream, vs


def host(name, body):
    return vs(name, f"{name}.test", [route("/", says(200, body))])


class Store:
    """A store, and the server that reads it."""

    def __init__(self, site, address, env=None):
        self.site, self.address, self.env = site, str(address), env or {}

    def run(self, command, *args, docs=None, **more):
        """One command on the store; DOCS are given to it by stdin."""
        argv = [command, *args, *(["-f", "-"] if docs is not None else []),
                "--from" if command == "get" else "--config", self.address]
        return cli(*argv, stdin=dump(*docs) if docs is not None else None, env=self.env, **more)

    def apply(self, *docs, args=()):
        return self.run("apply", *args, docs=docs)

    def waited(self, *docs):
        """Applies, and waits by the server's admin interface."""
        return self.run("apply", "--wait", "--admin", f"unix:{self.site.admin}", docs=docs)

    def yaml(self, kind, name):
        done = self.run("get", kind, name, "-o", "yaml")
        assert done.returncode == 0, done
        return yaml.safe_load(done.stdout)


@pytest.fixture(params=["directory", "consul"])
def store(request, site, make_consul):
    """An empty store without a server."""
    if request.param == "consul":
        return Store(site, f"consul://127.0.0.1:{make_consul().port}/gloo")
    (site.dir / "store").mkdir()
    return Store(site, site.dir / "store")


@pytest.fixture
def served(folder):
    """One with a server and an Envoy."""
    store = folder
    assert store.apply(gateway("gateway-proxy", store.site.port)).returncode == 0
    store.site.start(configs=[store.address], env=store.env)
    return store


# ---- apply ----

def test_created_configured_unchanged(store):
    """What apply says, and that it says it of the same thing a second time."""
    both = [host("a", "1"), upstream("u", 8080)]
    assert store.apply(*both).stdout == "virtualservices/gloo-system/a created\nupstreams/gloo-system/u created\n"
    assert store.apply(*both).stdout == "virtualservices/gloo-system/a unchanged\nupstreams/gloo-system/u unchanged\n"
    done = store.apply(host("a", "2"))
    assert done.returncode == 0 and done.stdout == "virtualservices/gloo-system/a configured\n"
    assert store.yaml("vs", "a")["spec"]["virtualHost"]["routes"][0]["directResponseAction"]["body"] == "2"


def test_flat_documents_and_json(store):
    """Gloo's flat form by its place, a List, and JSON."""
    root = store.site.dir / "in/upstreams/team"
    root.mkdir(parents=True)
    (root / "flat.yaml").write_text("metadata: {name: flat}\nstatic: {hosts: [{addr: 127.0.0.1, port: 1}]}\n")
    done = store.run("apply", "-f", store.site.dir / "in")
    assert done.stdout == "upstreams/team/flat created\n", done
    many = {"apiVersion": "v1", "kind": "List", "items": [upstream("one", 1), upstream("two", 2)]}
    assert store.apply(many).returncode == 0
    done = cli("apply", "-f", "-", "--config", store.address, env=store.env,
               stdin='{"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": {"name": "json", '
                     '"namespace": "gloo-system"}, "spec": {"static": {"hosts": [{"addr": "127.0.0.1", "port": 3}]}}}')
    assert done.returncode == 0, done
    names = store.run("get", "us", "-o", "name").stdout.split()
    assert names == ["upstreams/gloo-system/json", "upstreams/gloo-system/one", "upstreams/gloo-system/two",
                     "upstreams/team/flat"]
    assert store.yaml("us", "json")["spec"]["static"]["hosts"][0]["port"] == 3


def test_wait_until_it_is_live(served):
    """--wait returns when every worker of Envoy can answer with it; a restart later it is still there."""
    for n in range(5):
        done = served.waited(host("live", f"version {n}"))
        assert done.returncode == 0, done
        assert served.site.object("virtualservices", "live")["state"] == "Accepted"
        served.site.wait_answer(lambda a, n=n: a.text == f"version {n}", host="live.test", timeout=1)
    assert served.site.object("virtualservices", "live")["state"] == "Accepted"
    assert served.waited(host("live", "version 4")).stdout == "virtualservices/gloo-system/live unchanged\n"


def test_wait_in_vain(store, site):
    """A server that does not read the store: it says so, and what it has instead."""
    site.write("own.yaml", host("same", "the server's own"))
    site.start(envoy=False)
    done = store.run("apply", "--wait", "--timeout", "1", "--admin", f"unix:{site.admin}", docs=[host("same", "x")])
    assert done.returncode == 1 and "in time" in done.stderr and "own.yaml" in done.stderr, done
    done = store.run("apply", "--wait", "--timeout", "1", "--admin", f"unix:{site.admin}", docs=[host("new", "x")])
    assert done.returncode == 1 and "/v1/sources" in done.stderr, done


def test_rejected_by_the_server(served):
    """What only the server can see is the end of --wait: the domain is another's."""
    assert served.waited(host("first", "1")).returncode == 0
    late = vs("late", "first.test", [route("/", says(200))])
    done = served.waited(late)
    assert done.returncode == 1 and "first.test" in done.stderr, done
    assert served.site.ask(host="first.test").text == "1"


def test_nothing_is_written_when_one_is_wrong(store):
    """All or nothing, with the findings that check prints."""
    bad = host("bad", "x")
    bad["spec"]["virtualHost"]["routse"] = []
    done = store.apply(host("good", "x"), bad)
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(r"stdin:\d+:\d+: error SLD0101: VirtualService gloo-system.bad: ", done.stderr), done
    assert "did you mean" in done.stderr and "nothing was written" in done.stderr
    assert store.run("get", "all").stdout == ""
    done = cli("apply", "-f", "-", "--config", store.address, stdin="a: [b\n", env=store.env)
    assert done.returncode == 1 and "stdin:2:1" in done.stderr, done


def test_references_do_not_hinder(store):
    """What is referred to may come later; it is told of."""
    done = store.apply(vs("v", "v.test", [route("/", to("later"))]))
    assert done.returncode == 0 and "warning SLD0201" in done.stderr
    assert store.apply(upstream("later", 8080)).returncode == 0
    assert store.apply(vs("v", "w.test", [route("/", to("later"))])).stderr == ""


def test_dry_run(store):
    """--dry-run checks and tells, and writes nothing."""
    done = store.apply(host("a", "1"), args=["--dry-run"])
    assert done.stdout == "virtualservices/gloo-system/a created (dry run)\n"
    assert store.run("get", "all").stdout == ""


def test_conflict(store):
    """A document that was read at one version is not written over another."""
    store.apply(host("a", "1"))
    read = store.yaml("vs", "a")
    store.apply(host("a", "2"))
    read["spec"]["virtualHost"]["domains"] = ["mine.test"]
    done = store.apply(read)
    assert done.returncode == 1 and "somebody changed it" in done.stderr and done.stdout == "", done
    assert store.yaml("vs", "a")["spec"]["virtualHost"]["domains"] == ["a.test"]
    assert store.apply(read, args=["--force"]).returncode == 0
    again = store.yaml("vs", "a")
    assert again["spec"]["virtualHost"]["domains"] == ["mine.test"]
    again["spec"]["virtualHost"]["domains"] = ["ours.test"]
    assert store.apply(again).returncode == 0
    store.run("delete", "vs", "a")
    done = store.apply(again)
    assert done.returncode == 1 and "not there any more" in done.stderr, done


def test_namespaces(store):
    """A document without a namespace needs one; -n gives it."""
    bare = host("a", "1")
    del bare["metadata"]["namespace"]
    done = store.apply(bare)
    assert done.returncode == 1 and "has no namespace" in done.stderr and "-n" in done.stderr, done
    assert store.apply(bare, args=["-n", "team"]).stdout == "virtualservices/team/a created\n"
    assert store.run("get", "vs", "-o", "name").stdout == "virtualservices/team/a\n"
    assert store.run("get", "vs", "a", "-n", "team", "-o", "name").returncode == 0
    done = store.run("get", "vs", "a")
    assert done.returncode == 1 and "gloo-system" in done.stderr


def test_other_kinds_are_skipped(store):
    """Foreign kinds: told of and skipped; nothing at all of ours is an error."""
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    done = store.apply(foreign, host("a", "1"))
    assert done.returncode == 0 and "stdin:1: skipped: " in done.stderr, done
    done = store.apply(foreign)
    assert done.returncode == 1 and "no document of ours" in done.stderr


def test_conflict_within_the_input(store):
    """The same object twice in what is given."""
    done = store.apply(host("a", "1"), host("a", "2"))
    assert done.returncode == 1 and "SLD0007" in done.stderr and "nothing was written" in done.stderr, done


# ---- delete ----

def test_delete(served):
    """By name and by file; what is not there is an error; --wait waits for the server."""
    served.waited(host("a", "1"), host("b", "2"))
    done = served.run("delete", "vs", "a", "--wait", "--admin", f"unix:{served.site.admin}")
    assert done.returncode == 0 and done.stdout == "virtualservices/gloo-system/a deleted\n", done
    assert served.site.get(f"/v1/objects/virtualservices/{NS}/a").status == 404
    served.site.wait_answer(404, host="a.test")
    done = served.run("delete", "vs", "a", "b")
    assert done.returncode == 1 and "there is no VirtualService a" in done.stderr
    assert done.stdout == "virtualservices/gloo-system/b deleted\n"
    assert served.run("delete", docs=[host("b", "")]).returncode == 1
    assert served.run("delete", "vs").returncode == 2


def test_delete_dry_run(store):
    """--dry-run deletes nothing."""
    store.apply(host("a", "1"))
    assert store.run("delete", "vs", "a", "--dry-run").stdout == "virtualservices/gloo-system/a deleted (dry run)\n"
    assert store.run("get", "vs", "a").returncode == 0


# ---- diff ----

def test_diff(store):
    """Exit code 0 without differences, 1 with, 2 when it cannot tell; field by field."""
    store.apply(host("a", "1"))
    done = store.run("diff", docs=[host("a", "1")])
    assert (done.returncode, done.stdout) == (0, ""), done
    changed = host("a", "2")
    changed["spec"]["virtualHost"]["domains"].append("more.test")
    done = store.run("diff", docs=[changed, host("b", "1")])
    assert done.returncode == 1
    assert done.stdout == ('virtualservices/gloo-system/a differs\n'
                           '  + virtualHost.domains[1]: "more.test"\n'
                           '  ~ virtualHost.routes[0].directResponseAction.body: "1" -> "2"\n'
                           'virtualservices/gloo-system/b is new\n'), done.stdout
    del changed["spec"]["virtualHost"]["domains"]
    assert '  - virtualHost.domains[0]: "a.test"' in store.run("diff", docs=[changed]).stdout
    changed["spec"]["virtualHost"] = 7
    assert store.run("diff", docs=[changed]).returncode == 2
    assert store.run("diff").returncode == 2
    assert cli("diff", "-f", "-", "--config", "/none/such", stdin=dump(host("a", "1"))).returncode == 2


# ---- get ----

def test_get_forms(store):
    """Table, names, JSON and YAML; offline check and translate read a store too."""
    store.apply(host("a", "1"), upstream("u", 8080))
    lines = store.run("get", "all").stdout.splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "KIND", "VERSION", "PLACE"] and len(lines) == 3
    assert len(store.run("get", "all", "--no-headers").stdout.splitlines()) == 2
    documents = list(yaml.safe_load_all(store.run("get", "all", "-o", "yaml").stdout))
    assert [d["kind"] for d in documents] == ["Upstream", "VirtualService"]
    assert all(d["metadata"]["resourceVersion"] for d in documents)
    assert len(yaml.safe_load(store.run("get", "all", "-o", "json").stdout)) == 2
    assert "a.test" in cli("translate", store.address, env=store.env).stdout
    assert "2 resources, 0 errors" in cli("check", store.address, env=store.env).stderr


# ---- Which store ----

def test_the_servers_store(served, site):
    """Without --config the running server's first source is meant, also from another directory."""
    done = cli("apply", "-f", "-", "--wait", "--admin", f"unix:{site.admin}", stdin=dump(host("a", "1")), cwd="/",
               env=served.env)
    assert done.returncode == 0, done
    assert site.ask(host="a.test").text == "1"
    assert served.run("get", "vs", "a").returncode == 0
    done = cli("apply", "-f", "-", "--admin", f"unix:{site.dir}/none.sock", stdin=dump(host("a", "2")))
    assert done.returncode == 1 and "--config names one" in done.stderr


def test_store_by_variable(store):
    """SOLDER_CONFIG names the store."""
    done = cli("apply", "-f", "-", stdin=dump(host("a", "1")), env={**store.env, "SOLDER_CONFIG": store.address})
    assert done.returncode == 0 and store.run("get", "vs", "a").returncode == 0


@pytest.mark.parametrize("address, words", [
    ("/none/such", "does not exist; create it first"), ("kube:", "is no store"), ("vault:", "is no store"),
])
def test_no_such_store(address, words):
    """What is no store, or not there."""
    done = cli("apply", "-f", "-", "--config", address, stdin=dump(host("a", "1")))
    assert done.returncode == 1 and words in done.stderr, done


# ---- Directories ----

@pytest.fixture
def folder(site):
    (site.dir / "store").mkdir()
    return Store(site, site.dir / "store")


def test_files_of_people(folder):
    """apply and delete touch files that apply wrote; --force takes others, if they hold that alone."""
    root = folder.site.dir / "store"
    (root / "mine.yaml").write_text("# by hand\n" + dump(host("mine", "1")))
    (root / "many.yaml").write_text(dump(host("m1", "1"), host("m2", "1")))
    done = folder.apply(host("mine", "2"))
    assert done.returncode == 1 and f"{root}/mine.yaml:1" in done.stderr and "--force" in done.stderr, done
    assert folder.run("delete", "vs", "mine").returncode == 1
    done = folder.apply(host("m1", "2"), args=["--force"])
    assert done.returncode == 1 and "beside other documents" in done.stderr, done
    assert folder.apply(host("mine", "2"), args=["--force"]).returncode == 0
    assert "solder apply" not in (root / "mine.yaml").read_text()
    assert folder.run("delete", "vs", "mine", "--force").returncode == 0 and not (root / "mine.yaml").exists()
    assert (root / "many.yaml").read_text() == dump(host("m1", "1"), host("m2", "1"))


def test_comments_stay(folder):
    """A directory keeps the text as it was written."""
    text = "# why this is here\n" + dump(host("a", "1"))
    cli("apply", "-f", "-", "--config", folder.address, stdin=text)
    written = (folder.site.dir / f"store/virtualservices/{NS}/a.yaml").read_text()
    assert written.endswith(text) and written.startswith("# Written by solder apply")


def test_secrets(folder):
    """Files of Secrets are private; what get prints instead of values is not taken for one."""
    secret = opaque_secret("s", {"token": "very-hidden"})
    assert folder.apply(secret).returncode == 0
    assert os.stat(folder.site.dir / f"store/secrets/{NS}/s.yaml").st_mode & 0o777 == 0o600
    shown = folder.run("get", "secret", "s", "-o", "yaml").stdout
    assert "very-hidden" not in shown
    done = cli("apply", "-f", "-", "--config", folder.address, stdin=shown)
    assert done.returncode == 1 and "***" in done.stderr, done
    done = folder.run("diff", docs=[opaque_secret("s", {"token": "other"})])
    assert done.returncode == 1 and "hidden" not in done.stdout and "other" not in done.stdout, done


def test_tokens_of_settings(folder):
    """What get shows of Settings cannot be applied over the tokens that are there."""
    settings = doc("Settings", "default", {"consul": {"token": "very-hidden"}, "refreshRate": "5s"})
    assert folder.apply(settings).returncode == 0
    path, = (folder.site.dir / "store").rglob("*.yaml")
    assert path.stat().st_mode & 0o077 == 0
    shown = folder.run("get", "settings", "default", "-o", "yaml").stdout
    assert "very-hidden" not in shown
    done = cli("apply", "-f", "-", "--config", folder.address, stdin=shown.replace("5s", "6s"))
    assert done.returncode == 1 and "***" in done.stderr, done
    assert "very-hidden" in path.read_text()


def test_a_file_keeps_its_object(folder):
    """--force writes no text into a file that would make another object of it."""
    mine = folder.site.dir / "store/mine.yaml"
    text = dump({**host("v", "1"), "metadata": {"name": "v", "namespace": "team"}})
    mine.write_text(text)
    bare = host("v", "2")
    del bare["metadata"]["namespace"]
    done = folder.run("apply", "-n", "team", "--force", docs=[bare])
    assert done.returncode == 1 and "metadata.namespace" in done.stderr, done
    assert mine.read_text() == text


def test_read_only(folder):
    """A directory that may not be written: what is wrong, and nothing half."""
    root = folder.site.dir / "store"
    (root / "virtualservices").write_text("a file in the way")
    done = folder.apply(host("a", "1"))
    assert done.returncode == 1 and "Not a directory" in done.stderr, done
    assert (root / "virtualservices").read_text() == "a file in the way"


def test_writers_take_turns(folder):
    """Many at once: each change is one of theirs, none is lost or torn."""
    running = [subprocess.Popen([*cli_argv(), "apply", "-f", "-", "--config", folder.address], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for _ in range(8)]
    for n, p in enumerate(running):
        p.stdin.write(dump(host("same", str(n)), host(f"own{n}", "x")))
        p.stdin.close()
    for p in running:
        p.wait(30)
    said = [p.stdout.read() for p in running]
    assert all("created" in s for s in said)
    assert sum("/same created" in s for s in said) == 1
    names = folder.run("get", "vs", "-o", "name").stdout.split()
    assert len(names) == 9
    assert cli("check", folder.address).returncode == 0


def cli_argv():
    from harness import SOLDER
    return [str(SOLDER)]
