"""Streams that go on at links, and backends told of their end, through the real program."""

import contextlib
import socket
import threading
import time

import pytest

from realtime_proxy.testing.raw_client import CutShort, Ending, RawClient
from realtime_proxy.testing.scripted_backend import ScriptedBackend

MB = 1_000_000
ROUTES = """
[grip]
key = "the key towards backends, which is long enough too"

[[route]]
host = "site.example"
channel_prefix = "p-"
targets = [{{ url = "{url}" }}]

[[route]]
host = "debug"
debug = true
targets = [{{ url = "{url}" }}]

[[route]]
host = "part"
path = "/a/"
targets = [{{ url = "{url}" }}]

[[route]]
targets = [{{ url = "{url}" }}]
"""


@pytest.fixture(scope="module")
def program(start, backend):
    return start(ROUTES.format(url=backend.url))


def link(uri, rel="next", **parameters):
    more = "".join(f"; {name}={value}" for name, value in parameters.items())
    return ("Grip-Link", f"<{uri}>; rel={rel}{more}")


@pytest.fixture
def page(backend, path):
    """Have the backend answer for a path below the test's own: a page, perhaps with a hold."""

    def order(name, body=b"", *fields, channels=(), gate=None, status=200):
        grip = [("Grip-Channel", channel) for channel in channels]
        if channels:
            grip.append(("Grip-Hold", "stream"))

        def answer(call):
            if gate is not None:
                gate.wait(30)
            call.respond(status, [*grip, *fields], body)

        backend.scripts[f"{path}{name}"] = answer

    return order


@pytest.fixture
def gate():
    """Keeps an answer back until it is opened."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def ask(connect, path):
    """A client that has asked for the test's path, and read the head of its answer."""

    def ask_one(*, host="localhost", method="GET", **options):
        client = connect(**options)
        client.request(method, path, host=host)
        client.head = client.read_head()
        return client

    return ask_one


def numbers(program, path, numbers, channel=None):
    """Publish items that follow each other by id."""
    for number in numbers:
        ids = {"id": str(number), "prev-id": str(number - 1)}
        program.publish(channel or path, fields=ids, http_stream={"content": f"{number};"})


def read(client, size):
    """Body bytes of any number of chunks."""
    data = b""
    while len(data) < size:
        data += client.read_chunk()
    return data


# -- pages -----------------------------------------------------------------------------------------


def test_pages_of_any_size_make_one_body(ask, page, backend, path):
    first, second = b"a" * (3 * MB), b"b" * (2 * MB)
    page("", first, link(f"{path}/2"), ("Content-Type", "text/x"), ("X-Own", "1"))
    page("/2", second, link(f"{path}/3?from=2"), ("X-Own", "2"))
    page("/3", b"", link(f"{path}/4"))
    page("/4", b"the end", ("Content-Type", "text/y"))
    client = ask()
    assert (client.head.get("content-type"), client.head.get("x-own")) == ("text/x", "1")
    assert client.head.get("grip-link") is None
    body = client.read_body(client.head).body
    assert body == first + second + b"the end"
    assert backend.calls_to(f"{path}/3")[0].target == f"{path}/3?from=2"
    client.request("GET", f"{path}/4")
    assert client.read_reply().body == b"the end", "the connection takes the next request"


def test_a_page_is_read_no_faster_than_the_client_reads(ask, page, program, path):
    page("", b"begin", link(f"{path}/2"))
    page("/2", b"x" * (12 * MB))
    client = ask(receive_buffer_bytes=100_000)
    assert client.read_chunk() == b"begin"
    before = program.memory_bytes
    program.forget_peak()
    time.sleep(0.5)  # as much as would come comes meanwhile
    assert program.peak_memory_bytes - before < 5 * MB
    assert len(client.read_body(client.head).body) == 12 * MB


