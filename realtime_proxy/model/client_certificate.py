"""The certificate that a client has shown in its TLS handshake."""

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@attrs.frozen
class _Names:
    """What handlers ask of a certificate, read at once: few strings are kept, no parsed form."""

    subject: str
    issuer: str
    common_name: str
    alternative_names: tuple[str, ...]
    serial_number: str
    expires_at: float


@attrs.frozen
class ClientCertificate:
    """A client's certificate, which one of the listener's `client_ca` has issued, and is valid.

    It is read when something of it is asked for. All but `der` and `fingerprint` raise ValueError
    if it is so odd that only TLS can read it.
    """

    der: bytes = attrs.field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal digits in lower case."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def subject(self) -> str:
        """The subject as RFC 4514 writes it, such as `CN=alice,O=Example`."""
        return self._names.subject

    @property
    def issuer(self) -> str:
        """Who issued it, in the same form."""
        return self._names.issuer

    @property
    def common_name(self) -> str:
        """The subject's common name; empty if it has none or several: which counts is unclear."""
        return self._names.common_name

    @property
    def alternative_names(self) -> tuple[str, ...]:
        """Its names as OpenSSL shows them: `DNS:a.example`, `email:`, `URI:`, `IP:`.

        Names of other kinds are left out.
        """
        return self._names.alternative_names

    @property
    def serial_number(self) -> str:
        """The serial number that its issuer gave it, in hexadecimal digits."""
        return self._names.serial_number

    @property
    def expires_at(self) -> float:
        """When it ends, in seconds since the epoch."""
        return self._names.expires_at

    @cached_property
    def _names(self) -> _Names:
        # 20 MB that only those pay for who ask.
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        certificate = x509.load_der_x509_certificate(self.der)
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return _Names(
            certificate.subject.rfc4514_string(),
            certificate.issuer.rfc4514_string(),
            str(common[0].value) if len(common) == 1 else "",
            _alternative_names(certificate),
            f"{certificate.serial_number:x}",
            certificate.not_valid_after_utc.timestamp(),
        )


def _alternative_names(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    kinds: dict[type[x509.GeneralName], str] = {
        x509.DNSName: "DNS",
        x509.RFC822Name: "email",
        x509.UniformResourceIdentifier: "URI",
        x509.IPAddress: "IP",
    }
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (x509.UnsupportedGeneralNameType, x509.DuplicateExtension) as error:
        raise ValueError(str(error)) from error
    return tuple(f"{kind}:{name.value}" for name in found if (kind := kinds.get(type(name))))
