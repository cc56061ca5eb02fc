"""A deploy in front of many: a new process takes over, and the old one lets its clients go.

    python -m benchmarks.deploy [--clients 2000] [--workers 1]

Clients of all kinds are held (streams, server-sent events, long-polls, WebSockets over HTTP and
passed through), and numbered items are published all the time, over ZeroMQ and HTTP. Then a new
process takes the place of the running one, which drains over five seconds. Nobody may be refused,
everybody has to come back and to get every item once, and no half second may have more than a
quarter of the ends. Those that came due while the old process waited for a processor do not count
among these: a busy machine has them end late, and together. It takes about 20 seconds, and no more
than two minutes.
"""

import argparse
import bisect
import http.client
import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import trio

from benchmarks.deploy_backend import DeployBackend, content_of
from benchmarks.deploy_clients import DeployClients
from benchmarks.kept_waiting import KeptWaiting
from benchmarks.proxy import Proxy

CHANNELS = 80
ITEMS_PER_SECOND = 25
DRAIN_SECONDS = 5
BEFORE_SECONDS = 1.0
WINDOW_SECONDS = 0.5
MOST_SHARE = 0.25
# What came due while there was no processor ends within this time.
BEHIND_SECONDS = 2.0
OPEN_SECONDS = 60.0
END_SECONDS = 30.0
CATCH_UP_SECONDS = 30.0
_PATIENCE_SECONDS = 20.0


class Publisher(threading.Thread):
    """Publishes to one channel after the other: odd ones over ZeroMQ, even ones over HTTP."""

    def __init__(self, proxy: Proxy, backend: DeployBackend) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._backend = backend
        self._control = http.client.HTTPConnection(
            "127.0.0.1", proxy.control_port, timeout=_PATIENCE_SECONDS
        )
        self._is_over = threading.Event()
        self.published_at = [[0.0] for _ in range(CHANNELS)]  # number 0 is there from the beginning
        self.faults: list[str] = []

    def run(self) -> None:
        """Publish until `finish`; then once more to each channel."""
        for channel in itertools.cycle(range(CHANNELS)):
            if self._is_over.wait(1 / ITEMS_PER_SECOND):
                break
            self._publish(channel)
        for channel in range(CHANNELS):
            self._publish(channel)
        self._control.close()

    def finish(self) -> None:
        """Come back when the last item is published."""
        self._is_over.set()
        self.join()

    def _publish(self, channel: int) -> None:
        self._backend.latest[channel] += 1  # the backend knows it first
        number = int(self._backend.latest[channel])
        text = content_of(number)
        item = {
            "channel": str(channel),
            "id": str(number),
            "prev-id": str(number - 1),
            "formats": {
                "http-stream": {"content": text},
                "http-response": {"body": text},
                "ws-message": {"content": str(number)},
            },
        }
        try:
            self._send(channel, item)
            self.published_at[channel].append(time.monotonic())
        except (OSError, http.client.HTTPException) as error:
            self.faults.append(f"publisher: {type(error).__name__}: {error}")

    def _send(self, channel: int, item: dict[str, Any]) -> None:
        if channel % 2:
            self._proxy.publish_item(item)
            return
        self._control.request("POST", "/publish/", json.dumps({"items": [item]}))
        response = self._control.getresponse()
        response.read()
        if response.status != 200:
            self.faults.append(f"publisher: {response.status}")


async def deploy(backend: DeployBackend, count: int, workers: int) -> dict[str, Any]:
    """Run it; the figures."""
    passed = (
        f'[[route]]\npath = "/passed"\ntargets = [{{ url = "http://127.0.0.1:{backend.port}" }}]'
    )
    with Proxy(backend.port, workers=workers, drain_seconds=DRAIN_SECONDS, further=passed) as proxy:
        publisher = Publisher(proxy, backend)
        clients = DeployClients(proxy.port, count, publisher.published_at)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.run)
            waiting = KeptWaiting(proxy.processes())
            with waiting:
                faults = await _deploy(proxy, backend, clients, publisher)
            nursery.cancel_scope.cancel()
        return {
            "clients": count,
            "workers": workers,
            "items": sum(backend.latest),
            "connections": clients.connections,
            "ends": clients.let_go_at(),
            "waiting": waiting,
            "faults": [*faults, *clients.faults, *publisher.faults],
            "log": proxy.log(),
        }


async def _deploy(
    proxy: Proxy, backend: DeployBackend, clients: DeployClients, publisher: Publisher
) -> list[str]:
    if not await _until(clients.are_open, OPEN_SECONDS):
        return ["not all clients were held"]
    publisher.start()
    await trio.sleep(BEFORE_SECONDS)
    old = proxy.succeed()
    faults = []
    try:
        if not await _until(lambda: old.poll() is not None, END_SECONDS):
            faults.append("the old process has not ended")
    finally:
        old.kill()
    if old.wait():
        faults.append(f"the old process has ended with {old.returncode}")
    await trio.to_thread.run_sync(publisher.finish)
    if not await _until(lambda: not clients.behind(backend.latest), CATCH_UP_SECONDS):
        faults.append(f"{clients.behind(backend.latest)} clients have not got everything")
    return faults


async def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """True as soon as it is so, False if it is not within so many seconds."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        await trio.sleep(0.1)
    return True


def most_at_once(moments: list[float], waiting: KeptWaiting) -> int:
    """How many of these, in order, are within any window, at most, and were not kept waiting."""
    due_per_second = len(moments) / DRAIN_SECONDS
    return max(
        (
            bisect.bisect_right(moments, begun_at + WINDOW_SECONDS)
            - index
            - int(
                waiting.seconds(begun_at - BEHIND_SECONDS, begun_at + WINDOW_SECONDS)
                * due_per_second
            )
            for index, begun_at in enumerate(moments)
        ),
        default=0,
    )


def main() -> int:
    """Run and print; exit status 1 if it was not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    begun_at = time.monotonic()
    with DeployBackend(CHANNELS) as backend:
        figures = trio.run(deploy, backend, given.clients, given.workers)
    ends, faults = figures["ends"], figures["faults"]
    most = most_at_once(ends, figures["waiting"])
    if len(ends) < given.clients:
        faults.append(f"only {len(ends)} clients were let go")
    if most > MOST_SHARE * len(ends):
        faults.append(f"{most} of {len(ends)} ends were within {WINDOW_SECONDS} seconds")
    took = ends[-1] - ends[0] if ends else 0.0
    print(
        f"{figures['clients']} clients, {figures['workers']} workers: {figures['items']} items, "
        f"{figures['connections']} connections; let go within {took:.1f} s, at most {most} within "
        f"{WINDOW_SECONDS} s; faults: {len(faults)}; {time.monotonic() - begun_at:.0f} s in all"
    )
    for fault in faults:
        print("  ", fault)
    if figures["log"]:
        print(figures["log"])
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
