"""Long-polls that say what they have: nothing is missed, and each has exactly one answer."""

import itertools
import json
import threading
import time

import pytest

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient

ROUTES = '[[route]]\ntargets = [{{ url = "{url}" }}]'
WORKERS = ("workers = 1", "workers = 2")


@pytest.fixture(scope="module", params=WORKERS, ids=("one", "two"))
def program(start, backend, request):
    return start(ROUTES.format(url=backend.url), server=request.param)


def held(channel, prev_id=None, *fields):
    """What a backend says to hold a request."""
    of_channel = channel if prev_id is None else f"{channel}; prev-id={prev_id}"
    return [("Grip-Hold", "response"), ("Grip-Channel", of_channel), *fields]


def script(backend, path, *answers):
    """Have the backend give one answer after the other, and then always the last one."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))
    lock = threading.Lock()

    def answer(call):
        with lock:
            mine = next(left)
        mine(call)

    backend.scripts[path] = answer


def holding(*args):
    return lambda call: call.respond(fields=held(*args))


def saying(body):
    return lambda call: call.respond(body=body)


def subscribed(program, path, count=1):
    program.wait_for_subscriptions(path, count)


def publish(program, path, name, prev, body="x", **payload):
    fields = {"id": name} | ({} if prev is None else {"prev-id": prev})
    program.publish(path, fields=fields, http_response=payload or {"body": body})


def recover(program):
    with RawClient(("127.0.0.1", program.control_port)) as publisher:
        publisher.request("POST", "/recover/", [("Content-Length", "0")])
        assert publisher.read_reply().body == b"Updated\n"


def get(connect, path):
    client = connect()
    client.request("GET", path)
    return client


def test_an_item_that_follows_answers(connect, program, backend, path):
    script(backend, path, holding(path, "1"))
    client = get(connect, path)
    subscribed(program, path)
    publish(program, path, "2", "1", "two")
    assert client.read_reply().body == b"two"
    assert len(backend.calls_to(path)) == 1


@pytest.mark.parametrize("prev", ["8", None])
def test_after_a_gap_the_backend_is_asked(connect, program, backend, path, prev):
    script(backend, path, holding(path, "1"), saying(b"caught up"))
    client = get(connect, path)
    subscribed(program, path)
    publish(program, path, "9", prev, "never")
    assert client.read_reply().body == b"caught up"
    assert backend.calls_to(path)[1].get_all("grip-last") == [f"{path}; last-id=1"]
    client.request("GET", "/after")
    assert client.read_reply().status == 200


def test_a_poll_older_than_the_last_item_is_asked_again_at_once(connect, program, backend, path):
    script(backend, path, holding(path, "1"), holding(path, "1"), saying(b"newest"))
    first = get(connect, path)
    subscribed(program, path)
    publish(program, path, "2", "1", "two")
    assert first.read_reply().body == b"two"
    assert get(connect, path).read_reply().body == b"newest"


def test_a_backend_that_insists_is_believed(connect, program, backend, path):
    script(backend, path, holding(path, "1"))
    first = get(connect, path)
    subscribed(program, path)
    publish(program, path, "2", "1", "two")
    assert first.read_reply().body == b"two"
    client = get(connect, path)
    backend.wait_for(path, 3)
    subscribed(program, path, 3)
    publish(program, path, "2b", "1", "another two")
    assert client.read_reply().body == b"another two"
    assert len(backend.calls_to(path)) == 3


def test_ignored_items_move_on_what_is_told(connect, program, backend, path):
    script(backend, path, holding(path, "1"), saying(b"done"))
    client = get(connect, path)
    subscribed(program, path)
    publish(program, path, "2", "1", action="close")
    publish(program, path, "3", "2", action="hint")
    assert client.read_reply().body == b"done"
    assert backend.calls_to(path)[1].get_all("grip-last") == [f"{path}; last-id=3"]


# -- while the backend is asked ----------------------------------------------------------------


class Gate:
    """A backend that answers when the test says so."""

    def __init__(self, answer):
        self._answer = answer
        self._open = threading.Event()

    def __call__(self, call):
        assert self._open.wait(DEADLINE_SECONDS)
        self._answer(call)

    def open(self):
        self._open.set()


def test_an_item_that_comes_while_the_backend_is_asked_answers(connect, program, backend, path):
    asked = threading.Event()

    def never(call):
        asked.set()
        call.hang()

    script(backend, path, holding(path), never, holding(path))
    client = get(connect, path)
    subscribed(program, path)
    program.publish(path, http_response={"action": "hint"})
    again = backend.wait_for(path, 2)
    assert asked.wait(DEADLINE_SECONDS)
    program.publish(path, http_response={"body": "first"})
    assert client.read_reply().body == b"first"
    again.wait_until_answered()  # given up by the proxy
    client.request("GET", path)
    subscribed(program, path, 2)
    program.publish(path, http_response={"body": "second"})
    assert client.read_reply().body == b"second"


def test_what_comes_meanwhile_and_does_not_follow_is_asked_for(connect, program, backend, path):
    gate = Gate(holding(path, "1"))
    script(backend, path, holding(path, "1"), gate, saying(b"all"))
    client = get(connect, path)
    subscribed(program, path)
    program.publish(path, http_response={"action": "hint"})
    backend.wait_for(path, 2)
    publish(program, path, "9", "8", "never")
    gate.open()
    assert client.read_reply().body == b"all"
    assert len(backend.calls_to(path)) == 3


def test_the_deadline_ends_a_poll_whose_backend_is_asked(connect, program, backend, path):
    fields = held(path, None, ("Grip-Timeout", "5"))
    script(
        backend,
        path,
        lambda call: call.respond(fields=fields, body=b"nothing"),
        lambda call: call.hang(),
    )
    client = get(connect, path)
    subscribed(program, path)
    program.publish(path, http_response={"action": "hint"})
    assert client.read_reply().body == b"nothing"
    client.request("GET", "/after")
    assert client.read_reply().status == 200


def test_a_backend_that_fails_answers_for_the_poll(connect, program, backend, path):
    script(backend, path, holding(path, "1"), lambda call: call.cut())
    client = get(connect, path)
    subscribed(program, path)
    publish(program, path, "9", "8")
    assert client.read_reply().status == 502
    assert program.publish(path, http_response={"body": "late"}) == 0


def test_recovering_asks_for_every_poll(connect, program, backend, path):
    script(backend, path, *[holding(path)] * 20, saying(b"recovered"))
    clients = [get(connect, path) for _ in range(20)]
    subscribed(program, path, 20)
    recover(program)
    assert {client.read_reply().body for client in clients} == {b"recovered"}
    assert len(backend.calls_to(path)) == 40


# -- a whole life --------------------------------------------------------------------------------


class Store:
    """A backend with a list of items, which clients follow by polling."""

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self.items = []

    def add(self):
        with self._lock:
            self.items.append(str(len(self.items) + 1))
            return len(self.items)

    def __call__(self, call):
        """Everything after what the client has, or a hold if that is all."""
        told = call.get("grip-last")
        has = int(told.rpartition("last-id=")[2] or 0) if told else int(call.get("x-has"))
        with self._lock:
            new = self.items[has:]
        if new:
            call.respond(body=json.dumps(new).encode())
        else:
            call.respond(fields=held(self._path, has or ""))


def test_nobody_misses_or_repeats_an_item(connect, program, backend, path):
    store = backend.scripts[path] = Store(path)
    count, results = 60, []

    def follow():
        has = []
        with RawClient(program.address) as client:
            while len(has) < count:
                client.request("GET", path, [("X-Has", str(len(has)))])
                has += json.loads(client.read_reply().body)
        results.append(has)

    followers = [threading.Thread(target=follow, daemon=True) for _ in range(8)]
    for follower in followers:
        follower.start()
    for number in range(count):
        name = store.add()
        prev = str(name - 1) if name > 1 else None
        if number % 7 != 3:  # of some, nobody is told
            publish(program, path, str(name), prev, json.dumps([str(name)]))
        time.sleep(0.002 * (number % 3))
    end = time.monotonic() + DEADLINE_SECONDS
    while any(follower.is_alive() for follower in followers) and time.monotonic() < end:
        recover(program)
        time.sleep(0.05)
    for follower in followers:
        follower.join(DEADLINE_SECONDS)
    assert results == [[str(number + 1) for number in range(count)]] * 8


# -- the first subscriber ------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS, ids=("one", "two"))
def test_a_second_after_the_first_subscriber_polls_ask_again(start, backend, path, workers):
    program = start(ROUTES.format(url=backend.url), server=workers, publish="")
    script(backend, path, holding(path), saying(b"second look"))
    with RawClient(program.address) as client:
        client.request("GET", path)
        assert client.read_reply().body == b"second look"
