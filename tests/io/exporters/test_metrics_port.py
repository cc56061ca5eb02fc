import pytest

from realtime_proxy.config.schema import Stats
from realtime_proxy.exporters.metrics_port import MetricsPort
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead


@pytest.mark.parametrize(("method", "target"), [(b"GET", b"/metrics"), (b"POST", b"/")])
async def test_every_request_gets_all_metrics_and_an_end(method, target):
    port = MetricsPort(Statistics(Stats(), 60.0), "pp_")
    reply = await port.answer(RequestHead(method, target, Headers()), b"")
    assert not reply.keep_alive
    assert reply.response.status == 200
    assert reply.response.headers.get(b"content-type").startswith(b"text/plain")
    assert reply.response.body.startswith(b"# HELP pp_request_received ")
