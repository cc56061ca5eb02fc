"""Message filters of a subscription: whether its client gets an item, and with what content.

They have no settings of their own. What they decide by is the meta of the subscription, the meta of
the item, and the channels of the session with their last ids (`docs/grip.md`).
"""

from collections.abc import Callable, Generator, Iterable, Mapping

import attrs

from realtime_proxy.errors import FilterMismatch
from realtime_proxy.grip.build_id import id_substitute
from realtime_proxy.grip.http_filter import (
    CHECK,
    MODIFY,
    FilterReply,
    FilterRequest,
    filter_request,
    filtered_content,
)
from realtime_proxy.grip.template import rendered, variables


@attrs.frozen
class FilterInput:
    """What filters know besides the content.

    `last_ids` has the session's channels, as the backend names them, with the id of the last item
    that the client has when it has this one; None where that is not known.
    """

    sub_meta: Mapping[str, str]
    pub_meta: Mapping[str, str]
    last_ids: Mapping[str, str | None]


def _skip_self(given: FilterInput) -> bool:
    user = given.sub_meta.get("user", "")
    return bool(user) and user == given.pub_meta.get("sender")


def _skip_users(given: FilterInput) -> bool:
    user = given.sub_meta.get("user", "")
    names = given.pub_meta.get("skip_users", "").split(",")
    return bool(user) and user in map(str.strip, names)


def _require_sub(given: FilterInput) -> bool:
    channel = given.pub_meta.get("require_sub")
    return bool(channel) and channel not in given.last_ids


def _build_id(given: FilterInput, content: bytes) -> bytes:
    return rendered(content, id_substitute(given.sub_meta, given.last_ids))


def _var_subst(given: FilterInput, content: bytes) -> bytes:
    return rendered(content, variables(given.sub_meta))


# Each kind by its name: those that skip items, that change content, and that ask a backend.
_SKIPPING: dict[str, Callable[[FilterInput], bool]] = {
    "skip-self": _skip_self,
    "skip-users": _skip_users,
    "require-sub": _require_sub,
}
BUILD_ID = "build-id"
_CHANGING: dict[str, Callable[[FilterInput, bytes], bytes]] = {
    BUILD_ID: _build_id,
    "var-subst": _var_subst,
}
_ASKING = frozenset((CHECK, MODIFY))
_OF_CONTENT = frozenset((*_CHANGING, MODIFY))

# Of what a chain yields, is sent and returns.
Filtering = Generator[FilterRequest, FilterReply, bytes | None]


class FilterChain:
    """The filters of one subscription, in their order. Names that are not known count for nothing.

    `asks` is true if one of them may have a backend asked.
    """

    __slots__ = ("_content_names", "_names", "asks")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(
            name for name in names if name in _SKIPPING or name in _CHANGING or name in _ASKING
        )
        self._content_names = tuple(name for name in self._names if name in _OF_CONTENT)
        self.asks = any(name in _ASKING for name in self._names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def run(self, given: FilterInput, content: bytes) -> Filtering:
        """Filter content: yields what to ask, takes the reply, returns the new content.

        None: the item is not for this client. Raises FilterError; so does whoever has no reply.
        """
        result = content
        for name in self._names:
            if name in _SKIPPING:
                if _SKIPPING[name](given):
                    return None
            elif name in _CHANGING:
                result = _CHANGING[name](given, result)
            else:
                request = filter_request(
                    name, given.sub_meta, given.pub_meta, given.last_ids, result
                )
                changed = filtered_content(name, (yield request), result)
                if changed is None:
                    return None
                result = changed
        return result

    def check_content_filters(self, named: tuple[str, ...] | None) -> None:
        """Check what an item says of the content filters it is made for, if it says so.

        Raises FilterMismatch if these are others, or in another order.
        """
        if named is not None and named != self._content_names:
            raise _mismatch(self._content_names, named)


NO_FILTERS = FilterChain(())


def mismatch_without_filters(named: tuple[str, ...]) -> FilterMismatch:
    """What is wrong with an item that names content filters, where there are none."""
    return _mismatch((), named)


def _mismatch(ours: tuple[str, ...], named: tuple[str, ...]) -> FilterMismatch:
    subscription, message = ",".join(ours), ",".join(named)
    return FilterMismatch(f"content filter mismatch: subscription={subscription} message={message}")
