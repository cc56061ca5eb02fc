import pytest

from realtime_proxy.config.schema import Stats
from realtime_proxy.exporters.metrics_port import MetricsPort
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard


@pytest.fixture
def port():
    return MetricsPort(Statistics(Stats(), 60.0), "pp_", PortGuard("metrics", OwnHosts(), "no"))


@pytest.mark.parametrize(("method", "target"), [(b"GET", b"/metrics"), (b"POST", b"/")])
async def test_every_request_gets_all_metrics_and_an_end(port, method, target):
    reply = await port.answer(RequestHead(method, target, Headers()), b"")
    assert not reply.keep_alive
    assert reply.response.status == 200
    assert reply.response.headers.get(b"content-type").startswith(b"text/plain")
    assert reply.response.body.startswith(b"# HELP pp_request_received ")


@pytest.mark.parametrize(
    "field", [(b"Host", b"page.example"), (b"Origin", b"http://page.example")], ids=["name", "page"]
)
async def test_a_page_gets_none(port, field):
    reply = await port.answer(RequestHead(b"GET", b"/metrics", Headers([field])), b"")
    assert reply.response.status == 403
    assert b"request_received" not in reply.response.body
