"""Certificates of clients for tests, each made when it is asked for."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.testing.tokens import private_key

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_LIFE = timedelta(days=20 * 365)


def client_certificate(
    *names: str, common_name: str = "", not_after: datetime = _BEGIN + _LIFE
) -> ClientCertificate:
    """One with these alternative names (hosts and mail addresses), as if it had been checked."""
    key = private_key("P-256")
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")]
    if common_name:
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    alternative = [x509.RFC822Name(n) if "@" in n else x509.DNSName(n) for n in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .sign(key, hashes.SHA256())
    )
    return ClientCertificate(certificate.public_bytes(Encoding.DER))
