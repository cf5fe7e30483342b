"""Golden cases: what documents become for Envoy, and what is said of them.

Each <area>/<case>.yaml is translated and checked; <area>/<case>.out.yaml holds the resources and, in
comment lines behind them, the exit code and the findings of `solder check --notes`. The first line of a
case names the sentences of Gloo's behaviour that it shows: "# gloo-compat 3.4, 3.15: <the rule>".
<area>/<case>.services.yaml, if there is one, holds what discovery finds.

SLD_GOLDEN_UPDATE=1 writes the outputs anew: read the difference before it is committed.
"""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOLDER = pathlib.Path(os.environ.get("SLD_BUILD", "build")).resolve() / "solder"
UPDATE = os.environ.get("SLD_GOLDEN_UPDATE") == "1"
BESIDE = (".out.yaml", ".services.yaml")
CASES = sorted(p.relative_to(HERE) for p in HERE.glob("*/*.yaml") if not p.name.endswith(BESIDE))
HEAD = re.compile(r"# gloo-compat (\d+(?:\.\d+)*(?:, \d+(?:\.\d+)*)*): (\S.+)")
# What is built of translation (but for hybrid gateways, 3.5, the memory of 3.7 and the webhook, 3.13) and of options.
SECTIONS = {f"3.{i}" for i in (1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 14, 15)}
SECTIONS |= {"4.1", "4.2", "4.4", "5.2", "5.3", "5.4", "5.8"}

built = pytest.mark.skipif(not SOLDER.exists(), reason="no binary: run tests/run unit, or set SLD_BUILD")


def solder(case, *args):
    """Runs in the case's folder, so that no path of this machine is in the output."""
    services = case.with_suffix(".services.yaml")
    if (HERE / services).exists():
        args += ("--services", services.name)
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


def sections(case):
    with open(HERE / case) as f:
        head = HEAD.fullmatch(f.readline().rstrip("\n"))
    assert head, "the first line names the sentence that the case shows: # gloo-compat <section>: <the rule>"
    return head.group(1).split(", ")


@built
@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden(case):
    got = output(case)
    assert "PRIVATE KEY" not in got, "secrets are printed as ***"
    expected = HERE / case.with_suffix(".out.yaml")
    if UPDATE:
        expected.write_text(got)
    assert expected.exists(), "SLD_GOLDEN_UPDATE=1 writes it"
    assert got == expected.read_text()


def test_every_case_names_its_sentence():
    for case in CASES:
        assert sections(case), case


def test_every_section_has_a_case():
    """A case for 9.2.18 counts for 9.2 too."""
    shown = set()
    for case in CASES:
        for section in sections(case):
            parts = section.split(".")
            shown.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
    assert SECTIONS - shown == set()


def test_every_output_has_its_case():
    left = [p for end in BESIDE for p in HERE.glob(f"*/*{end}")
            if not p.with_name(p.name.replace(end, ".yaml")).exists()]
    assert left == []


def test_certificates_outlive_us():
    """All but those that must not be valid were made in the past, for 100 years."""
    pem = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.S)
    for case in CASES:
        if case.stem in ("expired", "pem-broken"):
            continue
        for cert in pem.findall(re.sub(r"^ +", "", (HERE / case).read_text(), flags=re.M)):
            run = subprocess.run(["openssl", "x509", "-noout", "-startdate", "-enddate"], input=cert, text=True,
                                 stdout=subprocess.PIPE, check=True)
            years = [int(y) for y in re.findall(r" (\d{4}) GMT", run.stdout)]
            assert years[0] <= 2020 and years[1] >= 2120, case
