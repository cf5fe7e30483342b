"""The benchmark runs and prints what it is to print; no figure is judged here."""

import json
import re
import shutil
import subprocess

import pytest

import harness

RUN = harness.ROOT / "tests/bench/run"


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
