"""One client's socket: the only thing that writes to it, and its place with the watcher.

A write is tried at once. Only what the kernel does not take is queued, within the limits of
`Backlogs`, and sent when the watcher says that the socket takes more: so publishing to a thousand
clients is a thousand `send` calls and nothing else.
"""

import contextlib
import socket
import struct
from collections import deque

import trio

from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.tls import TlsCodec
from realtime_proxy.net.watcher import EDGE, HUNG_UP, READ, WRITE, Watched, Watcher

RECEIVE_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time
_ARRIVALS = READ | EDGE
# `tcpi_bytes_acked` within `struct tcp_info` (linux/tcp.h), since Linux 4.1.
_BYTES_ACKED = struct.Struct("@120xQ")
_TCP_INFO_BYTES = _BYTES_ACKED.size


class _Backlog:
    """What waits until the kernel takes more, and what is to happen then: few clients have one."""

    __slots__ = ("drained", "ends", "has_moved", "parts", "size")

    def __init__(self) -> None:
        self.parts: deque[bytes] = deque()
        self.size = 0
        self.drained: trio.Event | None = None
        self.ends = False
        self.has_moved = False


class ClientSocket:
    """The write side, the read side and the watching of one client connection.

    `owner.ready` is called for each arrival once, so that the watching of a connection that goes
    from one request to the next, or is held, need not be changed. `has_input` then says that there
    may be something to receive, `has_ended` that the client has said its last. `overflowed` is the
    name of the limit for which it was cut, empty if it was not.
    """

    __slots__ = (
        "_backlog",
        "_backlogs",
        "_interest",
        "_raw",
        "_tls",
        "_watcher",
        "closed",
        "has_ended",
        "has_input",
        "overflowed",
        "owner",
    )

    def __init__(
        self,
        raw: socket.socket,
        tls: TlsCodec | None,
        watcher: Watcher,
        backlogs: Backlogs,
    ) -> None:
        self._raw = raw
        self._tls = tls
        self._watcher = watcher
        self._backlogs = backlogs
        self._backlog: _Backlog | None = None
        self._interest = _ARRIVALS
        self.has_input = False
        self.has_ended = False
        self.closed = False
        self.overflowed = ""
        self.owner: Watched | None = None
        watcher.add(raw.fileno(), self, _ARRIVALS)

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The certificate that the client has shown, if it came over TLS and was asked for one."""
        return None if self._tls is None else self._tls.client_certificate

    @property
    def number(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._raw.fileno()

    @property
    def bytes_sent(self) -> int | None:
        """How much the client has acknowledged, TLS included; None if the kernel does not tell."""
        try:
            info = self._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:  # no TCP, or closed
            return None
        return None if len(info) < _TCP_INFO_BYTES else _BYTES_ACKED.unpack_from(info)[0]

    # -- writing ---------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """How much waits to be sent."""
        return 0 if self._backlog is None else self._backlog.size

    def write(self, data: bytes | memoryview, *, is_sealed: bool = False) -> None:
        """Send now if nothing waits, else queue. Never waits, never raises.

        A view may be used for something else afterwards: of what waits there is a copy.
        `is_sealed`: with TLS, these are records. A connection found lost is left to the watcher,
        which reports its end.
        """
        if self._tls is not None and not is_sealed:
            if self.closed or (self._backlog is not None and self._backlog.ends):
                return
            try:
                data = self._tls.seal(data)
            except OSError:  # our goodbye is said, or the client broke TLS
                return
        if self._backlog is None:
            try:
                sent = self._raw.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lost()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._queue(bytes(data))

    def _queue(self, data: bytes) -> None:
        if self.overflowed or self.closed:
            return
        was_empty = self._backlog is None
        backlog = self._backlog = self._backlog or _Backlog()
        backlog.parts.append(data)
        backlog.size += len(data)
        if was_empty:
            self._backlogs.begin(self)
            self._watch()
        self._backlogs.grown(self, len(data), is_first=len(backlog.parts) == 1)

    def has_moved(self) -> bool:
        """True if anything of what waits was taken since this was last asked."""
        if self._backlog is None:
            return True
        has_moved, self._backlog.has_moved = self._backlog.has_moved, False
        return has_moved

    def cut(self, limit: str) -> None:
        """Give the client up; the watcher then reports the end, and its owner closes."""
        self.overflowed = limit
        with contextlib.suppress(OSError):  # already gone: the watcher reports that as well
            self._raw.shutdown(socket.SHUT_RDWR)
        self._lost()

    def _lost(self) -> None:
        """Have the watcher report the end, even to an owner who watches for nothing just now."""
        self._drop_backlog()
        self._watch()

    def _drop_backlog(self) -> None:
        backlog, self._backlog = self._backlog, None
        if backlog is None:
            return
        self._backlogs.end(self, backlog.size)
        if backlog.drained is not None:
            backlog.drained.set()

    def _flush(self, backlog: _Backlog) -> None:
        parts = backlog.parts
        while parts:
            data = parts[0]
            try:
                sent = self._raw.send(data)
            except BlockingIOError:
                break
            except OSError:
                self._lost()
                return
            backlog.size -= sent
            backlog.has_moved = True
            self._backlogs.total_bytes -= sent
            if sent < len(data):
                parts[0] = data[sent:]
                break
            parts.popleft()
        if not parts:
            self._drop_backlog()
            if backlog.ends:
                self.end_output()

    async def send_all(self, data: bytes | memoryview) -> bool:
        """Write, and wait until the client has taken everything. True if it did at once.

        Raises trio.BrokenResourceError when it is gone, or was cut because it takes nothing.
        """
        # What waits already, an answer of a hold for one, must not count against these bytes.
        if self._backlog:
            data = bytes(data)
            await self._drain()
        self.write(data)
        is_taken = self._backlog is None
        if not is_taken:
            await self._drain()
        if self.overflowed or self.closed:
            raise trio.BrokenResourceError("the client is gone or too slow")
        return is_taken

    async def _drain(self) -> None:
        while (backlog := self._backlog) is not None:
            if backlog.drained is None:
                backlog.drained = trio.Event()
            await backlog.drained.wait()

    # -- reading ---------------------------------------------------------------------------

    def receive(self) -> bytes | None:
        """What has arrived; None if nothing has yet, empty at the end or when it is lost."""
        self.has_input = False
        try:
            data = self._raw.recv(RECEIVE_BYTES)
            if len(data) == RECEIVE_BYTES:  # what did not fit is not told of again
                self.has_input = True
        except BlockingIOError:
            data = None
        except OSError:
            return b""
        if self._tls is None:
            return data
        try:
            plain = self._tls.opened_before() if data is None else self._tls.open(data)
        except OSError:
            return b""
        if answer := self._tls.output():  # to key updates
            self.write(answer, is_sealed=True)
        if plain and self._tls.peer_has_ended:  # in one go: of what is gone nobody would be told
            self.end_input()
        return plain

    async def wait_readable(self) -> None:
        """Wait until there is something to receive, the end included."""
        await trio.lowlevel.wait_readable(self._raw)
        self.has_input = True

    # -- watching --------------------------------------------------------------------------

    def watch_arrivals(self) -> None:
        """Have `owner.ready` called once when something arrives or the client ends.

        It is so from the start. What was told before and is still there is told again.
        """
        if self._interest != _ARRIVALS or self.has_input or self.has_ended:
            self._interest = _ARRIVALS
            self._watch()

    def watch_input(self) -> None:
        """Have `owner.ready` called for as long as there is something to receive, or the end."""
        self._interest = READ
        self._watch()

    def _watch(self) -> None:
        if not self.closed:
            events = self._interest if self._backlog is None else self._interest | WRITE
            self._watcher.change(self._raw.fileno(), events)

    def ready(self, events: int) -> None:
        """Called by the watcher: write what waits, then tell the owner the rest."""
        if events & WRITE and self._backlog is not None:
            self._flush(self._backlog)
            self._watch()
        if events & HUNG_UP:
            self.has_ended = True
        if events & (READ | HUNG_UP):
            self.has_input = True
            if self.owner is not None:
                self.owner.ready(events)

    # -- giving it away --------------------------------------------------------------------

    @property
    def plain_socket(self) -> socket.socket | None:
        """The socket itself; None with TLS, whose state is here."""
        return self._raw if self._tls is None else None

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close at once; what waits is dropped."""
        if self.closed:
            return
        self.closed = True
        self._drop_backlog()
        self._watcher.forget(self._raw.fileno())
        self.owner = None
        self._raw.close()

    def abort(self) -> None:
        """Close with a reset, so that the client can't take it for a clean end."""
        if not self.closed:
            with contextlib.suppress(OSError):  # already gone
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def end_input(self) -> None:
        """Make whoever waits for input see its end."""
        with contextlib.suppress(OSError):  # already gone
            self._raw.shutdown(socket.SHUT_RD)

    def end_output(self) -> None:
        """Once all is written, tell the client that nothing more comes; input goes on."""
        if self._backlog is not None:
            self._backlog.ends = True
            return
        if self._tls is not None:
            self.write(self._tls.goodbye(), is_sealed=True)
        with contextlib.suppress(OSError):  # already gone
            self._raw.shutdown(socket.SHUT_WR)
