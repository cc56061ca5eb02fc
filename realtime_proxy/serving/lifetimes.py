"""A credential's lifetime is its connection's lifetime: held clients, up to when they may stay.

Nothing is kept of those whose credential has no end.
"""

import random
import time
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.net.timers import TICK_SECONDS, Timer, Timers
from realtime_proxy.pipeline.exchange import Identity
from realtime_proxy.sessions.access_loss import EXPIRED, REVOKED, AccessLoss
from realtime_proxy.sessions.expiry_notice import ExpiryNotice


class Client(Protocol):
    """A held client, as its lifetime knows it."""

    @property
    def identity(self) -> Identity | None:
        """Who it is, by the latest credential."""

    @property
    def is_held(self) -> bool:
        """False once it is over."""

    @property
    def connection_id(self) -> str:
        """By what it can be found to be renewed; empty if it can't."""

    @property
    def recheck_seconds(self) -> float:
        """How often to ask whether it may stay; 0: never."""

    @property
    def expiry_notice(self) -> ExpiryNotice | None:
        """What it is to be told before its end."""

    def tell_expiry(self, notice: ExpiryNotice, expires_at: float, now: float) -> None:
        """Tell it, if it is of a kind that can be told."""

    def lose_access(self, loss: AccessLoss) -> None:
        """Close it, and say why."""


@attrs.define(eq=False)
class _Lifetime:
    """One client with an end; `lost` says why it is being closed."""

    expires_at: float | None = None  # seconds since the epoch
    timer: Timer | None = None
    is_told: bool = False  # that the end is near
    recheck: Timer | None = None
    undecided: int = 0  # how often in a row nobody could tell whether it may stay
    lost: AccessLoss | None = None

    def cancel(self) -> None:
        """Have nothing more happen to it."""
        for timer in (self.timer, self.recheck):
            if timer is not None:
                timer.cancel()


class Lifetimes:
    """Closes held clients when their credentials expire, and has others asked now and then."""

    def __init__(
        self,
        timers: Timers,
        wall_clock: Callable[[], float] = time.time,
        recheck: Callable[[Any], None] = lambda _client: None,
        named: dict[str, Any] | None = None,
    ) -> None:
        """`recheck` begins to ask whether a client may stay; it tells with `begin` or `lose`.

        `named` gets the clients that can be renewed by their connection's id, while they have an
        end.
        """
        self._timers = timers
        self._named = {} if named is None else named
        self._recheck = recheck
        self._wall_clock = wall_clock
        self._kept: dict[Client, _Lifetime] = {}

    def __len__(self) -> int:
        """How many have an end."""
        return len(self._kept)

    def begin(self, client: Client) -> None:
        """A client is held from now on; again when it was found the same, or is renewed."""
        known = self._kept.get(client)
        if known is not None and known.lost is not None:  # before it was accepted
            client.lose_access(known.lost)
            return
        identity = client.identity
        if identity is not None and identity.has_lapsed:  # while its backend was asked
            self._timers.after(0, lambda: self._lapsed(client))
        self.end(client, CloseReason.FINISHED)
        ends_at = None if identity is None else identity.expires_at
        if ends_at is None and not client.recheck_seconds:
            return
        life = self._kept[client] = _Lifetime(ends_at)
        life.is_told = known is not None and known.is_told and known.expires_at == ends_at
        if client.connection_id:
            self._named[client.connection_id] = client
        if client.recheck_seconds:
            self._recheck_later(client, life)
        if ends_at is not None:
            self._wait(client, life)

    def undecided(self, client: Client) -> int:
        """Nobody could tell whether it may stay: ask later. How often in a row that was so."""
        life = self._kept.get(client)
        if life is None or life.lost is not None:
            return 0
        life.undecided += 1
        self._recheck_later(client, life)
        return life.undecided

    def _recheck_later(self, client: Client, life: _Lifetime) -> None:
        if life.recheck is not None:
            life.recheck.cancel()
        # Not all at once that came at once, after a restart for example.
        delay = client.recheck_seconds * random.uniform(0.9, 1.0)  # noqa: S311
        life.recheck = self._timers.after(delay, lambda: self._recheck(client))

    def _lapsed(self, client: Client) -> None:
        identity = client.identity
        if identity is not None and identity.has_lapsed:
            self.lose(client, REVOKED)

    def end(self, client: Client, reason: CloseReason) -> CloseReason:
        """A client is held no longer. The reason to tell: the loss of access, if that is why."""
        life = self._kept.pop(client, None)
        if life is None:
            return reason
        life.cancel()
        if client.connection_id:
            self._named.pop(client.connection_id, None)
        return life.lost.reason if life.lost is not None else reason

    def lose(self, client: Client, loss: AccessLoss) -> None:
        """Close a held client, which may take a while, for this reason."""
        if not client.is_held:
            return
        life = self._kept.setdefault(client, _Lifetime())
        life.cancel()
        life.lost = loss
        client.lose_access(loss)

    def _wait(self, client: Client, life: _Lifetime) -> None:
        """Set the timer for what comes next: the notice, or the end."""
        if life.timer is not None:
            life.timer.cancel()
        notice = client.expiry_notice
        next_at = life.expires_at or 0.0
        if notice is not None and not life.is_told:
            next_at -= notice.seconds
        left = max(0.0, next_at - self._wall_clock())
        life.timer = self._timers.after(left, lambda: self._due(client, life))

    def _due(self, client: Client, life: _Lifetime) -> None:
        expires_at, now = life.expires_at or 0.0, self._wall_clock()
        notice = client.expiry_notice
        if expires_at - now < TICK_SECONDS:
            self.lose(client, EXPIRED)
            return
        if notice is not None and expires_at - now < notice.seconds + TICK_SECONDS:
            life.is_told = True
            client.tell_expiry(notice, expires_at, now)
        if client in self._kept:  # a client that can't be told is closed
            self._wait(client, life)
