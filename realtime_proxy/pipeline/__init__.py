"""The contract of `handlers/`: the only part of the package that a handler imports."""

from realtime_proxy.config.checks import above_zero, at_least, one_of
from realtime_proxy.config.option import option, required
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead
from realtime_proxy.model.redaction import SECRET_HEADERS, SECRET_PARAMETERS, Redaction
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
from realtime_proxy.pipeline.http_client import HttpCallError, HttpClient
from realtime_proxy.pipeline.secret import Secret
from realtime_proxy.pipeline.services import HandlerServices, LiveConnections

__all__ = [
    "CONTINUE",
    "NOT_MINE",
    "SECRET_HEADERS",
    "SECRET_PARAMETERS",
    "Answer",
    "BaseHandler",
    "ClientCertificate",
    "CloseWith",
    "ConfigError",
    "ConnectionRecord",
    "Decision",
    "Drop",
    "EventOutcome",
    "Exchange",
    "HandlerContext",
    "HandlerServices",
    "Headers",
    "HttpCallError",
    "HttpClient",
    "Identity",
    "LiveConnections",
    "NoConfig",
    "Problem",
    "Redaction",
    "Refuse",
    "RequestHead",
    "Response",
    "ResponseHead",
    "Secret",
    "WebSocketEvent",
    "above_zero",
    "at_least",
    "one_of",
    "option",
    "required",
]
