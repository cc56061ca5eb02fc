"""What a hold over HTTP is made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from realtime_proxy.grip.filters import FilterChain
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.uri import Uri
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.routing.script import ScriptBody
from realtime_proxy.serving.answered_request import ForPage
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.wire.http1_server import (
    IncomingRequest,
)

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection


@attrs.define
class HoldOrder:
    """Everything a hold is made of: whose connection, which channels, what to send and repeat.

    `positions` has the id of the last item that the client has, for each channel (with its
    prefix) that is tracked; else None. `ends_at`: until when it may be held, by the timers' clock,
    if it has been held already.
    """

    connection: "HttpConnection"
    request: IncomingRequest
    route: LiveRoute
    positions: Mapping[str, str | None]
    implicit: tuple[str, ...]  # those of the channels that the target adds to every hold
    filters: dict[str, FilterChain]  # by channel, where there are any
    meta: Mapping[str, str]
    headers: Headers  # for the client
    backend_head: RequestHead  # to ask again
    body: bytes
    trusted: bool
    tls: bool
    client_address: str
    exchange: Exchange | None
    for_page: ForPage
    is_retry: bool
    ends_at: float | None = None
    script: ScriptBody | None = None  # that a stream's body is part of

    def log_subscriptions(self) -> None:
        """Write a record for each channel."""
        context, head = self.connection.context, self.backend_head
        uri = context.request_log.uri(self._scheme, head.headers.get(b"host") or b"", head.target)
        further = {"retry": True} if self.is_retry else {}
        for channel in self.positions:
            self.route.log.info("subscribe", uri=uri, channel=channel, **further)

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def counts(self) -> bool:
        """True if the client may fall behind on any channel."""
        for position in self.positions.values():  # noqa: SIM110  each long-poll comes here
            if position is not None:
                return True
        return False

    def errand(self) -> Errand | None:
        """For requests on behalf of the hold; None if what the client asked for is no URI."""
        context, head = self.connection.context, self.backend_head
        try:
            uri = Uri.of_request(self._scheme, head.headers.get(b"host") or b"", head.target)
        except ValueError:
            return None
        return Errand(context, self.route, self.exchange, uri)
