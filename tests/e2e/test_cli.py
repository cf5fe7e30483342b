"""The command line."""

import json
import os
import re
import subprocess

import pytest
import yaml

import pki
from harness import NS, SOLDER, cli, doc, dump, opaque_secret, ref, route, says, table, tls_secret, to, upstream, vs

COMMANDS = ["apply", "bootstrap", "check", "completion", "delete", "describe", "diff", "get", "run", "translate",
            "version"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/vs.yaml").write_text(dump(
        vs("first", "first.test", [route("/", to("echo"))]), upstream("echo", 8081)))
    return tmp_path


# ---- Help ----

def test_help_lists_every_command():
    """`--help`, `help` and no command at all tell what there is."""
    done = cli("--help")
    assert done.returncode == 0 and all(f"\n  {c} " in done.stdout for c in COMMANDS)
    assert "keeper" not in done.stdout
    assert cli("help").stdout == done.stdout
    assert cli().returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command):
    """`--help` for each, generated from tables: what completion offers of flags is told there."""
    done = cli(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"solder {command}") and done.stderr == ""
    test = 'eval "$1"; COMP_WORDS=(solder "$2" --); COMP_CWORD=2; _solder; echo "${COMPREPLY[*]}"'
    offered = subprocess.run(["bash", "-c", test, "bash", cli("completion", "bash").stdout, command],
                             stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    told = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", done.stdout, re.M))
    assert told == set(offered) - {"--help"} and (told or command in ("completion", "version"))
    assert cli("help", command).stdout == done.stdout
    assert all(len(line) <= 140 for line in done.stdout.splitlines())


@pytest.mark.parametrize("args, words", [
    (["nope"], "nope"), (["check"], "usage"), (["check", "--nots", "x"], "did you mean --notes"),
    (["check", "-o", "xml", "x"], "xml"), (["run"], "--config"), (["get"], "usage"), (["get", "things"], "things"),
    (["completion", "fish"], "fish"), (["version", "--loud"], "--loud"),
    (["bootstrap", "--xds", "0.0.0.0:x"], "0.0.0.0:x"),
    (["apply"], "-f"), (["delete", "vs"], "KIND NAME"), (["delete", "things", "x"], "things"), (["diff"], "-f"),
    (["apply", "-f", "x", "--timeout", "soon"], "soon"), (["delete", "vs", "x", "-f", "y"], "either"),
    (["translate", "-o", "table", "x"], "table"), (["check", "--settings"], "--settings"),
])
def test_wrong_usage(args, words):
    """Wrong usage: exit code 2, a message on stderr, nothing on stdout."""
    done = cli(*args)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "", done


def test_version():
    """`version`."""
    assert re.fullmatch(r"solder \d+\.\d+\.\d+\n", cli("version").stdout)


# How a shell asks for completions of the last of the words; zsh as its bashcompinit does.
ASK = """
[ -z "$ZSH_VERSION" ] || { compdef() { :; }; autoload -Uz bashcompinit; bashcompinit; }
eval "$1"; shift
[ -z "$ZSH_VERSION" ] || setopt shwordsplit
ask() { [ -z "$ZSH_VERSION" ] || emulate -L sh; COMP_WORDS=(); for w; do COMP_WORDS+=("${w#@}"); done; COMP_CWORD=$(($# - 1)); _solder; echo "${COMPREPLY[*]}"; }
for line in "$@"; do IFS=,; set -- $line; unset IFS; ask "$@"; done
"""


def completions(shell, folder, env, *lines):
    """What SHELL offers for the last word of each of LINES (words), as sets."""
    script = cli("completion", shell).stdout
    argv = [*{"bash": ["bash"], "zsh": ["zsh", "-f"]}[shell], "-c", ASK, shell, script, *[",".join(w or "@" for w in line) for line in lines]]
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **env})
    assert done.stderr == "", done.stderr
    # zsh itself takes those of them that begin with what is there.
    return [{w for w in offered.split() if w.startswith(line[-1])} for line, offered in zip(lines, done.stdout.splitlines())]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, running, tmp_path):
    """Completion: a script that the shell understands; commands, flags, kinds and names of a running server where these
    are wanted, and files and folders nowhere but where one is."""
    (tmp_path / "vs.yaml").write_text("")
    (tmp_path / "config").mkdir()
    here, folders = {"vs.yaml", "config"}, {"config"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/solder").symlink_to(SOLDER)
    env = {"SOLDER_ADMIN": f"unix:{running.admin}", "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    (all_commands, tr, flag, kind, also_kind, name, also_name, file, flag_file, folder, settings, admin, none, new,
     plugins, plugin_flags, shells, last) = completions(
        shell, tmp_path, env, ["solder", ""], ["solder", "tr"], ["solder", "check", "--n"], ["solder", "get", "virt"],
        ["solder", "delete", "-n", "team", "upstreamg"], ["solder", "get", "vs", "g"],
        ["solder", "describe", "--admin", "x", "upstreams", ""], ["solder", "check", ""], ["solder", "apply", "-f", "v"],
        ["solder", "run", "--config", ""], ["solder", "run", "--settings", "v"], ["solder", "run", "--admin", ""],
        ["solder", "version", ""], ["solder", "plugin", "new", ""], ["solder", "plugin", "n"],
        ["solder", "plugin", "run", "--o"], ["solder", "completion", ""], ["solder", "check", "config", "v"])
    assert set(COMMANDS) <= all_commands and not all_commands & here
    assert tr == {"translate"} and "--notes" in flag and all(f.startswith("--n") for f in flag)
    assert kind == {"virtualhostoptions", "virtualservices"}
    assert also_kind == {"upstreamgroups"} and name == {"good"} and also_name == {"echo"}
    here.add("bin")
    folders.add("bin")
    assert file == here and flag_file == {"vs.yaml"} and folder == folders and settings == {"vs.yaml"}
    assert not admin and not none & here and not new and plugins == {"new"} and "--output" in plugin_flags
    assert shells == {"bash", "zsh"} and last == {"vs.yaml"}


# ---- check ----

def test_files_of_one_directory(folder):
    """Several files of one directory are read together."""
    (folder / "config/up.yaml").write_text(dump(upstream("more", 8082)))
    for args, cwd in [([folder / "config/vs.yaml", folder / "config/up.yaml"], None),
                      (["vs.yaml", "up.yaml", "vs.yaml"], folder / "config")]:
        done = cli("check", *args, cwd=cwd)
        assert done.returncode == 0 and "3 resources" in done.stderr, done


def test_check_of_what_is_right(folder):
    """check: exit code 0, nothing on stdout."""
    done = cli("check", "config", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "") and "2 resources" in done.stderr


def test_check_of_what_is_wrong(folder):
    """check: `file:line:col: severity SLDnnnn: message`, sorted; exit code 1 for errors."""
    (folder / "config/bad.yaml").write_text(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: b, namespace: gloo-system}\n"
        "spec:\n  virtualHost:\n    domans: [b.test]\n    routes:\n    - routeAction: {single: {upstream: {name: nobody}}}\n")
    done = cli("check", "config", cwd=folder)
    assert done.returncode == 1
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"config/bad\.yaml:6:\d+: error SLD0101: VirtualService gloo-system\.b: .*did you mean.*domains.*", first)
    assert all(re.match(r"config/\S+:\d+:\d+: (error|warning) SLD\d{4}: ", line) for line in rest)
    assert "1 errors" in done.stderr or "1 error" in done.stderr
    assert cli("check", "bad.yaml", cwd=folder / "config").stdout.startswith("bad.yaml:6:")


