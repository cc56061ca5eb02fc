"""The port for operators: `[admin]`."""

import attrs

from realtime_proxy.config.addresses import parse_address
from realtime_proxy.config.checks import host_name, or_empty
from realtime_proxy.config.option import option


@attrs.frozen
class Admin:
    """Where operators look and act: `[admin]`."""

    listen: str = option(
        "",
        "Address of the admin port, `HOST:PORT` or `unix:PATH` with optional `?mode=OCTAL` and so "
        "on, such as `127.0.0.1:5564`. Empty: none.",
        or_empty(parse_address),
        restart=True,
    )
    key: str = option(
        "",
        "Key that operators need, as `Authorization: Bearer` with a JWT signed by it or with the "
        "key itself. A secret, or a PEM public key. `/livez` and `/readyz` need none.",
    )
    names: tuple[str, ...] = option(
        (),
        "Names by which operators reach the port without a key, beside addresses and names without "
        "a dot. Requests for others are refused (403), as a page could have its own name lead "
        "here.",
        host_name,
    )
