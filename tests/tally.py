"""Counts the tests in JUnit files of ctest and pytest, and shows what failed.

  tally.py FILE...      prints "PASSED FAILED SKIPPED"; failures go to stderr

A cmocka program counts as its tests, a pytest run under ctest as its tests, anything else as one.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

SHOWN_LINES = 60
PYTEST = re.compile(r"^(?:=+ )?(?:\d+ \w+, )*?(?=\d+ (?:passed|failed|skipped|error))(.*) in [\d.]+s", re.M)


def inside(output):
    """(passed, failed, skipped) of the tests that ran within one program, or None."""
    if re.search(r"^\[=+\] Running \d+ test", output, re.M):
        count = lambda word: len(re.findall(r"^\[ +%s +\] \w+ *$" % word, output, re.M))
        skipped = count("SKIPPED")
        ran = count("RUN")
        passed = count("OK")
        return passed, max(ran - passed - skipped, 0), skipped
    last = None
    for last in PYTEST.finditer(output):
        pass
    if last:
        number = lambda word: sum(int(n) for n in re.findall(r"(\d+) %s" % word, last.group(1)))
        return number("passed"), number("failed") + number("error"), number("skipped")
    return None


def show(name, output):
    lines = output.strip().splitlines()
    if len(lines) > SHOWN_LINES:
        lines = ["..."] + lines[-SHOWN_LINES:]
    print("--- %s" % name, *lines, sep="\n", file=sys.stderr)


def tally(path):
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).iter("testcase"):
        name = "/".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.get("classname") == case.get("name"):
            name = case.get("name")
        output = case.findtext("system-out") or ""
        bad = [b for b in (case.find("failure"), case.find("error")) if b is not None]
        parts = inside(output) or (0, 0, 0)
        if bad or case.get("status") == "fail":
            show(name, (bad[0].text or "") + output if bad else output)
            passed += parts[0]
            failed += max(parts[1], 1)
            skipped += parts[2]
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            if case.get("status") == "notrun":
                show(name, "did not run: not built")
                failed += 1
            else:
                skipped += 1
        else:
            # The program ended well, so a line that others' output tore apart is no failure.
            passed += parts[0] + parts[1] if any(parts) else 1
            skipped += parts[2]
    return passed, failed, skipped


def main():
    print(*map(sum, zip(*map(tally, sys.argv[1:]))))


if __name__ == "__main__":
    main()
