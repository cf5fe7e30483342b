"""The table of bad input: what each gets is a finding with a place, on that object or file alone, and
everything else goes on."""

import os
import pathlib
import signal
import socket
import subprocess
import textwrap

import pytest

from harness import NS, Poller, cli, doc, dump, eventually, gateway, ref, route, says, table, to, vs


@pytest.fixture
def calm(shared):
    """The shared site, watched by a poller that must see nothing wrong, and still following edits."""
    if not (shared.config / "calm.yaml").exists():
        shared.write("settings.yaml", doc("Settings", "default", {"solder": {"linger": "0.2s"}}))
        shared.write("filler.yaml", *[table(f"filler-{i}", []) for i in range(60)])
        shared.upstream("calm")
        shared.write("calm.yaml", vs("calm", "calm.test", [route("/", to("calm"))]))
        shared.wait_answer(200, host="calm.test")
    before = nacks(shared)
    with Poller(shared.port, host="calm.test") as p:
        yield shared
        shared.settled()
        p.more(3)
    p.assert_clean()
    assert nacks(shared) == before + (expected_nacks.pop() if expected_nacks else 0), \
        "every NACK seen is a bug that gets a rule"


expected_nacks = []  # those that only Envoy can find


def nacks(site):
    return site.metric("solder_xds_nacks_total")


def problems(site, file):
    """Findings about a file, as (code, line, column, message)."""
    return [(f["code"], f.get("line"), f.get("column"), f["message"])
            for f in site.api("/v1/findings")["items"] if f.get("origin", "").endswith("/" + file)]


def wait_problem(site, file, code, line=None):
    def there():
        found = [p for p in problems(site, file) if p[0] == code and (line is None or p[1] == line)]
        assert found, problems(site, file)
        return found[0]
    return eventually(there)


GOOD = dump(vs("file", "file.test", [route("/", says(200, "first"))]))


# ---- Files that cannot be read as what they are ----

def ids(value):
    return value if isinstance(value, str) and len(value) < 30 and "\n" not in value else ""


