import pytest
import trio

from realtime_proxy.errors import ProxyHeaderError
from realtime_proxy.net.proxy_header import receive_proxy_header

SECONDS = 10
HEADER = b"PROXY TCP4 10.1.2.3 10.0.0.1 4000 80\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 7, len(HEADER)])
async def test_what_comes_next_stays(pair, nursery, pieces):
    ours, theirs = pair()
    step = -(-len(HEADER) // pieces)

    async def send():
        for at in range(0, len(HEADER), step):
            end = at + step
            theirs.send(HEADER[at:end] + (b"GET /" if end >= len(HEADER) else b""))
            await trio.testing.wait_all_tasks_blocked()

    nursery.start_soon(send)
    with trio.fail_after(SECONDS):
        assert (await receive_proxy_header(ours)).source == "10.1.2.3"
    assert ours.recv(100) == b"GET /"


async def test_an_incomplete_one_is_waited_for_without_work(pair, autojump_clock):
    ours, theirs = pair()
    theirs.send(HEADER[:20])
    with trio.move_on_after(SECONDS) as scope:  # the clock jumps only if nobody works
        await receive_proxy_header(ours)
    assert scope.cancelled_caught


@pytest.mark.parametrize("data", [b"", HEADER[:20]])
async def test_an_end_before_it(pair, data):
    ours, theirs = pair()
    theirs.send(data)
    theirs.close()
    with trio.fail_after(SECONDS), pytest.raises(ProxyHeaderError, match="ended before"):
        await receive_proxy_header(ours)


async def test_something_else(pair):
    ours, theirs = pair()
    theirs.send(b"GET / HTTP/1.1\r\n")
    with trio.fail_after(SECONDS), pytest.raises(ProxyHeaderError, match="does not begin"):
        await receive_proxy_header(ours)
