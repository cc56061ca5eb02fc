"""Filters on what a backend sends to a client itself: the body of a response with instructions.

Of the filters only `build-id` acts there, once however many channels list it. A response that is
kept for the end of a long-poll is not filtered (filters.md F-2.13).
"""

from collections.abc import Iterable, Mapping

from realtime_proxy.errors import FilterError, GripError
from realtime_proxy.grip.build_id import id_substitute
from realtime_proxy.grip.filters import BUILD_ID
from realtime_proxy.grip.hold import Channel
from realtime_proxy.grip.template import Template


class ResponseContent:
    """A body on its way to the client, in pieces. Raises GripError, as instructions do."""

    __slots__ = ("_template",)

    def __init__(self, channels: Iterable[Channel], meta: Mapping[str, str]) -> None:
        self._template: Template | None = None
        if _asks_for_id(channels):
            try:
                self._template = Template(id_substitute(meta, None))
            except FilterError as error:
                raise _failed(error) from error

    def feed(self, data: bytes) -> bytes:
        """What of the body so far can go to the client."""
        if self._template is None:
            return data
        try:
            return self._template.feed(data)
        except FilterError as error:
            raise _failed(error) from error

    def finish(self) -> None:
        """The body is complete."""
        if self._template is None:
            return
        try:
            self._template.finish()
        except FilterError as error:
            raise _failed(error) from error


def filtered_body(channels: Iterable[Channel], meta: Mapping[str, str], body: bytes) -> bytes:
    """A whole body as the client gets it. Raises GripError."""
    if not _asks_for_id(channels):
        return body
    content = ResponseContent(channels, meta)
    result = content.feed(body)
    content.finish()
    return result


def _asks_for_id(channels: Iterable[Channel]) -> bool:
    for channel in channels:  # noqa: SIM110  each response comes here
        if BUILD_ID in channel.filters:
            return True
    return False


def _failed(error: FilterError) -> GripError:
    return GripError(f"filter error: {BUILD_ID}: {error}")
