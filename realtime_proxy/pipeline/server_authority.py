"""What a handler checks the certificates of a server by, if not by the system's authorities."""

import ssl

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.pipeline.secret import Secret


def server_authority(ca: Secret | None) -> ssl.SSLContext | None:
    """For `tls` of `HttpClient.ask`; None for the system's authorities.

    `ca` is a setting of that name, with certificates as PEM text. Raises ConfigError.
    """
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cadata=ca.value.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ConfigError([Problem("ca", f"has no certificates in PEM: {error}")]) from error
