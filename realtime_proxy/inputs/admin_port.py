"""The admin port: what load balancers and operators ask over HTTP, answered in JSON."""

from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import structlog

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.internal_http import InternalLimits, InternalReply
from realtime_proxy.net.port_guard import PortGuard

LIMITS = InternalLimits(max_header_bytes=16_384, max_body_bytes=65_536)
_READ = (b"GET", b"HEAD")

log = structlog.get_logger()


class Instance(Protocol):
    """The instance that is asked about: its only process, or the supervisor of several."""

    @property
    def serving_workers(self) -> int:
        """How many processes serve clients at this moment."""


class AdminPort:
    """Answers load balancers, who need no key, and operators, if `guard` lets them in."""

    def __init__(self, instance: Instance, guard: PortGuard) -> None:
        self._instance = instance
        self.guard = guard
        self.readiness = Readiness.STARTING
        self._probes = {b"/livez": self._live, b"/readyz": self._ready}

    async def answer(self, head: RequestHead, _body: bytes) -> InternalReply:
        """The reply to one request."""
        response = await self._answer(head)
        log.debug(
            "admin",
            method=head.method.decode("latin-1"),
            path=quote(head.path),
            status=response.status,
        )
        return InternalReply(response, keep_alive=response.status < 400)

    async def _answer(self, head: RequestHead) -> Response:
        probe = self._probes.get(head.path)
        if probe is not None:  # tells nothing that a page could not find out by a request
            return probe() if head.method in _READ else _not_allowed(head, _READ)
        if (refusal := self.guard.refusal(head.headers)) is not None:
            return refusal
        return _problem(404, f"there is no {quote(head.path)} here")

    def _live(self) -> Response:
        return _json(200, {"status": "alive"})

    def _ready(self) -> Response:
        workers = self._instance.serving_workers
        status, why = self.readiness.name.lower(), self.readiness.value
        if self.readiness is Readiness.READY:
            if workers:
                return _json(200, {"status": status, "workers": workers})
            status, why = "starting", "no worker serves clients"
        return _json(503, {"status": status, "reason": why})


def _json(status: int, value: Any) -> Response:
    headers = Headers([(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")])
    return Response(status, headers, msgspec.json.encode(value) + b"\n")


def _problem(status: int, text: str) -> Response:
    return _json(status, {"error": text})


def _not_allowed(head: RequestHead, methods: tuple[bytes, ...]) -> Response:
    allowed = b", ".join(methods)
    text = f"{head.method.decode('latin-1')} is not possible here; accepted: {allowed.decode()}"
    response = _problem(405, text)
    response.headers.append((b"Allow", allowed))
    return response
