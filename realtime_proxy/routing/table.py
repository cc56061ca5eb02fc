"""The route table: from a request's host, path, protocol and TLS to its route.

Immutable: a reload builds a new one. Everything is sorted when it is built, because looking up
happens for each request.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from realtime_proxy.routing.condition import ANY_HOST, Condition

T = TypeVar("T")

Rules = tuple[tuple[bytes, T], ...]  # path and value, best first


class RouteTable(Generic[T]):
    """Finds what belongs to a request. Routes of a named host hide those of `*` for that host."""

    __slots__ = ("_by_name", "_kinds", "_shared", "_size")

    def __init__(self, routes: Iterable[tuple[Condition, T]]) -> None:
        routes = list(routes)
        self._size = len(routes)
        ids = Counter(condition.id for condition, _ in routes)
        self._shared = frozenset(name for name, count in ids.items() if name and count > 1)
        # Of equal conditions the first stays; so it does below, as sorting is stable.
        self._by_name = {
            condition.name: (condition.path, value)
            for condition, value in reversed(routes)
            if condition.name not in self._shared
        }
        ordered = sorted(routes, key=lambda route: route[0].precedence(), reverse=True)
        # One table for each kind of request, so that finding is a lookup and a scan of paths.
        self._kinds = tuple(
            _by_host(ordered, websocket=websocket, tls=tls)
            for websocket in (False, True)
            for tls in (False, True)
        )

    def find(self, host: bytes, path: bytes, websocket: bool, tls: bool) -> T | None:
        """The value of the best route, or None.

        `host` is as `host_of` gives it, `path` is as the client sent it, without the query.
        """
        by_host = self._kinds[2 * websocket + tls]
        rules = by_host.get(host)
        if rules is None:
            rules = by_host.get(ANY_HOST, ())
        for prefix, value in rules:
            if path.startswith(prefix):
                return value
        return None

    def named(self, name: str, path: bytes | None = None) -> T | None:
        """The value of the route with this id, explicit or derived, or None.

        None, too, if several routes share the id, or if it is not for this `path`.
        """
        prefix, value = self._by_name.get(name, (b"", None))
        return value if path is None or path.startswith(prefix) else None

    def is_shared(self, name: str) -> bool:
        """True if several routes have this id, so that it leads to none of them."""
        return name in self._shared

    def __len__(self) -> int:
        return self._size


def _by_host(
    ordered: list[tuple[Condition, T]], *, websocket: bool, tls: bool
) -> Mapping[bytes, Rules[T]]:
    """The rules of one kind of request. A host that has none of this kind is there all the same."""
    rules: dict[bytes, list[tuple[bytes, T]]] = {}
    for condition, value in ordered:
        if not condition.host:  # only its id leads there
            continue
        of_host = rules.setdefault(condition.host, [])
        if condition.fits(websocket=websocket, tls=tls):
            of_host.append((condition.path, value))
    return {host: tuple(of_host) for host, of_host in rules.items()}