def test_check_with_warnings_only(folder):
    """check: warnings leave the exit code 0; notes are told when asked for."""
    (folder / "config/warn.yaml").write_text(dump(vs("w", "w.test", [route("/", to("nobody"))]),
                                                  table("orphan", [route("/", says(200))]),
                                                  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}))
    done = cli("check", "config", cwd=folder)
    assert done.returncode == 0 and "warning SLD0201" in done.stdout and "note" not in done.stdout
    done = cli("check", "--notes", "config", cwd=folder)
    assert done.returncode == 0 and "note SLD0207" in done.stdout and "note SLD0008" in done.stdout


def test_check_where_secrets_are_elsewhere(folder):
    """check: a secret that Settings keep in Vault is not asked for, so that it was not found is a warning."""
    doc = vs("tls", "tls.test", [route("/", says(200))])
    doc["spec"]["sslConfig"] = {"secretRef": {"name": "pair", "namespace": "gloo-system"}}
    (folder / "config/tls.yaml").write_text(dump(doc))
    done = cli("check", "config", cwd=folder)
    assert done.returncode == 1 and "error SLD0206" in done.stdout, done
    settings = folder / "settings.yaml"
    settings.write_text("vaultSecretSource: {address: 'http://127.0.0.1:1'}\n")
    done = cli("check", "--settings", settings, "config", cwd=folder)
    assert done.returncode == 0 and "0 errors, 1 warnings" in done.stderr, done
    assert "warning SLD0206" in done.stdout
    assert "was not looked for in Vault, which vaultSecretSource of the Settings names" in done.stdout
    # A directory that is read, too, is looked through.
    (folder / "secrets").mkdir()
    settings.write_text(f"directorySecretSource: {{directory: {folder / 'secrets'}}}\n")
    assert cli("check", "--settings", settings, "config", cwd=folder).returncode == 0
    done = cli("check", "--settings", settings, "config", folder / "secrets", cwd=folder)
    assert done.returncode == 1 and "error SLD0206" in done.stdout, done


