"""Where clients connect, and what is believed of them: `[server]` and `[forwarded]`."""

import attrs

from realtime_proxy.config.addresses import parse_listener, parse_tcp
from realtime_proxy.config.checks import (
    above_zero,
    at_least,
    cdn_name,
    field_name,
    forwarded_rule,
    network,
    not_empty,
    one_of,
    or_empty,
    via_name,
)
from realtime_proxy.config.option import option, required


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
    client_ca: str = option(
        "",
        "PEM file with the authorities whose certificates clients must show (mutual TLS), and "
        "perhaps their revocation lists. Empty: clients are not asked.",
        file=True,
    )
    client_certificate: str = option(
        "required",
        "With `client_ca`: `required`, or `optional`: clients without a certificate come in, too, "
        "and handlers see that they have none.",
        one_of("required", "optional"),
    )
    proxy_protocol: bool = option(
        False, "Connections begin with a PROXY header, before TLS; as for `listen` of `[server]`."
    )


@attrs.frozen
class Server:
    """Where clients connect, and what one client may use: `[server]`."""

    listen: tuple[str, ...] = option(
        ("0.0.0.0:7999",),
        "Addresses for plain HTTP: `HOST:PORT`, `[V6]:PORT`, or `unix:PATH` with optional "
        "`?mode=OCTAL&user=NAME&group=NAME`. With `?proxy_protocol=true` connections begin with a "
        "PROXY header (version 1 or 2), which `[forwarded] trusted_proxies` alone may send.",
        parse_listener,
        restart=True,
    )
    tls: tuple[Tls, ...] = option((), "TLS listeners.")
    workers: int = option(
        1, "Processes that serve clients. 0: one for each core.", at_least(0), restart=True
    )
    max_connections: int = option(
        50_000, "Client connections at once; more wait in the accept queue.", at_least(1)
    )
    max_connections_per_address: int = option(
        0,
        "Connections at once from one address, an IPv6 one with its /64; more are answered 503 "
        "(over TLS: closed). Each worker counts its own. Not for this machine and for "
        "`trusted_proxies`, behind which are many. 0: no limit.",
        at_least(0),
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
        "Longest silence within a request body; longer is answered 408.",
        above_zero,
    )
    idle_timeout_seconds: float = option(
        75.0,
        "Time a connection may wait between two requests; it ends up to a sixteenth later.",
        above_zero,
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
    max_backlog_seconds: float = option(
        60.0,
        "Time in which a client must take something of what waits for it, and answer the kernel; "
        "else it is closed.",
        above_zero,
    )
    max_total_backlog_bytes: int = option(
        500_000_000,
        "Bytes that may wait for all slow clients together; beyond, those who owe most are closed. "
        "Each worker has its share. 0: no limit.",
        at_least(0),
    )
    max_retained_body_bytes: int = option(
        250_000_000,
        "Bytes of request bodies that are kept in case a long-poll is asked again, of answers kept "
        "for its end, and of WebSocket messages that wait for backends over HTTP, all together; "
        "what would need more is answered 503, or closed with 1013. Each worker has its share. 0: "
        "no limit.",
        at_least(0),
    )
    max_unsent_bytes: int = option(
        131_072,
        "Bytes that the kernel takes for a client before it can send them (TCP_NOTSENT_LOWAT); "
        "more waits here. 0: as many as it likes.",
        at_least(0),
    )
    send_buffer_bytes: int = option(
        0,
        "Size of the kernel's send buffer of a client (SO_SNDBUF). 0: as the kernel sees fit.",
        at_least(0),
    )
    tcp_keepalive_seconds: float = option(
        120.0,
        "Silence after which the kernel asks whether a client is still there. 0: never.",
        at_least(0),
    )
    max_message_bytes: int = option(
        1_000_000,
        "Largest WebSocket message, of a client or a backend; more is closed with 1009.",
        at_least(1),
    )
    max_frame_bytes: int = option(
        0, "Largest WebSocket frame; more is closed with 1009. 0: as a message.", at_least(0)
    )
    websocket_handshake_seconds: float = option(
        60.0,
        "Time until a backend has accepted or refused a WebSocket; longer is answered 504. 0: no "
        "limit.",
        at_least(0),
    )
    websocket_ping_seconds: float = option(
        25.0,
        "Silence of a WebSocket client after which it is pinged, so that nobody on the way takes "
        "the connection for idle. 0: never.",
        at_least(0),
    )
    websocket_pong_seconds: float = option(
        20.0,
        "Time a WebSocket client has to answer such a ping; then it is closed with 1011.",
        above_zero,
    )
    compression: bool = option(False, "`compression` of a route, on all routes.")
    drain_seconds: float = option(
        20.0,
        "At a stop, the time over which held clients are let go one after the other; what is still "
        "open five seconds later is cut.",
        at_least(0),
    )
    event_stream_keep_alive_seconds: int = option(
        25,
        "Silence after which a held `text/event-stream` gets a comment, so that nobody on the way "
        "hangs up, unless its backend says otherwise (`Grip-Keep-Alive`). 0: never.",
        at_least(0),
    )
    unbuffered_streams: bool = option(
        True,
        "Ask proxies in front not to collect streams: `X-Accel-Buffering: no` and `Cache-Control: "
        "no-transform` in their heads, unless the backend says otherwise.",
    )
    takeover_socket: str = option(
        "",
        "Path of a unix socket at which a new process with the same configuration takes the place "
        "of a running one, refusing nobody (`docs/operations.md`). Empty: none.",
        restart=True,
    )
    cross_origin: bool = option(False, "`cross_origin` of a route, on all routes.")
    sockjs_url: str = option(
        "https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js",
        "Where the page for iframes of SockJS loads its script from: the same version as the "
        "site's pages.",
        not_empty,
    )
    debug: bool = option(False, "`debug` of a route, on all routes.")


@attrs.frozen
class Forwarded:
    """What proxies in front say of a client, and what backends are told: `[forwarded]`."""

    trusted_proxies: tuple[str, ...] = option(
        (),
        "Addresses and networks (`10.0.0.0/8`) of proxies in front; `unix`: all that come by unix "
        "sockets. The client's address is what "
        "they say it is, `x_forwarded_for_trusted` is for them, and `accept_x_forwarded_proto`, "
        "`accept_pushpin_route` and `identity_headers` of routes are for nobody else.",
        network,
    )
    client_address_header: str = option(
        "X-Forwarded-For",
        "Field in which `trusted_proxies` say where the client is: `X-Forwarded-For`, `Forwarded` "
        "(RFC 7239; its `proto` is then what `accept_x_forwarded_proto` goes by), or one with a "
        "single address, such as `X-Real-IP`.",
        field_name,
    )
    drop_untrusted: bool = option(
        True,
        "Drop what anybody else says of where a request comes from, as far as no other key is for "
        "it: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `Client-Cert`, `client_address_header`.",
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
    via: str = option(
        "realtime-proxy",
        "Name of this proxy in `Via` of requests and responses. Empty: it is not in there.",
        or_empty(via_name),
    )
    max_passes: int = option(
        3,
        "How often a request may have been here before, by its `Via`; a loop is answered 508.",
        at_least(1),
    )
