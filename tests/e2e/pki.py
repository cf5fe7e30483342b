"""Certificates for tests."""

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def _pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def _pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """Issues certificates; `pem` is its own."""

    def __init__(self, cn="test authority"):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), _name(cn)
        now = datetime.datetime.utcnow()
        self.cert = (x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name)
                     .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                     .not_valid_before(now - DAY).not_valid_after(now + 365 * DAY)
                     .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                     .sign(self.key, hashes.SHA256()))
        self.pem = _pem(self.cert)

    def issue(self, cn, *sans, days=300, since=1):
        """Certificate and key as PEM: valid from SINCE days ago for DAYS days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        names = [x509.IPAddress(ipaddress.ip_address(s)) if s.replace(".", "").isdigit() else x509.DNSName(s)
                 for s in sans or (cn,)]
        cert = (x509.CertificateBuilder().subject_name(_name(cn)).issuer_name(self.name)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - since * DAY).not_valid_after(now + days * DAY)
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .sign(self.key, hashes.SHA256()))
        return _pem(cert), _pem_key(key)


def common_name(der):
    return x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


def _load(context, folder, cert, key):
    path = folder / "pair.pem"
    path.write_text(cert + key)
    context.load_cert_chain(path)
    path.unlink()


def client(folder, ca, cert=None, key=None, alpn=None, version=None):
    """A client's context that trusts CA, or anybody when it is None."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        c.load_verify_locations(cadata=ca)
    else:
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if cert:
        _load(c, folder, cert, key)
    if alpn:
        c.set_alpn_protocols(alpn)
    if version:
        c.minimum_version = c.maximum_version = version
    return c


def server(folder, cert, key, ca=None):
    """A server's context; with CA clients need a certificate."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(c, folder, cert, key)
    if ca:
        c.load_verify_locations(cadata=ca)
        c.verify_mode = ssl.CERT_REQUIRED
    return c
