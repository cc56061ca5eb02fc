"""Connections that end: what is sent, and what comes back until the proxy is done with it."""

import contextlib
import ssl

import trio

# Longer than this nobody waits for the end of a connection that has nothing more to say: an input
# that the proxy does not let go of is a finding.
END_SECONDS = 20
# So long an answer may keep us waiting before we leave; no input fails by it.
QUIET_SECONDS = 0.03
RECEIVE_BYTES = 65_536


class NotLetGoError(AssertionError):
    """The proxy kept a connection open whose client had left."""


@contextlib.asynccontextmanager
async def connected(port):
    with trio.socket.socket() as raw:
        raw.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        await raw.connect(("127.0.0.1", port))
        yield raw


async def exchange(port, data, *, served=None, answer=b""):
    """Send, wait a little for what comes, leave, and see that the proxy lets go; all it sent.

    Leave only after `answer` has come and, if given, `served` has happened; or the proxy has ended
    the connection.
    """
    received = []
    with trio.move_on_after(END_SECONDS):
        async with connected(port) as raw:
            with contextlib.suppress(OSError):  # the proxy may refuse before it has read all
                await _send_all(raw, data)
            ended = await _receive_until(raw, received, answer)
            if not ended and not await _receive_while_it_comes(raw, received, served):
                with contextlib.suppress(OSError):
                    raw.shutdown(trio.socket.SHUT_WR)
                while await _receive(raw, received):
                    pass
            return b"".join(received)
    raise NotLetGoError


async def _send_all(raw, data):
    view = memoryview(data)
    while view:
        view = view[await raw.send(view) :]


async def _receive(raw, received):
    try:
        data = await raw.recv(RECEIVE_BYTES)
    except OSError:  # a reset ends it as well
        return False
    received.append(data)
    return bool(data)


async def _receive_until(raw, received, answer):
    """True if the proxy ended the connection, False once the answer is there."""
    while answer not in b"".join(received):
        if not await _receive(raw, received):
            return True
    return False


async def _receive_while_it_comes(raw, received, served):
    """True if the proxy ended the connection, False once it has been quiet for a while."""
    if served is not None:
        async with trio.open_nursery() as nursery:

            async def leave_when_served():
                await served.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(leave_when_served)
            while await _receive(raw, received):
                pass
            nursery.cancel_scope.cancel()
            return True
    while True:
        with trio.move_on_after(QUIET_SECONDS):
            if not await _receive(raw, received):
                return True
            continue
        return False


class TlsClient:
    """A TLS client between bytes and bytes, so that its records can be spoilt on their way."""

    def __init__(self, authority):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def hello(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.do_handshake()
        return self._out.read()

    async def shake_hands(self, raw):
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await _send_all(raw, self._out.read())
                self._in.write(await raw.recv(RECEIVE_BYTES))
            else:
                await _send_all(raw, self._out.read())
                return

    def seal(self, data):
        self._object.write(data)
        return self._out.read()