def test_check_as_json(folder):
    """check -o json."""
    (folder / "config/warn.yaml").write_text(dump(vs("w", "w.test", [route("/", to("nobody"))])))
    said = json.loads(cli("check", "-o", "json", "config", cwd=folder).stdout)
    assert (said["resources"], said["errors"], said["warnings"]) == (3, 0, 1)
    f = said["findings"][0]
    assert f["code"] == "SLD0201" and f["line"] > 1 and f["remedy"] and f["origin"] == "config/warn.yaml"


def test_check_of_several_paths(folder):
    """check PATH...: of two claims on one object the first stands."""
    (folder / "more.yaml").write_text(dump(vs("first", "first.test", [route("/", says(200))])))
    done = cli("check", "config", "more.yaml", cwd=folder)
    assert done.returncode == 1 and "more.yaml:1:1: error SLD0007" in done.stdout and "config/vs.yaml" in done.stdout


def test_check_of_nothing(folder):
    """check: 2 when it could not check."""
    done = cli("check", "nowhere", cwd=folder)
    assert done.returncode == 2 and "nowhere" in done.stderr
    (folder / "empty").mkdir()
    assert cli("check", "empty", cwd=folder).returncode == 0


def test_check_agrees_with_the_server(site, folder):
    """check is offline with the server's own code: the same findings at the same places."""
    bad = dump(vs("b", "b.test", [route("/", to("nobody")), route(None, says(200), regex="("), {"matchers": []}]),
               table("t", [route("/a", {"delegateAction": {"ref": ref("t")}})]),
               upstream("u", 70000), tls_secret("s", "no", "pem"))
    site.write("bad.yaml", bad)
    site.start()
    site.settled()
    server = {(f["code"], f["line"], f["column"], f["message"]) for f in site.api("/v1/findings")["items"]
              if f["severity"] != "note"}
    said = json.loads(cli("check", "-o", "json", site.config).stdout)
    offline = {(f["code"], f["line"], f["column"], f["message"]) for f in said["findings"]}
    assert offline == server and len(offline) >= 4


# ---- translate ----

def test_translate(folder):
    """translate: what the server would serve, as YAML documents or JSON; by type, name and role."""
    out = cli("translate", "config", cwd=folder).stdout
    docs = [d for d in yaml.safe_load_all(out) if d]
    assert any(d.get("name") == "listener-::-8080" for d in docs)
    items = json.loads(cli("translate", "-o", "json", "config", cwd=folder).stdout)
    assert {"cds", "eds", "lds", "rds"} <= {i["type"] for i in items}
    assert all(re.fullmatch("[0-9a-f]{16}", i["version"]) for i in items)
    only = json.loads(cli("translate", "-o", "json", "--type", "rds", "--role", "gloo-system~gateway-proxy", "config",
                          cwd=folder).stdout)
    assert [i["name"] for i in only] == ["listener-::-8080-routes"]
    one = json.loads(cli("translate", "-o", "json", "--name", "echo_gloo-system", "config", cwd=folder).stdout)
    assert {i["type"] for i in one} == {"cds", "eds"}


