"""One record for each request: when it is answered, handed to a hold, or lost on the way."""

import logging
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import attrs
import structlog

from realtime_proxy.config.schema import Log
from realtime_proxy.grip.header_values import parse_element, split_elements
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.redaction import Redaction
from realtime_proxy.serving.live_route import LiveRoute

log = structlog.get_logger()


@attrs.define
class LoggedRequest:
    """What a record tells. `scheme` is the client's; `status` None stands for a hold or an error.

    `backend` is the label of the last target that was tried, empty if none was.
    """

    head: RequestHead  # of the client, or as a hold asks again
    host: bytes
    scheme: str
    client_address: str
    route: LiveRoute | None
    backend: str = ""
    result: str = "code"  # or `accept`, `error`
    status: int | None = None
    body_bytes: int = 0
    is_retry: bool = False


class RequestLog:
    """Writes these records, by the settings of `[log]`."""

    __slots__ = ("_has_client", "_has_user_agent", "_redaction")

    def __init__(self, settings: Log, secret_names: AbstractSet[str]) -> None:
        """`secret_names`: further parameters to hide, which handlers take credentials from."""
        self._has_client = settings.client_address
        self._has_user_agent = settings.user_agent
        self._redaction = Redaction(settings.hidden_parameters, also=secret_names)

    def wants(self, route: LiveRoute | None) -> bool:
        """False if the level hides the records of a route, None being no route."""
        if route is not None:
            return route.logs_requests
        return log.is_enabled_for(logging.INFO)  # type: ignore[no-any-return]

    def uri(self, scheme: str, host: bytes, target: bytes) -> str:
        """What a client asks for, as logs may show it."""
        return self.shown(b"%b://%b%b" % (scheme.encode(), host, target))

    def shown(self, uri: bytes) -> str:
        """The same of what is a URI already."""
        return self._redaction.url(uri)

    def write(self, request: LoggedRequest) -> None:
        """Write a record; for who asked `wants` before."""
        logger = log if request.route is None else request.route.log
        logger.info("request", **dict(self._fields(request)))

    def _fields(self, request: LoggedRequest) -> Iterator[tuple[str, Any]]:
        head = request.head
        yield "method", head.method.decode("latin-1")
        yield "uri", self.uri(request.scheme, request.host, head.target)
        if request.backend:
            yield "backend", request.backend
        if self._has_client and request.client_address:
            yield "client", request.client_address
        if (referer := head.headers.get(b"referer")) and b"://" in referer:
            yield "referer", self._redaction.url(referer)
        if request.route is not None and request.route.condition.id:
            yield "route", request.route.condition.id
        yield "result", request.result
        if request.status is not None:
            yield from (("status", request.status), ("bytes", request.body_bytes))
        if request.is_retry:
            yield "retry", True
        if self._has_user_agent and (agent := head.headers.get(b"user-agent")):
            yield "user_agent", agent.decode("latin-1")
        if head.headers.has(b"grip-last"):
            yield "last_ids", _last_ids(head)


def _last_ids(head: RequestHead) -> dict[str, str]:
    elements = map(parse_element, split_elements(head.headers.get_all(b"grip-last")))
    return {
        element.value.decode("latin-1"): (element.get(b"last-id") or b"").decode("latin-1")
        for element in elements
        if element is not None
    }
