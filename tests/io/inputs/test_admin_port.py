import json

import attrs
import pytest

from realtime_proxy.inputs.admin_port import AdminPort
from realtime_proxy.inputs.overview import Unanswered
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.listed_channel import listed_channel
from realtime_proxy.model.listed_connection import ConnectionPage, ListedConnection
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard

PROBES = (b"/livez", b"/readyz")
ONE = ListedConnection("x:1", 0, "sse", "r", "", None, ["a"], "", 1.5, 2.5, None, 4, 0, None)


PAGE = ConnectionPage([], None)


@attrs.define
class Overview:
    """An instance with one connection and two channels."""

    serving_workers: int = 1
    dismissed: list = attrs.field(factory=list)
    error: Exception | None = None

    def workers(self):
        return [0]

    async def page(self, worker, which, after, limit):
        if self.error is not None:
            raise self.error
        return PAGE if which.id not in (None, "x:1") else ConnectionPage([ONE], None)

    async def dismiss(self, which, dismissal):
        self.dismissed.append((which, dismissal))
        return 0 if which.id == "gone" else 3

    def is_held(self, channel):
        return channel in self.channel_names()

    def channel_names(self):
        return ["b", "a/\u00fc", "c"]

    async def channels(self, names):
        return [listed_channel(name, {0: {"response": 1}}, None) for name in names]


class Operator:
    """Asks the port."""

    def __init__(self, key=None):
        self.overview = Overview()
        self.port = AdminPort(self.overview, PortGuard("admin", OwnHosts(), "no", key))

    async def ask(self, target, method=b"GET", **fields):
        headers = Headers((name.encode(), value.encode()) for name, value in fields.items())
        reply = await self.port.answer(RequestHead(method, target, headers), b"")
        body = reply.response.body
        is_json = reply.response.headers.get(b"content-type") == b"application/json"
        return reply.response.status, json.loads(body) if is_json else body


@pytest.fixture
def operator():
    return Operator()


async def test_it_lives_from_the_start_to_the_end(operator):
    for readiness in Readiness:
        operator.port.readiness = readiness
        assert await operator.ask(b"/livez") == (200, {"status": "alive"})


async def test_it_is_ready_between_start_and_end(operator):
    status, body = await operator.ask(b"/readyz")
    assert (status, body["status"], body["reason"]) == (503, "starting", "it is starting")
    operator.port.readiness = Readiness.READY
    operator.overview.serving_workers = 2
    assert await operator.ask(b"/readyz") == (200, {"status": "ready", "workers": 2})
    operator.port.readiness = Readiness.DRAINING
    status, body = await operator.ask(b"/readyz")
    assert (status, body["status"]) == (503, "draining")


async def test_it_is_not_ready_while_no_worker_serves(operator):
    operator.port.readiness = Readiness.READY
    operator.overview.serving_workers = 0
    status, body = await operator.ask(b"/readyz")
    assert (status, body["reason"]) == (503, "no worker serves clients")


@pytest.mark.parametrize("probe", PROBES)
async def test_probes_answer_anyone_who_only_asks(probe):
    operator = Operator(BearerKey(b"sesame"))
    operator.port.readiness = Readiness.READY
    for method in (b"GET", b"HEAD"):
        assert (await operator.ask(probe + b"?x", method, Host="lb.example"))[0] == 200
    status, body = await operator.ask(probe, b"POST")
    assert (status, body["error"]) == (405, "POST is not possible here; accepted: GET, HEAD")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer sesame"}, 404),
        ({"Authorization": "Bearer sesame", "Origin": "http://page.example"}, 403),
    ],
)
async def test_all_else_needs_the_key(fields, status):
    assert (await Operator(BearerKey(b"sesame")).ask(b"/nothing", **fields))[0] == status


async def test_pages_find_nothing(operator):
    assert (await operator.ask(b"/nothing", Host="page.example"))[0] == 403
    assert (await operator.ask(b"/nothing", Host="127.0.0.1")) == (
        404,
        {"error": "there is no /nothing here"},
    )


# -- what operators ask ------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/connections", b"/connections/", b"/connections?kind=sse"])
async def test_connections(operator, target):
    status, body = await operator.ask(target)
    assert (status, body["next"]) == (200, None)
    [one] = body["connections"]
    assert (one["id"], one["kind"], one["channels"], one["bytes_sent"]) == (
        "x:1",
        "sse",
        ["a"],
        None,
    )


async def test_one_connection(operator):
    assert (await operator.ask(b"/connections/x%3A1"))[1]["id"] == "x:1"
    assert await operator.ask(b"/connections/x:2") == (
        404,
        {"error": "there is no connection 'x:2'"},
    )


async def test_connections_are_ended(operator):
    assert await operator.ask(b"/connections?route=r", b"DELETE") == (200, {"closed": 3})
    assert await operator.ask(b"/connections/x:1?code=4000", b"DELETE") == (200, {"closed": 3})
    assert operator.overview.dismissed == [
        (ConnectionFilter(route="r"), Dismissal()),
        (ConnectionFilter(id="x:1"), Dismissal(4000)),
    ]
    assert (await operator.ask(b"/connections/gone", b"DELETE"))[0] == 404


async def test_nobody_is_ended_without_a_word_of_whom(operator):
    for target in (b"/connections", b"/connections/", b"/connections?", b"/connections?reason=x"):
        status, body = await operator.ask(target, b"DELETE")
        assert (status, "which connections" in body["error"]) == (400, True)
    assert operator.overview.dismissed == []


async def test_channels(operator):
    status, body = await operator.ask(b"/channels?limit=2")
    assert (status, [one["name"] for one in body["channels"]]) == (200, ["a/\u00fc", "b"])
    assert body["next"] == "b"
    assert (await operator.ask(b"/channels?after=b"))[1] == {
        "channels": [
            {"name": "c", "subscribers": {"response": 1}, "workers": {"0": 1}, "last_id": None}
        ],
        "next": None,
    }


@pytest.mark.parametrize("target", [b"/channels/a/%C3%BC", b"/channels/a%2F%C3%BC"])
async def test_one_channel(operator, target):
    assert (await operator.ask(target))[1]["subscribers"] == {"response": 1}


@pytest.mark.parametrize(
    ("method", "target", "status", "error"),
    [
        (b"GET", b"/channels/d", 404, "there is no channel 'd'"),
        (b"GET", b"/channels/%ff", 400, "not UTF-8"),
        (b"GET", b"/channels?limit=\xff", 400, "not UTF-8"),
        (b"GET", b"/connections?limit=0", 400, "`limit` is 0"),
        (b"GET", b"*", 404, "no %2A here"),
        (b"GET", b"/", 404, "there is no / here"),
        (b"POST", b"/apis/", 404, "there is no /apis/ here: see [[route]]"),
        (b"PUT", b"/connections", 405, "accepted: GET, DELETE, HEAD"),
        (b"DELETE", b"/channels/b", 405, "accepted: GET, HEAD"),
    ],
)
async def test_what_makes_no_sense_is_told(operator, method, target, status, error):
    answered, body = await operator.ask(target, method)
    assert answered == status
    assert error in body["error"]


async def test_a_worker_that_does_not_answer_is_told(operator):
    operator.overview.error = Unanswered("no answer from worker 1")
    assert await operator.ask(b"/connections") == (504, {"error": "no answer from worker 1"})
