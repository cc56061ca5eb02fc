"""Every reason to hang up on a client, as values shared by logs and counters."""

from enum import Enum


class CloseReason(Enum):
    """Why a client's connection ended, with its label in logs and counters."""

    label: str

    def __init__(self, label: str) -> None:
        self.label = label  # to ask for the value would take two calls

    FINISHED = "finished"  # an exchange ended as it should
    CLIENT_GONE = "client-gone"
    CLIENT_CLOSED = "client-closed"  # a WebSocket close from the client
    CLIENT_MISBEHAVED = "client-misbehaved"  # broke HTTP or WebSocket
    CLIENT_TOO_SLOW = "client-too-slow"  # more waits for it than it may owe
    IDLE = "idle"  # nothing came for longer than allowed
    PING_TIMEOUT = "ping-timeout"  # a WebSocket client has not answered a ping
    BACKEND_CLOSED = "backend-closed"  # CLOSE or DISCONNECT of the backend
    BACKEND_FAILED = "backend-failed"
    PUBLISHED_CLOSE = "published-close"
    REFUSED = "refused"  # by a handler or by the proxy itself
    TIMED_OUT = "timed-out"  # a response hold reached its deadline
    MAX_AGE = "max-age"  # held for as long as its route allows
    EXPIRED = "expired"  # the credential's time is over
    REVOKED = "revoked"  # the credential counts no more
    SHUTDOWN = "shutdown"
    ADMIN_CLOSED = "admin-closed"  # an operator wanted it to end
    INTERNAL_ERROR = "internal-error"
