"""The benchmark runs and prints what it is to print; no figure is judged here."""

import json
import re
import shutil
import subprocess

import pytest

import harness

RUN = harness.ROOT / "tests/bench/run"
CONSUL_RUN = harness.ROOT / "tests/bench/consul/run"
AUTHORIZE_RUN = harness.ROOT / "tests/bench/authorize/run"


@pytest.mark.skipif(not shutil.which("go"), reason="no Go to build tests/tools/adsclient with")
def test_bench_prints_its_figures(tmp_path):
    r = subprocess.run([RUN, "--solder", harness.SOLDER, "--out", tmp_path / "out", "--sizes", "20,100",
                        "--shapes", "wide,deep", "--per-file", "7", "--edits", "3", "--settle", "0"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    for shape in ("wide", "deep"):
        for n in (20, 100):
            assert re.search(rf"^{shape}, {n} routes .*\n"
                             r"  start +\d+ ms to everything acknowledged, .*\n"
                             r"  route +edit to first bytes p50 [\d.]+ p99 [\d.]+ ms, .*\n"
                             r"  endpoint +edit to first bytes p50 [\d.]+ p99 [\d.]+ ms, .*\n"
                             r"  memory +[\d.]+ MiB resident, ", r.stdout, re.M), r.stdout
            raw = tmp_path / "out" / f"{shape}-{n}"
            result = json.loads((raw / "result.json").read_text())
            assert len(result["route"]["ms"]) == len(result["endpoint"]["ms"]) == 3
            assert result["start"]["bytes"] > 0 and (raw / "client.jsonl").stat().st_size > 0
    assert len(re.findall(r"^  ratio +100 to 20 routes: ", r.stdout, re.M)) == 2


@pytest.mark.skipif(not shutil.which("go"), reason="no Go to build tests/tools with")
def test_consul_bench_prints_its_figures(tmp_path):
    r = subprocess.run([CONSUL_RUN, "--solder", harness.SOLDER, "--out", tmp_path / "out", "--keys", "5,120", "--edits",
                        "3", "--services", "4", "--catalog", "10,30,20", "--idle", "5", "--minutes", "0.02", "--settle",
                        "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=300)
    assert r.returncode == 0, r.stderr
    figure = r"p50 -?[\d.]+ p99 -?[\d.]+ ms"
    for n in (5, 120):
        assert re.search(rf"^kv, {n} keys, .*\n"
                         rf"  notification +put to first byte at the watcher {figure}, transfer {figure}, parsed in [\d.]+ ms\n"
                         rf"  on the wire +put to it {figure}, behind the watcher {figure}.*\n"
                         rf"  through Envoy +put to it {figure}, behind the watcher {figure}", r.stdout, re.M), r.stdout
    for change in ("register", "deregister", "critical", "passing"):
        assert re.search(rf"^  {change} +to the watcher {figure}, to the wire {figure}, ", r.stdout, re.M), r.stdout
    assert re.search(r"^start, 20 virtual services, 10 services of 30 instances in all\n"
                     r"  Consul +\d+ ms to read it all .*\n  Solder +\d+ ms to everything acknowledged, .*\n"
                     r"  memory +[\d.]+ MiB resident, ", r.stdout, re.M), r.stdout
    assert re.search(r"^idle, 5 referenced services, .*\n  requests +[\d.]+ a second .*\n  CPU +\d+ ms a minute",
                     r.stdout, re.M), r.stdout
    result = json.loads((tmp_path / "out/kv-5-envoy/result.json").read_text())
    assert len(result["envoy"]["behind_ms"]) == 3


@pytest.mark.skipif(not shutil.which("go"), reason="no Go to build tests/tools with")
def test_authorize_bench_prints_its_figures(tmp_path):
    r = subprocess.run([AUTHORIZE_RUN, "--solder", harness.SOLDER, "--envoy", harness.ENVOY, "--out", tmp_path / "out", "--requests",
                        "80", "--rounds", "1", "--rates", "200", "--checks", "400"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    number = r"[+-]?[\d.]+"
    arm = (rf"cpu +{number} us a request in Envoy, +{number} in the server, added {number}; p50 \d+ p99 \d+ us, added {number} {number}\n")
    ratio = rf"p50 {number}, p99 {number}, cpu {number}, added cpu {number}"
    for head in ("as fast as answers come", "200 requests a second"):
        assert re.search(rf"^authorize, {head}\n  none +{arm}  by hand +{arm}  plugin +{arm}  worker +{arm}  go +{arm}"
                         rf"  ratio +plugin to by hand: {ratio}\n  ratio +worker to go: {ratio}, checks a second for each core {number}\n",
                         r.stdout, re.M), r.stdout
    for streams in (32, 1):
        one = rf"cpu +{number} us a check, \d+ checks a second for each core; p50 \d+ p99 \d+ us\n"
        assert re.search(rf"^direct, {streams} checks at once\n  worker +{one}  go +{one}  ratio +worker to go: checks a second for each core "
                         rf"{number}, p50 {number}$", r.stdout, re.M), r.stdout
