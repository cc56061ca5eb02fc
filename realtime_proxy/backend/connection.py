"""One HTTP/1.1 connection to a backend: raw socket, system call first, waiting only when needed."""

import contextlib
import errno
import os
import socket
from collections.abc import Awaitable
from typing import Any

import trio

from realtime_proxy.backend.origin import Origin
from realtime_proxy.config.addresses import is_private
from realtime_proxy.errors import (
    BackendBlocked,
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
)
from realtime_proxy.net.descriptors import OUT_OF_RESOURCES
from realtime_proxy.net.timers import Timer, Timers
from realtime_proxy.net.tls import RECEIVE_BYTES, TlsCodec, handshake
from realtime_proxy.net.watcher import EDGE, HUNG_UP, READ, Watcher

_UNSENT_BYTES = 16_384
# Of a connection that was used so recently the watcher would have told by now.
_RECENT_SECONDS = 0.1


class BackendConnection:
    """A connection that carries one request at a time.

    The watcher has its descriptor as long as it lives, and tells of each arrival once: waiting for
    an answer costs a task switch and no system call.
    """

    __slots__ = (
        "_blocked_since",
        "_has_ended",
        "_has_input",
        "_is_closed",
        "_limits_silence",
        "_raw",
        "_silence",
        "_timed_out",
        "_timer",
        "_timers",
        "_tls",
        "_waiter",
        "_waiting_since",
        "_watcher",
        "given_back_at",
        "idle_seconds",
        "is_reused",
        "origin",
        "owes_body",
    )

    def __init__(
        self,
        origin: Origin,
        raw: socket.socket,
        tls: TlsCodec | None,
        timers: Timers,
        watcher: Watcher,
    ) -> None:
        self.origin = origin
        self._raw = raw
        self._tls = tls
        self._timers = timers
        self._watcher = watcher
        self._waiter: trio.lowlevel.Task | None = None
        self._has_input = False  # there may be something to receive
        self._has_ended = False
        self._is_closed = False
        self._timer: Timer | None = None  # stays from one request to the next
        self._limits_silence = False
        self._silence = 0.0
        self._waiting_since: float | None = None
        self._blocked_since: float | None = None
        self._timed_out = False
        self.is_reused = False
        self.owes_body = False  # the request is not complete: no other may follow it
        self.given_back_at = 0.0
        self.idle_seconds = 0.0
        watcher.add(raw.fileno(), self, READ | EDGE)

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises BackendMisbehaved when the connection is lost."""
        try:
            if self._tls is not None:
                data = self._tls.seal(data)
            while data := data[self._send_some(data) :]:
                await trio.lowlevel.wait_writable(self._raw)
        except OSError as error:
            raise self._lost(error) from error
        finally:
            self._blocked_since = None

    def _send_some(self, data: bytes) -> int:
        """How much the kernel takes now; an upload that moves is not silence."""
        try:
            sent = self._raw.send(data)
        except BlockingIOError:
            sent = 0
        if sent and self._waiting_since is not None:
            self._waiting_since = self._timers.now()
        if sent < len(data) and (sent or self._blocked_since is None):
            self._blocked_since = self._timers.now()
        return sent

    async def receive(self, *, waits_first: bool = True) -> bytes:
        """What arrives next; empty at the end. Raises BackendMisbehaved when it is lost.

        The answer to a request is never there at once, so this waits first; more of an answer
        often is.
        """
        if self._tls is not None and self._has_said_goodbye:
            return b""
        self._waiting_since = self._timers.now()
        while True:
            if waits_first:
                await self._arrival()
            waits_first = True
            self._has_input = self._has_ended
            try:
                data = self._raw.recv(RECEIVE_BYTES)
                if self._timed_out:
                    raise BackendTimeout("no answer in time")
                plain = data if self._tls is None else self._tls.open(data)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost(error) from error
            if len(data) == RECEIVE_BYTES:  # what did not fit is not told of again
                self._has_input = True
            if plain is not None:
                self._waiting_since = None
                return plain

    async def receive_into(self, room: memoryview, *, waits_first: bool) -> int:
        """As `receive`, without TLS: how many bytes were put into the room, 0 at the end."""
        self._waiting_since = self._timers.now()
        while True:
            if waits_first:
                await self._arrival()
            waits_first = True
            self._has_input = self._has_ended
            try:
                size = self._raw.recv_into(room)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost(error) from error
            if self._timed_out:
                raise BackendTimeout("no answer in time")
            if size == len(room):  # what did not fit is not told of again
                self._has_input = True
            self._waiting_since = None
            return size

    def _arrival(self) -> Awaitable[None]:
        """To be awaited until there is something to receive; lets others have their turn."""
        if self._has_input:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105
        self._waiter = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(self._wait_no_more)  # noqa: ASYNC105

    def _wait_no_more(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED

    def ready(self, events: int) -> None:
        """Called by the watcher: something has arrived, or the backend has hung up."""
        self._has_input = True
        if events & HUNG_UP:
            self._has_ended = True
        if self._waiter is not None:
            task, self._waiter = self._waiter, None
            trio.lowlevel.reschedule(task)

    def limit_silence(self, seconds: float) -> None:
        """From now on, fail with BackendTimeout once nothing has moved for so long.

        That is: `receive` waits for something, or `send` for being taken.
        """
        self._limits_silence = True
        if self._timer is None or seconds != self._silence:
            self._cancel_timer()
            self._silence = seconds
            self._timer = self._timers.after(seconds, self._check_silence)

    def unlimit_silence(self) -> None:
        """The response is complete: silence is as it should be."""
        self._limits_silence = False

    def _check_silence(self) -> None:
        self._timer = None
        if not self._limits_silence:
            return
        moments = [at for at in (self._waiting_since, self._blocked_since) if at is not None]
        left = self._silence
        if moments:
            left -= self._timers.now() - max(moments)
        if left > 0:
            self._timer = self._timers.after(left, self._check_silence)
            return
        self._timed_out = True
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lost(self, error: OSError) -> BackendMisbehaved | BackendTimeout:
        if self._timed_out:
            return BackendTimeout("no answer in time")
        return BackendMisbehaved(f"connection lost: {error.strerror or error}")

    @property
    def is_encrypted(self) -> bool:
        """True if it speaks TLS."""
        return self._tls is not None

    @property
    def _has_said_goodbye(self) -> bool:
        """True if the backend has ended its side of TLS; that of TCP may go on."""
        return self._tls is not None and self._tls.peer_has_ended

    @property
    def is_ended_by_peer(self) -> bool:
        """True unless this is TLS whose end was not said in it: that anybody can have made.

        A response that goes up to the end is cut short then (RFC 9112 9.8).
        """
        return self._tls is None or self._has_said_goodbye

    def is_stale(self, now: float) -> bool:
        """True if an idle connection is of no use: the backend hung up, or sent what none asked.

        One that has been quiet for a while is looked at if the watcher may be about to tell.
        """
        if self._tls is not None and self._has_said_goodbye:
            return True
        is_recent = now - self.given_back_at < _RECENT_SECONDS
        if not self._has_input and (is_recent or self._watcher.is_up_to_date):
            return False
        try:
            self._raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def leave(self) -> tuple[socket.socket, TlsCodec | None]:
        """Give the open socket away, to be used in another way from now on."""
        self._cancel_timer()
        self._is_closed = True
        self._watcher.forget(self._raw.fileno())
        return self._raw, self._tls

    def close(self) -> None:
        """Give the descriptor back."""
        self._cancel_timer()
        if not self._is_closed:
            self._is_closed = True
            self._watcher.forget(self._raw.fileno())
            self._raw.close()


async def connect(
    origin: Origin,
    timers: Timers,
    watcher: Watcher,
    timeout_seconds: float,
) -> BackendConnection:
    """A fresh connection, names looked up without blocking, both address families tried.

    Raises BackendUnreachable for whatever keeps it from being made, and BackendBlocked.
    """
    raw: socket.socket | None = None
    try:
        with trio.fail_after(timeout_seconds):
            raw = await _open(origin)
            tls = None
            if origin.tls is not None:
                tls = TlsCodec(origin.tls, origin.server_name)
                await handshake(raw, tls)
    except trio.TooSlowError as error:
        _close(raw)
        message = f"{origin}: no connection in {timeout_seconds:g} s"
        raise BackendUnreachable(message, timed_out=True) from error
    except (OSError, ValueError) as error:
        _close(raw)
        ran_out = _is_out_of_files(error)
        raise BackendUnreachable(f"{origin}: {error}", is_out_of_files=ran_out) from error
    except BaseException:
        _close(raw)
        raise
    return BackendConnection(origin, raw, tls, timers, watcher)


async def _open(origin: Origin) -> socket.socket:
    """A connected socket: a name by whichever of its addresses answers first."""
    if origin.untrusted:
        return await _open_public(origin)
    if origin.family is not None:
        return await _open_address(origin.family, (origin.host, origin.port))
    stream = await trio.open_tcp_stream(origin.host, origin.port)
    return socket.socket(fileno=stream.socket.detach())


async def _open_public(origin: Origin) -> socket.socket:
    """As `_open`, unless the host is, or has, an address that is not public.

    The name is looked up once and what was found is connected to: another lookup may find
    something else. Raises BackendBlocked.
    """
    found = await trio.socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    if any(is_private(str(address[0])) for *_, address in found):
        raise BackendBlocked
    failure = OSError("no address")
    # In turn, each with a share of the time: one that never answers must not use all of it.
    share = (trio.current_effective_deadline() - trio.current_time()) / len(found)
    for family, *_, address in found:
        try:
            with trio.fail_after(share):
                return await _open_address(family, address)
        except (OSError, trio.TooSlowError) as error:
            failure = OSError(str(error) or f"{address[0]} does not answer")
    raise failure


async def _open_address(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # As trio does: room is told as soon as the backend takes something of an upload.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        failure = raw.connect_ex(address)
        if failure == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(raw)
            failure = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))
    except BaseException:
        raw.close()
        raise
    return raw


def _is_out_of_files(error: BaseException) -> bool:
    """True for a failure of this process; trio has those of all addresses in a group."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_out_of_files(each) for each in error.exceptions)
    if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
        return True
    return error.__cause__ is not None and _is_out_of_files(error.__cause__)


def _close(raw: socket.socket | None) -> None:
    if raw is not None:
        raw.close()
