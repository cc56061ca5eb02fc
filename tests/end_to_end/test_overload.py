"""Limits of what clients may use together, through the real program."""

import re
import resource
import time
import urllib.request

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, CutShort, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports

CONFIG = """
[metrics]
listen = "127.0.0.1:{metrics}"

[[route]]
id = "any"
targets = [{{ url = "{url}" }}]
"""
# Reached again with everyone who waits.
AT_LEAST = {"server.max_connections", "open files"}
CONTENT = "x" * 100_000


@pytest.fixture
def limited(start_own, backend):
    """Starts a program with such limits, which has metrics."""
    with reserved_ports(1) as (metrics,):

        def start(server, **options):
            program = start_own(
                CONFIG.format(url=backend.url, metrics=metrics), server=server, **options
            )
            program.metrics = metrics
            return program

        yield start


def wait_for_count(program, limit, count):
    """Come back when a limit was reached so often."""
    end = time.monotonic() + DEADLINE_SECONDS
    while (reached := limits_of(program)[limit]) < count:
        assert time.monotonic() < end, reached
        time.sleep(0.05)
    assert reached == count or limit in AT_LEAST


def limits_of(program):
    with urllib.request.urlopen(f"http://127.0.0.1:{program.metrics}/metrics") as answer:
        found = re.findall(r'_limits_total\{limit="([^"]+)"\} (\S+)', answer.read().decode())
    return {limit: float(count) for limit, count in found}


def held(program, path, **options):
    client = RawClient(program.address, **options)
    client.request("GET", path)
    client.read_head()
    return client


@pytest.fixture
def stream(backend, path):
    fields = [("Grip-Hold", "stream"), ("Grip-Channel", path)]
    backend.scripts[path] = lambda call: call.respond(200, fields, b"")
    return path


def test_who_takes_nothing_for_too_long_is_cut(limited, stream):
    program = limited("max_backlog_seconds = 0.2\nmax_backlog_bytes = 1_000_000_000")
    with (
        held(program, stream, receive_buffer_bytes=4096) as slow,
        held(program, stream) as quick,
    ):
        while program.publish(stream, http_stream={"content": CONTENT}) == 2:
            assert quick.read_chunk() == CONTENT.encode()
        assert quick.read_chunk() == CONTENT.encode()
        program.wait_for_log("max_backlog_seconds")
        with pytest.raises(CutShort):
            slow.read_until(b"\r\n0\r\n\r\n")
        wait_for_count(program, "server.max_backlog_seconds", 1)
        program.publish(stream, http_stream={"content": "still there"})
        assert quick.read_chunk() == b"still there"


def test_of_all_who_are_slow_those_who_owe_most_are_cut(limited, stream):
    program = limited("max_total_backlog_bytes = 2_000_000\nmax_backlog_bytes = 1_000_000_000")
    with (
        held(program, stream, receive_buffer_bytes=4096) as slow,
        held(program, stream) as quick,
    ):
        while program.publish(stream, http_stream={"content": CONTENT}) == 2:
            assert quick.read_chunk() == CONTENT.encode()
        with pytest.raises(CutShort):
            slow.read_until(b"\r\n0\r\n\r\n")
        wait_for_count(program, "server.max_total_backlog_bytes", 1)


def test_the_kernel_keeps_only_so_much(limited, stream):
    """What a client does not take waits where it is counted."""
    program = limited("max_unsent_bytes = 10_000\nmax_backlog_bytes = 1_000_000")
    with held(program, stream, receive_buffer_bytes=4096) as slow:
        items = 0
        while program.publish(stream, http_stream={"content": CONTENT}):
            items += 1
        # The backlog, what the kernel had begun to take, and what was sent.
        assert items * len(CONTENT) < 1_800_000
        with pytest.raises(CutShort):
            slow.read_until(b"\r\n0\r\n\r\n")
        wait_for_count(program, "server.max_backlog_bytes", 1)


def test_without_open_files_new_clients_wait_and_the_others_are_served(limited, backend, path):
    program = limited("", log='level = "warning"')
    backend.scripts[path] = lambda call: call.respond(200, [], b"served")
    pid = program.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    first = RawClient(program.address)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (80, hard))
    waiting = [RawClient(program.address) for _ in range(80)]
    try:
        program.wait_for_log("out of open files")
        first.request("GET", path)
        assert first.read_reply().body == b"served"
        waiting[-1].request("GET", path)
        before = program.cpu_seconds
        time.sleep(0.5)
        assert program.cpu_seconds - before < 0.4  # nobody spins
        assert len(program.log.splitlines()) < 10
        for client in waiting[:-1]:
            client.close()
        assert waiting[-1].read_reply().body == b"served"
    finally:
        for client in (first, *waiting):
            client.close()
    wait_for_count(program, "open files", 1)


def test_those_for_whom_there_is_no_place_wait(limited, backend, path):
    program = limited("max_connections = 2")
    backend.scripts[path] = lambda call: call.respond(200, [], b"served")
    with RawClient(program.address) as first, RawClient(program.address) as second:
        for client in (first, second):
            client.request("GET", path)
            client.read_reply()
        with RawClient(program.address) as third:
            third.request("GET", path)
            program.wait_for_log("max_connections is reached")
            first.close()
            assert third.read_reply().body == b"served"
    wait_for_count(program, "server.max_connections", 1)
