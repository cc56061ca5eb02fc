import attrs
import pytest
import trio

from realtime_proxy.backend import pool as pool_module
from realtime_proxy.backend.pool import Pool
from realtime_proxy.config.schema import Backend
from realtime_proxy.errors import BackendUnreachable
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.net.descriptors import Descriptors

SECONDS = 10


def response(*keep_alive):
    return ResponseHead(200, b"OK", Headers((b"Keep-Alive", value) for value in keep_alive))


PLAIN = response()


@pytest.fixture
def pool(wheel, watcher):
    """Keeps connections for ten seconds, at most two."""
    made = Pool(
        Backend(idle_seconds=10, max_idle_connections=2), wheel, watcher, Descriptors(Counters())
    )
    yield made
    made.close()


@pytest.fixture
def fresh(pool, backend):
    """Makes connections that nobody has used."""
    made = []

    async def make():
        with trio.fail_after(SECONDS):
            made.append(await pool.fresh(backend.origin))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def is_open(connection):
    return connection._raw.fileno() >= 0


async def test_an_empty_pool_makes_connections(pool, backend):
    assert pool.take_idle(backend.origin) is None
    with trio.fail_after(SECONDS):
        connection = pool.take_idle(backend.origin) or await pool.fresh(backend.origin)
    assert not connection.is_reused
    connection.close()


async def test_the_latest_returned_is_the_first_taken(pool, backend, fresh):
    first, second = await fresh(), await fresh()
    pool.give_back(first, PLAIN)
    pool.give_back(second, PLAIN)
    assert pool.take_idle(backend.origin) or await pool.fresh(backend.origin) is second
    assert second.is_reused
    assert pool.take_idle(backend.origin) or await pool.fresh(backend.origin) is first
    assert pool.take_idle(backend.origin) is None


async def test_connections_are_for_their_own_origin(pool, backend, fresh):
    pool.give_back(await fresh(), PLAIN)
    for other in (
        attrs.evolve(backend.origin, host="localhost"),
        attrs.evolve(backend.origin, server_name="a"),
        attrs.evolve(backend.origin, untrusted=True),
        attrs.evolve(backend.origin, port=1),
    ):
        assert pool.take_idle(other) is None


async def test_more_than_are_wanted_are_closed(pool, fresh):
    connections = [await fresh() for _ in range(3)]
    for connection in connections:
        pool.give_back(connection, PLAIN)
    assert [is_open(connection) for connection in connections] == [True, True, False]


