"""What a held client is told before its credential expires, so that it can renew it."""

import attrs


@attrs.frozen
class ExpiryNotice:
    """How long before the end, and in which words: `{seconds}` and `{expires_at}` are filled in."""

    seconds: float
    message: str

    def text(self, expires_at: float, now: float) -> str:
        """The message, for a credential that ends then; times are seconds since the epoch."""
        left = max(0, round(expires_at - now))
        return self.message.replace("{seconds}", str(left)).replace(
            "{expires_at}", str(int(expires_at))
        )

    def event(self, expires_at: float, now: float) -> bytes:
        """The same as an event of an event stream."""
        lines = self.text(expires_at, now).splitlines()
        data = "".join(f"data: {line}\n" for line in lines)
        return f"event: expiring\n{data}\n".encode()
