"""What a held client is told before its credential expires, so that it can renew it."""

import re

import attrs

_PLACE = re.compile(r"\{(seconds|expires_at|connection_id)\}")


@attrs.frozen
class ExpiryNotice:
    """How long before the end, and in which words.

    `{seconds}`, `{expires_at}` and `{connection_id}` are filled in.
    """

    seconds: float
    message: str

    def text(self, expires_at: float, now: float, connection_id: str = "") -> str:
        """The message, for a credential that ends then; times are seconds since the epoch."""
        values = {
            "seconds": max(0, round(expires_at - now)),
            "expires_at": int(expires_at),
            "connection_id": connection_id,
        }
        return _PLACE.sub(lambda place: str(values[place[1]]), self.message)

    def event(self, expires_at: float, now: float, connection_id: str = "") -> bytes:
        """The same as an event of an event stream."""
        lines = self.text(expires_at, now, connection_id).splitlines()
        data = "".join(f"data: {line}\n" for line in lines)
        return f"event: expiring\n{data}\n".encode()
