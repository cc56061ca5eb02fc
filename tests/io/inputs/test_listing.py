import random

import msgspec
import pytest
import trio

from realtime_proxy.inputs.admin_query import Paging, QueryError
from realtime_proxy.inputs.listing import first_names, list_connections
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.listed_connection import ConnectionPage, ListedConnection

ONE = ListedConnection("", 0, "sse", "", "", None, [], "", 0.0, 0.0, None, 0, 0, None)


class Overview:
    """Workers with connections by their descriptors, `-1.7` being the id of one of no worker."""

    def __init__(self, **descriptors):
        self._workers = {int(name[1:]): sorted(those) for name, those in descriptors.items()}
        self.most_looked_at = 1_000

    def workers(self):
        return sorted(self._workers)

    async def page(self, worker, which, after, limit):
        behind = [number for number in self._workers[worker] if number > after]
        looked_at = behind[: self.most_looked_at]
        meant = [number for number in looked_at if which.id is None or which.id == str(number)]
        shown = meant[:limit]
        more = meant[limit:] or behind[self.most_looked_at :]
        last = shown[-1] if meant[limit:] and shown else looked_at[-1] if looked_at else after
        if meant[limit:] and not shown:
            last = after
        found = [msgspec.structs.replace(ONE, id=str(number)) for number in shown]
        return ConnectionPage(found, last if more else None)


async def pages(overview, limit, which=ConnectionFilter()):  # noqa: B008
    """What each page lists, as worker and id."""
    after = ""
    while after is not None:
        found, after = await list_connections(overview, which, Paging(after, limit))
        assert len(found) <= limit
        yield [(one.worker, one.id) for one in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_workers_are_gone_through_one_after_the_other(limit):
    overview = Overview(w0=[3, 5, 9], w2=[4], w7=[1, 2])
    everybody = [(0, "3"), (0, "5"), (0, "9"), (2, "4"), (7, "1"), (7, "2")]
    found = [one async for page in pages(overview, limit) for one in page]
    assert found == everybody


async def test_one_page_may_need_many_looks():
    overview = Overview(w0=range(100), w1=range(100))
    overview.most_looked_at = 7
    [page] = [page async for page in pages(overview, 5, ConnectionFilter(id="99"))]
    assert page == [(0, "99"), (1, "99")]


async def test_who_is_there_all_the_time_is_listed_once():
    overview = Overview(w0=[3, 5, 9], w1=[2])
    first, after = await list_connections(overview, ConnectionFilter(), Paging("", 2))
    overview._workers = {0: [1, 4, 9], 1: [2], 2: [6]}
    second, after = await list_connections(overview, ConnectionFilter(), Paging(after, 9))
    assert [one.id for one in (*first, *second)] == ["3", "5", "9", "2", "6"]
    assert after is None


@pytest.mark.parametrize(
    "after", ["x", "1", "1.", "1.2.3", "-1.2", "1.-2", "1.2\n", "9" * 10 + ".1"]
)
async def test_a_place_that_no_answer_had(after):
    with pytest.raises(QueryError, match="`after`"):
        await list_connections(Overview(w0=[1]), ConnectionFilter(), Paging(after, 1))


async def test_first_names():
    names = [f"{number:06}" for number in range(30_000)]
    shuffled = random.Random(1).sample(names, len(names))
    assert await first_names(shuffled, "", 5) == names[:5]
    assert await first_names(shuffled, names[20_000], 3) == names[20_001:20_004]
    assert await first_names(shuffled, names[-1], 3) == []
    assert await first_names([], "", 3) == []


async def test_others_run_while_there_are_many_names(nursery):
    turns = []

    async def other():
        turns.append(True)

    nursery.start_soon(other)
    await first_names(["a"] * 30_000, "", 1)
    assert turns
    await trio.lowlevel.checkpoint()