def test_old_clients_get_pages_up_to_the_close(connect, page, path):
    page("", b"1", link(f"{path}/2"))
    page("/2", b"2")
    client = connect()
    client.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    client.head = client.read_head()
    assert client.read_to_end() == b"12"
    assert client.ending is Ending.CLOSED


def test_a_head_request_turns_no_pages(connect, page, backend, path):
    page("", b"1", link(f"{path}/2"))
    client = connect()
    client.request("HEAD", path)
    client.read_reply(to="HEAD")
    client.request("GET", f"{path}-none")
    client.read_reply()
    assert not backend.calls_to(f"{path}/2")


def test_requests_for_links_are_the_proxys_own(connect, page, backend, path):
    page("", b"1", link(f"{path}/2"))
    page("/2", b"2")
    client = connect()
    client.request(
        "POST", path, [("Cookie", "a=b"), ("Authorization", "x"), ("X-Own", "1")], b"body"
    )
    client.read_reply()
    call = backend.calls_to(f"{path}/2")[0]
    names = {name for name, _ in call.fields}
    assert (call.method, call.body) == ("GET", b"")
    assert names == {"host", "grip-sig", "grip-feature"}
    assert call.get("host") == "test"


def test_links_to_others_go_straight_there(ask, page, path):
    with ScriptedBackend() as other:
        other.scripts["/there"] = lambda call: call.respond(200, (), b"from there")
        page("", b"1;", link(f"{other.url}/there?x=y#z"))
        client = ask()
        assert client.read_body(client.head).body == b"1;from there"
        call = other.calls[0]
    assert (call.target, call.get("host")) == ("/there?x=y", other.url.removeprefix("http://"))
    assert call.get("grip-sig")


def test_links_off_the_route_go_to_the_host_they_name(connect, page, backend, path):
    """The name is not one that is to be found, so asking fails, and nothing reaches the target."""
    backend.scripts["/a/x"] = lambda call: call.respond(200, [link("/b/y")], b"1")
    client = connect()
    client.request("GET", "/a/x", host="part")
    client.read_head()
    assert client.read_chunk() == b"1"
    assert not backend.calls_to("/b/y")


def test_a_link_that_leads_nowhere_is_an_error(connect, page, path):
    page("", b"1", link("http://user@a/"))
    client = connect()
    client.request("GET", path, host="debug")
    reply = client.read_reply()
    assert (reply.status, b"Grip-Link contains invalid link" in reply.body) == (502, True)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([("Grip-Hold", "response")], "Next link returned non-stream hold."),
        ([("Grip-Hold", "maybe")], "Grip-Hold must be set to either 'response' or 'stream'"),
        (
            [("Grip-Hold", "stream"), ("Grip-Channel", "x; prev-id=1")],
            "channel 'x' specifies prev-id, but no next link found",
        ),
        (
            [("Content-Type", "application/grip-instruct")],
            "Next link must give its instructions in header fields.",
        ),
    ],
)
def test_instructions_that_can_not_be_followed_end_the_stream(ask, page, path, fields, problem):
    page("", b"1", link(f"{path}/2"))
    page("/2", b"", *fields)
    client = ask(host="debug")
    assert client.read_body(client.head).body == f"1\n\n{problem}\n".encode()
    client = ask()
    assert client.read_body(client.head).body == b"1"