def test_translate_twice_is_the_same(folder):
    """Encoded bytes are deterministic."""
    a, b = (cli("translate", "-o", "json", "config", cwd=folder).stdout for _ in range(2))
    assert a == b and len(a) > 100


def test_translate_agrees_with_the_server(site):
    """translate offline gives what the server serves."""
    site.upstream()
    site.write("vs.yaml", vs("v", "*", [route("/", to("echo"), {"timeout": "3s", "cors": {"allowOrigin": ["*"]}})]))
    site.start()
    offline = {(i["type"], i["name"]): i["resource"] for i in json.loads(cli("translate", "-o", "json",
            site.config).stdout)
               if i["role"] in ("", "gloo-system~gateway-proxy")}
    served = {(t, n): r["body"] for t in ("lds", "rds", "cds", "eds") for n, r in site.xds(t).items()}
    assert offline == served


def test_translate_shows_no_secret(folder):
    """Secrets are printed as ***."""
    cert, key = pki.Authority().issue("t.test")
    (folder / "config/tls.yaml").write_text(dump(
        tls_secret("t", cert, key), opaque_secret("h", {"x-key": "very-hidden"}),
        vs("t", "t.test", [route("/", to("echo"), {"headerManipulation": {
            "requestHeadersToAdd": [{"headerSecretRef": ref("h")}]}})], sslConfig={"secretRef": ref("t")})))
    for form in ("yaml", "json"):
        out = cli("translate", "-o", form, "config", cwd=folder)
        assert out.returncode == 0 and "PRIVATE KEY" not in out.stdout and "very-hidden" not in out.stdout
        assert "***" in out.stdout
    done = cli("check", "--notes", "config", cwd=folder)
    assert "very-hidden" not in done.stdout and done.returncode == 0, done.stdout


# ---- get, describe ----

@pytest.fixture(scope="module")
def running(shared):
    shared.upstream()
    shared.write("vs.yaml", vs("good", "good.test", [route("/", to("echo"))]),
                 vs("warned", "warned.test", [route("/", to("nobody"))]),
                 vs("elsewhere", "elsewhere.test", [route("/", says(200))], ns="team"),
                 opaque_secret("hush", {"x": "very-hidden"}))
    shared.write("bad.yaml", doc("VirtualService", "bad", {"virtualHost": {"domans": ["x"]}}))
    shared.wait_state("VirtualService", "bad", "Rejected")
    shared.wait_state("VirtualService", "warned", "Warning")
    return shared


def ask(site, *args, **more):
    return cli(*args, "--admin", f"unix:{site.admin}", **more)


def test_get_a_list(running):
    """get KIND: a table with state, origin and reason."""
    done = ask(running, "get", "vs")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    rows = {line.split()[1]: line for line in lines[1:]}
    assert {"good", "warned", "bad", "elsewhere"} <= set(rows)
    assert "Accepted" in rows["good"] and "Warning" in rows["warned"] and "Rejected" in rows["bad"]
    assert ask(running, "get", "vs", "--no-headers").stdout.splitlines()[0] == lines[1]
    assert [line.split()[1] for line in ask(running, "get", "VirtualService", "-n",
                                            "team").stdout.splitlines()[1:]] == ["elsewhere"]
    running.write("fading.yaml", vs("fading", "fading.test", [route("/", says(200))]))
    running.wait_state("VirtualService", "fading", "Accepted")
    running.write("fading.yaml", doc("VirtualService", "fading", {"virtualHost": {"domans": ["x"]}}))
    running.wait_state("VirtualService", "fading", "Rejected")
    assert [line for line in ask(running, "get", "vs").stdout.splitlines()
            if line.split()[1] == "fading" and "Rejected (last good)" in line]
    running.remove("fading.yaml")


