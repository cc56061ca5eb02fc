"""The other workers of this machine: whose a SockJS session is, and giving its client there.

A session has one owner, found by its id. A request of it that comes to another worker takes the
whole connection there, so that what follows on it needs no second step.
"""

import hashlib
import socket
from typing import TYPE_CHECKING

import structlog
import trio

from realtime_proxy.net.handover import Parcel
from realtime_proxy.serving.tunnel import Tunnel
from realtime_proxy.wire.http1_rules import encode_head
from realtime_proxy.wire.http1_server import IncomingRequest

if TYPE_CHECKING:
    from realtime_proxy.serving.http_connection import HttpConnection

# A worker that has died is replaced within two seconds.
_PATIENCE_SECONDS = 3.0
_RETRY_SECONDS = 0.1
_MAX_KEY_BYTES = 64  # of the hash

log = structlog.get_logger()


class Neighbours:
    """The workers that share a folder, of which this one is in slot `own`."""

    def __init__(self, folder: str, own: int, workers: int) -> None:
        """The folder must be closed to everybody else, and its name hard to guess."""
        self._folder = folder
        self._own = own
        self._workers = workers
        self._key = folder.encode()[-_MAX_KEY_BYTES:]

    @property
    def own_path(self) -> str:
        """Where this worker is handed connections."""
        return self._path(self._own)

    def _path(self, slot: int) -> str:
        return f"{self._folder}/clients-{slot}"

    def owner_of(self, session: bytes) -> int | None:
        """The slot of the worker that has a session; None if that is this one."""
        # Clients choose the ids: they must not be able to choose the worker.
        digest = hashlib.blake2b(session, key=self._key, digest_size=8).digest()
        slot = int.from_bytes(digest, "big") % self._workers
        return None if slot == self._own else slot

    async def hand_over(
        self, owner: int, connection: "HttpConnection", request: IncomingRequest, unread: bytes
    ) -> bool:
        """Give a connection away with a request and what came behind it; False if it can't be.

        Raises trio.BrokenResourceError when the client is gone.
        """
        await connection.send(b"")  # nothing of an earlier answer must be left here
        head = request.head
        line = b"%b %b HTTP/%b" % (head.method, head.target, head.version)
        data = encode_head(line, head.headers) + unread
        certificate = connection.socket.client_certificate
        der = b"" if certificate is None else certificate.der
        plain = connection.socket.plain_socket
        if plain is not None:
            tls = connection.came_over_tls
            if not await self._send(owner, Parcel(plain, connection.peer, tls, der, data)):
                return False
            connection.leave()
            return True
        near, far = socket.socketpair()
        with far:
            if not await self._send(owner, Parcel(far, connection.peer, True, der, data)):
                near.close()
                return False
        Tunnel(connection, near)
        return True

    async def _send(self, owner: int, parcel: Parcel) -> bool:
        patient_until = trio.current_time() + _PATIENCE_SECONDS
        while True:
            try:
                await parcel.send(self._path(owner))
            except OSError as error:
                if trio.current_time() > patient_until:
                    log.error("a worker takes no connections", worker=owner, problem=str(error))
                    return False
                await trio.sleep(_RETRY_SECONDS)
            else:
                return True
