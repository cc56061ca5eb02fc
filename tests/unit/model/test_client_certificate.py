import datetime as dt
import hashlib
import ssl

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from realtime_proxy.model.client_certificate import ClientCertificate


def der_of(subject, names=()):
    """A certificate that has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in subject])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 0xABC)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
    )
    if names:
        written = names if isinstance(names, x509.UnrecognizedExtension) else None
        extension = written or x509.SubjectAlternativeName(names)
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(Encoding.DER)


def test_all_that_is_told():
    der = der_of(
        [(NameOID.ORGANIZATION_NAME, "Example, Inc."), (NameOID.COMMON_NAME, "alice")],
        [x509.DNSName("a.example"), x509.UniformResourceIdentifier("spiffe://example/a")],
    )
    certificate = ClientCertificate(der)
    assert certificate.subject == r"CN=alice,O=Example\, Inc."
    assert certificate.issuer == certificate.subject
    assert certificate.common_name == "alice"
    assert certificate.alternative_names == ("DNS:a.example", "URI:spiffe://example/a")
    assert certificate.serial_number == "abc"
    assert certificate.expires_at == 1_767_312_000
    assert certificate.fingerprint == hashlib.sha256(der).hexdigest()


def test_addresses_and_mail():
    issued = trustme.CA().issue_cert("a@b.example", "::1")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    assert set(ClientCertificate(der).alternative_names) == {"email:a@b.example", "IP:::1"}


@pytest.mark.parametrize("names", [(), ("alice", "root")])
def test_a_common_name_that_is_not_one(names):
    der = der_of([(NameOID.COMMON_NAME, name) for name in names])
    assert ClientCertificate(der).common_name == ""
    assert ClientCertificate(der).alternative_names == ()


def test_bytes_in_no_log():
    assert "abc" not in repr(ClientCertificate(b"abc"))


def test_what_can_not_be_read():
    certificate = ClientCertificate(b"nonsense")
    assert len(certificate.fingerprint) == 64
    with pytest.raises(ValueError, match="parsing"):
        _ = certificate.subject


@pytest.mark.parametrize("kind", [b"\xa5", b"\xa3"])
def test_names_of_kinds_that_can_not_be_told_apart(kind):
    """Of EDI parties and X.400: the certificate may be valid all the same."""
    names = x509.UnrecognizedExtension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x02%b\x00" % kind
    )
    certificate = ClientCertificate(der_of([(NameOID.COMMON_NAME, "alice")], names))
    with pytest.raises(ValueError, match="not supported"):
        _ = certificate.subject
