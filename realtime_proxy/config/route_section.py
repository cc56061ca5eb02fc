"""Which requests go to which backends, and how: `[[route]]`."""

from collections.abc import Mapping

import attrs

from realtime_proxy.config.addresses import parse_endpoint, parse_mode
from realtime_proxy.config.checks import (
    LEVELS,
    above_zero,
    at_least,
    backend_url,
    callback,
    editable_field,
    handler_name,
    host_and_port,
    host_name,
    method,
    not_empty,
    one_of,
    or_empty,
    page_origin,
    path_start,
    route_host,
)
from realtime_proxy.config.option import option, required


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
    decisions: bool = option(
        False,
        "No backend: other gateways, `[forwarded] trusted_proxies`, ask here whether a request may "
        "pass, and the handlers of its route say (`docs/decision-endpoint.md`).",
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
    over_http: bool = option(
        False,
        "Turn WebSockets into HTTP requests (WebSocket-over-HTTP), else they pass as they are.",
    )
    one_event: bool = option(False, "At most one WebSocket event in a request.")
    host: str = option(
        "", "`HOST` or `HOST:PORT` that this backend gets as `Host`.", or_empty(host_and_port)
    )
    insecure: bool = option(
        False,
        "Don't check the backend's certificate: whoever is on the way can be the backend. `ca` and "
        "`server_name` do for nearly all that this is used for.",
    )
    ca: str = option(
        "",
        "PEM file with the authorities that may have issued the backend's certificate, and perhaps "
        "their revocation lists. Empty: those of the system.",
        file=True,
    )
    server_name: str = option(
        "",
        "Name that the backend is asked for (SNI), and that its certificate is checked for. Empty: "
        "the host of `url`.",
        or_empty(host_name),
    )
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
    expiry_notice_seconds: float = option(
        0.0,
        "So long before its credential expires, a held client is told: by a WebSocket message, or "
        "an event `expiring` of an event stream. 0: it is not.",
        at_least(0),
    )
    reauth_interval_seconds: float = option(
        0.0,
        "So often the handlers are asked again whether a held client may stay, with the request "
        "that it came with. 0: never.",
        at_least(0),
    )
    expiry_notice_message: str = option(
        '{"type": "expiring", "seconds": {seconds}, "expires_at": {expires_at}}',
        "What it is told. `{seconds}` (left), `{expires_at}` (since the epoch) and "
        "`{connection_id}` are filled in.",
        not_empty,
    )
    max_connections: int = option(
        0,
        "Requests and held connections of the route at once; more are answered 503. Each worker "
        "has its share. 0: no limit.",
        at_least(0),
    )
    max_connection_age_seconds: float = option(
        0.0,
        "So long a client may be held; it ends within the last tenth of that, at random. For "
        "gateways in front that don't tell when it leaves (`docs/operations.md`). 0: no limit.",
        at_least(0),
    )
    identity_headers: tuple[str, ...] = option(
        (),
        "Request headers in which a gateway in front says who the client is. They stay if one of "
        "`[forwarded] trusted_proxies` sent them, or `upstream_key` signed for them; all other "
        "requests lose them, on all routes. Those that handlers of the route set are theirs.",
        editable_field,
    )
    delivery_scope_claim: str = option(
        "",
        "A claim that parts the clients of this route, such as `agency`: each gets only items "
        "published for its own, and who has no such claim can't be held "
        "(`docs/scoped-delivery.md`). Empty: items are for everybody on their channel.",
    )
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
    compression: bool = option(
        False,
        "Compress WebSocket messages for clients that offer that (`permessage-deflate`), and offer "
        "it to backends that speak WebSocket (`docs/websocket.md`).",
    )
    websocket_origins: tuple[str, ...] = option(
        (),
        "Origins of pages that may open WebSockets, such as `https://app.example.com` or "
        "`https://*.example.com`; others are refused (403). Empty: all may.",
        page_origin,
    )
    max_message_bytes: int | None = option(
        None, "`[server] max_message_bytes` on this route.", at_least(1)
    )
    max_frame_bytes: int | None = option(
        None, "`[server] max_frame_bytes` on this route.", at_least(0)
    )
    websocket_handshake_seconds: float | None = option(
        None, "`[server] websocket_handshake_seconds` on this route.", at_least(0)
    )
    websocket_ping_seconds: float | None = option(
        None, "`[server] websocket_ping_seconds` on this route.", at_least(0)
    )
    websocket_pong_seconds: float | None = option(
        None, "`[server] websocket_pong_seconds` on this route.", above_zero
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
    sockjs: str = option(
        "",
        "Path at which SockJS is served, to pages of any origin; backends see its sessions as "
        "WebSockets (`docs/sockjs.md`). Empty: none.",
        path_start,
    )
    sockjs_as_path: str = option(
        "",
        "Path of these WebSockets for backends. Empty: that of `sockjs`, with `/websocket` behind "
        "it if the client has a WebSocket.",
        path_start,
    )