def test_a_page_that_breaks_off_cuts_the_stream(ask, page, backend, path):
    page("", b"1", link(f"{path}/2"))

    def break_off(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        call.close()

    backend.scripts[f"{path}/2"] = break_off
    client = ask()
    assert read(client, 6) == b"112345"
    with pytest.raises(CutShort):
        client.read_chunk()
    told = ask(host="debug")
    body = told.read_body(told.head).body
    assert body == b"112345\n\nFailed to retrieve next link.\n"


def test_links_are_logged_without_their_secrets(ask, page, program, backend, path):
    page("", b"[", link(f"{path}/n?token=one", timeout=0), channels=[path])
    backend.scripts[f"{path}/n"] = lambda call: call.respond(500)
    ask()
    program.wait_for_log(r"next link failed .* answered 500")
    assert "token=one" not in program.log


def test_empty_pages_that_lead_to_each_other_are_no_storm(ask, page, backend, path):
    page("", b"1", link(f"{path}/2"))
    page("/2", b"", link(f"{path}/2"))
    with ask() as client:
        assert client.read_chunk() == b"1"
        backend.wait_for(f"{path}/2", 3)
        begun, before = time.monotonic(), len(backend.calls_to(f"{path}/2"))
        time.sleep(1.0)
        passed = time.monotonic() - begun
        assert len(backend.calls_to(f"{path}/2")) - before <= 25 * passed


# -- recoveries ------------------------------------------------------------------------------------


def test_items_wait_until_a_gap_is_filled(ask, page, program, backend, path, gate):
    page("", b"[", link(f"{path}/n"), channels=[f"{path}; prev-id=1"])
    page("/n", b"2;3;", link(f"{path}/n"), channels=[f"{path}; prev-id=3"], gate=gate)
    client = ask()
    assert client.read_chunk() == b"["
    numbers(program, path, [3])
    call = backend.wait_for(f"{path}/n")
    assert call.get_all("grip-last") == [f"{path}; last-id=1"]
    numbers(program, path, [4, 5])
    gate.set()
    numbers(program, path, range(6, 20))
    expected = b"".join(b"%d;" % number for number in range(2, 20))
    assert read(client, len(expected)) == expected
    assert len(backend.calls_to(f"{path}/n")) == 1


def test_items_are_delivered_while_a_check_is_under_way(ask, page, program, backend, path, gate):
    page("", b"[", link(f"{path}/n"), channels=[f"{path}; prev-id=0"])
    page("/n", b"", link(f"{path}/m"), channels=[f"{path}; prev-id=0"], gate=gate)
    page("/m", b"m", link(f"{path}/m"), channels=[f"{path}; prev-id=4"])
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, fields={"id": "0", "prev-id": "0"}, http_stream={"action": "hint"})
    call = backend.wait_for(f"{path}/n")
    assert call.get_all("grip-last") == [f"{path}; last-id=0"]
    numbers(program, path, range(1, 4))
    assert read(client, 6) == b"1;2;3;"
    gate.set()
    numbers(program, path, range(4, 6))
    assert read(client, 4) == b"4;5;"


def test_channels_keep_their_prefix_to_themselves(ask, page, program, backend, path):
    page("", b"[", link(f"{path}/n"), channels=[f"{path}; prev-id=1", "other"])
    page("/n", b"ok", link(f"{path}/n"), channels=[f"{path}; prev-id=3"])
    client = ask(host="site.example")
    assert client.read_chunk() == b"["
    numbers(program, path, [3], channel=f"p-{path}")
    assert client.read_chunk() == b"ok"
    call = backend.calls_to(f"{path}/n")[0]
    assert call.get_all("grip-last") == [f"{path}; last-id=1"]
    assert call.get("host") == "site.example"
    numbers(program, path, [4], channel=f"p-{path}")
    assert client.read_chunk() == b"4;"
    assert program.publish("p-other", http_stream={"content": "x"}) == 0, "no longer held"


def test_a_client_that_leaves_ends_what_is_asked_for_it(ask, page, program, backend, path):
    asked = threading.Event()

    def hang(call):
        asked.set()
        call.hang()

    page("", b"[", link(f"{path}/n"), channels=[path])
    backend.scripts[f"{path}/n"] = hang
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, http_stream={"action": "hint"})
    assert asked.wait(30)
    client.close()
    assert backend.calls_to(f"{path}/n")[0].answered.wait(30)
    program.wait_for_no_subscribers(path)


