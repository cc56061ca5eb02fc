"""Parts of long lists: those of connections go on by worker and descriptor, of channels by name."""

import heapq
import re

import msgspec
import trio

from realtime_proxy.inputs.admin_query import Paging, QueryError
from realtime_proxy.inputs.overview import Overview
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.listed_connection import ListedConnection

_CURSOR = re.compile(r"([0-9]{1,9})\.(-1|[0-9]{1,18})", re.ASCII)
# So many names are compared before others have their turn.
_NAMES_AT_ONCE = 10_000


async def list_connections(
    overview: Overview, which: ConnectionFilter, paging: Paging
) -> tuple[list[ListedConnection], str | None]:
    """Some of the connections meant, and where to go on; None at the end.

    Who is connected all the time is listed once. Raises QueryError, and what the overview raises.
    """
    first, number = _place(paging.after)
    found: list[ListedConnection] = []
    for worker in overview.workers():
        if worker < first:
            continue
        after = number if worker == first else -1
        while True:
            page = await overview.page(worker, which, after, paging.limit - len(found))
            found += (msgspec.structs.replace(one, worker=worker) for one in page.connections)
            if page.next is None:
                break
            after = page.next
            if len(found) >= paging.limit:
                return found, f"{worker}.{after}"
    return found, None


def _place(after: str) -> tuple[int, int]:
    if not after:
        return 0, -1
    place = _CURSOR.fullmatch(after)
    if place is None:
        raise QueryError(f"`after` is `{after}`; accepted: what an answer had as `next`")
    return int(place[1]), int(place[2])


async def first_names(names: list[str], after: str, count: int) -> list[str]:
    """The first names behind another, in order; others run in between where they are many."""
    first: list[str] = []
    for start in range(0, len(names), _NAMES_AT_ONCE):
        if start:
            await trio.lowlevel.checkpoint()
        part = (name for name in names[start : start + _NAMES_AT_ONCE] if name > after)
        first = heapq.nsmallest(count, (*first, *part))
    return first
