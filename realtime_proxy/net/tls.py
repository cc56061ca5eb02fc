"""TLS over memory buffers: an encrypted write is as synchronous as a plain one.

trio's SSLStream can only be awaited, which makes a write ten times dearer. Here one `SSLObject`
turns bytes into records and back, and whoever owns the raw socket sends and receives those.

All connections put their records into one buffer, which is emptied before anything else happens:
one of its own for each would take 1.4 kB more, and a fifth more time for each record.
"""

import contextlib
import socket
import ssl

import trio

from realtime_proxy.model.client_certificate import ClientCertificate

RECEIVE_BYTES = 65_536
_LINGER_SECONDS = 1.0
_OUTGOING = ssl.MemoryBIO()  # empty between two calls of a codec, which are all in one thread


class TlsCodec:
    """The TLS side of one connection: plain bytes to records and back. Does no IO."""

    __slots__ = ("_client_certificate", "_due", "_incoming", "_tls", "peer_has_ended")

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        """With a `server_name` this is the client's side, with None the server's."""
        self._incoming = ssl.MemoryBIO()
        self._due = b""  # records that are to go before all others
        self._tls = context.wrap_bio(
            self._incoming,
            _OUTGOING,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._client_certificate: ClientCertificate | None = None
        self.peer_has_ended = False  # said so, in a record: anybody can end a connection

    def handshake(self, records: bytes) -> bool:
        """Go on with the handshake after these records came; True when it is done.

        Raises ssl.SSLError. In any case `output` has what to send next.
        """
        self._incoming.write(records)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._due += _OUTGOING.read()
        return True

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client has shown, once the handshake is done; None if it has shown none.

        It is made when it is first asked for, and kept.
        """
        if self._client_certificate is None and (der := self._tls.getpeercert(binary_form=True)):
            self._client_certificate = ClientCertificate(der)
        return self._client_certificate

    def output(self) -> bytes:
        """Records that are to be sent now."""
        due, self._due = self._due, b""
        return due

    def seal(self, data: bytes | memoryview) -> bytes:
        """Bytes as the records to send. Raises OSError (ssl.SSLError) when our side has ended."""
        try:
            self._tls.write(data)
        finally:
            records = _OUTGOING.read()
        return self.output() + records if self._due else records

    def open(self, records: bytes) -> bytes | None:
        """The plain bytes in records; empty at the end of the stream, None if none are whole.

        Raises ConnectionResetError when the records are not what the peer sent.
        """
        if records:
            self._incoming.write(records)
        else:
            self._incoming.write_eof()
        return self.opened_before()

    def opened_before(self) -> bytes | None:
        """The plain bytes in records that have come already, such as with the handshake's end.

        As with `open`.
        """
        parts = []
        try:
            while data := self._tls.read(RECEIVE_BYTES):
                parts.append(data)
            self.peer_has_ended = True
        except ssl.SSLWantReadError:
            return b"".join(parts) or None
        except ssl.SSLZeroReturnError:  # in place of no bytes, once our side has ended too
            self.peer_has_ended = True
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError as error:
            raise ConnectionResetError(str(error)) from error
        finally:
            self._due += _OUTGOING.read()  # answers to key updates
        return b"".join(parts)

    def goodbye(self) -> bytes:
        """The record that ends our side."""
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()  # raises because the peer's own goodbye is not here yet
        self._due += _OUTGOING.read()
        return self.output()


def reason_of(error: OSError) -> str:
    """Why a handshake failed, for people: without the names that OpenSSL has for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or str(error)


async def handshake(raw: socket.socket, codec: TlsCodec) -> None:
    """Agree on keys over a connected, non-blocking socket; the caller bounds the time.

    Raises ssl.SSLError, or OSError when the connection is lost.
    """
    done = False
    records = b""
    while not done:
        try:
            done = codec.handshake(records)
        finally:
            await _send_all(raw, codec.output())  # an alert says why it failed
        if not done:
            records = await _receive(raw)
            if not records:
                raise ConnectionResetError("connection closed during the TLS handshake")


async def hang_up(raw: socket.socket) -> None:
    """Close a connection so that the other side can read what it was sent last, such as an alert.

    With unread input a socket is closed by a reset, which takes away what is on its way.
    """
    with contextlib.suppress(OSError), trio.move_on_after(_LINGER_SECONDS):
        raw.shutdown(socket.SHUT_WR)
        while await _receive(raw):
            pass
    raw.close()


async def _send_all(raw: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[raw.send(data) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(raw)


async def _receive(raw: socket.socket) -> bytes:
    while True:
        await trio.lowlevel.wait_readable(raw)
        try:
            return raw.recv(RECEIVE_BYTES)
        except BlockingIOError:
            continue
