"""The whole configuration file as frozen classes: every key, its default, its unit, its text.

`check`, the manual (`docs/configuration.md`) and error messages read the texts from here. A key
that is not here is an error. Values are plain; keys and certificates are read by their users.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from realtime_proxy.config.addresses import parse_address, parse_endpoint, parse_mode, parse_tcp
from realtime_proxy.config.checks import (
    Check,
    above_zero,
    at_least,
    backend_url,
    callback,
    cdn_name,
    editable_field,
    field_name,
    forwarded_rule,
    handler_name,
    host_and_port,
    host_name,
    method,
    metric_prefix,
    network,
    not_empty,
    one_of,
    or_empty,
    path_start,
    route_host,
)
from realtime_proxy.model.redaction import SECRET_PARAMETERS

LEVELS = ("error", "warning", "info", "debug")


def option(
    default: Any,
    doc: str,
    check: Check | None = None,
    *,
    restart: bool = False,
    file: bool = False,
) -> Any:
    """A field of the configuration: its default, the text of the manual, what it may be.

    The check sees one value, of a list each element, of a table each key with its value. `restart`
    says that a change needs one; `file` that the value names a file or folder whose change counts
    as one of the configuration.
    """
    metadata = {"doc": doc, "check": check, "restart": restart, "file": file}
    return attrs.field(default=default, metadata=metadata)


def required(doc: str, check: Check | None = None, *, file: bool = False) -> Any:
    """A field that the file must give."""
    return attrs.field(metadata={"doc": doc, "check": check, "file": file})


@attrs.frozen
class Tls:
    """One TLS listener: `[[server.tls]]`."""

    listen: str = required("Address of the listener: `HOST:PORT` or `[V6]:PORT`.", parse_tcp)
    certificate: str = required(
        "PEM file with the certificate used when no name fits, and its chain.",
        not_empty,
        file=True,
    )
    key: str = required("PEM file with the private key of `certificate`.", not_empty, file=True)
    certificates: str = option(
        "",
        "Folder of further certificates, chosen by the name a client asks for (SNI): `NAME.crt` "
        "and `NAME.key`, or `_.REST.crt` and `_.REST.key` for all names one label below REST.",
        file=True,
    )


@attrs.frozen
class Server:
    """Where clients connect, and what one client may use: `[server]`."""

    listen: tuple[str, ...] = option(
        ("0.0.0.0:7999",),
        "Addresses for plain HTTP: `HOST:PORT`, `[V6]:PORT`, or `unix:PATH` with optional "
        "`?mode=OCTAL&user=NAME&group=NAME`.",
        parse_address,
        restart=True,
    )
    tls: tuple[Tls, ...] = option((), "TLS listeners.")
    workers: int = option(
        1, "Processes that serve clients. 0: one for each core.", at_least(0), restart=True
    )
    max_connections: int = option(
        50_000, "Client connections at once; more wait in the accept queue.", at_least(1)
    )
    max_header_bytes: int = option(
        16_384, "Largest request head (line and fields); more is answered 431.", at_least(1)
    )
    max_target_bytes: int = option(
        8_192, "Largest request target; more is answered 414.", at_least(1)
    )
    max_body_bytes: int = option(
        0, "Largest request body; more is answered 413. 0: no limit.", at_least(0)
    )
    header_timeout_seconds: float = option(
        30.0, "Time for a request head to arrive once it began; longer is answered 408.", above_zero
    )
    body_timeout_seconds: float = option(
        60.0,
        "Longest silence within a request body (answered 408) or of a client that reads nothing.",
        above_zero,
    )
    idle_timeout_seconds: float = option(
        75.0, "Time a connection may wait between two requests.", above_zero
    )
    hold_timeout_seconds: float = option(
        1_800.0,
        "Time a held connection may stay without any traffic either way. 0: no limit.",
        at_least(0),
    )
    max_backlog_bytes: int = option(
        2_000_000,
        "Bytes that may wait for a slow client; a client that owes more is closed.",
        at_least(1),
    )
    max_message_bytes: int = option(
        1_000_000, "Largest WebSocket message from a client; more is closed with 1009.", at_least(1)
    )
    cross_origin: bool = option(False, "`cross_origin` of a route, on all routes.")
    debug: bool = option(False, "`debug` of a route, on all routes.")


@attrs.frozen
class Forwarded:
    """What proxies in front say of a client, and what backends are told: `[forwarded]`."""

    trusted_proxies: tuple[str, ...] = option(
        (),
        "Addresses and networks (`10.0.0.0/8`) of proxies in front; `unix`: all that come by unix "
        "sockets. The client's address is what "
        "they say it is, `x_forwarded_for_trusted` is for them, and `accept_x_forwarded_proto` and "
        "`accept_pushpin_route` are for nobody else.",
        network,
    )
    accept_x_forwarded_proto: bool = option(
        False,
        "Count a request as TLS when `X-Forwarded-Proto` (or else `X-Forwarded-Protocol`) says "
        "`https` or `wss`. Without `trusted_proxies` everyone is believed.",
    )
    set_x_forwarded_proto: str = option(
        "proto",
        "What tells backends that a client came over TLS: `proto` is `X-Forwarded-Proto`, `both` "
        "also `X-Forwarded-Protocol`; what the client sent of them is dropped. Empty: nothing is "
        "set or dropped.",
        one_of("", "proto", "both"),
    )
    x_forwarded_for: tuple[str, ...] = option(
        ("truncate:0", "append"),
        "What becomes of `X-Forwarded-For`: `truncate:N` keeps the last N addresses, `append` adds "
        "that of the connection. Empty: it passes as it is.",
        forwarded_rule,
    )
    x_forwarded_for_trusted: tuple[str, ...] = option(
        ("append",),
        "The same for `trusted_proxies`, and for requests signed with `upstream_key`.",
        forwarded_rule,
    )
    original_headers_need_mark: tuple[str, ...] = option(
        (),
        "On routes with `original_headers`: fields that count as original only if they come "
        "marked already, since a proxy in front changes them.",
        field_name,
    )
    accept_pushpin_route: bool = option(
        False,
        "Use the route whose `id` is in the request's `Pushpin-Route`, whatever its host, protocol "
        "and TLS. Without `trusted_proxies` everyone may choose.",
    )
    cdn_loop: str = option(
        "", "Added to `CDN-Loop` of requests (RFC 8586). Empty: nothing is.", or_empty(cdn_name)
    )


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
    allow_unauthenticated: bool = option(
        False, "Accept publishing without a key on addresses that are not loopback."
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
    client_address: bool = option(False, "Log where requests come from (Pushpin's `log_from`).")
    user_agent: bool = option(False, "Log the `User-Agent` of requests.")
    hidden_parameters: tuple[str, ...] = option(
        SECRET_PARAMETERS, "Query parameters whose values are logged as `***`.", not_empty
    )


@attrs.frozen
class Target:
    """One backend of a route: an element of `targets`."""

    url: str = option("", "`http://HOST:PORT` or `https://HOST:PORT`.", or_empty(backend_url))
    demo: bool = option(False, "The embedded demo backend instead of a url.")
    test: bool = option(
        False,
        "Pushpin's `test` target instead of a url: `/response`, `/stream` and the WebSocket `/ws` "
        "hold for the channels in `?channel=`.",
    )
    zhttpreq: str = option(
        "",
        "ZeroMQ address instead of a url, `tcp://HOST:PORT` or `ipc://PATH`: REP sockets that "
        "connect there get requests as ZHTTP (ZeroMQ RFC 33).",
        or_empty(parse_endpoint),
    )
    zhttpreq_connect: bool = option(
        False, "Connect to a REP socket at the address of `zhttpreq`, instead of waiting for some."
    )
    ipc_mode: str = option(
        "",
        "Permissions (octal) of the ipc:// socket of `zhttpreq`. Empty: unchanged.",
        or_empty(parse_mode),
    )
    over_http: bool = option(False, "Turn WebSockets into HTTP requests (WebSocket-over-HTTP).")
    one_event: bool = option(False, "At most one WebSocket event in a request.")
    host: str = option(
        "", "`HOST` or `HOST:PORT` that this backend gets as `Host`.", or_empty(host_and_port)
    )
    insecure: bool = option(False, "Don't check the backend's certificate.")
    trust_connect_host: bool = option(
        True,
        "Check the backend's certificate for the host of `url`. false: for the `Host` it gets.",
    )
    client_certificate: str = option(
        "", "PEM file with the certificate shown to the backend, and its chain.", file=True
    )
    client_key: str = option(
        "", "PEM file with its private key, if that is not in `client_certificate`.", file=True
    )
    untrusted: bool = option(
        False,
        "Never connect to this machine or a private network, whatever the name of the host leads "
        "to; answered 502.",
    )
    subscribe: tuple[str, ...] = option(
        (), "Channels added to every hold made through this target.", not_empty
    )


@attrs.frozen
class Route:
    """What to do with which requests: `[[route]]`."""

    targets: tuple[Target, ...] = required("Backends, tried in this order.")
    id: str = option("", "Name of the route in logs, statistics and `Pushpin-Route`.")
    host: str = option(
        "*",
        "Host name the request must have; `*` is any. Empty: only `Pushpin-Route` leads here.",
        or_empty(route_host),
    )
    path: str = option("", "What the path must begin with.")
    protocol: str = option(
        "", "`http` or `websocket`: only that. Empty: both.", one_of("", "http", "websocket")
    )
    tls: bool | None = option(None, "true: only requests that came over TLS; false: only others.")
    handlers: tuple[str, ...] = option((), "Handlers by name, in the order they act.", handler_name)
    channel_prefix: str = option("", "Put before the channel names of this route's holds.")
    grip: bool = option(True, "false: pass GRIP instructions on as they are, and sign nothing.")
    issuer: str = option("", "Issuer of Grip-Sig on this route. Empty: that of `[grip]`.")
    key: str = option("", "Key of Grip-Sig on this route. Empty: that of `[grip]`.")
    as_host: str = option(
        "",
        "`HOST` or `HOST:PORT` that backends get as `Host` in place of the client's; a target's "
        "`host` goes before it.",
        or_empty(host_and_port),
    )
    path_remove: int = option(
        0, "Characters taken off the beginning of the path for backends.", at_least(0)
    )
    path_replace: str | None = option(
        None, "For backends, the path begins with this in place of `path`.", path_start
    )
    set_headers: Mapping[str, str] = option(
        {},
        'Request headers for backends, `{ NAME = "value" }`, in place of those of the same name. '
        "Applied after the handlers.",
        editable_field,
    )
    remove_headers: tuple[str, ...] = option(
        (), "Request headers that backends don't get.", editable_field
    )
    original_headers: bool = option(
        False,
        "Send the client's headers a second time as they came, as `eb9bf0f5-NAME`. Those that "
        "`upstream_key` signed for have been marked already.",
    )
    log_level: str = option(
        "",
        "Log level for what concerns this route's requests. Empty: that of `[log]`.",
        one_of("", *LEVELS),
    )
    debug: bool = option(
        False, "Say in errors what went wrong, and which backend it was (`docs/operations.md`)."
    )
    cross_origin: bool = option(
        False,
        "Open the route to pages of any origin, with their users' cookies: CORS fields in every "
        "response, and JSON-P (`docs/cross-origin.md`).",
    )
    json_p_mode: str = option(
        "extended",
        "What a JSON-P callback gets: `extended`, an object with `code`, `reason`, `headers` and "
        "`body`; `basic`, the body, which must be JSON.",
        one_of("extended", "basic"),
    )
    json_p_callback: str = option(
        "callback", "Query parameter that asks for JSON-P and names the callback.", not_empty
    )
    json_p_body: str = option(
        "", "Query parameter with the body of a JSON-P request, as JSON. Empty: `_body`, as text."
    )
    json_p_default_callback: str = option(
        "",
        "Callback of requests that have the parameter of `json_p_body` and name none. "
        "Empty: these are ordinary requests.",
        or_empty(callback),
    )
    json_p_default_method: str = option(
        "",
        "Method of JSON-P requests without `_method`. Empty: `GET`, in basic mode `POST`.",
        or_empty(method),
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
    log: Log = attrs.field(factory=Log)
    handler: dict[str, dict[str, Any]] = attrs.field(
        factory=dict,
        metadata={
            "doc": "Handlers with settings: `[handler.NAME]`. `use` names the file, the rest is "
            "the handler's own."
        },
    )
    route: tuple[Route, ...] = option((), "Routes: `[[route]]`.")
