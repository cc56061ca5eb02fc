"""A backend that answers as a function says: in time or late, whole or in part, or not at all."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS

_RECEIVE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class BackendCall:
    """One request that arrived, and every way to answer it.

    The body is read only when asked for. Field names are in lower case.
    """

    def __init__(self, connection: "_Connection", head: bytes) -> None:
        line, *fields = head[:-4].decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ")
        parted = (field.partition(":") for field in fields)
        self.fields = [(name.lower(), value.strip()) for name, _, value in parted]
        self.connection_number = connection.number
        self.trailers: list[str] = []
        self.answered = threading.Event()
        self._connection = connection
        self._body: bytes | None = None
        self._left = int(self.get("content-length") or 0)
        self._chunked = self.get("transfer-encoding") == "chunked"
        self._at_end = not self._left and not self._chunked
        self.keeps_connection = self.get("connection") != "close"

    def get(self, name: str) -> str | None:
        """The first value of a field, or None."""
        return next((value for field, value in self.fields if field == name), None)

    def get_all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for field, value in self.fields if field == name]

    def wait_until_answered(self) -> None:
        """Come back when the script is done with it."""
        assert self.answered.wait(DEADLINE_SECONDS), f"nothing has answered {self.target}"

    # -- the body --------------------------------------------------------------------------

    def read_some(self) -> bytes:
        """What arrives next of the body; empty at its end. Raises EOFError when it is cut."""
        if self._at_end:
            return b""
        if self._chunked:
            size = int(self._connection.read_until(b"\r\n"), 16)
            if not size:
                while line := self._connection.read_until(b"\r\n")[:-2]:
                    self.trailers.append(line.decode("latin-1"))
                self._at_end = True
                return b""
            data = self._connection.read_exactly(size)
            self._connection.read_exactly(2)
            return data
        data = self._connection.read_some(self._left)
        self._left -= len(data)
        self._at_end = not self._left
        return data

    @property
    def body(self) -> bytes:
        """The whole body, waited for."""
        if self._body is None:
            self._body = b"".join(iter(self.read_some, b""))
        return self._body

    # -- the answer ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send these bytes, whatever they are."""
        self._connection.raw.sendall(data)

    def respond(
        self,
        status: int = 200,
        fields: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        reason: str = "OK",
    ) -> None:
        """Send a whole response with a Content-Length."""
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in fields]
        lines += [f"Content-Length: {len(body)}", "\r\n"]
        self.send("\r\n".join(lines).encode("latin-1") + (b"" if self.method == "HEAD" else body))

    def close(self) -> None:
        """Close the connection in an orderly way."""
        self.keeps_connection = False
        self._connection.close()

    def finish(self) -> None:
        """Say that nothing more comes, then take what the proxy still sends until it closes."""
        self._connection.raw.shutdown(socket.SHUT_WR)
        self.hang()

    def cut(self) -> None:
        """Close the connection with a reset."""
        with contextlib.suppress(OSError):
            self._connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def hang(self) -> None:
        """Say nothing until the proxy gives up on this connection, or the deadline has passed."""
        self.keeps_connection = False
        with contextlib.suppress(ConnectionError):
            while self._connection.raw.recv(_RECEIVE_BYTES):
                pass


Script = Callable[[BackendCall], None]


def read_and_answer(call: BackendCall) -> None:
    """Read the whole request, then answer 200 without a body."""
    _ = call.body
    call.respond()


class ScriptedBackend:
    """Listens on a port of the loopback interface (0: a free one), with a thread per connection.

    `scripts` has what answers requests for a path; others get the `answer`. Every request is kept
    in `calls`, in the order in which they began. A script that fails fails the test at the end.
    """

    def __init__(
        self,
        answer: Script = read_and_answer,
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.answer = answer
        self.scripts: dict[str, Script] = {}
        self.calls: list[BackendCall] = []
        self.connections = 0
        self._tls = tls
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
        self._failures: list[Exception] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self._failures:
            raise self._failures[0]

    def close(self) -> None:
        """Stop listening and close what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._acceptor.join()  # the last connection it took is in the list as well
        self._listener.close()
        self._end_connections()

    def close_connections(self) -> None:
        """Close every connection, and come back when its thread is done with it."""
        self._end_connections()
        self.wait_until_closed()

    def _end_connections(self) -> None:
        with self._changed:
            ending = list(self._open)
        for connection in ending:
            connection.end()

    # -- what arrived ----------------------------------------------------------------------

    def calls_to(self, target: str) -> list[BackendCall]:
        """The requests for a target so far."""
        with self._changed:
            return [call for call in self.calls if call.target.partition("?")[0] == target]

    def wait_for(self, target: str, count: int = 1) -> BackendCall:
        """The request for a target that makes `count` of them, waited for."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: len(self.calls_to(target)) >= count, DEADLINE_SECONDS
            )
        assert found, f"{len(self.calls_to(target))} of {count} requests for {target} arrived"
        return self.calls_to(target)[count - 1]

    def wait_until_closed(self) -> None:
        """Come back when no connection is open any more."""
        with self._changed:
            closed = self._changed.wait_for(lambda: not self._open, DEADLINE_SECONDS)
        assert closed, f"{len(self._open)} connections are still open"

    # -- serving ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection = _Connection(raw, self.connections)
            with self._changed:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: "_Connection") -> None:
        try:
            connection.begin(self._tls)
            while self._serve_one(connection):
                pass
        except (OSError, EOFError):
            pass  # the proxy has hung up: for the test to judge, from what it sees elsewhere
        except Exception as error:
            self._failures.append(error)
            raise
        finally:
            connection.close()
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()

    def _serve_one(self, connection: "_Connection") -> bool:
        head = connection.read_until(b"\r\n\r\n")
        call = BackendCall(connection, head)
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        script = self.scripts.get(call.target.partition("?")[0], self.answer)
        try:
            script(call)
        finally:
            call.answered.set()
        if call.keeps_connection:
            _ = call.body  # closing before it was read could take the response back
        return call.keeps_connection


class _Connection:
    """One accepted socket. Its thread reads, writes and closes; any thread may `end` it."""

    def __init__(self, raw: socket.socket, number: int) -> None:
        self.raw = raw
        self.number = number
        self._buffer = b""
        self._lock = threading.Lock()  # a descriptor may belong to another once it is closed

    def begin(self, tls: ssl.SSLContext | None) -> None:
        self.raw.settimeout(DEADLINE_SECONDS)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            with self._lock:
                self.raw = tls.wrap_socket(
                    self.raw, server_side=True, do_handshake_on_connect=False
                )
            self.raw.do_handshake()

    def end(self) -> None:
        """Have the thread find the connection at its end, whatever it waits for."""
        with self._lock, contextlib.suppress(OSError):  # closed already, by either side
            socket.socket.shutdown(self.raw, socket.SHUT_RDWR)  # no goodbye of TLS

    def close(self) -> None:
        with self._lock:
            self.raw.close()

    def _more(self) -> None:
        data = self.raw.recv(_RECEIVE_BYTES)
        if not data:
            raise EOFError("the proxy has closed the connection")
        self._buffer += data

    def read_until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._more()
        return self.read_exactly(at + len(end))

    def read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_some(self, at_most: int) -> bytes:
        if not self._buffer:
            self._more()
        return self.read_exactly(min(at_most, len(self._buffer)))
