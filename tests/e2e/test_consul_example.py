"""examples/consul-vault: its one command, the commands of its README, and the things to try that it prints."""

import os
import re
import signal
import subprocess

import pytest

from harness import BUILD, ROOT, commands, eventually, listens, request

EXAMPLE = ROOT / "examples/consul-vault"
PORTS = (8080, 8081, 8082, 8200, 8443, 8500, 8600, 9091)


class Run:
    """The command, as people have it in a terminal."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "run.log"
        (folder / "bin").mkdir()
        (folder / "bin/solder").symlink_to(BUILD / "solder")
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("SOLDER_", "CONSUL_", "VAULT_"))},
                    "SLD_BUILD": str(BUILD.parent), "NO_COLOR": "1"}
        with open(self.log, "w") as log:
            self.proc = subprocess.Popen([EXAMPLE / "run"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=self.env, start_new_session=True)

    def said(self):
        return self.log.read_text()

    def wait(self, text, timeout=60):
        def there():
            assert self.proc.poll() is None, self.said()[-3000:]
            return text in self.said()
        eventually(there, timeout)

    def to_try(self):
        """What it says one could try: {what for: command}."""
        part = self.said().split("Things to try")[1].split("\nLogs are in")[0]
        return {m[1]: m[2] for m in re.finditer(r"^(\w[^\n]*):\n((?:  [^\n]*\n)+)", part, re.M)}

    def shell(self, script, timeout=120):
        """SCRIPT in the other terminal; returns what it printed."""
        done = subprocess.run(["bash", "-euc", script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout,
                              env={**self.env, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"})
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{self.said()[-3000:]}"
        return done.stdout

    def end(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(60)
        finally:
            if self.proc.poll() is None:
                os.killpg(self.proc.pid, signal.SIGKILL)


@pytest.fixture
def run(default_ports, tmp_path):
    assert not [p for p in PORTS if listens(p)], "the example's ports are in use"
    r = Run(tmp_path)
    yield r
    r.end()
    eventually(lambda: not [p for p in PORTS if listens(p)], 30)


def answer(path):
    return request(8080, path).text


def test_consul_vault(run):
    run.wait("the gateway is up", 300)
    run.wait("Ctrl-C ends everything")
    run.shell(commands((EXAMPLE / "README.md").read_text()))
    assert answer("/hello").startswith("hello at port 8081") and request(8080, "/welcome").status == 404
    hints = run.to_try()

    def hint(begin):
        return next(text for why, text in hints.items() if why.startswith(begin))
    helper = None
    try:
        # Scale up and down.
        service, register = hint("Scale, ").strip().split("\n", 1)
        helper = subprocess.Popen(service.strip().removesuffix(" &").split(), cwd=ROOT, stdin=subprocess.DEVNULL)
        run.shell(register)
        eventually(lambda: "port 8083" in answer("/hello"))
        run.shell(hint("Scale down"))
        eventually(lambda: all("port 8081" in answer("/hello") for _ in range(20)))
    finally:
        if helper:
            helper.kill()
            helper.wait()
    run.shell(hint("Rotate"))
    eventually(lambda: "key second" in answer("/orders"), 30)
    assert "orders-key" in run.shell(hint("Look at"))
    assert "Accepted" in run.shell(hint("Change a route"))
    assert "stale since" in run.shell(hint("Kill Consul").replace(";", "; sleep 3;"))
    assert "port 8081" in answer("/hello")
    consul = subprocess.Popen(["bash", "-c", "exec " + hint("Start it again").strip()], cwd=ROOT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: "stale" not in request(9091, "/healthz", host="localhost").text, 60)
        run.shell("solder apply --wait --config consul://127.0.0.1:8500/gloo -f examples/consul-vault/virtualservices/"
                  "gloo-system/default.yaml")
    finally:
        consul.kill()
        consul.wait()
