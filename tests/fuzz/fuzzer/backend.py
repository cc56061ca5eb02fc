"""A backend that answers as it is told, byte for byte, and checks what it is asked."""

import contextlib

import h11
import trio
from fuzzer.corpus import EVENTS_TYPE, answer, events_answer

_DEFAULT = answer()
_DEFAULT_EVENTS = events_answer()


class ScriptedBackend:
    """Answers requests with `X-Fuzz: TOKEN` from that token's script, each answer once.

    Every request has to be one that h11 accepts: what is not is in `complaints`.
    """

    def __init__(self, listener):
        self._listener = listener
        self._scripts = {}
        self._served = {}
        self.complaints = []

    @contextlib.contextmanager
    def script(self, token, answers):
        """For a while the token has a script; gives the event that its first answer is over."""
        served = trio.Event()
        self._scripts[token], self._served[token] = list(answers), served
        try:
            yield served
        finally:
            del self._scripts[token], self._served[token]

    async def run(self, task_status):
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener.dup()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, [listener])
            task_status.started()

    async def _serve(self, stream):
        token = None
        with contextlib.suppress(trio.BrokenResourceError):
            async with stream:
                request = await self._request(stream)
                if request is not None:
                    headers = dict(request.headers)
                    token = headers.get(b"x-fuzz")
                    await stream.send_all(self._answer(token, headers))
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
        if token in self._served:
            self._served[token].set()

    async def _request(self, stream):
        """The head of a complete request, or None if the proxy gave up before it was complete."""
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=200_000)
        received, head = b"", None
        while True:
            try:
                event = reader.next_event()
            except h11.RemoteProtocolError as error:
                if received and not reader.trailing_data[1]:
                    self.complaints.append((str(error), received))
                return None
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.EndOfMessage):
                return head
            elif isinstance(event, h11.ConnectionClosed):
                return None
            elif event is h11.NEED_DATA:
                data = await stream.receive_some()
                received += data
                reader.receive_data(data)

    def _answer(self, token, headers):
        script = self._scripts.get(token)
        if script:
            return script.pop(0)
        is_events = headers.get(b"content-type") == EVENTS_TYPE
        return _DEFAULT_EVENTS if is_events else _DEFAULT
