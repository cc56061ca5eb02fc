"""A writer that can be told to wait, so that what others publish does not come in between."""

from realtime_proxy.channels.subscriber import Writer

# Above this what waits is written all the same: a message that never ends must not hold up more.
MAX_WAITING_BYTES = 200_000


class PatientWriter:
    """Passes bytes on to a writer; while paused it keeps them, up to a bound."""

    __slots__ = ("_parts", "_size", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._parts: list[bytes] | None = None  # while paused
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write, or keep it for later. Never waits, never raises."""
        if self._parts is None:
            self._writer.write(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_WAITING_BYTES:
            self.go_on()
            self.pause()

    def pause(self) -> None:
        """Keep what comes from now on."""
        if self._parts is None:
            self._parts = []

    def go_on(self) -> None:
        """Write what was kept, and what comes from now on at once."""
        parts, self._parts, self._size = self._parts, None, 0
        for data in parts or ():
            self._writer.write(data)
