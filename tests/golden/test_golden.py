"""Golden cases: what a document becomes for Envoy, and what is said of it.

Each <area>/<case>.yaml is translated and checked; <area>/<case>.out.yaml holds the resources and, in
comment lines behind them, the findings. A case's first line is a comment that names the sentence it
shows. SLD_GOLDEN_UPDATE=1 writes the outputs anew: read the difference before it is committed.
"""

import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOLDER = pathlib.Path(os.environ.get("SLD_BUILD", "build")).resolve() / "solder"
UPDATE = os.environ.get("SLD_GOLDEN_UPDATE") == "1"
CASES = sorted(p.relative_to(HERE) for p in HERE.glob("*/*.yaml") if not p.name.endswith(".out.yaml"))

pytestmark = pytest.mark.skipif(not SOLDER.exists(), reason="no binary: run tests/run unit, or set SLD_BUILD")


def solder(case, *args):
    """Runs in the case's folder, so that no path of this machine is in the output."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SOLDER_")}
    return subprocess.run([SOLDER, *args, case.name], cwd=HERE / case.parent, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def without_what_all_get(text):
    """The resources without the ones that do not depend on the input: those of unknown roles."""
    documents = text.split("---\n")
    return "---\n".join(d for d in documents if not d.startswith("# lds for misconfigured-node\n"))


def output(case):
    translated = solder(case, "translate", "-o", "yaml")
    assert translated.returncode == 0, translated.stderr
    checked = solder(case, "check", "--notes")
    assert checked.returncode in (0, 1), checked.stderr
    resources = translated.stdout
    if case.stem != "unknown-role":
        resources = without_what_all_get(resources)
    if resources and not resources.endswith("\n"):
        resources += "\n"
    said = "".join(f"# {line}".rstrip() + "\n" for line in checked.stdout.splitlines())
    return f"{resources}---\n# check: exit code {checked.returncode}\n{said}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden(case):
    with open(HERE / case) as f:
        first = f.readline()
    assert first.startswith("# ") and len(first) > 10, "the first line names the sentence that the case shows"
    got = output(case)
    assert "PRIVATE KEY" not in got, "secrets are printed as ***"
    expected = HERE / case.with_suffix(".out.yaml")
    if UPDATE:
        expected.write_text(got)
    assert expected.exists(), "SLD_GOLDEN_UPDATE=1 writes it"
    assert got == expected.read_text()


def test_every_output_has_its_case():
    left = [p for p in HERE.glob("*/*.out.yaml") if not p.with_name(p.name.replace(".out.yaml", ".yaml")).exists()]
    assert left == []
