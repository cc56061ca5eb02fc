import json

import pytest
import trio

from realtime_proxy.inputs.http_control import HttpControl
from realtime_proxy.inputs.publishing import Reach
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard

ITEM = {"channel": "a", "http-stream": {"content": "x"}}
JSON, TEXT = b"application/json", b"text/plain"


class Line:
    """Where items are put in line: so many subscribers are behind it."""

    def __init__(self, subscribers):
        self.items = []
        self.subscribers = subscribers
        self.recoveries = 0

    async def room(self):
        """There is some."""

    def submit(self, items):
        self.items.extend(items)

    async def count(self, items):
        assert not self.items, "to be counted before they are in line"
        return Reach(self.subscribers, self.subscribers - 2)

    def recover(self):
        self.recoveries += 1


def guard(key=None):
    hosts = OwnHosts(frozenset({b"push.example"}))
    return PortGuard("publish", hosts, "[publish] http_names does not have that name", key)


class Port:
    """Asks the control port as a publisher would."""

    def __init__(self, subscribers=0, key=None):
        self.line = Line(subscribers)
        self._control = HttpControl(self.line, guard(key), Counters())

    async def ask(self, method, target, body=b"", **fields):
        headers = Headers(
            (name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()
        )
        reply = await self._control.answer(RequestHead(method, target, headers), body)
        response = reply.response
        [kind] = response.headers.get_all(b"content-type")
        return response.status, kind, response.body, reply.keep_alive

    async def publish(self, *items, **fields):
        return await self.ask(
            b"POST", b"/publish/", json.dumps({"items": items}).encode(), **fields
        )


@pytest.fixture
def port():
    return Port()


PUBLISHED = 200, TEXT, b"Published\n", True
UPDATED = 200, TEXT, b"Updated\n", True
NOT_FOUND = 404, TEXT, b"Not Found\n", False


# -- endpoints -----------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/publish/", b"/publish"])
async def test_publishing(port, target):
    body = json.dumps({"items": [ITEM, {**ITEM, "channel": "b"}]}).encode()
    assert await port.ask(b"POST", target, body) == PUBLISHED
    assert [item.channel for item in port.line.items] == ["a", "b"]


@pytest.mark.parametrize("target", [b"/recover/", b"/recover"])
async def test_recovering(port, target):
    assert await port.ask(b"POST", target) == UPDATED
    assert port.line.recoveries == 1


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"X"])
async def test_the_root_says_who_is_there(port, method):
    assert await port.ask(method, b"/") == (200, TEXT, b"Pushpin API\n", False)


@pytest.mark.parametrize(
    "target",
    [b"/publish//", b"/publish?a", b"/publish/?a", b"/Publish", b"/publish/x", b"/x", b"//", b"*"],
)
async def test_nothing_else_is_there(port, target):
    assert await port.ask(b"POST", target, b'{"items": []}') == NOT_FOUND


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"OPTIONS", b"post", b"M-X"])
@pytest.mark.parametrize("target", [b"/publish/", b"/recover"])
async def test_other_methods_are_not_allowed(port, method, target):
    text = b"Method not allowed: " + method + b".\n"
    assert await port.ask(method, target) == (405, TEXT, text, False)


async def test_what_is_allowed_is_told():
    reply = await HttpControl(Line(0), guard(), Counters()).answer(
        RequestHead(b"GET", b"/publish/", Headers()), b""
    )
    assert reply.response.headers.get_all(b"allow") == [b"POST"]


# -- what is accepted ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/plain", TEXT),
        ("text/*", TEXT),
        ("*/*", TEXT),
        ("*", TEXT),
        ("application/json", JSON),
        ("application/*", JSON),
        ("Application/JSON", JSON),
        ("application/json, text/plain", TEXT),
        ("text/plain, application/json", JSON),
        ("text/html, application/json", JSON),
        ("application/json;q=0.9, text/plain;q=0.1", JSON),
        ("text/plain;q=0.1, application/json;q=0.9", JSON),
        ("text/plain; q=0.9, application/json; q=0.1", TEXT),
        ("application/json;charset=utf-8;q=0.5, */*;q=0.1", JSON),
        ("text/plain;q=0, application/json", JSON),
        ("text/plain;q=nan, application/json;q=0.1", JSON),
        ("text/plain;q=x, application/json;q=0.1", JSON),
        ("text/plain;q=7, application/json;q=0.1", JSON),
    ],
)
async def test_the_best_form_that_is_accepted_is_taken(port, accept, kind):
    body = b"Published\n" if kind == TEXT else b'{"message":"Published"}\n'
    assert await port.publish(ITEM, accept=accept) == (200, kind, body, True)


async def test_recovering_answers_in_the_form_that_is_accepted(port):
    answer = await port.ask(b"POST", b"/recover/", accept="application/json")
    assert answer == (200, JSON, b'{"message":"Updated"}\n', True)


@pytest.mark.parametrize("accept", ["text/html", "", "image/*", "text/plain;q=0", "*/json"])
@pytest.mark.parametrize("target", [b"/", b"/publish/", b"/nowhere"])
async def test_what_can_not_be_accepted_comes_before_all_else(port, accept, target):
    text = b"Not Acceptable. Supported formats are text/plain and application/json.\n"
    answer = await port.ask(b"POST", target, b"nonsense", accept=accept)
    assert answer == (406, TEXT, text, False)


