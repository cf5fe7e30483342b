"""packaging/try: the first thing a person runs."""

import os
import signal
import socket
import subprocess

import pytest

from harness import BUILD, ROOT, eventually

pytestmark = pytest.mark.usefixtures("default_ports")


def start(tmp_path, *args):
    """The script with its progress in a file, in a group of its own and with Ctrl-C not ignored, as a terminal starts it."""
    env = {**os.environ, "SLD_BUILD": str(BUILD.parent), "TMPDIR": str(tmp_path)}
    with open(tmp_path / "said", "w") as said:
        return subprocess.Popen([ROOT / "packaging/try", *args], env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def nothing_is_left():
    """Its ports are free again: neither gateway nor upstream goes on."""
    for port in (8080, 8081):
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on {port}"


def test_once_shows_the_proof_and_ends(tmp_path):
    """Progress, then the request and the answer of the upstream through the gateway; --once ends with 0."""
    assert start(tmp_path, "--once").wait(120) == 0
    said = (tmp_path / "said").read_text()
    assert "starting the gateway" in said and "the gateway is up" in said
    assert "$ curl -i http://127.0.0.1:8080/hello\nHTTP/1.1 200 OK\n" in said
    assert "Hello from the upstream. You asked me for /greeting" in said
    nothing_is_left()


def test_goes_on_until_ctrl_c(tmp_path):
    """Without --once it says what to edit and keeps running; Ctrl-C ends all of it."""
    child = start(tmp_path)
    try:
        eventually(lambda: "examples/first/virtual-service.yaml" in (tmp_path / "said").read_text(), timeout=120)
        assert child.poll() is None
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", 8080)) == 0
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(60) == 130
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    nothing_is_left()


def test_wrong_usage(tmp_path):
    """Anything else than --once prints the usage."""
    assert start(tmp_path, "--twice").wait(20) == 2
    assert "packaging/try [--once]" in (tmp_path / "said").read_text()
