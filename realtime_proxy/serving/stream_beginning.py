"""How a stream begins: held at once, or after the pages that its link leads to."""

import attrs

from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.serving.hold_order import HoldOrder
from realtime_proxy.serving.linked_stream import LinkedStream
from realtime_proxy.serving.links import Links
from realtime_proxy.serving.stream_hold import StreamHold


@attrs.define
class StreamBeginning:
    """A stream about to be held: what is ordered, and the bytes that it begins with.

    With a `problem` it ends after these.
    """

    order: HoldOrder
    instruct: Instruct
    links: Links | None
    form: str
    data: bytes
    problem: str

    def __attrs_post_init__(self) -> None:
        if self.instruct.hold is None or self.problem:
            self.order.positions = {}

    def begin(self) -> None:
        """Hold it, or turn its pages first. With links, nothing may be on its way round."""
        if self.links is None:
            stream = StreamHold(self.order, self.instruct.keep_alive, self.form)
            stream.begin(self.data)
        else:
            stream = linked = LinkedStream(self.order, self.instruct, self.form, self.links)
            stream.begin(self.data)
            if self.instruct.hold is None and not self.problem:
                linked.turn_pages()
            elif not self.problem:
                linked.follow()
        if self.problem:
            stream.fail(self.problem)
