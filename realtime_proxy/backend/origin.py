"""Where a backend is, and how its certificate is checked."""

import ssl

import attrs


@attrs.frozen(cache_hash=True)
class Origin:
    """One backend address; connections to equal origins are interchangeable."""

    host: str
    port: int
    tls: bool = False
    insecure: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def client_context(origin: Origin) -> ssl.SSLContext:
    """How to verify this backend: against the system's authorities, or not at all."""
    context = ssl.create_default_context()
    if origin.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