@pytest.mark.parametrize("name, text, code, line", [
    ("syntax", GOOD.replace("kind: VirtualService", "kind: [VirtualService"), "SLD0001", None),
    ("tab", GOOD.replace("  name: file", "\tname: file"), "SLD0001", 4),
    ("half", GOOD[:len(GOOD) // 2], None, None),
    ("cut", GOOD[:GOOD.index("    routes:")] + "    routes:\n      - matchers: [", "SLD0001", None),
    ("empty", "", None, None),
    ("utf8", GOOD.encode() + b"# \xff\xfe\n", "SLD0003", None),
    ("nul", GOOD.encode() + b"a: \x00\n", None, None),
    ("duplicate", GOOD + "spec: {}\n", "SLD0004", None),
    ("binary", bytes(range(256)) * 20, None, None),
], ids=ids)
def test_broken_files(calm, name, text, code, line):
    """YAML syntax error, half-written, emptied or cut file, invalid UTF-8, NUL, duplicate keys: a
    finding with file:line:col; what that file said before stays; other files go on."""
    calm.write("file.yaml", GOOD)
    calm.wait_answer(lambda a: a.text == "first", host="file.test")
    eventually(lambda: not problems(calm, "file.yaml"))
    with Poller(calm.port, lambda a: None if a.text == "first" else a.text, host="file.test") as p:
        calm.write("file.yaml", text if isinstance(text, bytes) else text.encode())
        found = eventually(lambda: problems(calm, "file.yaml"))
        if code:
            assert code in {f[0] for f in found}
        if line:
            assert line in {f[1] for f in found}
        assert all(f[1] and f[2] for f in found) or name in ("empty", "half"), found
        calm.settled()
        p.more(5)
    p.assert_clean()
    if not isinstance(text, bytes):
        (calm.dir / "checked.yaml").write_text(text)
        done = cli("check", calm.dir / "checked.yaml")
        assert done.returncode == 1 or name in ("half", "empty")
    calm.write("file.yaml", GOOD.replace("first", "second"))
    calm.wait_answer(lambda a: a.text == "second", host="file.test")
    eventually(lambda: not problems(calm, "file.yaml"))
    calm.remove("file.yaml")
    calm.wait_answer(404, host="file.test")


def test_commented_out(calm):
    """A file whose documents were all commented out, or taken out one by one, has lost them on purpose."""
    calm.write("file.yaml", GOOD, dump(vs("file-2", "file-2.test", [route("/", says(200))])))
    calm.wait_answer(200, host="file-2.test")
    calm.write("file.yaml", GOOD)
    calm.wait_answer(404, host="file-2.test")
    calm.write("file.yaml", "".join("# " + line + "\n" for line in GOOD.splitlines()))
    calm.wait_answer(404, host="file.test")
    assert not problems(calm, "file.yaml")
    calm.remove("file.yaml")


def test_places_follow_edits(calm):
    """Findings have a place that is right also after lines above it were added."""
    bad = dump(vs("place", "place.test", [route("/", to("nobody"))]))
    calm.write("place.yaml", bad)
    line = bad[:bad.index("nobody")].count("\n") + 1
    o = calm.wait_state("VirtualService", "place", "Warning", "SLD0201")
    assert o["findings"][0]["line"] in (line, line - 1), o
    first = o["findings"][0]["line"]
    calm.write("place.yaml", "# one\n# two\n" + bad)
    eventually(lambda: calm.object("VirtualService", "place")["findings"][0]["line"] == first + 2)
    calm.remove("place.yaml")


def test_one_broken_document_of_a_file(calm):
    """A document that cannot be decoded is alone with that: the others of its file count."""
    calm.write("several.yaml", vs("several-1", "several-1.test", [route("/", says(200))]),
               doc("VirtualService", "several-2", {"virtualHost": {"domain": ["x"]}}),
               vs("several-3", "several-3.test", [route("/", says(200))]))
    calm.wait_answer(200, host="several-1.test")
    calm.wait_answer(200, host="several-3.test")
    calm.wait_state("VirtualService", "several-2", "Rejected", "SLD0101")
    calm.remove("several.yaml")


# ---- Ways of writing ----

def poll_text(site, text, host):
    return Poller(site.port, lambda a: None if a.text.startswith(text) else f"{a.status} {a.text}", host=host)


def test_in_place_and_sed(calm):
    """Editors' rename-over, `sed -i`, writing in place."""
    calm.write("way.yaml", vs("way", "way.test", [route("/", says(200, "body-0"))]))
    calm.wait_answer(lambda a: a.text == "body-0", host="way.test")
    with poll_text(calm, "body-", "way.test") as p:
        for i in range(1, 6):
            subprocess.run(["sed", "-i", f"s/body-[0-9]*/body-{i}/", calm.config / "way.yaml"], check=True)
            calm.wait_answer(lambda a: a.text == f"body-{i}", host="way.test")
        for i in range(6, 11):
            text = (calm.config / "way.yaml").read_text()
            (calm.config / "way.yaml").write_text(text.replace(f"body-{i - 1}", f"body-{i}"))
            calm.wait_answer(lambda a: a.text == f"body-{i}", host="way.test")
    p.assert_clean()
    calm.remove("way.yaml")


def test_slow_writer(calm):
    """A file that is written bit by bit says the old until it is whole."""
    old, new = (dump(*[vs(f"slow-{n}", f"slow-{n}.test", [route("/", says(200, f"{b}-body"))]) for n in range(3)])
                for b in ("old", "new"))
    calm.write("slow.yaml", old)
    calm.wait_answer(lambda a: a.text == "old-body", host="slow-2.test")
    with Poller(calm.port, lambda a: None if a.text in ("old-body", "new-body") else f"{a.status} {a.text}",
                host="slow-2.test") as p:
        with open(calm.config / "slow.yaml", "w") as f:
            for at in range(0, len(new), 200):
                f.write(new[at:at + 200])
                f.flush()
                p.more(4)
        calm.wait_answer(lambda a: a.text == "new-body", host="slow-2.test")
    p.assert_clean()
    calm.remove("slow.yaml")


def git(folder, *args):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *args],
                   cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_git_checkout(calm):
    """`git checkout` between two commits that share most files."""
    repo = calm.config / "repo"
    repo.mkdir()
    git(repo, "init")
    for version in ("one", "two"):
        (repo / "shared.yaml").write_text(dump(vs("git", "git.test", [route("/", says(200, "body-" + version))])))
        (repo / f"only-{version}.yaml").write_text(
            dump(vs(f"git-{version}", f"git-{version}.test", [route("/", says(200))])))
        if version == "two":
            (repo / "only-one.yaml").unlink()
        git(repo, "add", "-A")
        git(repo, "commit", "-m", version)
        git(repo, "branch", version)
    calm.wait_answer(lambda a: a.text == "body-two", host="git.test")
    with poll_text(calm, "body-", "git.test") as p:
        for version, other in (("one", "two"), ("two", "one"), ("one", "two")):
            git(repo, "checkout", version)
            calm.wait_answer(lambda a: a.text == "body-" + version, host="git.test")
            calm.wait_answer(200, host=f"git-{version}.test")
            calm.wait_answer(404, host=f"git-{other}.test")
    p.assert_clean()
    subprocess.run(["rm", "-r", repo], check=True)
    calm.wait_answer(404, host="git.test")


def test_config_map_swap(calm):
    """ConfigMap `..data` swap: symlinks through a directory that is replaced atomically."""
    mount = calm.config / "mount"
    mount.mkdir()

    def version(n):
        folder = mount / f"..2026_{n}"
        folder.mkdir()
        (folder / "cm.yaml").write_text(dump(vs("cm", "cm.test", [route("/", says(200, f"body-{n}"))])))
        (mount / "..data_tmp").symlink_to(folder.name)
        os.rename(mount / "..data_tmp", mount / "..data")
        if n:
            subprocess.run(["rm", "-r", mount / f"..2026_{n - 1}"], check=True)
    version(0)
    (mount / "cm.yaml").symlink_to("..data/cm.yaml")
    calm.wait_answer(lambda a: a.text == "body-0", host="cm.test")
    with poll_text(calm, "body-", "cm.test") as p:
        for n in range(1, 5):
            version(n)
            calm.wait_answer(lambda a: a.text == f"body-{n}", host="cm.test")
    p.assert_clean()
    subprocess.run(["rm", "-r", mount], check=True)
    calm.wait_answer(404, host="cm.test")


def test_directory_removed_and_made_again(calm):
    """A directory removed and made again: its objects are taken over again."""
    for n in range(3):
        calm.write(f"again/{n}.yaml", vs(f"again-{n}", f"again-{n}.test", [route("/", says(200, "first"))]))
    calm.wait_answer(200, host="again-2.test")
    with poll_text(calm, "", "again-2.test") as p:
        subprocess.run(["rm", "-r", calm.config / "again"], check=True)
        for n in range(3):
            calm.write(f"again/{n}.yaml", vs(f"again-{n}", f"again-{n}.test", [route("/", says(200, "second"))]))
        calm.wait_answer(lambda a: a.text == "second", host="again-2.test")
        calm.settled()
        p.more(3)
    p.assert_clean()
    calm.write("again/3.yaml", vs("again-3", "again-3.test", [route("/", says(200))]))
    calm.wait_answer(200, host="again-3.test")
    subprocess.run(["rm", "-r", calm.config / "again"], check=True)


def test_rsync_like_replacement(calm):
    """A directory replaced as a whole by renaming."""
    for n, body in enumerate(("first", "second")):
        calm.write(f".next-{n}/x.yaml", vs("swap", "swap.test", [route("/", says(200, body))]))
    os.rename(calm.config / ".next-0", calm.config / "swap")
    calm.wait_answer(lambda a: a.text == "first", host="swap.test")
    with poll_text(calm, "", "swap.test") as p:
        os.rename(calm.config / "swap", calm.config / ".old")
        os.rename(calm.config / ".next-1", calm.config / "swap")
        calm.wait_answer(lambda a: a.text == "second", host="swap.test")
        calm.settled()
        p.more(3)
    p.assert_clean()
    subprocess.run(["rm", "-r", calm.config / "swap", calm.config / ".old"], check=True)


def test_overflow_of_the_watch(make_site):
    """inotify overflow: the right state, no object lost in between."""
    site = make_site()
    site.write("vs.yaml", vs("o", "o.test", [route("/", says(200, "first"))]))
    site.write("gone.yaml", vs("g", "g.test", [route("/", says(200))]))
    site.start()
    site.wait_answer(200, host="g.test")
    site.proc.send_signal(signal.SIGSTOP)
    for i in range(6000):
        (site.config / f"n{i}.txt").touch()
        (site.config / f"n{i}.txt").rename(site.config / f".n{i}")
    site.write("vs.yaml", vs("o", "o.test", [route("/", says(200, "second"))]))
    site.remove("gone.yaml")
    site.proc.send_signal(signal.SIGCONT)
    site.wait_answer(lambda a: a.text == "second", host="o.test")
    site.wait_answer(404, host="g.test")


def test_no_watches_left(make_site):
    """No watches left: the state is right all the same, by looking again and again."""
    if subprocess.run(["unshare", "-U", "-r", "sh", "-c", "echo 0 > /proc/sys/user/max_inotify_watches"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine does not allow user namespaces")
    site = make_site()
    site.write("vs.yaml", vs("o", "o.test", [route("/", says(200, "first"))]))
    wrapper = site.dir / "solder"
    wrapper.write_text("#!/bin/sh\necho 0 > /proc/sys/user/max_inotify_watches\n"
                       f"exec {os.environ.get('SLD_BUILD', 'build')}/solder \"$@\"\n")
    site.start(wrap=["unshare", "-U", "-r", "sh", wrapper])
    site.write("vs.yaml", vs("o", "o.test", [route("/", says(200, "second"))]))
    site.wait_answer(lambda a: a.text == "second", host="o.test")


# ---- Attacks ----

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij"))


@pytest.mark.parametrize("name, make", [
    ("aliases", lambda: BOMB), ("nesting", lambda: "a: " + "[" * 100000), ("flow", lambda: '{"a":' * 100000),
    ("block", lambda: "".join(" " * i + "a:\n" for i in range(3000))),
    ("huge", None), ("documents", lambda: "---\na: 1\n" * 1000000), ("long", lambda: "a: " + "x" * 20000000),
])
def test_bombs(calm, name, make):
    """Alias bombs, 100k levels of nesting, a 1 GB file, a million documents: a ceiling is reached
    while parsing; a finding, bounded memory and time, the rest goes on."""
    path = calm.config / f"bomb-{name}.yaml"
    if make:
        calm.write(path.name, make().encode())
    else:
        temp = calm.dir / "sparse"
        with open(temp, "wb") as f:
            f.truncate(1 << 30)
        os.rename(temp, path)
    found = eventually(lambda: problems(calm, path.name), 30)
    assert {f[0] for f in found} & {"SLD0001", "SLD0002", "SLD0003", "SLD0009"}, found
    calm.settled()
    rss = int(pathlib.Path(f"/proc/{calm.proc.pid}/status").read_text().split("VmHWM:")[1].split()[0])
    assert rss < 700 * 1024, f"{rss} KiB at the peak"
    path.unlink()
    eventually(lambda: not problems(calm, path.name))


def test_strange_files(calm):
    """Symlink loops, a FIFO: findings, nothing hangs. (A file without permission: unit source/test_dir.)"""
    strange = calm.config / "strange"
    strange.mkdir()
    (strange / "loop").symlink_to(".")
    (strange / "self.yaml").symlink_to("self.yaml")
    (strange / "dangling.yaml").symlink_to("nowhere.yaml")
    os.mkfifo(strange / "pipe.yaml")
    calm.write("strange/ok.yaml", vs("strange", "strange.test", [route("/", says(200))]))
    calm.wait_answer(200, host="strange.test")
    wait_problem(calm, "strange/pipe.yaml", "SLD0009")
    assert len([o for o in calm.api("/v1/objects?kind=vs")["items"] if o["name"] == "strange"]) == 1
    subprocess.run(["rm", "-r", strange], check=True)


def test_directory_called_like_a_file(calm):
    """A directory named x.yaml holds files as any other."""
    calm.write("dir.yaml/inner.yaml", vs("inner", "inner.test", [route("/", says(200))]))
    calm.wait_answer(200, host="inner.test")
    subprocess.run(["rm", "-r", calm.config / "dir.yaml"], check=True)


# ---- Documents with errors ----

def broken(text):
    return textwrap.dedent(text)


BASE = """
    apiVersion: gateway.solo.io/v1
    kind: VirtualService
    metadata: {name: bad, namespace: gloo-system}
    spec:
      virtualHost:
        domains: [bad.test]
        routes:
        - matchers: [{prefix: /}]
          directResponseAction: {status: 200, body: first}
"""


@pytest.mark.parametrize("old, new, code, path, words", [
    ("status: 200", "status: [1]", "SLD0102", "status", ""),
    ("matchers: [{prefix: /}]", "matchers: {prefix: /}", "SLD0102", "matchers", "a list"),
    ("domains: [bad.test]", "domain: [bad.test]", "SLD0101", "domain", "domains"),
    ("prefix: /", "prefx: /", "SLD0101", "prefx", "prefix"),
    ("directResponseAction: {status: 200, body: first}", "redirectAction: {hostRedirect: a, responseCode: FOND}",
     "SLD0103", "responseCode", "FOUND"),
    ("body: first}", "body: first}\n          options: {timeout: 5 minutes}", "SLD0107", "timeout", "duration"),
    ("body: first}", "body: first}\n          redirectAction: {hostRedirect: a}", "SLD0104", "redirectAction", ""),
    ("prefix: /", "prefix: /, exact: /x", "SLD0104", "exact", ""),
    ("status: 200", "status: 99999999999", "SLD0106", "status", ""),
])
def test_documents_with_errors(calm, old, new, code, path, words):
    """Wrong type, unknown field, unknown enum, bad duration, both arms of a oneof: a finding with path
    and suggestion, on that object alone; its last accepted form stays in force."""
    calm.write("bad.yaml", broken(BASE))
    calm.wait_answer(lambda a: a.text == "first", host="bad.test")
    calm.wait_state("VirtualService", "bad", "Accepted")
    assert old in BASE
    calm.write("bad.yaml", broken(BASE.replace(old, new)))
    o = calm.wait_state("VirtualService", "bad", "Rejected", code)
    f = [f for f in o["findings"] if f["code"] == code][0]
    assert path in f["path"] or path in f["message"], f
    assert words in f["message"], f
    assert f["line"] > 1 and f["column"] > 1 and f["remedy"]
    assert o["lastGood"]
    calm.settled()
    assert calm.ask(host="bad.test").text == "first"
    (calm.dir / "bad.yaml").write_text(broken(BASE.replace(old, new)))
    done = cli("check", "bad.yaml", cwd=calm.dir)
    assert done.returncode == 1 and f"bad.yaml:{f['line']}:{f['column']}: error {code}: " in done.stdout, done.stdout
    calm.write("bad.yaml", broken(BASE.replace("first", "mended")))
    calm.wait_answer(lambda a: a.text == "mended", host="bad.test")
    calm.wait_state("VirtualService", "bad", "Accepted")
    calm.remove("bad.yaml")


def test_a_document_that_never_was_good(calm):
    """No last good: the object is not served, and its neighbours are."""
    calm.wait_answer(404, host="bad.test")  # what tests before had under that name is gone
    calm.write("never.yaml", broken(BASE.replace("prefix: /", "prefx: /")))
    calm.wait_state("VirtualService", "bad", "Rejected")
    calm.settled()
    assert calm.ask(host="bad.test").status == 404
    calm.remove("never.yaml")


def test_the_same_object_in_two_files(calm):
    """The same object in two files: the first by path stands, the other gets a finding naming both
    places; when the first goes, the other takes over without a gap."""
    calm.write("twice-a.yaml", vs("twice", "twice.test", [route("/", says(200, "a"))]))
    calm.wait_answer(lambda a: a.text == "a", host="twice.test")
    calm.write("twice-b.yaml", vs("twice", "twice.test", [route("/", says(200, "b"))]))
    f = wait_problem(calm, "twice-b.yaml", "SLD0007")
    assert "twice-a.yaml" in f[3]
    assert calm.ask(host="twice.test").text == "a"
    with Poller(calm.port, lambda a: None if a.text in "ab" else a.text, host="twice.test") as p:
        calm.remove("twice-a.yaml")
        calm.wait_answer(lambda a: a.text == "b", host="twice.test")
    p.assert_clean()
    eventually(lambda: not problems(calm, "twice-b.yaml"))
    calm.remove("twice-b.yaml")


# ---- What Envoy would refuse, or Gloo calls wrong ----

HEADERS = {"headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "bad name", "value": "1"}}]}}
BIG = "(" + "|".join(f"[a-z]{{1,60}}{i}x" for i in range(40)) + "){1,9}"


@pytest.mark.parametrize("name, routes, state, code", [
    # code None: the schema's own rules, which have codes for all fields.
    ("regex", [route(None, says(200), regex="/a(b")], "Rejected", None),
    ("regex-size", [route(None, says(200), regex=BIG)], "Rejected", "SLD0404"),
    ("regex-header", [route("/", says(200), headers=[{"name": "x", "value": "(", "regex": True}])], "Rejected",
     "SLD0403"),
    ("header-name", [route("/", to("calm"), HEADERS)], "Rejected", None),
    ("pseudo-header", [route("/", to("calm"), {"headerManipulation": {"requestHeadersToAdd": [
        {"header": {"key": ":path", "value": "1"}}]}})], "Rejected", "SLD0703"),
    ("percent", [route("/", to("calm"), {"faults": {"abort": {"percentage": 150, "httpStatus": 500}}})],
     "Rejected", None),
    ("fault-status", [route("/", to("calm"), {"faults": {"abort": {"percentage": 1, "httpStatus": 99}}})],
     "Rejected", None),
    ("no-action", [{"matchers": [{"prefix": "/"}]}], "Rejected", None),
    ("path", [route("/a//b", says(200))], "Rejected", "SLD0405"),
    ("cors-redirect", [route("/", {"redirectAction": {"hostRedirect": "a"}}, {"cors": {"allowOrigin": ["*"]}})],
     "Rejected", None),
    ("weights", [route("/", {"routeAction": {"multi": {"destinations": [
        {"destination": {"upstream": ref("calm")}, "weight": 0}]}}})], "Rejected", "SLD0409"),
    ("status", [route("/", says(20))], "Rejected", None),
    ("upstream", [route("/", to("missing"))], "Warning", "SLD0201"),
    ("group", [route("/", {"routeAction": {"upstreamGroup": ref("missing")}})], "Warning", "SLD0202"),
    ("table", [route("/", {"delegateAction": {"ref": ref("missing")}})], "Warning", "SLD0203"),
    ("format", [route("/", to("calm"), {"headerManipulation": {"requestHeadersToAdd": [
        {"header": {"key": "x", "value": "%NOT_AN_OPERATOR%"}}]}})], "Rejected", None),
    ("shadow", [route("/", to("calm"), {"shadowing": {"percentage": 1000, "upstream": ref("calm")}})],
     "Rejected", None),
    ("retry", [route("/", to("calm"), {"retries": {"retryOn": "5xx", "retryBackOff": {"maxInterval": "1s"}}})],
     "Rejected", None),
])
def test_bad_routes(calm, name, routes, state, code):
    """Bad regex (also one that Envoy's program-size limit refuses), header name, percent; missing
    upstream, table: Gloo's outcome (warning or error), on that object alone, found before it is sent."""
    calm.write(f"r-{name}.yaml", vs("r-" + name, f"r-{name}.test", routes))
    o = calm.wait_state("VirtualService", "r-" + name, state, code)
    assert all(f["message"] and f["remedy"] for f in o["findings"])
    calm.settled()
    calm.remove(f"r-{name}.yaml")


@pytest.mark.parametrize("domain", ["bad domain", "a*b", "*.*.x", "**"])
def test_bad_domains(calm, domain):
    """Bad domain: an error on that virtual service alone."""
    calm.write("d.yaml", vs("d", ["fine.test", domain], [route("/", says(200))]))
    calm.wait_state("VirtualService", "d", "Rejected")
    calm.settled()
    calm.remove("d.yaml")


def test_conflicting_domains(calm):
    """Conflicting domains: an error on the virtual service that came later; the one in service stays."""
    calm.write("c1.yaml", vs("c1", ["c.test"], [route("/", says(200, "c1"))]))
    calm.wait_answer(lambda a: a.text == "c1", host="c.test")
    calm.write("c0.yaml", vs("c0", ["other.test", "c.test"], [route("/", says(200, "c0"))]))
    o = calm.wait_state("VirtualService", "c0", "Rejected", "SLD0310")
    assert "c1" in o["reason"] and "c.test" in o["reason"]
    calm.settled()
    assert calm.ask(host="c.test").text == "c1"
    calm.remove("c1.yaml")
    calm.wait_answer(lambda a: a.text == "c0", host="c.test")
    calm.wait_state("VirtualService", "c0", "Accepted")
    calm.remove("c0.yaml")


@pytest.mark.parametrize("name, spec, code", [
    ("no-type", {}, None),
    ("port", {"static": {"hosts": [{"addr": "127.0.0.1", "port": 70000}]}}, None),
    ("no-hosts", {"static": {"hosts": []}}, None),
    ("addr", {"static": {"hosts": [{"addr": "bad host!", "port": 80}]}}, None),
    ("check", {"static": {"hosts": [{"addr": "127.0.0.1", "port": 80}]}, "healthChecks": [{"timeout": "1s"}]}, None),
    ("outlier", {"static": {"hosts": [{"addr": "127.0.0.1", "port": 80}]},
                 "outlierDetection": {"consecutive5xx": 3}}, None),
    ("window", {"static": {"hosts": [{"addr": "127.0.0.1", "port": 80}]}, "useHttp2": True,
                "initialStreamWindowSize": 3}, None),
    ("dns", {"static": {"hosts": [{"addr": "127.0.0.1", "port": 80}]}, "dnsRefreshRate": "1s"}, None),
    ("pipe", {"pipe": {"path": "x" * 200}}, None),
])
def test_bad_upstreams(calm, name, spec, code):
    """Bad port and other settings of upstreams: an error or a warning on that upstream alone."""
    calm.write(f"u-{name}.yaml", doc("Upstream", "u-" + name, spec),
               vs("u-" + name, f"u-{name}.test", [route("/", to("u-" + name))]))
    o = eventually(lambda: (o := calm.object("Upstream", "u-" + name))["findings"] and o)
    assert o["state"] in ("Rejected", "Warning") and (not code or code in {f["code"] for f in o["findings"]}), o
    calm.settled()
    calm.remove(f"u-{name}.yaml")


@pytest.mark.parametrize("name, spec, code", [
    ("address", {"bindAddress": "nowhere", "bindPort": 12, "httpGateway": {}}, None),
    ("type", {"bindAddress": "::", "bindPort": 12}, None),
    ("port", {"bindAddress": "::", "bindPort": 70000, "httpGateway": {}}, None),
    ("selector", {"bindAddress": "::", "bindPort": 12, "httpGateway": {"virtualServiceExpressions": {
        "expressions": [{"key": "a", "operator": "In"}]}}}, "SLD0304"),
    ("reference", {"bindAddress": "::", "bindPort": 12, "httpGateway": {"virtualServices": [ref("nobody")]}},
     "SLD0205"),
])
def test_bad_gateways(calm, name, spec, code):
    """Bad gateways: an error on that gateway alone."""
    calm.write("g.yaml", doc("Gateway", "g-" + name, spec))
    calm.wait_state("Gateway", "g-" + name, "Rejected", code)
    calm.settled()
    calm.remove("g.yaml")


def test_port_that_envoy_cannot_bind(calm):
    """A port that something else has: the other gateways are not disturbed, the owner says what Envoy
    said."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        calm.write("busy.yaml", gateway("busy", port))
        o = calm.wait_state("Gateway", "busy", "Rejected", "SLD0802")
        assert str(port) in o["reason"]
        calm.settled()
        calm.remove("busy.yaml")
        eventually(lambda: calm.get(f"/v1/objects/gw/{NS}/busy").status == 404)
    expected_nacks.append(1)


def test_broken_settings(calm):
    """A broken Settings document leaves the former settings in force."""
    good = (calm.config / "settings.yaml").read_text()
    calm.write("settings.yaml", good.replace("linger", "lingr"))
    calm.wait_state("Settings", "default", "Rejected", "SLD0101")
    calm.settled()
    calm.write("settings.yaml", good)
    calm.wait_state("Settings", "default", "Accepted")
    calm.write("other-settings.yaml", doc("Settings", "other", {}))
    calm.wait_state("Settings", "other", "Warning", "SLD0905")
    calm.remove("other-settings.yaml")
