"""The whole configuration file as frozen classes: every key, its default, its unit, its text.

Sections of clients, of operators and of routes have modules of their own. `check`, the manual
(`docs/configuration.md`) and error messages read the texts from these classes. A key that none of
them has is an error. Values are plain; keys and certificates are read by their users.
"""

from typing import Any

import attrs

from realtime_proxy.config.addresses import parse_address, parse_endpoint, parse_mode, parse_tcp
from realtime_proxy.config.admin_section import Admin
from realtime_proxy.config.checks import (
    LEVELS,
    above_zero,
    at_least,
    host_name,
    metric_prefix,
    not_empty,
    one_of,
    or_empty,
    z85_key,
)
from realtime_proxy.config.consumers_section import Consumers
from realtime_proxy.config.option import option
from realtime_proxy.config.route_section import Route
from realtime_proxy.config.server_section import Forwarded, Server
from realtime_proxy.model.redaction import SECRET_PARAMETERS


@attrs.frozen
class Backend:
    """How backends are called: `[backend]`."""

    connect_timeout_seconds: float = option(
        10.0,
        "Time to connect, TLS included; longer counts as unreachable (next target, or 502).",
        above_zero,
    )
    read_timeout_seconds: float = option(
        60.0,
        "Longest silence of a backend that owes a response; longer is answered 504.",
        above_zero,
    )
    idle_seconds: float = option(
        4.0,
        "Time an unused backend connection is kept; less if the backend's Keep-Alive says so.",
        at_least(0),
    )
    max_idle_connections: int = option(512, "Unused connections kept for each target.", at_least(0))
    max_header_bytes: int = option(
        65_536, "Largest response head; more is answered 502.", at_least(1)
    )


@attrs.frozen
class Grip:
    """GRIP towards backends: `[grip]`."""

    issuer: str = option(
        "realtime-proxy", "`iss` of the Grip-Sig tokens. Empty: nothing is signed."
    )
    key: str = option(
        "",
        "Key that signs Grip-Sig: a secret or a PEM private key (EC or RSA). "
        "Empty: nothing is signed.",
    )
    upstream_key: str = option(
        "",
        "Key of a trusted proxy in front: requests it signed keep their Grip-* headers, and it "
        "gets their instructions.",
    )
    max_channels: int = option(
        20, "Channels one connection may subscribe to; further ones are ignored.", at_least(0)
    )


@attrs.frozen
class Publish:
    """Where publishers connect: `[publish]`."""

    pull: str = option(
        "tcp://127.0.0.1:5560",
        "ZeroMQ PULL address. Empty: none.",
        or_empty(parse_endpoint),
        restart=True,
    )
    sub: tuple[str, ...] = option(
        ("tcp://127.0.0.1:5562",),
        "ZeroMQ SUB addresses, where channels are topics. Publishers are told which channels are "
        "listened to, and need not send others. Empty: none.",
        parse_endpoint,
        restart=True,
    )
    sub_connect: bool = option(
        False,
        "Connect to publishers at the addresses of `sub`, instead of waiting for them.",
        restart=True,
    )
    command: str = option(
        "tcp://127.0.0.1:5563",
        "ZeroMQ address for commands (`docs/operations.md`). Empty: none.",
        or_empty(parse_endpoint),
        restart=True,
    )
    http: str = option(
        "127.0.0.1:5561",
        "HTTP control address, `HOST:PORT`. Empty: none.",
        or_empty(parse_tcp),
        restart=True,
    )
    http_names: tuple[str, ...] = option(
        (),
        "Names by which publishers reach the control port, beside addresses and names without a "
        "dot. Requests for others are refused (403), as a page could have its own name lead here; "
        "not with `allow_unauthenticated`.",
        host_name,
    )
    max_header_bytes: int = option(10_000, "Largest request head on the control port.", at_least(1))
    max_body_bytes: int = option(
        1_000_000, "Largest request body on the control port.", at_least(1)
    )
    ipc_mode: str = option(
        "",
        "Permissions (octal) of ipc:// sockets, such as `660`. Empty: unchanged.",
        or_empty(parse_mode),
        restart=True,
    )
    key: str = option(
        "",
        "Key that publishers need on the control port, as `Authorization: Bearer` with a JWT "
        "signed by it or with the key itself. A secret, or a PEM public key. Empty: none.",
    )
    curve_key: str = option(
        "",
        "Secret CURVE key (Z85) of the ZeroMQ sockets: publishers need keys, too. Empty: none.",
        restart=True,
    )
    curve_clients: tuple[str, ...] = option(
        (),
        "Public CURVE keys (Z85) of those who may publish and send commands.",
        z85_key,
        restart=True,
    )
    curve_server: str = option(
        "",
        "With `sub_connect`: the public CURVE key (Z85) of the publishers that are connected to.",
        or_empty(z85_key),
        restart=True,
    )
    allow_unauthenticated: bool = option(
        False, "Accept publishing without a key on addresses that are not loopback."
    )
    max_queued_bytes: int = option(
        32_000_000,
        "Bytes of items (with 500 for each) that may wait for delivery. While there are more, "
        "ZeroMQ sockets are not read, and HTTP publishers wait for 5 seconds (then 503).",
        at_least(1),
    )
    max_deliveries_per_second: float = option(
        0.0,
        "Deliveries (one item to one client) in a second, over all workers; those of one second "
        "may go at once, more wait. 0: no limit.",
        at_least(0),
        restart=True,
    )
    max_queued_deliveries: int = option(
        0,
        "Deliveries that may wait, for each route with an `id` and for all other routes together; "
        "what comes beyond is dropped. Each worker has its share. 0: no limit.",
        at_least(0),
        restart=True,
    )
    message_wait_seconds: float = option(
        5.0,
        "Longest time an item waits for the one its `prev-id` names; then it goes without.",
        at_least(0),
    )
    id_cache_seconds: float = option(
        60.0,
        "Time in which a second item with the same `id` on its channel is dropped. 0: none is.",
        at_least(0),
    )
    update_on_first_subscription: bool = option(
        True,
        "Ask backends of holds again a second after their channel got its first subscriber: what "
        "was published just before may have been missed.",
    )
    message_block_bytes: int = option(
        0,
        "Size of the blocks that statistics count items in, begun ones as whole. 0: in none.",
        at_least(0),
        restart=True,
    )
    subscription_linger_seconds: float = option(
        60.0,
        "Time a channel stays subscribed to after a long-poll has left it. 0: not at all.",
        at_least(0),
    )


