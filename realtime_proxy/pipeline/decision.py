"""What a handler may decide about a request, and about a WebSocket event."""

from enum import Enum

import attrs

from realtime_proxy.model.messages import Response


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