# -- refusals of what is published ---------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", b"Body is not valid JSON.\n"),
        (b"{", b"Body is not valid JSON.\n"),
        (b"\xff", b"Body is not valid JSON.\n"),
        (b"[]", b"Invalid format.\n"),
        (b'"items"', b"Invalid format.\n"),
        (b"{}", b"Invalid format: object does not contain 'items'\n"),
        (b'{"items": {}}', b"Invalid format: object contains 'items' with wrong type\n"),
        (b'{"items": null}', b"Invalid format: object contains 'items' with wrong type\n"),
        (
            b'{"items": [{"channel": "a", "http-stream": {}}]}',
            b"Invalid format: 'http-stream' does not contain 'content' or 'content-bin'\n",
        ),
    ],
)
async def test_a_refusal_says_what_is_wrong(port, body, text):
    answer = await port.ask(b"POST", b"/publish/", body, accept="application/json")
    assert answer == (400, TEXT, text, False)
    assert port.line.items == []


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_all_items_are_taken_or_none(port, place):
    items = [ITEM, ITEM]
    items.insert(place, {"channel": "a"})
    status, *_ = await port.publish(*items)
    assert status == 400
    assert port.line.items == []


async def test_no_items_are_fine(port):
    assert await port.publish() == PUBLISHED


# -- counting ------------------------------------------------------------------------------


@pytest.mark.parametrize("prefer", ["return=representation", "wait=1, Return=Representation"])
@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
async def test_who_wants_to_know_is_told_how_many_are_concerned(prefer, accept):
    port = Port(subscribers=7)
    text = b'{"message":"Published","matched":7,"queued":5}\n'
    answer = await port.publish(ITEM, prefer=prefer, accept=accept)
    assert answer == (200, JSON, text, True)
    assert len(port.line.items) == 1


async def test_others_are_not_told(port):
    assert await port.publish(ITEM, prefer="return=minimal") == PUBLISHED


# -- pages of other origins ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "127.0.0.1:5561"),
        ("http://127.0.0.1", "127.0.0.1:5561"),
        ("http://127.0.0.1:8000", "127.0.0.1:5561"),
        ("http://127.0.0.1:5561.evil.example", "127.0.0.1:5561"),
        ("http://127.0.0.1:5561@evil.example", "127.0.0.1:5561"),
        ("null", "127.0.0.1:5561"),
        ("null", ""),
        ("", ""),
        ("file://", ""),
        ("nonsense", "nonsense"),
        ("http://[", "["),
    ],
)
@pytest.mark.parametrize("target", [b"/publish/", b"/recover/"])
async def test_a_page_of_another_origin_is_refused(port, origin, host, target):
    body = json.dumps({"items": [ITEM]}).encode()
    answer = await port.ask(b"POST", target, body, origin=origin, host=host)
    assert answer == (403, TEXT, b"Requests from other origins are refused.\n", False)
    assert port.line.items == []


async def test_a_page_of_the_port_itself_may_publish(port):
    fields = {"origin": "http://127.0.0.1:5561", "host": "127.0.0.1:5561"}
    assert await port.publish(ITEM, **fields) == PUBLISHED


async def test_who_is_no_browser_names_no_origin(port):
    assert await port.publish(ITEM, host="whatever:1") == PUBLISHED


@pytest.mark.parametrize("host", ["127.0.0.1:5561", "localhost", "push.example:5561"])
async def test_publishers_name_this_port(port, host):
    assert await port.publish(ITEM, Host=host) == PUBLISHED


async def test_a_page_whose_own_name_leads_here_publishes_nothing(port):
    fields = {"Host": "evil.example:5561", "Origin": "http://evil.example:5561"}
    status, kind, body, keep_alive = await port.publish(ITEM, **fields)
    assert (status, kind, keep_alive) == (403, TEXT, False)
    assert b"evil.example:5561" in body
    assert port.line.items == []


# -- a key -----------------------------------------------------------------------------------------


@pytest.fixture
def locked():
    return Port(key=BearerKey(b"sesame"))


@pytest.mark.parametrize("fields", [{}, {"authorization": "Bearer wrong"}])
async def test_who_has_no_key_may_not_publish(locked, fields):
    reply = await locked.publish(ITEM, **fields)
    text = b"The key of [publish] is needed: Authorization: Bearer TOKEN.\n"
    assert reply == (401, TEXT, text, False)
    assert (await locked.ask(b"POST", b"/recover/", **fields))[0] == 401
    assert (locked.line.items, locked.line.recoveries) == ([], 0)
    assert (await locked.ask(b"GET", b"/", **fields))[0] == 200


async def test_what_is_missing_is_told_to_programs(locked):
    head = RequestHead(b"POST", b"/publish/", Headers())
    response = (await locked._control.answer(head, b"")).response
    assert response.headers.get(b"www-authenticate") == b'Bearer realm="publish"'


async def test_who_has_the_key_may_publish_whatever_the_host(locked):
    fields = {"authorization": "Bearer sesame", "host": "elsewhere.example"}
    assert await locked.publish(ITEM, **fields) == PUBLISHED
    assert (await locked.publish(ITEM, origin="http://a", **fields))[0] == 403


async def test_who_publishes_too_much_waits_and_is_told_to_come_again(autojump_clock):
    """It gets its answer once there is room, or is refused."""

    class Full(Line):
        def __init__(self):
            super().__init__(0)
            self.has_room = trio.Event()

        async def room(self):
            await self.has_room.wait()

    line, counters = Full(), Counters()
    control = HttpControl(line, guard(), counters)
    head = RequestHead(b"POST", b"/publish/", Headers([(b"Host", b"localhost")]), b"1.1")
    body = b'{"items": [{"channel": "a", "http-stream": {"content": "x"}}]}'
    reply = await control.answer(head, body)
    assert (reply.response.status, reply.keep_alive) == (503, False)
    assert reply.response.headers.get(b"retry-after") == b"1"
    assert counters.publishes_refused == 1
    assert not line.items
    line.has_room.set()
    reply = await control.answer(head, body)
    assert reply.response.status == 200
