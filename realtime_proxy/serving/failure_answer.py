"""What a client is told when its request could not be served."""

from realtime_proxy.errors import (
    BackendError,
    FilterError,
    GripError,
    OverloadError,
    ProtocolError,
)
from realtime_proxy.model.messages import Response, text_response
from realtime_proxy.serving.live_route import LiveRoute

_WITHOUT_WHY = "Error while proxying to origin."

Failure = ProtocolError | BackendError | FilterError | GripError | OverloadError


def answer_for(error: Failure, route: LiveRoute | None) -> Response:
    """What a client is told of a failure; on debug routes why, on which route, of which backend."""
    is_debug = route is not None and route.debug
    if isinstance(error, ProtocolError):
        answer = text_response(error.status, str(error))
    elif isinstance(error, OverloadError):
        answer = text_response(error.status, str(error))
        answer.headers.append((b"Retry-After", b"%d" % error.retry_after_seconds))
    else:
        status = error.status if isinstance(error, BackendError) else 502
        answer = text_response(status, _why(error) if is_debug else _WITHOUT_WHY)
    if route is not None and is_debug:
        answer.headers.append((b"X-Debug-Route", route.id.encode()))
        if error.target:
            answer.headers.append((b"X-Debug-Target", error.target.encode()))
    return answer


def _why(error: BackendError | FilterError | GripError) -> str:
    match error:
        case FilterError():
            return error.reason
        case GripError():
            return f"Failed to parse accept instructions: {error}"
        case BackendError():
            return str(error)
