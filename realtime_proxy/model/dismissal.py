"""That connections are to end before their time: why, and what WebSocket clients are told."""

import msgspec

from realtime_proxy.model.close_reason import CloseReason

POLICY_VIOLATION = 1008  # RFC 6455 7.4.1: for whatever no other code is for
CLOSED_BY_OPERATOR = "closed by operator"


class Dismissal(msgspec.Struct, frozen=True):
    """Streams end as they should, long-polls are answered as at their deadline."""

    code: int = POLICY_VIOLATION
    text: str = CLOSED_BY_OPERATOR
    reason: CloseReason = CloseReason.ADMIN_CLOSED
