"""The bytes that answer a long-poll: made once for all clients that get the same."""

from typing import NamedTuple

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.sessions.http_response import answer_of_item
from realtime_proxy.sessions.remembered_poll import OwnAnswer
from realtime_proxy.wire.http1_server import BodyForm, encode_response_head, response_form


class PollAnswer(NamedTuple):
    """A response as it is sent. `header_bytes` is as statistics estimate it."""

    response: Response
    data: bytes
    keep_alive: bool
    header_bytes: int
    body_bytes: int  # none for HEAD


def poll_answer(own: OwnAnswer, response: Response, *, may_stay: bool) -> PollAnswer:
    """A response to a held request; the connection stays if its client and we want it to."""
    request = RequestHead(own.method, b"", Headers(), own.version)
    head, length = response.head(), len(response.body)
    form = response_form(request, head.status, length)
    keep_alive = own.keep_alive and may_stay
    old = own.version == b"1.0"
    data = encode_response_head(head, form, length, keep_alive=keep_alive, old_client=old)
    body = b"" if form == BodyForm.NONE else response.body
    return PollAnswer(response, data + body, keep_alive, head.content_bytes(), len(body))


class PollAnswers:
    """Makes what items answer, and keeps the last one: mostly the next client gets the same."""

    __slots__ = ("_answer", "_block", "_may_stay", "_payload")

    def __init__(self) -> None:
        self._payload: HttpResponse | None = None
        self._block = b""
        self._may_stay = False
        self._answer: PollAnswer | None = None

    def of_item(self, payload: HttpResponse, block: bytes, *, may_stay: bool) -> PollAnswer:
        """What an item makes of a hold whose own answer is packed in a block."""
        answer = self._answer
        if (
            answer is None
            or payload is not self._payload
            or block != self._block
            or may_stay is not self._may_stay
        ):
            own = OwnAnswer.unpack(block)
            response = answer_of_item(payload, Headers(own.headers), own.body)
            answer = self._answer = poll_answer(own, response, may_stay=may_stay)
            self._payload, self._block, self._may_stay = payload, block, may_stay
        return answer