@attrs.frozen
class Stats:
    """What is told of clients and items over ZeroMQ, as Pushpin does: `[stats]`."""

    pub: str = option(
        "",
        "ZeroMQ PUB address of the statistics (`docs/operations.md`). Empty: none.",
        or_empty(parse_endpoint),
        restart=True,
    )
    format: str = option(
        "tnetstring", "`tnetstring` or `json`.", one_of("tnetstring", "json"), restart=True
    )
    connections: bool = option(
        True, "Tell of each connection. false: only in reports.", restart=True
    )
    connection_ttl_seconds: int = option(
        120,
        "Time after which a connection counts as gone if it is not told again.",
        at_least(1),
        restart=True,
    )
    subscription_ttl_seconds: int = option(
        60,
        "Time after which a subscription counts as gone if it is not told again.",
        at_least(1),
        restart=True,
    )
    report_interval_seconds: float = option(
        10.0, "Time that a report covers. 0: there are no reports.", at_least(0), restart=True
    )
    allow_unauthenticated: bool = option(
        False, "Tell everyone, on an address that is not loopback."
    )


@attrs.frozen
class Metrics:
    """Metrics for Prometheus: `[metrics]`."""

    listen: str = option(
        "",
        "Address of the metrics, `HOST:PORT` or `unix:PATH`. Empty: none.",
        or_empty(parse_address),
        restart=True,
    )
    prefix: str = option("", "Put before every name.", or_empty(metric_prefix), restart=True)
    allow_unauthenticated: bool = option(
        False, "Answer everyone, on an address that is not loopback."
    )


@attrs.frozen
class Log:
    """Logs: `[log]`."""

    level: str = option(
        "info",
        "`error`, `warning`, `info` or `debug`.",
        one_of(*LEVELS),
    )
    format: str = option(
        "console",
        "`console`, `json`, or `pushpin`: the lines of Pushpin.",
        one_of("console", "json", "pushpin"),
    )
    file: str = option("", "File to write to. Empty: standard output.")
    max_repeats_per_second: int = option(
        10,
        "Warnings, errors and refusals of one kind (text, route, handler) that are logged in a "
        "second; the rest is summed up: `… and 1234 more`. Other lines are all there. 0: no limit.",
        at_least(0),
    )
    client_address: bool = option(False, "Log where requests come from (Pushpin's `log_from`).")
    user_agent: bool = option(False, "Log the `User-Agent` of requests.")
    hidden_parameters: tuple[str, ...] = option(
        SECRET_PARAMETERS, "Query parameters whose values are logged as `***`.", not_empty
    )


@attrs.frozen
class Config:
    """The whole file. `handler` has the settings of configured handlers by their name."""

    server: Server = attrs.field(factory=Server)
    forwarded: Forwarded = attrs.field(factory=Forwarded)
    backend: Backend = attrs.field(factory=Backend)
    grip: Grip = attrs.field(factory=Grip)
    publish: Publish = attrs.field(factory=Publish)
    stats: Stats = attrs.field(factory=Stats)
    metrics: Metrics = attrs.field(factory=Metrics)
    admin: Admin = attrs.field(factory=Admin)
    consumers: Consumers = attrs.field(factory=Consumers)
    log: Log = attrs.field(factory=Log)
    handler: dict[str, dict[str, Any]] = attrs.field(
        factory=dict,
        metadata={
            "doc": "Handlers with settings: `[handler.NAME]`. `use` names the file, the rest is "
            "the handler's own."
        },
    )
    route: tuple[Route, ...] = option((), "Routes: `[[route]]`.")
