"""What a handler may decide about a request, and about a WebSocket event."""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any

import attrs

from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.exchange import NO_NOTES, Identity


class Verdict(Enum):
    """A decision that needs nothing more said."""

    CONTINUE = "continue"  # go on, with whatever was changed on the exchange
    NOT_MINE = "not-mine"  # this handler has no opinion; the next one may


@attrs.frozen
class Refuse:
    """Turn the request away with this response, before the backend hears of it."""

    response: Response
    why: str  # for the log: names what was wrong, never the credential itself


@attrs.frozen
class Answer:
    """Answer the request with this response, instead of the backend."""

    response: Response


Decision = Verdict | Refuse | Answer
CONTINUE = Verdict.CONTINUE
NOT_MINE = Verdict.NOT_MINE


class Drop(Enum):
    """Leave a WebSocket event out."""

    DROP = "drop"


@attrs.frozen
class CloseWith:
    """Close the WebSocket with this code and reason."""

    code: int
    reason: str = ""


@attrs.frozen
class Renew:
    """The message renews the client's credential: it goes no further.

    `identity` may wait; it gives who the client is by the new credential, or None if that does not
    count. Only the same client with the same rights may stay, else the WebSocket is closed with
    4403. `accepted` is called when it may, and gives the text to tell it. `handler` need not be
    given: it is the one that says so.
    """

    identity: Callable[[], Awaitable[Identity | None]]
    accepted: Callable[[Identity], str]
    handler: str = ""


@attrs.frozen
class Renewed:
    """Who a client is by a renewed credential, and the `notes` that its exchange then has."""

    identity: Identity
    notes: Mapping[str, Any] = NO_NOTES


class Renewal(Enum):
    """What became of a renewed credential for a held connection."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # it is another client's, or has other rights
    UNKNOWN = "unknown"  # there is no such connection
    UNANSWERED = "unanswered"  # a worker has not said in time whether it has that connection
