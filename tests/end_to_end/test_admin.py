"""The admin port of two workers, as operators and load balancers use it."""

import json
import os
import signal
import time

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient
from realtime_proxy.testing.reserved_ports import reserved_ports

CONFIG = """
[admin]
listen = "127.0.0.1:{port}"
{more}

[[route]]
id = "named"
targets = [{{ url = "{url}", over_http = true }}]
"""


class Admin:
    """Asks the admin port of a program."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)

    def ask(self, target, method="GET", **fields):
        """The status and the decoded answer."""
        with RawClient(self.address) as client:
            headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
            client.request(method, target, headers)
            reply = client.read_reply()
        return reply.status, json.loads(reply.body)

    def wait_until(self, target, is_so):
        """Ask until the answer is as it should be; that answer."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not is_so(answer := self.ask(target)):
            assert time.monotonic() < end, answer
            time.sleep(0.01)
        return answer


@pytest.fixture(scope="module")
def program(start, backend):
    with reserved_ports(1) as (port,):
        config = CONFIG.format(port=port, more="", url=backend.url)
        program = start(config, server="workers = 2")
    program.wait_for_log("serving ")
    program.admin = Admin(port)
    return program


@pytest.fixture
def admin(program):
    return program.admin


def test_it_is_ready_with_all_workers(admin):
    assert admin.ask("/livez") == (200, {"status": "alive"})
    assert admin.ask("/readyz") == (200, {"status": "ready", "workers": 2})


@pytest.fixture
def start_admin(start_own, backend):
    """Start a program that the test ends, and ask its admin port."""

    def start_one(more="", **options):
        with reserved_ports(1) as (port,):
            program = start_own(CONFIG.format(port=port, more=more, url=backend.url), **options)
        program.wait_for_log("serving ")
        program.admin = Admin(port)
        return program

    return start_one


def test_a_worker_that_dies_leaves_it_ready(start_admin):
    program = start_admin(server="workers = 2")
    os.kill(program.workers[0], signal.SIGKILL)
    program.wait_for_log("worker ended")

    def is_whole(answer):
        assert answer[0] == 200, answer
        return answer[1]["workers"] == 2

    program.admin.wait_until("/readyz", is_whole)


def test_a_changed_key_counts_at_once(start_admin, backend):
    program = start_admin()
    port = program.admin.address[1]
    program.reload(CONFIG.format(port=port, more='key = "sesame"', url=backend.url))
    with RawClient(program.admin.address) as client:
        client.request("GET", "/nothing")
        assert client.read_reply().status == 401
    assert program.admin.ask("/nothing", Authorization="Bearer sesame")[0] == 404
    assert program.admin.ask("/livez")[0] == 200
    program.stop()
