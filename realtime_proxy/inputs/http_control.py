"""The HTTP control port: publishing and recovering, with Pushpin's replies to the byte."""

import json
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import structlog
import trio

from realtime_proxy.errors import PublishError
from realtime_proxy.grip.publish import parse_items_json
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, text_response
from realtime_proxy.net.internal_http import InternalReply
from realtime_proxy.net.port_guard import PortGuard

_TEXT = frozenset(("text/plain", "text/*", "*/*", "*"))
_JSON = frozenset(("application/json", "application/*"))
_NOT_ACCEPTABLE = "Not Acceptable. Supported formats are text/plain and application/json."

# So long a publisher waits for room; then it is told to come again.
WAIT_SECONDS = 5.0

log = structlog.get_logger()


class HttpControl:
    """Answers the requests of publishers."""

    def __init__(self, publishing: Publishing, guard: PortGuard, counters: Counters) -> None:
        self._publishing = publishing
        self._counters = counters
        self.guard = guard
        self._posts: dict[bytes, Callable[[RequestHead, bytes, bool], Awaitable[Response]]] = {
            b"/publish": self._publish,
            b"/recover": self._recover,
        }

    async def answer(self, head: RequestHead, body: bytes) -> InternalReply:
        """The reply to one request; the connection stays only after a successful POST."""
        reply = await self._answer(head, body)
        log.debug(
            "control",
            method=head.method.decode("latin-1"),
            path=quote(head.path),
            status=reply.response.status,
            bytes=len(reply.response.body),
        )
        return reply

    async def _answer(self, head: RequestHead, body: bytes) -> InternalReply:
        as_json = _wants_json(head.headers)
        if as_json is None:
            return InternalReply(text_response(406, _NOT_ACCEPTABLE))
        path = head.target.removesuffix(b"/")
        if path == b"":
            return InternalReply(text_response(200, "Pushpin API"))
        post = self._posts.get(path)
        if post is None:
            return InternalReply(text_response(404, "Not Found"))
        if head.method != b"POST":
            refusal = text_response(405, f"Method not allowed: {head.method.decode()}.")
            refusal.headers.append((b"Allow", b"POST"))
            return InternalReply(refusal)
        if (forbidden := self.guard.refusal(head.headers)) is not None:
            return InternalReply(forbidden)
        response = await post(head, body, as_json)
        return InternalReply(response, keep_alive=response.status == 200)

    async def _publish(self, head: RequestHead, body: bytes, as_json: bool) -> Response:
        try:
            items = parse_items_json(body)
        except PublishError as error:
            return text_response(400, str(error))
        with trio.move_on_after(WAIT_SECONDS) as waiting:
            await self._publishing.room()
        if waiting.cancelled_caught:
            return self._come_again()
        if b"return=representation" in head.headers.tokens(b"prefer"):
            reach = await self._publishing.count(items)
            self._publishing.submit(items)
            return _json_response({"message": "Published", **reach._asdict()})
        self._publishing.submit(items)
        return _done("Published", as_json=as_json)

    def _come_again(self) -> Response:
        self._counters.publishes_refused += 1
        log.warning("publish refused: max_queued_bytes are in line")
        refusal = text_response(503, "Too many items are waiting.")
        refusal.headers.append((b"Retry-After", b"1"))
        return refusal

    async def _recover(self, _head: RequestHead, _body: bytes, as_json: bool) -> Response:
        self._publishing.recover()
        return _done("Updated", as_json=as_json)


def _done(message: str, *, as_json: bool) -> Response:
    return _json_response({"message": message}) if as_json else text_response(200, message)


def _json_response(value: dict[str, object]) -> Response:
    headers = Headers([(b"Content-Type", b"application/json")])
    return Response(200, headers, json.dumps(value, separators=(",", ":")).encode() + b"\n")


def _wants_json(headers: Headers) -> bool | None:
    """True for JSON, False for text, by the best match of `Accept`; None if neither is taken."""
    if not headers.has(b"accept"):
        return False
    best: tuple[float, bool] | None = None
    for element in headers.tokens(b"accept"):
        kind, *parameters = (part.strip() for part in element.decode("latin-1").split(";"))
        quality = _quality(parameters)
        if quality and kind in _TEXT | _JSON and (best is None or quality >= best[0]):
            best = (quality, kind in _JSON)
    return None if best is None else best[1]


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
