"""HTTPS gateways: certificates by SDS, SNI, client certificates, rotation, and what never reaches Envoy."""

import re
import ssl

import pytest

import pki
from harness import (NS, Poller, Raw, eventually, free_port, gateway, opaque_secret, ref, request, route,
                     says, tls_secret, to, vs)


@pytest.fixture(scope="module")
def ca():
    return pki.Authority()


@pytest.fixture
def case(shared, request, ca):
    return Case(shared, re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-"), ca)


class Case:
    """An HTTPS gateway of the test's own."""

    def __init__(self, site, name, ca):
        self.site, self.name, self.ca, self.port = site, name[:40], ca, free_port()
        self.trust = pki.client(site.dir, ca.pem)

    def domain(self, n="a"):
        return f"{n}.{self.name}.test"

    def gateway(self, *names, **more):
        self.site.write(f"{self.name}-gw.yaml", gateway(self.name, self.port, ssl_=True, http_={
            "virtualServices": [ref(f"{self.name}-{n}") for n in names]}, **more))

    def service(self, n="a", body=None, routes=None, **ssl_config):
        config = {"secretRef": ref(f"{self.name}-{n}"), "sniDomains": [self.domain(n)]}
        config.update(ssl_config)
        self.site.write(f"{self.name}-{n}.yaml", vs(
            f"{self.name}-{n}", self.domain(n), routes or [route("/", says(200, body or n))],
            sslConfig={k: v for k, v in config.items() if v is not None}))

    def secret(self, n="a", cert=None, key=None, ca=None):
        if cert is None:
            cert, key = self.ca.issue(self.domain(n))
        self.site.write(f"{self.name}-{n}-secret.yaml", tls_secret(f"{self.name}-{n}", cert, key, ca))

    def ask(self, n="a", tls=None, path="/", **more):
        return request(self.port, path, tls=tls or self.trust, sni=self.domain(n), host=self.domain(n), **more)

    def works(self, n="a", **more):
        return eventually(lambda: (a := self.ask(n, **more)).status == 200 and a)

    def shown(self, n="a"):
        """Common name of the certificate that is shown."""
        with Raw(self.port, pki.client(self.site.dir, None), self.domain(n)) as r:
            return pki.common_name(r.sock.getpeercert(True))

    def refused(self, n="a", tls=None):
        try:
            self.ask(n, tls)
            return False
        except OSError:
            return True


def test_https_with_sni_of_several_services(case):
    """A TLS Gateway by SDS, SNI of several services: each shows its own certificate."""
    for n in "ab":
        case.secret(n)
        case.service(n)
    case.gateway("a", "b")
    assert case.works("a").text == "a" and case.works("b").text == "b"
    assert (case.shown("a"), case.shown("b")) == (case.domain("a"), case.domain("b"))
    assert case.refused("c"), "a name that nobody has"
    for n in "ab":
        assert case.site.wait_state("VirtualService", f"{case.name}-{n}", "Accepted")
    text = case.site.get("/v1/xds/gloo-system~gateway-proxy/sds").text
    assert f"{case.name}-a" in text and "***" in text and "PRIVATE KEY" not in text
    assert "PRIVATE KEY" not in str(case.site.xds("lds"))


def test_a_new_certificate_is_shown_without_a_lost_request(case):
    """A rotated certificate reaches Envoy with no listener change and with no failed request."""
    case.secret("a", *case.ca.issue("cn-0", case.domain()))
    case.service()
    case.gateway("a")
    case.works()
    listener = case.site.xds("lds")[f"listener-127.0.0.1-{case.port}"]["version"]
    with Poller(case.port, tls=case.trust, sni=case.domain(), host=case.domain(), threads=2) as p:
        for i in range(1, 6):
            case.secret("a", *case.ca.issue(f"cn-{i}", case.domain()))
            eventually(lambda: case.shown() == f"cn-{i}")
            p.more(20)
    p.assert_clean()
    assert case.site.xds("lds")[f"listener-127.0.0.1-{case.port}"]["version"] == listener


@pytest.mark.parametrize("what, code", [("expired", "SLD0603"), ("not yet valid", "SLD0603"), ("mismatch", "SLD0602"),
                                        ("garbage", "SLD0605"), ("no key", None)])
def test_bad_pairs_never_reach_envoy(case, what, code):
    """A key that does not fit its certificate, or an expired one, is a finding and never reaches Envoy:
    the last good pair stays, and a good one mends it."""
    case.secret("a", *case.ca.issue("good", case.domain()))
    case.service()
    case.gateway("a")
    case.works()
    nacks = case.site.metric("solder_xds_nacks_total", type="sds")
    pushes = case.site.metric("solder_xds_pushes_total", type="sds")
    cert, key = {
        "expired": lambda: case.ca.issue("bad", case.domain(), days=-1, since=9),
        "not yet valid": lambda: case.ca.issue("bad", case.domain(), days=9, since=-1),
        "mismatch": lambda: (case.ca.issue("bad", case.domain())[0], case.ca.issue("x")[1]),
        "garbage": lambda: ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", case.ca.issue("x")[1]),
        "no key": lambda: (case.ca.issue("bad", case.domain())[0], ""),
    }[what]()
    case.secret("a", cert, key)
    case.site.wait_state("Secret", f"{case.name}-a", "Rejected", code)
    case.site.settled()
    assert case.shown() == "good" and case.ask().status == 200
    assert case.site.metric("solder_xds_pushes_total", type="sds") == pushes
    assert case.site.metric("solder_xds_nacks_total", type="sds") == nacks
    case.secret("a", *case.ca.issue("mended", case.domain()))
    eventually(lambda: case.shown() == "mended")
    case.site.wait_state("Secret", f"{case.name}-a", "Accepted")


def test_a_certificate_that_never_was_good(case):
    """Missing secrets never block unrelated listeners: a service whose certificate is bad from the
    start leaves the other one alone."""
    case.secret("a")
    case.service("a")
    case.secret("b", *case.ca.issue("x", case.domain("b"), days=-1, since=9))
    case.service("b")
    case.gateway("a", "b")
    assert case.works("a").text == "a"
    assert case.refused("b")
    case.secret("b")
    assert case.works("b").text == "b"


def test_a_missing_secret_appears(case):
    """A secret that is missing: a finding; to an Envoy that never held it the filter chain is withheld
    until the secret exists, the other chains serve."""
    case.secret("a")
    case.service("a")
    case.service("b")
    case.gateway("a", "b")
    assert case.works("a").text == "a"
    o = eventually(lambda: (o := case.site.object("VirtualService", f"{case.name}-b"))["findings"] and o)
    assert "SLD0206" in {f["code"] for f in o["findings"]}
    assert case.refused("b") and case.ask("a").status == 200
    case.secret("b")
    assert case.works("b").text == "b"
    assert case.site.wait_state("VirtualService", f"{case.name}-b", "Accepted")
    assert case.ask("a").status == 200


def test_a_secret_that_is_deleted_goes_on_serving(case):
    """A listener that any connected Envoy acknowledged is never withdrawn because a secret is missing."""
    case.secret("a")
    case.service("a")
    case.gateway("a")
    case.works("a")
    case.site.remove(f"{case.name}-a-secret.yaml")
    eventually(lambda: "SLD0206" in {f["code"] for f in case.site.object("VirtualService",
            f"{case.name}-a")["findings"]})
    case.site.settled()
    assert case.ask("a").status == 200
    case.secret("a")
    eventually(lambda: not case.site.object("VirtualService", f"{case.name}-a")["findings"])
    assert case.ask("a").status == 200


def test_client_certificates(case):
    """rootCa: clients need a certificate (3.8); oneWayTls takes that away; verifySubjectAltName chooses."""
    clients = pki.Authority("clients")
    cert, key = case.ca.issue(case.domain())
    case.secret("a", cert, key, clients.pem)
    up = case.site.upstream(f"{case.name}-up")
    case.service("a", routes=[route("/", to(up.name))])
    case.gateway("a")
    good = pki.client(case.site.dir, case.ca.pem, *clients.issue("friend", "friend.test"))
    bad = pki.client(case.site.dir, case.ca.pem, *pki.Authority("others").issue("foe", "friend.test"))
    assert case.works("a", tls=good).status == 200
    assert case.refused("a") and case.refused("a", bad)
    case.service("a", verifySubjectAltName=["other.test"])
    eventually(lambda: case.refused("a", good))
    case.service("a", oneWayTls=True)
    case.works("a")


def test_forwarded_client_certificates(case):
    """forwardClientCertDetails and setCurrentClientCertDetails tell the upstream who the client is."""
    clients = pki.Authority("clients")
    case.secret("a", *case.ca.issue(case.domain()), clients.pem)
    up = case.site.upstream(f"{case.name}-up")
    case.service("a", routes=[route("/", to(up.name))])
    case.site.write(f"{case.name}-gw.yaml", gateway(case.name, case.port, ssl_=True, http_={
        "virtualServices": [ref(f"{case.name}-a")], "options": {"httpConnectionManagerSettings": {
            "forwardClientCertDetails": "SANITIZE_SET",
            "setCurrentClientCertDetails": {"subject": True, "dns": True}}}}))
    good = pki.client(case.site.dir, case.ca.pem, *clients.issue("friend", "friend.test"))
    h = case.works("a", tls=good).json["headers"]["x-forwarded-client-cert"][0]
    assert 'Subject="CN=friend"' in h and "DNS=friend.test" in h


def test_parameters_and_alpn(case):
    """sslConfig.parameters and alpnProtocols."""
    case.secret("a")
    case.service("a", parameters={"minimumProtocolVersion": "TLSv1_2", "maximumProtocolVersion": "TLSv1_2"},
                 alpnProtocols=["http/1.1"])
    case.secret("b")
    case.service("b")
    case.gateway("a", "b")
    case.works("a")
    case.works("b")
    assert case.refused("a", pki.client(case.site.dir, case.ca.pem, version=ssl.TLSVersion.TLSv1_3))

    def alpn(n):
        with Raw(case.port, pki.client(case.site.dir, case.ca.pem, alpn=["h2", "http/1.1"]), case.domain(n)) as r:
            return r.sock.selected_alpn_protocol(), r.sock.version()
    assert alpn("a") == ("http/1.1", "TLSv1.2") and alpn("b") == ("h2", "TLSv1.3")


def test_files(case):
    """sslFiles: paths on Envoy's host; 9.2: Gloo refuses certificate and key as files."""
    cert, key = case.ca.issue(case.domain())
    paths = [case.site.dir / f"{case.name}.{n}" for n in ("crt", "key")]
    paths[0].write_text(cert)
    paths[1].write_text(key)
    case.service("a", secretRef=None, sslFiles={"tlsCert": str(paths[0]), "tlsKey": str(paths[1])})
    case.gateway("a")
    assert case.works("a").text == "a"
    assert case.site.wait_state("VirtualService", f"{case.name}-a", "Accepted")


def test_native_secret_documents(case):
    """Gloo's own secret documents (2.5) serve as kubernetes.io/tls do."""
    cert, key = case.ca.issue(case.domain())
    case.site.write(f"{case.name}-a-secret.yaml", {
        "apiVersion": "gloo.solo.io/v1", "kind": "Secret", "metadata": {"name": f"{case.name}-a", "namespace": NS},
        "tls": {"certChain": cert, "privateKey": key}})
    case.service("a")
    case.gateway("a")
    case.works("a")


def test_kinds_of_secrets(case):
    """A secret of another kind is an error of the service that refers to it."""
    case.site.write(f"{case.name}-a-secret.yaml", opaque_secret(f"{case.name}-a", {"x": "y"}))
    case.secret("b")
    case.service("b")
    case.service("a")
    case.gateway("a", "b")
    case.works("b")
    case.site.wait_state("VirtualService", f"{case.name}-a", "Rejected", "SLD0601")


def test_same_server_name_twice(case):
    """Overlapping or double-empty SNI with different certificates is an error, on those services
    (3.4)."""
    for n in "ab":
        case.secret(n)
        case.service(n, sniDomains=["same.test"])
    case.gateway("a", "b")
    o = eventually(lambda: [o for n in "ab" if (o := case.site.object("VirtualService",
                                                                      f"{case.name}-{n}"))["errors"]]
                   or [o for o in [case.site.object("Gateway", case.name)] if o["errors"]])
    assert "SLD0306" in {f["code"] for x in o for f in x["findings"]}
    case.site.settled()


def test_plain_and_tls_services_do_not_mix(case):
    """TLS and non-TLS virtual services are strictly separated by the gateway's ssl (9.1)."""
    case.secret("a")
    case.service("a")
    case.gateway("a")
    case.works("a")
    assert case.site.ask(host=case.domain("a")).status == 404
    with Raw(case.port) as r:
        r.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in r.rest()
