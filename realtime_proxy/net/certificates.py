"""The certificates of TLS listeners: which one a client is shown, and what is asked of its own."""

import ssl
from pathlib import Path

import attrs
import structlog

from realtime_proxy.errors import ConfigError, Problem

_MAX_NAME = 240  # of a host in a file name
# RFC 8996, whatever the configuration of OpenSSL says.
MINIMUM_VERSION = ssl.TLSVersion.TLSv1_2
_CRL_BEGINS = b"-----BEGIN X509 CRL-----"

log = structlog.get_logger()


def load_authorities(context: ssl.SSLContext, file: Path) -> None:
    """Accept certificates that authorities in a PEM file have issued.

    Once there are revocation lists in it, each authority that issues needs one. Raises OSError
    (ssl.SSLError) when the file is not usable.
    """
    context.load_verify_locations(file)
    if _CRL_BEGINS in file.read_bytes():
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


@attrs.frozen
class ClientAuthorities:
    """Whose certificates clients may show. Unless `required`, those without one come in, too."""

    file: Path
    required: bool = True

    def apply(self, context: ssl.SSLContext) -> None:
        """Ask clients for certificates. Raises ConfigError when the file is not usable."""
        try:
            load_authorities(context, self.file)
        except (OSError, ssl.SSLError) as error:
            message = f"can't use {self.file}: {error.strerror or error}"
            raise ConfigError([Problem("server.tls.client_ca", message)]) from error
        context.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL


def server_context(
    certificate: Path, key: Path, clients: ClientAuthorities | None = None
) -> ssl.SSLContext:
    """A TLS context for a listener. Raises ConfigError when the files are not usable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM_VERSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key would have it ask for a password on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        message = f"can't use {certificate} with {key}: {error}"
        raise ConfigError([Problem("server.tls.certificate", message)]) from error
    if clients is not None:
        clients.apply(context)
    return context


class Certificates:
    """The certificates of one TLS listener, chosen by the name that a client asks for (SNI).

    It does not know the default context, which has it: a circle would keep both, and the keys,
    long after the configuration has changed.
    """

    def __init__(self, folder: Path, clients: ClientAuthorities | None = None) -> None:
        self._folder = folder
        self._clients = clients
        self._by_name: dict[str, ssl.SSLContext] = {}

    def choose(self, tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        """Give a handshake the context of the name, if there is one: an `sni_callback`."""
        if name is not None:
            context = self._context_for(name.lower())
            if context is not None:
                tls.context = context
        return None

    def _context_for(self, name: str) -> ssl.SSLContext | None:
        context = self._by_name.get(name) or self._load(name)
        if context is not None:  # unknown names are not remembered: clients choose them
            self._by_name[name] = context
        return context

    def _load(self, name: str) -> ssl.SSLContext | None:
        if "/" in name or name.startswith(".") or len(name) > _MAX_NAME:
            return None
        rest = name.partition(".")[2]
        for stem in (name, f"_.{rest}"):
            certificate, key = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
            if certificate.is_file() and key.is_file():
                try:
                    # A client's certificate is checked by the context that is chosen here.
                    return server_context(certificate, key, self._clients)
                except ConfigError as error:
                    log.error("certificate not usable", name=name, problem=str(error))
        return None
