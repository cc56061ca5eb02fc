"""A backend's response as a script (JSON-P), made while it arrives."""

from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.routing.script import ScriptBody


class ScriptResponse:
    """Stands where the response stood, with the script for its body."""

    __slots__ = ("_begun", "_body", "_response", "complete", "head", "length", "source", "trailers")

    def __init__(
        self, head: ResponseHead, body: ScriptBody, begun: bytes, response: BackendResponse
    ) -> None:
        """`begun` is what there is of the script, `response` has the rest of the body."""
        self.head = head
        self.source = response.source
        self.length: int | None = None
        self.trailers = Headers()
        self.complete = False
        self._body = body
        self._begun = begun
        self._response = response

    def take(self) -> bytes:
        """What of the script is here already."""
        begun, self._begun = self._begun, b""
        return begun

    async def read(self) -> bytes:
        """More of the script; nothing once it is complete.

        Raises BackendError when the response is cut short, ProtocolError when it is no text.
        """
        while not self.complete:
            part = await self._response.read()
            self.complete = self._response.complete
            text = self._body.encode(part, is_last=self.complete)
            if text:
                return text
        return b""

    def close(self) -> None:
        """The response itself is closed by who asked for it."""
