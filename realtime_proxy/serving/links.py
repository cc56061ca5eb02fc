"""The links of one held request: where its stream goes on, and whom to tell of its end."""

from collections.abc import Callable
from functools import partial
from typing import Self

import attrs

from realtime_proxy.errors import BackendError, GripError, ProtocolError
from realtime_proxy.grip.instruct import HoldMode, Instruct
from realtime_proxy.grip.link import resolved
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.uri import Uri
from realtime_proxy.serving.errand import Errand
from realtime_proxy.serving.link_requests import LinkRequest
from realtime_proxy.sessions.http_stream import Ask, Page


@attrs.frozen
class Links:
    """What the first response said. `next` is absolute."""

    errand: Errand
    next: str | None
    gone: Uri | None

    @classmethod
    def of(cls, instruct: Instruct, make_errand: Callable[[], Errand | None]) -> Self | None:
        """The links, relative to the held request; None if there are none.

        Raises GripError when one leads nowhere.
        """
        if instruct.next_link is None and instruct.gone_link is None:
            return None
        errand = make_errand()
        if errand is None:
            raise GripError("Grip-Link needs a request with a Host that a link can be relative to")
        following, gone = instruct.next_link, instruct.gone_link
        return cls(
            errand,
            None if following is None else str(resolved(errand.held, following.uri)),
            None if gone is None else resolved(errand.held, gone),
        )

    def request(self, ask: Ask, asked_at: float) -> LinkRequest:
        """What to send for a link, told of what the client has."""
        prefix = self.errand.route.channel_prefix
        return LinkRequest(
            ask.uri,
            tuple(
                f"{channel.removeprefix(prefix)}; last-id={position}"
                for channel, position in ask.positions.items()
                if position is not None
            ),
            asked_at,
            ask.urgent,
        )

    def page(self, ask: Ask, instruct: Instruct, implicit: tuple[str, ...]) -> Page:
        """What the head of the answer says; `implicit` are channels of every hold.

        Raises GripError when its own link leads nowhere.
        """
        link = instruct.next_link
        prefix, most = self.errand.route.channel_prefix, self.errand.context.grip.max_channels
        is_poll = instruct.hold is HoldMode.RESPONSE
        return Page(
            instruct.hold,
            {**dict.fromkeys(implicit), **instruct.positions(prefix, most)},
            None if link is None else str(resolved(Uri.parse(ask.uri), link.uri)),
            "Next link returned non-stream hold." if is_poll else instruct.problem,
        )

    def after(self, earlier: Self | None) -> Self:
        """These, of a request that was held before: who was to be told still is, if none else."""
        if earlier is None or self.gone is not None:
            return self
        return attrs.evolve(self, gone=earlier.gone)

    def tell_gone(self) -> None:
        """Tell the backend that the client is gone, if it wants to know.

        It is told once, whatever it answers, by a task that the client's end does not end.
        """
        if self.gone is not None:
            self.errand.context.farewells.say(partial(self._tell, self.gone))

    async def _tell(self, gone: Uri) -> None:
        log, where = self.errand.route.log, gone.without_query()
        try:
            response = await self.errand.follow(b"POST", gone, Headers())
            response.close()
        except (BackendError, ProtocolError) as error:
            log.warning("gone link failed", uri=where, problem=str(error))
        except Exception:
            log.exception("gone link failed", uri=where)
        else:
            if not 200 <= response.head.status < 300:
                log.warning("gone link failed", uri=where, status=response.head.status)
