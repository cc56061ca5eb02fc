import json

import attrs
import pytest

from realtime_proxy.inputs.admin_port import AdminPort
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard

PROBES = (b"/livez", b"/readyz")


@attrs.define
class Instance:
    """What is asked about."""

    serving_workers: int = 1


class Operator:
    """Asks the port."""

    def __init__(self, key=None):
        self.instance = Instance()
        self.port = AdminPort(self.instance, PortGuard("admin", OwnHosts(), "no", key))

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
    operator.instance.serving_workers = 2
    assert await operator.ask(b"/readyz") == (200, {"status": "ready", "workers": 2})
    operator.port.readiness = Readiness.DRAINING
    status, body = await operator.ask(b"/readyz")
    assert (status, body["status"]) == (503, "draining")


async def test_it_is_not_ready_while_no_worker_serves(operator):
    operator.port.readiness = Readiness.READY
    operator.instance.serving_workers = 0
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
