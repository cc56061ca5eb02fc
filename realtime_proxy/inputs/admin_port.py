"""The admin port: what load balancers and operators ask over HTTP, answered in JSON."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
import structlog

from realtime_proxy.inputs.admin_query import (
    QueryError,
    parse_dismissal,
    parse_listing,
    parse_paging,
)
from realtime_proxy.inputs.consumer_api import ROOTS, ConsumerApi
from realtime_proxy.inputs.consumer_credentials import COLLECTIONS
from realtime_proxy.inputs.listing import first_names, list_connections
from realtime_proxy.inputs.overview import Overview, Unanswered
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.model.readiness import Readiness
from realtime_proxy.net.internal_http import InternalLimits, InternalReply
from realtime_proxy.net.port_guard import PortGuard

LIMITS = InternalLimits(max_header_bytes=16_384, max_body_bytes=65_536)
_READ = (b"GET", b"HEAD")
# What Kong is told by calls, and this proxy by its configuration file.
_IN_THE_FILE = frozenset((b"apis", b"services", b"routes", b"plugins"))
_CONSUMERS = frozenset(root.encode() for root in ROOTS)

log = structlog.get_logger()

# What answers a method, given the rest of its path (None: there is none) and the query.
_Method = Callable[[str | None, str], Awaitable[Response]]


class AdminPort:
    """Answers load balancers, who need no key, and operators, if `guard` lets them in."""

    def __init__(
        self, overview: Overview, guard: PortGuard, consumers: ConsumerApi | None = None
    ) -> None:
        self._overview = overview
        self.guard = guard
        self._consumers = consumers
        self.readiness = Readiness.STARTING
        self._probes = {b"/livez": self._live, b"/readyz": self._ready}
        self._resources: dict[bytes, dict[bytes, _Method]] = {
            b"connections": {b"GET": self._show_connections, b"DELETE": self._dismiss},
            b"channels": {b"GET": self._show_channels},
        }

    async def answer(self, head: RequestHead, body: bytes) -> InternalReply:
        """The reply to one request."""
        response = await self._answer(head, body)
        log.debug(
            "admin",
            method=head.method.decode("latin-1"),
            path=_logged_path(head.path),
            status=response.status,
        )
        return InternalReply(response, keep_alive=response.status < 400)

    async def _answer(self, head: RequestHead, body: bytes) -> Response:
        probe = self._probes.get(head.path)
        if probe is not None:  # tells nothing that a page could not find out by a request
            return probe() if head.method in _READ else _not_allowed(head, _READ)
        if (refusal := self.guard.refusal(head.headers)) is not None:
            return refusal
        _, name, *rest = head.path.split(b"/", 2) if head.path[:1] == b"/" else (b"", b"")
        if name in _CONSUMERS:
            if self._consumers is None:
                return _problem(404, "no consumers are kept: [consumers] store is not set")
            return await self._consumers.answer(head, body)
        methods = self._resources.get(name)
        if methods is None:
            place = ": see [[route]] and [handler] of the configuration file"
            hint = place if name in _IN_THE_FILE else ""
            return _problem(404, f"there is no {quote(head.path)} here{hint}")
        method = methods.get(b"GET" if head.method == b"HEAD" else head.method)
        if method is None:
            return _not_allowed(head, (*methods, b"HEAD"))
        return await _tried(method, rest[0] if rest else b"", head.target.partition(b"?")[2])

    # -- load balancers --------------------------------------------------------------------

    def _live(self) -> Response:
        return _json(200, {"status": "alive"})

    def _ready(self) -> Response:
        workers = self._overview.serving_workers
        status, why = self.readiness.name.lower(), self.readiness.value
        if self.readiness is Readiness.READY:
            if workers:
                return _json(200, {"status": status, "workers": workers})
            status, why = "starting", "no worker serves clients"
        return _json(503, {"status": status, "reason": why})

    # -- operators -------------------------------------------------------------------------

    async def _show_connections(self, connection_id: str | None, query: str) -> Response:
        which, paging = parse_listing(query)
        if connection_id is not None:
            which = msgspec.structs.replace(which, id=connection_id)
        found, following = await list_connections(self._overview, which, paging)
        if connection_id is None:
            return _json(200, {"connections": found, "next": following})
        return _json(200, found[0]) if found else _unknown("connection", connection_id)

    async def _dismiss(self, connection_id: str | None, query: str) -> Response:
        which, dismissal = parse_dismissal(query, connection_id)
        closed = await self._overview.dismiss(which, dismissal)
        log.info("connections closed", closed=closed, why=dismissal.text, **_named(which))
        if connection_id is not None and not closed:
            return _unknown("connection", connection_id)
        return _json(200, {"closed": closed})

    async def _show_channels(self, name: str | None, query: str) -> Response:
        paging = parse_paging(query)
        if name is not None:
            if not self._overview.is_held(name):
                return _unknown("channel", name)
            return _json(200, (await self._overview.channels([name]))[0])
        names = await first_names(self._overview.channel_names(), paging.after, paging.limit + 1)
        shown = names[: paging.limit]
        following = shown[-1] if len(names) > len(shown) else None
        channels = await self._overview.channels(shown)
        return _json(200, {"channels": channels, "next": following})


async def _tried(method: _Method, rest: bytes, query: bytes) -> Response:
    """What a method answers, or what is wrong with what was asked."""
    try:
        return await method(_text(rest) or None, query.decode("ascii"))
    except UnicodeError:
        return _problem(400, "the path or the query is not UTF-8, percent-encoded")
    except QueryError as error:
        return _problem(400, str(error))
    except Unanswered as error:
        return _problem(504, str(error))


def _logged_path(path: bytes) -> str:
    """A path for the log: a credential of a consumer may be called by the very key."""
    parts = quote(path).split("/")
    shown = 2 if parts[1:] and parts[1] in COLLECTIONS else 4
    return "/".join([*parts[:shown], *("***" for _ in parts[shown:])])


def _text(part: bytes) -> str:
    return unquote_to_bytes(part).decode()


def _named(which: ConnectionFilter) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(which).items() if value}


def _json(status: int, value: Any) -> Response:
    headers = Headers([(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")])
    return Response(status, headers, msgspec.json.encode(value) + b"\n")


def _problem(status: int, text: str) -> Response:
    return _json(status, {"error": text})


def _unknown(noun: str, name: str) -> Response:
    return _problem(404, f"there is no {noun} {name!r}")


def _not_allowed(head: RequestHead, methods: tuple[bytes, ...]) -> Response:
    allowed = b", ".join(methods)
    text = f"{head.method.decode('latin-1')} is not possible here; accepted: {allowed.decode()}"
    response = _problem(405, text)
    response.headers.append((b"Allow", allowed))
    return response
