"""Held clients whose route asks now and then whether they may stay (`reauth_interval_seconds`)."""

from functools import partial
from typing import TYPE_CHECKING

import trio

from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.decision import Answer, Refuse
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.sessions.access_loss import REVOKED

if TYPE_CHECKING:
    from realtime_proxy.serving.context import ServingContext
    from realtime_proxy.serving.held_client import HeldClient
    from realtime_proxy.serving.live_route import LiveRoute

# In the line of requests that no client waits for.
_LINE = "rechecks"
# Nobody can tell: an auth server is down, or wants fewer questions. Once, that does no harm.
_UNDECIDED = frozenset((429, 500, 502, 503, 504))
_MOST_UNDECIDED = 1


class Rechecks:
    """Asks the handlers of a client's route, with the request it came with, whether it may stay."""

    def __init__(self, context: "ServingContext") -> None:
        self._context = context

    def begin(self, client: "HeldClient") -> None:
        """Ask soon."""
        self._context.crew.start(partial(self._work, client))

    async def _work(self, client: "HeldClient", _scope: trio.CancelScope) -> None:
        async with self._context.recoveries.turn(_LINE, urgent=False):
            question = client.question() if client.is_held else None
            if question is None:
                return
            route, exchange = question
            known = client.identity
            chain = self._chain_now(route)
            decision = None if chain is None else await chain.request(exchange)
        # Who was renewed meanwhile is asked about later, by what counts now.
        if client.is_held and client.identity is known:
            self._follow(client, route, exchange, decision)

    def _chain_now(self, route: "LiveRoute") -> Chain | None:
        """The handlers that a request would meet now, if the route is still there."""
        routes = self._context.routes
        current = None if routes.is_shared(route.id) else routes.named(route.id)
        return route.chain if current is None else current.chain

    def _follow(
        self,
        client: "HeldClient",
        route: "LiveRoute",
        exchange: Exchange,
        decision: Refuse | Answer | None,
    ) -> None:
        lifetimes = self._context.lifetimes
        is_same = _is_the_same(client.identity, exchange.identity)
        if decision is None and is_same and client.keeps_scope(exchange.identity):
            client.adopt(exchange.identity, exchange.credentials)
            lifetimes.begin(client)
            return
        why = "it is somebody else by now"
        if decision is not None:
            why = decision.why if isinstance(decision, Refuse) else "a handler has answered"
            is_undecided = decision.response.status in _UNDECIDED
            if is_undecided and lifetimes.undecided(client) <= _MOST_UNDECIDED:
                return
        route.log.info("held client refused", route=route.id, why=why)
        lifetimes.lose(client, REVOKED)


def _is_the_same(known: Identity | None, now: Identity | None) -> bool:
    if known is None or now is None:
        return known is now
    return known.is_renewed_by(now)
