"""From a connection that was accepted to one that is served: whose it is, and its TLS."""

import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import structlog
import trio

from realtime_proxy.app.listeners import Listener
from realtime_proxy.config.server_section import Server
from realtime_proxy.errors import ProxyHeaderError
from realtime_proxy.model.messages import text_response
from realtime_proxy.net.address_limit import AddressLimit
from realtime_proxy.net.crew import Crew
from realtime_proxy.net.proxy_header import receive_proxy_header
from realtime_proxy.net.tls import TlsCodec, handshake, hang_up, reason_of
from realtime_proxy.wire.http1_server import BodyForm, encode_response_head

Admit = Callable[[socket.socket, TlsCodec | None, str], None]

_REQUEST_BYTES = 65_536

log = structlog.get_logger()


def _refusal() -> bytes:
    """What a client is told whose address has too many connections."""
    response = text_response(503, "Too many connections from your address.")
    response.headers.append((b"Retry-After", b"5"))
    head = encode_response_head(
        response.head(), BodyForm.LENGTH, len(response.body), keep_alive=False
    )
    return head + response.body


REFUSAL = _refusal()


class Reception:
    """Takes in the connections of listeners; `admit` is given those that may be served.

    `turned_away` is called for each of the others, which is closed by then. Who is admitted is
    counted in `addresses`.
    """

    def __init__(
        self,
        crew: Crew,
        admit: Admit,
        addresses: AddressLimit,
        turned_away: Callable[[], None],
    ) -> None:
        self._crew = crew
        self._admit = admit
        self._addresses = addresses
        self._turned_away = turned_away
        self._tls: dict[str, ssl.SSLContext] = {}
        self._proxied: frozenset[str] = frozenset()
        self._is_proxy: Callable[[str], bool] = lambda _peer: False
        self._timeout_seconds = 0.0
        self._entering: Counter[str] = Counter()

    @property
    def entering(self) -> Iterable[str]:
        """The addresses of those who are counted already, and not yet admitted."""
        return self._entering.elements()

    def adopt(
        self, server: Server, tls: dict[str, ssl.SSLContext], is_proxy: Callable[[str], bool]
    ) -> None:
        """Receive by this configuration from now on. `tls` has the contexts by address."""
        self._tls |= tls  # that of a listener that is gone from the file goes on until a restart
        self._proxied = frozenset(one.listen for one in server.tls if one.proxy_protocol)
        self._is_proxy = is_proxy
        self._timeout_seconds = server.header_timeout_seconds

    def taker(self, listener: Listener) -> Callable[[socket.socket, str], None]:
        """What to do with the connections of a listener."""

        def take(raw: socket.socket, peer: str) -> None:
            if listener.tls is None and not listener.proxy_protocol:
                if self._addresses.enter(peer):
                    self._admit(raw, None, peer)
                else:
                    self._refuse(raw, peer, REFUSAL)
            else:
                self._crew.start(partial(self._receive, listener, raw, peer))

        return take

    async def _receive(
        self, listener: Listener, raw: socket.socket, peer: str, _scope: trio.CancelScope
    ) -> None:
        """Settle what comes before HTTP, all of it within the time that a request head has."""
        codec, is_counted = None, False
        try:
            with trio.fail_after(self._timeout_seconds):
                if self._is_proxied(listener):
                    peer = await self._client_of(raw, peer)
                is_counted = self._addresses.enter(peer)
                if is_counted and listener.tls is not None:
                    codec = TlsCodec(self._tls[listener.tls.listen], None)
                    await self._shake_hands(raw, codec, peer)
        except ProxyHeaderError as error:
            log.info("connection refused", peer=peer, problem=str(error))
        except trio.TooSlowError:
            log.info("connection refused", peer=peer, problem="it took too long to begin")
        except OSError as error:
            log.info("TLS handshake failed", peer=peer, problem=reason_of(error))
        else:
            if is_counted:
                self._admit(raw, codec, peer)
            else:
                self._refuse(raw, peer, REFUSAL if listener.tls is None else b"")
            return
        if is_counted:
            self._addresses.leave(peer)
        await hang_up(raw)
        self._turned_away()

    async def _shake_hands(self, raw: socket.socket, codec: TlsCodec, peer: str) -> None:
        self._entering[peer] += 1
        try:
            await handshake(raw, codec)
        finally:
            self._entering[peer] -= 1
            if not self._entering[peer]:
                del self._entering[peer]

    def _refuse(self, raw: socket.socket, peer: str, told: bytes) -> None:
        """Close the connection of an address that has too many."""
        log.info("connection refused", peer=peer, problem="max_connections_per_address is reached")
        with raw, contextlib.suppress(OSError):  # it has left already
            if told:
                raw.send(told)
                raw.shutdown(socket.SHUT_WR)
            raw.recv(_REQUEST_BYTES)  # what is left unread would make a reset of the close
        self._turned_away()

    def _is_proxied(self, listener: Listener) -> bool:
        if listener.tls is None:
            return listener.proxy_protocol
        return listener.tls.listen in self._proxied

    async def _client_of(self, raw: socket.socket, peer: str) -> str:
        """Where the client is, as the load balancer says whose connection this is."""
        if not self._is_proxy(peer):
            raise ProxyHeaderError("only `[forwarded] trusted_proxies` may connect to this address")
        header = await receive_proxy_header(raw)
        return peer if header.source is None else header.source
