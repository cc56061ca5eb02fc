"""Counting what subscribers get, for the few who are to be written about.

They have groups of their own, so that all others are delivered to as if nobody counted.
"""

from collections.abc import Iterator

from realtime_proxy.channels.group import SLICE, Group
from realtime_proxy.channels.subscriber import Writer
from realtime_proxy.model.connection_record import ConnectionRecord


class CountingWriter:
    """Passes bytes on to a writer, and counts them."""

    __slots__ = ("_writer", "record")

    def __init__(self, writer: Writer, record: ConnectionRecord) -> None:
        self._writer = writer
        self.record = record

    def write(self, data: bytes) -> None:
        """Write, as the writer does."""
        self.record.bytes_out += len(data)
        self._writer.write(data)


def counting(writer: Writer, record: ConnectionRecord | None) -> Writer:
    """The writer, or one that counts if there is a record to count for."""
    return writer if record is None else CountingWriter(writer, record)


class CountedGroup(Group):
    """A group whose members have counting writers."""

    __slots__ = ()

    def write_all(
        self, data: bytes, now: float, messages: int = 1, slice_size: int = SLICE
    ) -> Iterator[int]:
        """Write to all, and count the messages that the bytes consist of."""
        for writer in self.writers:
            if isinstance(writer, CountingWriter):
                writer.record.messages_out += messages
        return super().write_all(data, now, messages, slice_size)