def test_a_close_ends_a_stream_that_asks(ask, page, program, backend, path, gate):
    page("", b"[", link(f"{path}/n"), channels=[path])
    page("/n", b"too late", link(f"{path}/n"), channels=[path], gate=gate)
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, http_stream={"action": "hint"})
    backend.wait_for(f"{path}/n")
    program.publish(path, http_stream={"action": "close"})
    assert client.read_body(client.head).body == b""
    client.request("GET", f"{path}-none")
    client.read_reply()


def test_a_close_among_the_waiting_items_ends_the_stream(ask, page, program, backend, path, gate):
    page("", b"[", link(f"{path}/n"), channels=[f"{path}; prev-id=1"])
    page("/n", b"2;3;", link(f"{path}/n"), channels=[f"{path}; prev-id=3"], gate=gate)
    client = ask()
    assert client.read_chunk() == b"["
    numbers(program, path, [3, 4])
    ids = {"id": "5", "prev-id": "4"}
    program.publish(path, fields=ids, http_stream={"action": "close"})
    numbers(program, path, [6])
    backend.wait_for(f"{path}/n")
    gate.set()
    assert client.read_body(client.head).body == b"2;3;4;"


def test_a_link_changes_keep_alives(ask, page, program, path):
    keep_alive = ("Grip-Keep-Alive", "x; timeout=1")
    page("", b"[", link(f"{path}/n"), channels=[path])
    page("/n", b"]", link(f"{path}/n"), keep_alive, channels=[path])
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, http_stream={"action": "hint"})
    assert client.read_chunk() == b"]"
    assert client.read_chunk() == b"x"


def test_a_link_changes_filters(ask, page, program, path):
    page("", b"[", link(f"{path}/n"), channels=[path])
    page(
        "/n",
        b"]",
        link(f"{path}/n"),
        ("Grip-Set-Meta", "user=bob"),
        channels=[f"{path}; filter=var-subst"],
    )
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, http_stream={"content": "%(user)s"})
    assert client.read_chunk() == b"%(user)s"
    program.publish(path, http_stream={"action": "hint"})
    assert client.read_chunk() == b"]"
    program.publish(path, http_stream={"content": "%(user)s"})
    assert client.read_chunk() == b"bob"


def test_a_long_first_body_then_a_hold_with_a_link(ask, page, program, backend, path):
    page("", b"a" * MB, link(f"{path}/n"), channels=[f"{path}; prev-id=1"])
    page("/n", b"2;3;", link(f"{path}/n"), channels=[f"{path}; prev-id=3"])
    client = ask()
    assert read(client, MB) == b"a" * MB
    end = time.monotonic() + 30
    ids = {"id": "3", "prev-id": "2"}
    while not program.publish(path, fields=ids, http_stream={"content": "3;"}):
        assert time.monotonic() < end
    assert read(client, 4) == b"2;3;"


# -- gone ------------------------------------------------------------------------------------------


def test_the_gone_link_is_told_once_when_the_stream_ends(ask, page, program, backend, path):
    page("", b"[", link(f"{path}/n"), link("gone?id=1", "gone"), channels=[path])
    page("/n", b"]", link(f"{path}/n"), link("other", "gone"), channels=[path])
    gone = f"{path.rpartition('/')[0]}/gone"
    client = ask()
    assert client.read_chunk() == b"["
    program.publish(path, http_stream={"action": "hint"})
    assert client.read_chunk() == b"]"
    assert not backend.calls_to(gone)
    client.close()
    call = backend.wait_for(gone)
    assert (call.method, call.target, call.body) == ("POST", f"{gone}?id=1", b"")
    assert call.get("content-length") == "0"
    assert call.get("grip-sig")
    program.wait_for_no_subscribers(path)
    assert len(backend.calls_to(gone)) == 1
    assert not backend.calls_to("/other")


