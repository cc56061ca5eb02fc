"""Letting clients go before a stop: each at its moment, and as it has to end to come back."""

from collections.abc import Iterable
from functools import partial
from random import Random
from typing import Protocol

from realtime_proxy.model.drain_plan import DrainPlan
from realtime_proxy.net.timers import Timers

# What is still open so long after the last moment is cut: a request, an answer to a close.
FINISH_SECONDS = 5.0
# A client that can't be let go just now is tried again so much later.
_AGAIN_SECONDS = 0.2
# Within this time a browser is to come back: about its own habit, and not all at once.
_RETRY_MILLISECONDS = (1_000, 5_000)


class Leaver(Protocol):
    """A client's connection."""

    @property
    def is_held(self) -> bool:
        """True if a hold has it."""

    def leave_if_idle(self) -> None:
        """End unless a request is under way, held, or about to come."""

    def let_go(self) -> bool:
        """End a hold as it should end. False if that has to wait."""


class Drain:
    """Ends the clients of a worker over some seconds."""

    def __init__(self, timers: Timers, seconds: float, random: Random) -> None:
        self._timers = timers
        self._random = random
        self._begun_at = timers.now()
        self._plan = DrainPlan.of(0, seconds, random)

    def begin(self, clients: Iterable[Leaver]) -> None:
        """Give each that is held its moment; those that are idle end at once."""
        for client in clients:
            client.leave_if_idle()
        held = [client for client in clients if client.is_held]
        self._plan = DrainPlan.of(len(held), self._plan.seconds, self._random)
        for client, moment in zip(held, self._plan.moments, strict=True):
            self._timers.after(moment, partial(self._let_go, client))

    def held(self, client: Leaver) -> None:
        """A client is held only now: by a request that was under way, or came meanwhile."""
        now = self._timers.now() - self._begun_at
        moment = self._plan.late(now, self._random)
        self._timers.after(max(0.0, moment - now), partial(self._let_go, client))

    def _let_go(self, client: Leaver) -> None:
        if not client.let_go():
            self._timers.after(_AGAIN_SECONDS, partial(self._let_go, client))

    def retry_milliseconds(self) -> int:
        """How long a browser is to wait before it comes back, each another time."""
        return self._random.randint(*_RETRY_MILLISECONDS)
