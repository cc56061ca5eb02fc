"""The held clients of a worker by who they are, for handlers that know whose access has ended."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from realtime_proxy.pipeline.decision import Renewal
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.pipeline.handler import BaseHandler
from realtime_proxy.sessions.access_loss import REVOKED

if TYPE_CHECKING:
    from realtime_proxy.serving.held_client import HeldClient


RenewElsewhere = Callable[[str, str, bytes], Awaitable[Renewal]]


class Connection(Protocol):
    """Something that a client may be held on."""

    @property
    def held_client(self) -> "HeldClient | None":
        """The client that is held; None if there is none."""


class HeldIdentities:
    """What handlers know as `pipeline.LiveConnections`."""

    def __init__(self, connections: Iterable[Connection]) -> None:
        """`connections` are all that there are; they are looked through only when asked about."""
        self._connections = connections
        # By the ids of their connections, if these have one.
        self.named: dict[str, HeldClient] = {}
        self.handlers: Mapping[str, BaseHandler] = {}  # those that count now, by name
        self.elsewhere: RenewElsewhere = _unknown

    def revoke(self, loses: Callable[[Identity], bool]) -> int:
        """Close the connections of those whose credential counts no more; how many there were."""
        # A session is on the connection of the request that waits for it, too.
        lost = {client: None for client, identity in self._identified() if loses(identity)}
        for client in lost:
            client.connection.context.lifetimes.lose(client, REVOKED)
        return len(lost)

    async def renew(self, connection_id: str, handler: str, credential: bytes) -> Renewal:
        """Give a held connection a renewed credential, wherever it is held."""
        if connection_id in self.named:
            return await self.renew_here(connection_id, handler, credential)
        return await self.elsewhere(connection_id, handler, credential)

    async def renew_here(self, connection_id: str, handler: str, credential: bytes) -> Renewal:
        """The same, for a connection of this worker."""
        known = self.handlers.get(handler) if connection_id in self.named else None
        renewed = None if known is None else await known.renewed(credential)
        client = self.named.get(connection_id)
        if client is None:
            return Renewal.UNKNOWN
        chain, renewals = client.route.chain, client.connection.context.renewals
        # Who passes elsewhere may not where this client is, by the same name.
        if renewed is None or chain is None or not chain.has(handler):
            return Renewal.REFUSED
        if not renewals.apply(client, renewed.identity, handler):
            return Renewal.REFUSED
        client.note(renewed.notes)
        return Renewal.ACCEPTED

    def _identified(self) -> Iterator[tuple["HeldClient", Identity]]:
        for connection in self._connections:
            client = connection.held_client
            if client is not None and client.identity is not None:
                yield client, client.identity


async def _unknown(*_: object) -> Renewal:
    """There are no other workers."""
    return Renewal.UNKNOWN
