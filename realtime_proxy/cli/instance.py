"""Several instances on one machine: `--id N` moves the publishers' sockets out of the way."""

import attrs

from realtime_proxy.config.addresses import TcpAddress, UnixAddress, parse_endpoint, parse_tcp
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError, Problem

PORTS_PER_INSTANCE = 10


def as_instance(config: Config, number: int) -> Config:
    """The configuration of instance N: its publish ports are N * 10 higher, ipc names get `pN-`.

    Where clients connect is left alone, as Pushpin does: `--port` is for that.
    """
    publish = config.publish
    pull, http = publish.pull, publish.http
    if pull:
        match parse_endpoint(pull):
            case TcpAddress() as address:
                pull = f"tcp://{_higher(address, number)}"
            case UnixAddress(path=path):
                folder, slash, name = path.rpartition("/")
                pull = f"ipc://{folder}{slash}p{number}-{name}"
    if http:
        http = str(_higher(parse_tcp(http), number))
    return attrs.evolve(config, publish=attrs.evolve(publish, pull=pull, http=http))


def _higher(address: TcpAddress, number: int) -> TcpAddress:
    port = address.port + number * PORTS_PER_INSTANCE
    if port > 65535:
        raise ConfigError([Problem("--id", f"{number} is too high: port {port} does not exist")])
    return attrs.evolve(address, port=port)