async def test_origins_that_clients_name_are_bounded(pool, backend, fresh, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_ORIGINS", 1)
    first, second, third = await fresh(), await fresh(), await fresh()
    second.origin = attrs.evolve(backend.origin, server_name="a")
    for connection in (first, second, third):
        pool.give_back(connection, PLAIN)
    assert [is_open(connection) for connection in (first, second, third)] == [True, False, True]


async def test_none_are_kept_if_none_are_wanted(wheel, watcher, fresh):
    connection = await fresh()
    pool = Pool(Backend(max_idle_connections=0), wheel, watcher, Descriptors(Counters()))
    pool.give_back(connection, PLAIN)
    assert not is_open(connection)
    pool.drop_expired()
    assert repr(pool) == "<Pool idle {}>"


@pytest.mark.parametrize(
    ("promised", "seconds"),
    [
        ((), 10),
        ((b"timeout=5",), 4),
        ((b"timeout=5, max=100",), 4),
        ((b"max=100, TIMEOUT = 5",), 4),
        ((b'timeout="5"',), 4),
        ((b"timeout=60",), 10),
        ((b"max=100",), 10),
        ((b"timeout=x",), 10),
        ((b"idletimeout=2",), 10),
    ],
)
async def test_how_long_a_connection_is_kept(pool, backend, wheel, fresh, promised, seconds):
    """A second less than its backend promises: its close may be on the way by then."""
    connection = await fresh()
    pool.give_back(connection, response(*promised))
    wheel.turn(seconds - 0.1)
    pool.drop_expired()
    assert pool.take_idle(backend.origin) is connection
    pool.give_back(connection, response(*promised))
    wheel.turn(seconds + 0.1)
    assert pool.take_idle(backend.origin) is None
    assert not is_open(connection)


@pytest.mark.parametrize("promised", [b"timeout=0", b"timeout=1"])
async def test_a_promise_too_short_to_be_of_use(pool, fresh, promised):
    connection = await fresh()
    pool.give_back(connection, response(promised))
    assert not is_open(connection)


async def test_expired_connections_are_closed_each_in_its_time(pool, wheel, fresh):
    lasting, brief = await fresh(), await fresh()
    pool.give_back(lasting, PLAIN)
    pool.give_back(brief, response(b"timeout=3"))
    wheel.turn(5)
    pool.drop_expired()
    assert (is_open(lasting), is_open(brief)) == (True, False)
    wheel.turn(5)
    pool.drop_expired()
    assert not is_open(lasting)
    assert repr(pool) == "<Pool idle {}>"


async def test_a_connection_that_its_backend_gave_up_is_passed_over(backend, pool, fresh):
    async def stay(_peer):
        await trio.sleep_forever()

    async def leave(_peer):
        pass

    backend.scripts = [stay, leave]
    good = await fresh()
    bad = await fresh()
    pool.give_back(good, PLAIN)
    pool.give_back(bad, PLAIN)
    with trio.fail_after(SECONDS):
        await backend.ended.wait()
    assert pool.take_idle(backend.origin) is good
    assert not is_open(bad)


async def test_an_idle_connection_owes_nothing(pool, wheel, backend, fresh):
    connection = await fresh()
    connection.limit_silence(5)
    pool.give_back(connection, PLAIN)
    wheel.turn(6)
    assert wheel.due == []
    assert pool.take_idle(backend.origin) is connection


async def test_closing_closes_all(pool, backend, fresh):
    connections = [await fresh() for _ in range(2)]
    for connection in connections:
        pool.give_back(connection, PLAIN)
    assert repr(pool) == f"<Pool idle {{{backend.origin}: 2}}>"
    pool.close()
    assert not any(is_open(connection) for connection in connections)
    assert pool.take_idle(backend.origin) is None


async def test_other_settings_count_from_now_on(pool, backend, fresh):
    connections = [await fresh(), await fresh()]
    pool.settings = Backend(idle_seconds=10, max_idle_connections=1)
    for connection in connections:
        pool.give_back(connection, PLAIN)
    assert [is_open(connection) for connection in connections] == [True, False]


async def test_without_an_open_file_idle_connections_are_given_up_and_it_is_tried_again(
    wheel, watcher, fresh, backend, monkeypatch, autojump_clock
):
    counters = Counters()
    pool = Pool(Backend(), wheel, watcher, Descriptors(counters))
    idle, tries = await fresh(), []
    pool.give_back(idle, PLAIN)
    real = pool_module.connect

    async def connect(*arguments):
        tries.append(arguments)
        if len(tries) < 3:
            raise BackendUnreachable("no files", is_out_of_files=True)
        return await real(*arguments)

    monkeypatch.setattr(pool_module, "connect", connect)
    with trio.fail_after(SECONDS):
        connection = await pool.fresh(backend.origin)
    assert not is_open(idle)
    assert len(tries) == 3
    assert counters.limit_open_files == 1
    connection.close()


async def test_that_there_is_no_open_file_is_told_in_the_end(
    wheel, watcher, backend, monkeypatch, autojump_clock
):
    pool = Pool(Backend(connect_timeout_seconds=1), wheel, watcher, Descriptors(Counters()))

    async def connect(*_):
        raise BackendUnreachable("no files", is_out_of_files=True)

    monkeypatch.setattr(pool_module, "connect", connect)
    with trio.fail_after(SECONDS), pytest.raises(BackendUnreachable, match="no files"):
        await pool.fresh(backend.origin)
