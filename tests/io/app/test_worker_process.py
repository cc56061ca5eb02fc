"""Worker processes, with the supervisor played by the tests."""

import contextlib
import os
import pickle
import socket
import subprocess
import sys

import pytest
import trio

from realtime_proxy.app.worker_process import WorkerOrder
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config, Log
from realtime_proxy.config.server_section import Server
from realtime_proxy.net.zmq_socket import PairSocket

SECONDS = 30
COMMAND = [sys.executable, "-m", "realtime_proxy.app.worker_process"]
DEMO = Route(targets=(Target(demo=True),))


@pytest.fixture
def played(tmp_path):
    """All that a worker is given: a supervisor's end of the link, a listener, a lifeline."""
    (tmp_path / "links").mkdir()
    return Played(tmp_path)


class Played:
    def __init__(self, folder):
        self.folder = folder
        self.endpoint = f"ipc://{folder}/links/link"
        self._lifeline, self._end = os.pipe()

    def order(self, route=DEMO):
        config = Config(server=Server(), route=(route,), log=Log(file=str(self.folder / "log")))
        listener = (self.listener.fileno(), (None, False))
        return WorkerOrder(config, self.folder, (listener,), self.endpoint, self._lifeline, 0, 1)

    @contextlib.asynccontextmanager
    async def worker(self, **options):
        """A worker that has its order, and the link to it."""
        with socket.create_server(("127.0.0.1", 0)) as self.listener:
            self.listener.setblocking(False)
            with PairSocket(self.endpoint, bind=True) as link:
                process = self._start()
                try:
                    process.stdin.write(pickle.dumps(self.order(**options)))
                    process.stdin.close()
                    yield process, link
                finally:
                    process.kill()
                    process.wait()
                    process.stdout.close()
                    os.close(self._lifeline)
                    self.let_go()

    def _start(self):
        return subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self.listener.fileno(), self._lifeline),
        )

    def let_go(self):
        """End as a supervisor does that is killed."""
        if self._end is not None:
            os.close(self._end)
            self._end = None

    @property
    def log(self):
        return (self.folder / "log").read_text()


async def end_of(process):
    """Its exit status, and what it has written past its log."""
    status = await trio.to_thread.run_sync(process.wait, SECONDS)
    return status, process.stdout.read()


async def test_it_serves_and_ends_when_told(played):
    async with played.worker() as (process, link):
        with trio.fail_after(SECONDS):
            assert await link.receive() == [[b"Y"]]
            link.send([b"@"])
            async with await trio.open_tcp_stream(*played.listener.getsockname()) as client:
                await client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
        process.terminate()
        assert await end_of(process) == (0, b"")


async def test_it_ends_when_its_clients_are_let_go(played):
    async with played.worker() as (process, link):
        with trio.fail_after(SECONDS):
            assert await link.receive() == [[b"Y"]]
            link.send([b"@"])
            async with await trio.open_tcp_stream(*played.listener.getsockname()) as client:
                await client.send_all(b"GET /stream?channel=demo HTTP/1.1\r\nHost: a\r\n\r\n")
                assert await link.receive() == [[b"H", b"demo"]]
                link.send([b"G", b"demo"])
                link.send([b"Z", b"0.1"])
                assert b"".join([data async for data in client]).endswith(b"\r\n0\r\n\r\n")
        assert await end_of(process) == (0, b"")


async def test_it_ends_with_its_supervisor_and_clears_up(played):
    async with played.worker() as (process, link):
        with trio.fail_after(SECONDS):
            assert await link.receive() == [[b"Y"]]
        played.let_go()
        assert await end_of(process) == (0, b"")
        assert "the supervisor is gone" in played.log
        assert not (played.folder / "links").exists()


async def test_what_can_not_be_had_any_more_is_logged(played):
    route = Route(targets=(Target(demo=True),), handlers=("gone",))
    async with played.worker(route=route) as (process, _):
        assert await end_of(process) == (1, b"")
        assert "unknown handler `gone`" in played.log
        assert "Traceback" not in played.log


@pytest.mark.parametrize("order", [b"", pickle.dumps("cut off")[:-3]])
def test_without_its_whole_order_it_ends_in_silence(order):
    ended = subprocess.run(COMMAND, input=order, capture_output=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
