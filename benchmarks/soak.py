"""Reliable streams under everything that may go wrong: does every client get every item, once?

    python -m benchmarks.soak [--streams 5000] [--seconds 60] [--rate 200] [--workers 1]

A publisher numbers the items of its channels; of these some are never sent, some overtake each
other and some are sent twice. Meanwhile the backend is restarted and the routes are reloaded. At
the end one more item goes to each channel, and every stream has to have all items that came after
its beginning, in order, none of them twice, without having been cut. It takes about half a minute
longer than `--seconds`, and no more than two minutes.

Memory is that of all the proxy's processes together (PSS), after a third of the time and at the
end.
"""

import argparse
import random
import sys
import time
from typing import Any

import attrs

from benchmarks.proxy import Proxy, used
from benchmarks.reliable_backend import ReliableBackend, content_of
from benchmarks.reliable_clients import ReliableClients

CHANNELS = 100
LOST = 0.02  # never sent
SWAPPED = 0.05  # sent after the next one of the channel
REPEATED = 0.05  # sent twice
RESTART_EVERY_SECONDS = 17.0
DOWN_SECONDS = 1.0
RELOAD_EVERY_SECONDS = 5.0
CATCH_UP_SECONDS = 45.0
# Of the growth after a third of the time: what an allocator keeps is no leak.
MAX_GROWTH = 1.1


@attrs.define
class _Publisher:
    """Sends numbered items, not all of them, not always in order."""

    proxy: Proxy
    backend: ReliableBackend
    random: random.Random
    late: dict[int, int] = attrs.field(factory=dict)  # by channel: what was overtaken
    lost: int = 0

    def publish_next(self, channel: int) -> None:
        """The next item of a channel; its backend knows it first."""
        self.backend.latest[channel] += 1
        number = int(self.backend.latest[channel])
        luck = self.random.random()
        if luck < LOST:
            self.lost += 1
        elif luck < LOST + SWAPPED and channel not in self.late:
            self.late[channel] = number
            return
        else:
            self._send(channel, number)
            if luck > 1 - REPEATED:
                self._send(channel, number)
        if channel in self.late:
            self._send(channel, self.late.pop(channel))

    def finish(self) -> None:
        """One more item to each channel, which nothing happens to."""
        for channel in range(CHANNELS):
            if channel in self.late:
                self._send(channel, self.late.pop(channel))
            self.backend.latest[channel] += 1
            self._send(channel, int(self.backend.latest[channel]))

    def _send(self, channel: int, number: int) -> None:
        content = content_of(channel, number).decode()
        self.proxy.publish(str(channel), content, id=str(number), prev_id=str(number - 1))


def soak(streams: int, seconds: float, rate: int, workers: int) -> dict[str, Any]:
    """Run it; the figures."""
    luck = random.Random(1)
    channels = [_channels_of(number, luck) for number in range(streams)]
    with (
        ReliableBackend(CHANNELS) as backend,
        Proxy(backend.port, workers=workers) as proxy,
        ReliableClients(proxy.port, channels) as clients,
    ):
        clients.wait_until_open()
        publisher = _Publisher(proxy, backend, luck)
        before, asked = proxy.cpu_seconds(), int(backend.requests.value)
        memory = _run(publisher, seconds, rate)
        publisher.finish()
        report = _wait_until_caught_up(clients, list(backend.latest))
        memory.append(proxy.memory_bytes())
        return {
            **report,
            "streams": streams,
            "workers": workers,
            "items": int(sum(backend.latest)),
            "items_lost": publisher.lost,
            "requests": int(backend.requests.value) - asked,
            "cpu_seconds": sum(used(before, proxy.cpu_seconds()).values()),
            "memory_bytes": memory,
        }


def _channels_of(number: int, luck: random.Random) -> tuple[int, ...]:
    """What a stream listens to: one channel, and every fifth has one more."""
    first = number % CHANNELS
    second = luck.randrange(CHANNELS - 1)
    return (first, second + (second >= first)) if number % 5 == 0 else (first,)


def _run(publisher: _Publisher, seconds: float, rate: int) -> list[int]:
    """Publish at this rate, with restarts and reloads; memory after a third of the time."""
    begun_at = time.monotonic()
    restart_at, reload_at = begun_at + RESTART_EVERY_SECONDS / 2, begun_at + RELOAD_EVERY_SECONDS
    memory: list[int] = []
    for number in range(int(seconds * rate)):
        due_at = begun_at + number / rate
        while (now := time.monotonic()) < due_at:
            time.sleep(due_at - now)
        publisher.publish_next(publisher.random.randrange(CHANNELS))
        if now >= restart_at:
            publisher.backend.restart(DOWN_SECONDS)
            restart_at += RESTART_EVERY_SECONDS
        if now >= reload_at:
            publisher.proxy.reload()
            reload_at += RELOAD_EVERY_SECONDS
        if not memory and now - begun_at > seconds / 3:
            memory.append(publisher.proxy.memory_bytes())
    return memory


def _wait_until_caught_up(clients: ReliableClients, latest: list[int]) -> dict[str, Any]:
    begun_at = time.monotonic()
    while True:
        report = clients.report(latest)
        report["catch_up_seconds"] = time.monotonic() - begun_at
        if not report["behind"] or report["catch_up_seconds"] > CATCH_UP_SECONDS:
            return report
        time.sleep(0.2)


def describe(figures: dict[str, Any]) -> str:
    """The figures as text."""
    early, late = (size / 1e6 for size in figures["memory_bytes"])
    return (
        f"{figures['streams']} streams, {figures['workers']} workers: {figures['items']} items, of "
        f"which {figures['items_lost']} were never sent; {figures['received']} received; all had "
        f"everything {figures['catch_up_seconds']:.1f} s after the end, {figures['behind']} had "
        f"not; faults: {len(figures['faults'])}; {figures['requests']} requests to the backend; "
        f"{figures['cpu_seconds']:.1f} s CPU; memory {early:.1f} MB, at the end {late:.1f} MB"
    )


def main() -> int:
    """Run and print; exit status 1 if anything was lost or doubled, or memory has grown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=200, help="items a second")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    figures = soak(given.streams, min(given.seconds, 60.0), given.rate, given.workers)
    print(describe(figures))
    for fault in figures["faults"]:
        print("  ", fault)
    early, late = figures["memory_bytes"]
    grown = late > early * MAX_GROWTH
    if grown:
        print("   memory has grown")
    return int(bool(figures["behind"] or figures["faults"] or grown))


if __name__ == "__main__":
    sys.exit(main())