def test_a_gone_link_that_can_not_be_told_is_logged(ask, page, program, path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    page("", b"[", link(f"http://127.0.0.1:{port}/x", "gone"), channels=[path])
    client = ask()
    assert client.read_chunk() == b"["
    client.close()
    program.wait_for_log(r"gone link failed")


def test_a_gone_link_without_a_hold_is_nothing(connect, page, backend, path):
    page("", b"1", link(f"{path}/gone", "gone"))
    client = connect()
    client.request("GET", path)
    assert client.read_reply().body == b"1"
    client.request("GET", f"{path}-none")
    client.read_reply()
    assert not backend.calls_to(f"{path}/gone")


@pytest.fixture
def poll(backend, path, gate):
    """Have the backend hold the test's path for an item, and answer the next time."""

    def order(*again):
        replies = iter(
            [
                [("Grip-Hold", "response"), ("Grip-Channel", path), link(f"{path}/gone", "gone")],
                *again,
            ]
        )
        backend.scripts[path] = lambda call: call.respond(200, next(replies), b"own")

    return order


def ask_again(program, path):
    program.publish_until_taken(path, http_response={"action": "hint"})


def test_an_answered_poll_tells_its_gone_link(connect, poll, program, backend, path):
    poll()
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"body": "new"})
    assert client.read_reply().body == b"new"
    assert backend.wait_for(f"{path}/gone").method == "POST"


def test_a_poll_whose_client_leaves_tells_its_gone_link(connect, poll, program, backend, path):
    poll()
    client = connect()
    client.request("GET", path)
    program.publish_until_taken(path, http_response={"action": "refresh"})
    client.close()
    backend.wait_for(f"{path}/gone")


def test_a_poll_that_is_repeated_tells_its_gone_link_once_it_is_over(
    connect, poll, program, backend, path
):
    poll([("Grip-Hold", "response"), ("Grip-Channel", path)], [])
    client = connect()
    client.request("GET", path)
    ask_again(program, path)
    backend.wait_for(path, 2)
    assert not backend.calls_to(f"{path}/gone")
    ask_again(program, path)
    assert client.read_reply().body == b"own"
    backend.wait_for(f"{path}/gone")
    client.request("GET", f"{path}-none")
    client.read_reply()
    assert len(backend.calls_to(f"{path}/gone")) == 1


def test_a_repeated_poll_may_have_another_gone_link(connect, poll, program, backend, path):
    held = [("Grip-Hold", "response"), ("Grip-Channel", path), link(f"{path}/other", "gone")]
    poll(held)
    client = connect()
    client.request("GET", path)
    ask_again(program, path)
    backend.wait_for(path, 2)
    program.publish_until_taken(path, http_response={"body": "new"})
    assert client.read_reply().body == b"new"
    backend.wait_for(f"{path}/other")
    assert not backend.calls_to(f"{path}/gone")


def test_a_repeated_poll_whose_gone_link_leads_nowhere_is_answered(
    connect, poll, program, backend, path
):
    poll([("Grip-Hold", "response"), ("Grip-Channel", path), link("//a:0/", "gone")])
    client = connect()
    client.request("GET", path)
    ask_again(program, path)
    assert client.read_reply().status == 502
    backend.wait_for(f"{path}/gone")


# -- two workers -----------------------------------------------------------------------------------


def test_gaps_are_filled_in_all_workers(start, page, backend, path, gate):
    program = start(ROUTES.format(url=backend.url), server="workers = 2")
    page("", b"[", link(f"{path}/n"), channels=[f"{path}; prev-id=1"])
    page("/n", b"2;3;", link(f"{path}/n"), channels=[f"{path}; prev-id=3"], gate=gate)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(program.address)) for _ in range(12)]
        for client in clients:
            client.request("GET", path)
            client.read_head()
            assert client.read_chunk() == b"["
        numbers(program, path, [3, 4, 5])
        backend.wait_for(f"{path}/n")
        gate.set()
        numbers(program, path, range(6, 12))
        expected = b"".join(b"%d;" % number for number in range(2, 12))
        assert {read(client, len(expected)) for client in clients} == {expected}
