"""The examples, run as their READMEs say."""

import shutil
import ssl
import socket
import subprocess

import pytest

from harness import ROOT, cli, eventually

# Those with servers of their own are tested with these.
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir() and not (p / "run").exists())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_example_has_no_mistakes(example, tmp_path):
    """Examples are run by the tests."""
    paths = [example]
    if (example / "make-secret").exists():
        subprocess.run([example / "make-secret", tmp_path / "secret.yaml"], check=True)
        paths.append(tmp_path)
    done = cli("check", *paths)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr
    assert (example / "README.md").exists()


def peer_certificate(port, name):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        with context.wrap_socket(s, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True)


def serves_tls():
    try:
        return peer_certificate(8443, "shop.example")
    except OSError:
        return None


def test_https(site, default_ports, tmp_path):
    """examples/https: HTTPS, a redirect, a renewed certificate, a spoiled one that never arrives."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    make = [ROOT / "examples/https/make-secret", secrets / "shop.yaml"]
    subprocess.run(make, check=True)
    shutil.rmtree(site.config)
    shutil.copytree(ROOT / "examples/https", site.config)
    site.start("--secrets", str(secrets))
    first = eventually(serves_tls)
    redirect = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "--resolve",
                               "shop.example:8080:127.0.0.1", "http://shop.example:8080/x"], stdout=subprocess.PIPE,
                              text=True, timeout=20)
    assert redirect.stdout.startswith("301 https://shop.example"), redirect.stdout
    answer = subprocess.run(["curl", "-sk", "--resolve", "shop.example:8443:127.0.0.1", "https://shop.example:8443/"],
                            stdout=subprocess.PIPE, text=True, timeout=20)
    assert answer.stdout == "over TLS\n"
    subprocess.run(make, check=True)
    second = eventually(lambda: serves_tls() if serves_tls() not in (None, first) else None)
    lines = (secrets / "shop.yaml").read_text().splitlines(keepends=True)
    del lines[-3]
    (secrets / "shop.yaml").write_text("".join(lines))
    eventually(lambda: site.api("/v1/objects/secrets/gloo-system/shop-certificate")["state"] == "Rejected")
    assert serves_tls() == second
