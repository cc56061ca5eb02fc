"""Requests of the proxy's own on behalf of a held client: to a link, to a filter."""

import attrs

from realtime_proxy.backend.origin import Origin, default_context
from realtime_proxy.backend.response import BackendResponse
from realtime_proxy.errors import BackendError, BackendUnreachable
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.uri import Uri
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.context import ServingContext
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.live_target import LiveTarget
from realtime_proxy.serving.logged_response import LoggedResponse
from realtime_proxy.serving.request_log import LoggedRequest
from realtime_proxy.serving.upstream import BackendRequest, Upstream


@attrs.frozen
class Errand:
    """Where such requests come from: the route of the held request, and what that asked for.

    What has become of the route counts; if it is gone, the route as it was goes on. `held` is the
    URI of the request as backends see it, by which relative ones are understood.
    """

    context: ServingContext
    route: LiveRoute
    exchange: Exchange | None
    held: Uri

    @property
    def changes_requests(self) -> bool:
        """True if handlers may make these requests different from those for other clients."""
        chain = self.route.chain
        return self.exchange is not None and chain is not None and chain.has_backend_request

    async def ask(
        self, method: bytes, uri: Uri, headers: Headers, body: bytes = b""
    ) -> BackendResponse:
        """The response to a request that has these header fields, a Host, and is signed.

        It goes to the targets of the very route if that is where the URI leads, else to the URI's
        own host. Raises BackendError.
        """
        fields = Headers([(b"Host", uri.authority.encode()), *headers])
        if body or method == b"POST":
            fields.append((b"Content-Length", b"%d" % len(body)))
        head = RequestHead(method, uri.target.encode(), fields)
        route = self.context.route_now(self.route) or self.route
        upstream = Upstream(self.context, route)
        if self._is_on_route(uri):
            if self.route.edits is not None:  # its path is written as backends see paths
                head.headers = self.route.edits.edited_headers(fields)
            tls = uri.scheme == "https"
            request = BackendRequest(head, body, tls=tls, exchange=self.exchange)
            response, _ = await upstream.ask(request)
            return response
        # Handlers don't see it: what they add for backends is not for others.
        return await upstream.ask_target(self._target(uri), BackendRequest(head, body))

    async def follow(self, method: bytes, uri: Uri, headers: Headers) -> BackendResponse:
        """As `ask`, for a link: the log has a record of it, written when the response is closed."""
        log = self.context.request_log
        if not log.wants(self.route):
            return await self.ask(method, uri, headers)
        head = RequestHead(method, uri.target.encode(), headers)
        record = LoggedRequest(head, uri.authority.encode(), uri.scheme, "", self.route)
        try:
            return LoggedResponse(await self.ask(method, uri, headers), log, record)
        except BackendError as error:
            record.result, record.backend = "error", error.target
            log.write(record)
            raise

    def _is_on_route(self, uri: Uri) -> bool:
        path = self.route.backend_path
        return uri.origin == self.held.origin and uri.target.encode().startswith(path)

    def _target(self, uri: Uri) -> LiveTarget:
        is_named = self.route.condition.host == self.held.host.lower().encode()
        if uri.origin == self.held.origin and not is_named:
            # Whoever sends a request chooses its Host: it must not choose whom we connect to.
            where = uri.without_query()
            raise BackendUnreachable(f"{where} is not on the route: only a client named its host")
        origin = Origin(
            uri.host,
            uri.port,
            tls=default_context() if uri.scheme == "https" else None,
            server_name=uri.host,
            # A backend that must not be in a private network must not send us there either.
            untrusted=any(target.is_untrusted for target in self.route.targets),
        )
        return LiveTarget(str(origin), origin)
