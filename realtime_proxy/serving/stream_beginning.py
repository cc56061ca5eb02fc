"""How a stream begins: held at once, or after the pages that its link leads to."""

from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.linked_stream import LinkedStream
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.stream_hold import StreamHold


def begin_stream(
    order: HoldOrder, instruct: Instruct, links: Links | None, form: str, data: bytes, problem: str
) -> None:
    """Hold a stream that begins with this data, or turn its pages first.

    With a `problem` it ends after the data. With links, nothing may be on its way round.
    """
    if links is None:
        stream = StreamHold(order, instruct.keep_alive, form)
        stream.begin(data)
    else:
        stream = linked = LinkedStream(order, instruct, form, links)
        stream.begin(data)
        if instruct.hold is None and not problem:
            linked.turn_pages()
        elif not problem:
            linked.follow()
    if problem:
        stream.fail(problem)
