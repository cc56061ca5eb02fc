"""The contract of `handlers/`: the only part of the package that a handler imports."""

from realtime_proxy.config.checks import at_least, one_of
from realtime_proxy.config.schema import option, required
from realtime_proxy.errors import ConfigError, Problem
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
from realtime_proxy.pipeline.secret import Secret

__all__ = [
    "CONTINUE",
    "NOT_MINE",
    "Answer",
    "BaseHandler",
    "CloseWith",
    "ConfigError",
    "Decision",
    "Drop",
    "EventOutcome",
    "Exchange",
    "HandlerContext",
    "Headers",
    "Identity",
    "NoConfig",
    "Problem",
    "Refuse",
    "RequestHead",
    "Response",
    "ResponseHead",
    "Secret",
    "WebSocketEvent",
    "at_least",
    "one_of",
    "option",
    "required",
]
