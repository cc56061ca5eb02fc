"""A client loses its access while it is held: how each kind of hold says so."""

import json

import attrs

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response


@attrs.frozen
class AccessLoss:
    """Why a credential holds no connection open any more, in the words for its client."""

    reason: CloseReason
    close_code: int  # of a WebSocket; 4401 and 4403 stand for 401 and 403
    text: str

    @property
    def event(self) -> bytes:
        """The last event of an event stream. Its client comes again, and then gets a status."""
        return f"event: {self.reason.label}\ndata: {self.text}\n\n".encode()

    def response(self, challenge: str) -> Response:
        """The answer to a long-poll: 401, with the challenge of the scheme if that has one."""
        headers = Headers([(b"Content-Type", b"application/json; charset=utf-8")])
        if challenge:
            headers.append((b"WWW-Authenticate", challenge.encode()))
        return Response(401, headers, json.dumps({"message": self.text}).encode() + b"\n")


EXPIRED = AccessLoss(CloseReason.EXPIRED, 4401, "credential expired")
REVOKED = AccessLoss(CloseReason.REVOKED, 4401, "credential revoked")
FORBIDDEN = AccessLoss(CloseReason.REFUSED, 4403, "renewal refused")
