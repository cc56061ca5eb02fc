"""ZHTTP (ZeroMQ RFC 33) in its basic form: a request in one message, its reply in another.

Both are TNetStrings of dictionaries, after a `T`.
"""

from typing import Any

import attrs
import tnetstring

from realtime_proxy.errors import (
    BackendBlocked,
    BackendError,
    BackendMisbehaved,
    BackendUnreachable,
    GripError,
    ProtocolError,
)
from realtime_proxy.grip.header_fields import has_control, read_header_fields
from realtime_proxy.grip.tnetstring_text import NotTnetstringError, decode_tnetstring
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response

_PREFIX = b"T"
# Nothing has reached the origin, so that another may be asked.
_NOT_REACHED = frozenset(("remote-connection-failed", "connection-timeout", "tls-error"))


def encode_request(
    sender: bytes, number: bytes, scheme: str, head: RequestHead, body: bytes
) -> bytes:
    """A whole request: `sender` names this instance, `number` comes back in the reply."""
    host = head.headers.get(b"host") or b""
    packet = {
        b"from": sender,
        b"id": number,
        b"method": head.method,
        b"uri": b"%b://%b%b" % (scheme.encode(), host, head.target),
        b"headers": [[name, value] for name, value in head.headers],
        b"body": body,
    }
    encoded: bytes = tnetstring.dumps(packet)
    return _PREFIX + encoded


@attrs.frozen
class ZhttpReply:
    """A reply: the `id` of its request, and members that nobody has looked at yet."""

    id: bytes
    members: dict[str, Any]

    @classmethod
    def parse(cls, data: bytes) -> "ZhttpReply":
        """The reply in a message. Raises GripError when it is none."""
        if not data.startswith(_PREFIX):
            raise GripError("a reply begins with `T`")
        try:
            members = decode_tnetstring(data[len(_PREFIX) :])
        except NotTnetstringError as error:
            raise GripError(f"a reply is a TNetString: {error}") from error
        if not isinstance(members, dict) or not isinstance(members.get("id"), bytes):
            raise GripError("a reply has the `id` of its request")
        return cls(members["id"], members)

    def response(self) -> Response:
        """The response in it. Raises BackendError for a failure, or for what is no response.

        Raises ProtocolError when a length is asked for (411).
        """
        if self.members.get("type") == b"error":
            raise self._failure()
        if self.members.get("more"):
            raise BackendMisbehaved("a reply in several parts")
        status, reason = self.members.get("code"), self.members.get("reason", b"")
        body = self.members.get("body", b"")
        if type(status) is not int or not 200 <= status <= 999:
            raise BackendMisbehaved("a reply has a `code` from 200 to 999")
        if not isinstance(reason, bytes) or has_control(reason) or not isinstance(body, bytes):
            raise BackendMisbehaved("`reason` and `body` of a reply are strings")
        return Response(status, self._headers(), body, reason)

    def _headers(self) -> Headers:
        try:
            return read_header_fields(self.members.get("headers", []), "reply", GripError)
        except GripError as error:
            raise BackendMisbehaved(str(error)) from error

    def _failure(self) -> BackendError | ProtocolError:
        written = self.members.get("condition", b"")
        condition = written.decode(errors="replace") if isinstance(written, bytes) else ""
        if condition == "length-required":
            return ProtocolError(411, "Must provide Content-Length header.")
        if condition == "policy-violation":
            return BackendBlocked()
        if condition in _NOT_REACHED:
            return BackendUnreachable(condition, timed_out=condition == "connection-timeout")
        return BackendMisbehaved(f"zhttp error: {condition or 'without a condition'}")
