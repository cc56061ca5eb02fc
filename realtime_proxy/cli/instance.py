"""Several instances on one machine: `--id N` moves the publishers' sockets out of the way."""

import attrs

from realtime_proxy.config.addresses import (
    TcpAddress,
    UnixAddress,
    parse_address,
    parse_endpoint,
    parse_tcp,
)
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError, Problem

PORTS_PER_INSTANCE = 10


def as_instance(config: Config, number: int) -> Config:
    """The configuration of instance N: its publish ports are N * 10 higher, ipc names get `pN-`.

    So are those of `[stats]` and `[admin]`.

    Where clients connect is left alone, as Pushpin does: `--port` is for that.
    """
    publish = config.publish
    moved = attrs.evolve(
        publish,
        pull=_moved(publish.pull, number),
        command=_moved(publish.command, number),
        http=str(_higher(parse_tcp(publish.http), number)) if publish.http else "",
    )
    if not publish.sub_connect:  # else the ports are those of publishers
        moved = attrs.evolve(moved, sub=tuple(_moved(sub, number) for sub in publish.sub))
    stats = attrs.evolve(config.stats, pub=_moved(config.stats.pub, number))
    admin = attrs.evolve(config.admin, listen=_moved_listener(config.admin.listen, number))
    return attrs.evolve(config, publish=moved, stats=stats, admin=admin)


def _moved(endpoint: str, number: int) -> str:
    if not endpoint:
        return ""
    match parse_endpoint(endpoint):
        case TcpAddress() as address:
            return f"tcp://{_higher(address, number)}"
        case UnixAddress(path=path):
            return f"ipc://{_beside(path, number)}"


def _moved_listener(text: str, number: int) -> str:
    if not text:
        return ""
    match parse_address(text):
        case TcpAddress() as address:
            return str(_higher(address, number))
        case UnixAddress(path=path) as address:
            return str(attrs.evolve(address, path=_beside(path, number)))


def _beside(path: str, number: int) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}p{number}-{name}"


def _higher(address: TcpAddress, number: int) -> TcpAddress:
    port = address.port + number * PORTS_PER_INSTANCE
    if port > 65535:
        raise ConfigError([Problem("--id", f"{number} is too high: port {port} does not exist")])
    return attrs.evolve(address, port=port)
