"""The bootstrap, read by the real Envoy: every variant is accepted, with no warning.

SLD_BUILD is the build directory, SLD_ENVOY the Envoy to use (default: the one packaging/envoy fetched).
"""

import json
import os
import pathlib
import signal
import socket
import http.client
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ.get("SLD_BUILD", "build"))
CACHE = pathlib.Path(os.environ.get("SLD_CACHE", "/var/cache/solder"))
ENVOY = os.environ.get("SLD_ENVOY") or next(iter(sorted(map(str, CACHE.glob("envoy/*/envoy")))), None)
PRINTER = BUILD / "tests" / "test_edge_bootstrap"

pytestmark = pytest.mark.skipif(not ENVOY, reason="no Envoy: run packaging/envoy or set SLD_ENVOY")


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
        "-keyout k.pem -out c.pem",
        shell=True, check=True, cwd=folder, stderr=subprocess.DEVNULL)
    return {"CA": str(folder / "c.pem"), "CERT": str(folder / "c.pem"), "KEY": str(folder / "k.pem")}


def bootstrap(variant, admin, certs):
    return subprocess.run([PRINTER, "print", variant, admin], env=certs, check=True,
                          stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("variant", ["unix", "tcp", "tls"])
@pytest.mark.parametrize("admin", ["unix", "loopback", "none"])
def test_envoy_accepts(tmp_path, certs, variant, admin):
    address = {"unix": f"unix:{tmp_path}/admin.sock", "loopback": "127.0.0.1:19000", "none": ""}[admin]
    path = tmp_path / ("b.yaml" if variant == "tls" else "b.json")
    path.write_bytes(bootstrap(variant, address, certs))
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path, "--log-level", "warning"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    words = [line for line in done.stdout.splitlines() if "OK" not in line]
    assert words == [], "Envoy warns about the bootstrap"


class Admin(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("envoy", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(path, target):
    admin = Admin(path)
    try:
        admin.request("GET", target)
        answer = admin.getresponse()
        return answer.status, answer.read().decode()
    finally:
        admin.close()


@pytest.fixture
def running(tmp_path, certs):
    """A real Envoy on the bootstrap, without a control plane, and one cluster added to the file."""
    config = json.loads(bootstrap("unix", f"unix:{tmp_path}/admin.sock", certs))
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
    config["static_resources"]["clusters"].append({
        "name": "echo_gloo-system", "type": "STATIC",
        "load_assignment": {"cluster_name": "echo_gloo-system", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address}}]}]}})
    path = tmp_path / "b.json"
    path.write_text(json.dumps(config))
    envoy = subprocess.Popen([ENVOY, "-c", path, "--disable-hot-restart", "--log-level", "error"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            get(tmp_path / "admin.sock", "/ready")
            break
        except OSError:
            assert envoy.poll() is None
            time.sleep(0.02)
    yield tmp_path / "admin.sock"
    envoy.send_signal(signal.SIGTERM)
    envoy.wait()


def test_admin_socket_is_private_and_ready_waits_for_the_control_plane(running):
    assert running.stat().st_mode & 0o777 == 0o600
    assert get(running, "/ready")[0] == 503


def test_regular_expressions_may_be_large(running):
    layers = json.loads(get(running, "/runtime")[1])
    assert layers["entries"]["re2.max_program_size.error_level"]["final_value"] == "4096"


def test_what_dashboards_need_is_counted(running):
    names = get(running, "/stats")[1]
    for name in ["cluster.echo_gloo-system.membership_healthy", "cluster.echo_gloo-system.lb_healthy_panic",
                 "control_plane.connected_state", "server.live", "cluster_manager.active_clusters",
                 "listener_manager.total_listeners_active"]:
        assert name + ":" in names
    per_cluster = [n for n in names.splitlines() if n.startswith("cluster.echo_gloo-system.")]
    assert len(per_cluster) < 20, "statistics per cluster are what costs memory"