def test_get_in_other_forms(running):
    """get -o yaml|json|name."""
    names = ask(running, "get", "virtualservices", "-o", "name").stdout.split()
    assert f"virtualservices/{NS}/good" in names
    objects = json.loads(ask(running, "get", "vs", "-o", "json").stdout)
    assert {o["metadata"]["name"] for o in objects} >= {"good", "bad"}
    docs = list(yaml.safe_load_all(ask(running, "get", "all", "-o", "yaml").stdout))
    assert {"Gateway", "Upstream", "VirtualService"} <= {d["kind"] for d in docs if d}
    assert "bad.yaml" in ask(running, "get", "vs").stdout


def test_get_secrets(running):
    """get secrets: names, places and when certificates end; never a value."""
    running.write("cert.yaml", tls_secret("cert", *pki.Authority().issue("cert.test", days=20)))
    running.wait_state("Secret", "cert", "Accepted")
    done = ask(running, "get", "secrets")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "KIND", "STATE", "ORIGIN", "VERSION", "EXPIRES", "REASON"]
    row = next(line for line in lines if " cert " in line)
    assert re.search(r"cert\.yaml:1 +20\d\d-\d\d-\d\dT", row), row
    assert "very-hidden" not in done.stdout and "PRIVATE" not in done.stdout
    assert ask(running, "get", "secret", "cert").stdout.splitlines()[1] == row
    assert running.api("/v1/secrets") == {"facts": []}


def test_get_one(running):
    """get KIND NAME; exit code 1 when it is not there."""
    assert "good" in ask(running, "get", "vs", "good").stdout
    o = yaml.safe_load(ask(running, "get", "vs", "good", "-o", "yaml").stdout)
    assert o["kind"] == "VirtualService" and o["spec"]["virtualHost"]["domains"] == ["good.test"]
    assert o["status"]["statuses"][NS]["state"] in ("Accepted", 1)
    done = ask(running, "get", "vs", "nobody")
    assert done.returncode == 1 and "nobody" in done.stderr and done.stdout == ""
    assert "very-hidden" not in ask(running, "get", "secrets", "hush", "-o", "yaml").stdout
    assert ask(running, "get", "vs", "elsewhere", "-n", "team").returncode == 0


def test_describe(running):
    """describe: state, findings with place and remedy, and the object."""
    done = ask(running, "describe", "vs", "bad")
    assert done.returncode == 0
    assert "Rejected" in done.stdout and "SLD0101" in done.stdout and "bad.yaml:" in done.stdout and "domains" in done.stdout
    assert ask(running, "describe", "vs", "nobody").returncode == 1


def test_the_server_by_variable_and_not_there(running, tmp_path):
    """SOLDER_ADMIN names the server; without one the message says what to do."""
    done = cli("get", "vs", env={"SOLDER_ADMIN": f"unix:{running.admin}"})
    assert done.returncode == 0 and "good" in done.stdout
    done = cli("get", "vs", "--admin", f"unix:{tmp_path}/none.sock")
    assert done.returncode == 1 and "is it running" in done.stderr and done.stdout == ""


def test_stdout_is_data_only(running):
    """stdout is data only: no colours, also on a terminal with NO_COLOR."""
    assert "\x1b" not in ask(running, "get", "all").stdout
    done = ask(running, "get", "upstreamgroups")
    assert done.returncode == 0 and done.stdout == ""


# ---- bootstrap ----

def test_bootstrap():
    """bootstrap prints what an Envoy is started with, as YAML or JSON, with the lean settings."""
    b = yaml.safe_load(cli("bootstrap").stdout)
    assert b["node"]["metadata"]["role"] == "gloo-system~gateway-proxy"
    assert b == json.loads(cli("bootstrap", "-o", "json").stdout)
    text = cli("bootstrap", "--role", "a~b", "--node-id", "me", "--xds", "unix:/run/x.sock").stdout
    assert "a~b" in text and "/run/x.sock" in text and "me" in text
    assert "0s" in json.dumps(b["dynamic_resources"] if "dynamic_resources" in b else b["dynamicResources"])
    assert "max_program_size" in json.dumps(b)


def test_keeper_is_no_command_of_people():
    """The keeper does not answer to a person."""
    assert cli("keeper").returncode != 0
