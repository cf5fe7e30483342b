"""Fixtures of the end-to-end tests."""

import fcntl
import os
import pathlib
import tempfile

import pytest

import consul
import harness
import vault

BINARY_NEEDED = "no binary or no Envoy: run tests/run e2e, or set SLD_BUILD and SLD_ENVOY"
NEED_NONE = ("test_bootstrap.py", "test_servers.py")


def pytest_collection_modifyitems(items):
    ready = harness.SOLDER.exists() and os.path.exists(harness.ENVOY)
    for item in items:
        if not ready and pathlib.Path(str(item.fspath)).name not in NEED_NONE:
            item.add_marker(pytest.mark.skip(reason=BINARY_NEEDED))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for site in harness.live:
            report.sections.append((f"log of {site.dir}", site.log_text()[-12000:]))
            if isinstance(site, harness.Site):
                site.keep()


@pytest.fixture
def site():
    """A site with a gateway, not started."""
    s = harness.Site()
    yield s
    s.close()


@pytest.fixture
def make_site():
    """Makes sites."""
    made = []

    def make(*args, **more):
        made.append(harness.Site(*args, **more))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def make_consul():
    """Makes Consul agents that run (consul.py)."""
    yield from _servers(consul.Consul)


@pytest.fixture
def make_vault():
    """Makes servers that speak Vault's API and run (vault.py)."""
    yield from _servers(vault.Vault)


def _servers(kind):
    made = []

    def make(**more):
        made.append(kind(**more))
        return made[-1].start()
    yield make
    for s in made:
        s.close()


@pytest.fixture(scope="module")
def shared():
    """A running site for the tests of one file, which must use names of their own."""
    s = harness.Site()
    try:
        s.start()
        yield s
    finally:
        s.close()


@pytest.fixture
def default_ports():
    """The ports that the product names (8080, 8443, 8081), for one test at a time on this machine."""
    with open(pathlib.Path(tempfile.gettempdir()) / "solder-e2e.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
