"""What handlers know of a client: its request, its route, and who it is."""

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import attrs

from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.client_scope import ClientScope

NO_NOTES: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen
class Identity:
    """Who the client is, as an auth handler found out. Shared with later handlers and logs.

    Past `expires_at` a held connection is closed, unless it is renewed: by an identity of the same
    `consumer`, `subject`, `groups` and `scope`.
    """

    consumer: str
    claims: dict[str, Any] = attrs.field(factory=dict)
    expires_at: float | None = None  # seconds since the epoch
    anonymous: bool = False  # stands for everyone unknown: a later handler may find out more
    groups: tuple[str, ...] = ()
    credential: str = ""  # which of the consumer's it is; a name that gives nothing of it away
    subject: str = ""  # whom of the consumer's users it is about, as the `sub` of a token
    scope: tuple[Any, ...] = ()  # what else a renewal must have alike
    challenge: str = ""  # `WWW-Authenticate` of a 401 when the credential counts no more
    # False once the credential counts no more, whatever its time; None: it does.
    holds: Callable[[], bool] | None = attrs.field(default=None, eq=False, repr=False)
    # False once the credential may say something else than this; None: it always says the same.
    is_current: Callable[[], bool] | None = attrs.field(default=None, eq=False, repr=False)

    def counts(self) -> bool:
        """False once it has ended or lapsed, or has to be found out anew."""
        ends_at, holds, is_current = self.expires_at, self.holds, self.is_current
        return (
            (ends_at is None or ends_at > time.time())
            and (is_current is None or is_current())
            and (holds is None or holds())
        )

    @property
    def has_lapsed(self) -> bool:
        """True if the credential counts no more."""
        return self.holds is not None and not self.holds()

    def within(self, credentials: Collection["Identity"]) -> "Identity":
        """The same client, for as long as all of these credentials count."""
        ending = [one for one in credentials if one.expires_at is not None]
        first = min(ending, key=lambda one: one.expires_at or 0, default=self)
        each = tuple(one.holds for one in credentials if one.holds is not None)
        return Identity(
            self.consumer,
            self.claims,
            first.expires_at,
            self.anonymous,
            self.groups,
            self.credential,
            self.subject,
            self.scope,
            first.challenge or self.challenge,
            partial(_all_hold, each) if each else None,
        )

    def is_renewed_by(self, other: "Identity") -> bool:
        """True if the other one is of the same client with the same rights."""
        return self.rights == other.rights

    @property
    def rights(self) -> tuple[Any, ...]:
        """What a renewal must have alike."""
        groups = frozenset(self.groups)
        return self.consumer, self.subject, groups, self.scope, self.anonymous


NO_CREDENTIALS: Mapping[str, Identity] = MappingProxyType({})


def _all_hold(each: tuple[Callable[[], bool], ...]) -> bool:
    return all(holds() for holds in each)


class RequestContent(Protocol):
    """The body of a request, for handlers that have to look into it."""

    async def read(self, max_bytes: int) -> bytes | None:
        """All of it, once it is here; it is kept for the backend.

        None if it has more bytes. If it does not arrive as it should, None as well: then whatever
        the handler decides, the client is told that.
        """

    def replace(self, body: bytes) -> None:
        """Have the backend get another one instead of what has been read.

        Raises ValueError if not all of it was.
        """


@attrs.define
class Exchange:
    """One client request, from the first handler to the end of the connection it may hold open.

    Handlers may change `request` (its target and headers) before the backend is asked, and set
    `identity`. `scheme` is `http`, `https`, `ws` or `wss`. `peer_address` is where the connection
    comes from, empty on unix sockets; `client_address` is that of the client itself, which known
    proxies in front tell (`[forwarded] trusted_proxies`), else the same. `held` says what the
    connection became: `stream`, `response`, `websocket`. `record` has what became of it all; None
    unless a handler of the route keeps records. `client_certificate` is what the client has shown
    this proxy, checked (`[[server.tls]] client_ca`); None if it has shown none. `notes` has what a
    handler wants to know of this client later, by the handler's name: replace it, don't change it.
    A `connection_id` that a handler gives is told to clients that are held, as `Connection-Id`: by
    it they can renew their credential. `is_recheck` says that this is no request, but the question
    whether a held client may stay (`reauth_interval_seconds`); its backend is not asked. For that,
    `came_as` has the head of the request as it came; else it is empty. `scope` has what a held
    client may have of items, where its route parts clients by a claim. `content` is there within
    `on_request` of an HTTP request that has a body. Where several handlers have found out who it
    is, `credentials` has what each of them says, by its name, and `identity` counts for as long as
    all of these do.
    """

    request: RequestHead
    route_id: str
    scheme: str
    client_address: str
    identity: Identity | None = None
    held: str = ""
    peer_address: str = ""
    record: ConnectionRecord | None = None
    client_certificate: ClientCertificate | None = None
    notes: Mapping[str, Any] = NO_NOTES
    connection_id: str = ""
    is_recheck: bool = False
    came_as: bytes = b""
    scope: ClientScope | None = None
    content: RequestContent | None = None
    credentials: Mapping[str, Identity] = NO_CREDENTIALS
