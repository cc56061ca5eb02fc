"""The port that Prometheus asks: every request is answered with all metrics."""

from realtime_proxy.metrics.prometheus_text import prometheus_text
from realtime_proxy.metrics.statistics import Statistics
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.net.internal_http import InternalLimits, InternalReply
from realtime_proxy.net.port_guard import PortGuard

LIMITS = InternalLimits(max_header_bytes=16_384, max_body_bytes=65_536)
_TYPE = (b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")


class MetricsPort:
    """Answers with what is counted at that moment."""

    def __init__(self, statistics: Statistics, prefix: str, guard: PortGuard) -> None:
        self._statistics = statistics
        self._prefix = prefix
        self._guard = guard

    async def answer(self, head: RequestHead, _body: bytes) -> InternalReply:
        """The metrics, whatever was asked by who may; then the connection ends."""
        if (refusal := self._guard.refusal(head.headers)) is not None:
            return InternalReply(refusal)
        text = prometheus_text(self._statistics, self._prefix)
        return InternalReply(Response(200, Headers([_TYPE]), text))
