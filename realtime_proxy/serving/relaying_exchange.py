"""One HTTP request whose response is passed on: as it arrives, or as a script for a page."""

from realtime_proxy.backend.response import BackendResponse, NetworkResponse
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.messages import Response, ResponseHead
from realtime_proxy.routing.script import Script, ScriptBody
from realtime_proxy.routing.trailers import trailer_fields
from realtime_proxy.serving.answered_request import After
from realtime_proxy.serving.client_exchange import ClientExchange
from realtime_proxy.serving.client_fields import NOT_FOR_CLIENTS, relayed_fields
from realtime_proxy.serving.script_response import ScriptResponse
from realtime_proxy.wire.http1_rules import content_length
from realtime_proxy.wire.http1_server import (
    BodyForm,
    encode_chunk,
    encode_last_chunk,
    response_form,
)

# The largest argument of a basic JSON-P callback, which is looked at as a whole.
MAX_ARGUMENT_BYTES = 1_000_000


class RelayingExchange(ClientExchange):
    """One request; its response is as the backend has it."""

    __slots__ = ()

    async def _relay(self, response: BackendResponse) -> After:
        """Pass a response on as it arrives."""
        head = response.head
        length = response.length
        form = response_form(self._request.head, head.status, length)
        if form == BodyForm.NONE:
            length = content_length(head.headers)
        shown = self._head_for_client(head)
        keep_alive = self._keeps_alive(form)
        first = response.take()  # before the head counts as sent: it may be nonsense
        data = self._encode_head(shown, form, length, keep_alive=keep_alive)
        await self._connection.send(data + self._encode_part(first, response, form))
        self._body_bytes = len(first)
        if not response.complete:
            await self._relay_rest(response, form)
        return After.NEXT if keep_alive else After.CLOSE

    async def _relay_rest(self, response: BackendResponse, form: str) -> None:
        passing = response.read_passing if isinstance(response, NetworkResponse) else response.read
        keeps_up = True
        while not response.complete:
            part = await (passing() if keeps_up else response.read())
            self._body_bytes += len(part)
            data = self._encode_part(part, response, form)
            if data:
                keeps_up = await self._connection.socket.send_all(data)

    def _head_for_client(self, head: ResponseHead) -> ResponseHead:
        fields = relayed_fields(head.headers, self._context.forwarding)
        return ResponseHead(head.status, head.reason, fields)

    async def _relay_script(self, script: Script, response: BackendResponse) -> After:
        """Pass a response on as a script: as it arrives if that is possible, else whole."""
        body = response.take()
        # Of the others some is waited for: it may be what can't be put in a script.
        limit = 0 if script.extended else MAX_ARGUMENT_BYTES
        while not response.complete and len(body) <= limit:
            body += await response.read()
        head = response.head
        told = self._head_for_client(head)
        if response.complete:
            return await self._send_response(Response(told.status, told.headers, body, told.reason))
        body_of_script, begun = self._begin_script(script, told, body)
        return await self._relay(ScriptResponse(script.head(told), body_of_script, begun, response))

    def _begin_script(
        self, script: Script, told: ResponseHead, body: bytes
    ) -> tuple[ScriptBody, bytes]:
        try:
            return script.begin(told, body)
        except ProtocolError:
            self._for_page = None  # what can't be a script is said plainly
            raise

    def _encode_part(
        self, part: bytes | memoryview, response: BackendResponse, form: str
    ) -> bytes | memoryview:
        if form != BodyForm.CHUNKED:
            return part
        chunk = encode_chunk(part)
        return (
            chunk + encode_last_chunk(trailer_fields(response.trailers, NOT_FOR_CLIENTS))
            if response.complete
            else chunk
        )
