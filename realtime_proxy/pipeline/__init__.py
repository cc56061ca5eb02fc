"""The contract of `handlers/`: the only part of the package that a handler imports."""

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead
from realtime_proxy.pipeline.decision import (
    CONTINUE,
    NOT_MINE,
    Answer,
    CloseWith,
    Decision,
    Drop,
    Refuse,
)
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.handler import (
    BaseHandler,
    EventOutcome,
    HandlerContext,
    NoConfig,
    WebSocketEvent,
)

__all__ = [
    "CONTINUE",
    "NOT_MINE",
    "Answer",
    "BaseHandler",
    "CloseWith",
    "Decision",
    "Drop",
    "EventOutcome",
    "Exchange",
    "HandlerContext",
    "Headers",
    "Identity",
    "NoConfig",
    "Refuse",
    "RequestHead",
    "Response",
    "ResponseHead",
    "WebSocketEvent",
]
