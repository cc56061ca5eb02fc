"""What handlers know of a client: its request, its route, and who it is."""

from typing import Any

import attrs

from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.messages import RequestHead


@attrs.frozen
class Identity:
    """Who the client is, as an auth handler found out. Shared with later handlers and logs."""

    consumer: str
    claims: dict[str, Any] = attrs.field(factory=dict)
    expires_at: float | None = None  # seconds since the epoch
    anonymous: bool = False  # stands for everyone unknown: a later handler may find out more


@attrs.define
class Exchange:
    """One client request, from the first handler to the end of the connection it may hold open.

    Handlers may change `request` (its target and headers) before the backend is asked, and set
    `identity`. `scheme` is `http`, `https`, `ws` or `wss`. `peer_address` is where the connection
    comes from, empty on unix sockets; `client_address` is that of the client itself, which known
    proxies in front tell (`[forwarded] trusted_proxies`), else the same. `held` says what the
    connection became: `stream`, `response`, `websocket`. `record` has what became of it all; None
    unless a handler of the route keeps records. `client_certificate` is what the client has shown
    this proxy, checked (`[[server.tls]] client_ca`); None if it has shown none.
    """

    request: RequestHead
    route_id: str
    scheme: str
    client_address: str
    identity: Identity | None = None
    held: str = ""
    peer_address: str = ""
    record: ConnectionRecord | None = None
    client_certificate: ClientCertificate | None = None
