"""Who the client is, as an API manager in front has found out and says in headers.

They are believed of `[forwarded] trusted_proxies` alone, and of what `upstream_key` signed for.
"""

from typing import ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    ConfigError,
    Decision,
    Exchange,
    HandlerContext,
    Headers,
    Identity,
    Problem,
    kong_refusal,
    option,
)


@attrs.frozen
class GatewayIdentityConfig:
    """The settings of `gateway_identity`: names of headers, those of Kong unless told otherwise."""

    consumer_header: str = option("X-Consumer-Username", "Who the client is.")
    groups_header: str = option(
        "X-Consumer-Groups", "Its groups, with commas between them. Empty: they are not told."
    )
    anonymous_header: str = option(
        "X-Anonymous-Consumer", "`true` for a consumer that stands for all unknown. Empty: none."
    )
    required: bool = option(True, "Refuse (401) who comes without; false: they are nobody.")


class Handler(BaseHandler):
    """Takes the identity from headers, which the backend gets, too."""

    Config: ClassVar[type] = GatewayIdentityConfig

    def __init__(self, config: GatewayIdentityConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        if not config.consumer_header:
            raise ConfigError([Problem("consumer_header", "is empty")])
        names = (config.consumer_header, config.groups_header, config.anonymous_header)
        self._consumer, self._groups, self._anonymous = (name.lower().encode() for name in names)
        self.accepts_headers = frozenset(name.lower() for name in names if name)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Say who it is, if exactly one header does."""
        headers = exchange.request.headers
        consumers = headers.get_all(self._consumer)
        if len(consumers) == 1 and consumers[0]:
            exchange.identity = Identity(
                consumers[0].decode(errors="replace"),
                anonymous=headers.get(self._anonymous) == b"true",
                groups=_elements(headers, self._groups),
            )
        elif self.config.required:
            return kong_refusal(exchange.request, 401, "Unauthorized")
        return CONTINUE


def _elements(headers: Headers, name: bytes) -> tuple[str, ...]:
    elements = b",".join(headers.get_all(name)).split(b",")
    return tuple(text for one in elements if (text := one.decode(errors="replace").strip()))
