"""Renewed credentials of held clients: theirs if it is the same client with the same rights."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import structlog
import trio

from realtime_proxy.net.crew import Crew
from realtime_proxy.pipeline.decision import Renew
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.serving.lifetimes import Client, Lifetimes
from realtime_proxy.sessions.access_loss import FORBIDDEN

log = structlog.get_logger()


class Renewable(Client, Protocol):
    """A held client that can be known by another credential."""

    def keeps_scope(self, identity: Identity | None) -> bool:
        """True if by it the client may have the same items as before."""

    @property
    def credentials(self) -> Mapping[str, Identity]:
        """What each handler says it is, if there are several."""

    def adopt(self, identity: Identity | None, credentials: Mapping[str, Identity]) -> None:
        """Be known by these."""


class RenewingClient(Renewable, Protocol):
    """A client whose own message renews its credential."""

    def renewed(self, renew: Renew, identity: Identity) -> None:
        """Tell it that its new credential counts."""


class Renewals:
    """Has credentials renewed; the latest of a client counts."""

    def __init__(self, crew: Crew, lifetimes: Lifetimes) -> None:
        self._crew = crew
        self._lifetimes = lifetimes
        self._under_way: dict[RenewingClient, Renew] = {}

    def begin(self, client: RenewingClient, renew: Renew) -> None:
        """A client's message renews its credential; if that does not count, it has to leave."""
        self._under_way[client] = renew
        self._crew.start(partial(self._work, client, renew))

    async def _work(self, client: RenewingClient, renew: Renew, _scope: trio.CancelScope) -> None:
        identity = None
        try:
            identity = await renew.identity()
        except Exception:
            log.exception("renewal failed")
        if self._under_way.get(client) is not renew:
            return  # there is a later one
        del self._under_way[client]
        if identity is None or not self.apply(client, identity, renew.handler):
            self._lifetimes.lose(client, FORBIDDEN)
        else:
            client.renewed(renew, identity)

    def apply(self, client: Renewable, identity: Identity, handler: str) -> bool:
        """Have a client stay by this credential; False if it is another's, or has other rights.

        It takes the place of the one that this handler has found before; others still count.
        """
        credentials = client.credentials
        known = credentials.get(handler, client.identity)
        if known is None or not known.is_renewed_by(identity) or not client.is_held:
            return False
        if credentials:
            credentials = {**credentials, handler: identity}
            latest = credentials[next(reversed(credentials))]
            identity = latest.within(credentials.values())
        if not client.keeps_scope(identity):
            return False
        client.adopt(identity, credentials)
        self._lifetimes.begin(client)
        return True
