"""What of a changed configuration has to wait for a restart: sockets that are open already."""

from typing import Any

import attrs

from realtime_proxy.config.schema import Config
from realtime_proxy.config.server_section import Tls


def until_restart(running: Config, wanted: Config) -> tuple[Config, list[str]]:
    """What is to be used of a wanted configuration while the program runs on.

    That is all of it, but what only a restart can change stays as it is running. Also the key paths
    of whatever differs there.
    """
    sections: dict[str, Any] = {}
    waiting: list[str] = []
    for field in attrs.fields(Config):
        now, then = getattr(running, field.name), getattr(wanted, field.name)
        kept = _kept(now, then) if attrs.has(type(then)) else {}
        if kept:
            sections[field.name] = attrs.evolve(then, **kept)
            waiting += (f"{field.name}.{key}" for key in kept)
    config = attrs.evolve(wanted, **sections)
    tls = _tls(running.server.tls, wanted.server.tls)
    if [listener.listen for listener in wanted.server.tls] != [one.listen for one in tls]:
        waiting.append("server.tls")
    return attrs.evolve(config, server=attrs.evolve(config.server, tls=tls)), waiting


def _kept(now: Any, then: Any) -> dict[str, Any]:
    """The values of a section that stay as they are, though others are wanted."""
    keys = [field.name for field in attrs.fields(type(then)) if field.metadata.get("restart")]
    return {key: getattr(now, key) for key in keys if getattr(now, key) != getattr(then, key)}


def _tls(running: tuple[Tls, ...], wanted: tuple[Tls, ...]) -> tuple[Tls, ...]:
    """The listeners that run, with the certificates that are wanted for their addresses."""
    by_address = {listener.listen: listener for listener in wanted}
    return tuple(by_address.get(listener.listen, listener) for listener in running)
