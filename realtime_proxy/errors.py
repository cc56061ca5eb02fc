"""Every error this package raises on purpose, on one screen.

    RealtimeProxyError
    ├── ConfigError            the configuration can't be used; carries every problem found
    ├── GripError              a backend's GRIP instructions make no sense (client sees 502)
    ├── FilterError            a message filter failed on an item, which is not delivered
    │   └── FilterMismatch         the item names other content filters than the subscription
    ├── PublishError           a publish item makes no sense (publisher sees 400)
    ├── CommandError           a command that is not carried out; carries what its sender is told
    ├── ProtocolError          a peer broke HTTP; carries the status to answer with
    ├── ProxyHeaderError       no PROXY header where there has to be one; the connection is closed
    ├── OverloadError          no room for a request (client sees 503, publisher too)
    └── BackendError           no usable answer from the backend; carries the client's status
        ├── BackendUnreachable     no connection: the next target may be tried
        ├── BackendBlocked         it is where an untrusted backend must not be
        ├── BackendTimeout         too slow (504)
        └── BackendMisbehaved      connection lost or nonsense on it (502)

Library errors are translated to these where they enter; a client's misbehaviour on an open
connection is a `CloseReason`, not an exception.
"""

import attrs


class RealtimeProxyError(Exception):
    """Base of all errors of this package. `target` names the backend it is about, if it is."""

    target = ""


@attrs.frozen
class Problem:
    """One thing wrong with the configuration: where, and what is accepted instead."""

    key_path: str
    message: str

    def __str__(self) -> str:
        return f"{self.key_path}: {self.message}" if self.key_path else self.message


class ConfigError(RealtimeProxyError):
    """The configuration can't be used; `problems` has everything that is wrong with it."""

    def __init__(self, problems: list[Problem], file: str | None = None) -> None:
        self.problems = problems
        self.file = file
        where = f"{file}: " if file else ""
        super().__init__("\n".join(f"{where}{problem}" for problem in problems))


class GripError(RealtimeProxyError):
    """GRIP instructions of a backend that can't be followed; the text says why."""


class FilterError(RealtimeProxyError):
    """A message filter that failed; the item (or content) that it failed on is not delivered."""

    @property
    def reason(self) -> str:
        """What a client is told on routes with `debug`."""
        return f"filter error: {self}"


class FilterMismatch(FilterError):
    """An item that names other content filters than those of the subscription."""

    @property
    def reason(self) -> str:
        """What a client is told on routes with `debug`."""
        return str(self)


class PublishError(RealtimeProxyError):
    """A publish item that can't be accepted; the text says which member is wrong."""


class CommandError(RealtimeProxyError):
    """A command that is not carried out: `condition` is a word for programs, `text` for people."""

    def __init__(self, condition: str, text: str = "", command_id: bytes | None = None) -> None:
        self.condition = condition
        self.text = text
        self.command_id = command_id
        super().__init__(f"{condition}: {text}" if text else condition)


class ProtocolError(RealtimeProxyError):
    """A peer broke HTTP; `status` is what to answer before the connection is closed."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class ProxyHeaderError(RealtimeProxyError):
    """What a connection begins with is not a PROXY header; the text says what is wrong with it."""


class OverloadError(RealtimeProxyError):
    """There is no room for a request at this moment; `limit` is the key that says how much."""

    status = 503
    retry_after_seconds = 5

    def __init__(self, message: str, limit: str) -> None:
        self.limit = limit
        super().__init__(message)


class BackendError(RealtimeProxyError):
    """The backend gave no usable answer; `status` is what the client gets, `kind` its label."""

    kind = "other"
    status = 502


class BackendUnreachable(BackendError):
    """No connection could be made (refused, timed out, TLS failed), so nothing was sent.

    `is_out_of_files`: it was not the backend's fault, and may work in a moment.
    """

    kind = "unreachable"

    def __init__(
        self, message: str, *, timed_out: bool = False, is_out_of_files: bool = False
    ) -> None:
        self.is_out_of_files = is_out_of_files
        if timed_out:
            self.status = 504
        super().__init__(message)


class BackendBlocked(BackendError):
    """An untrusted backend's name leads to this machine or a private network: not connected."""

    kind = "blocked"

    def __init__(self) -> None:
        super().__init__("Error: Origin host/IP blocked.")


class BackendTimeout(BackendError):
    """The backend took longer than it is allowed to."""

    kind = "timeout"
    status = 504


class BackendMisbehaved(BackendError):
    """The backend's connection was lost, or what came on it is not HTTP.

    `before_response` is true when not a single byte of a response had arrived.
    """

    kind = "misbehaved"

    def __init__(self, message: str, *, before_response: bool = False) -> None:
        self.before_response = before_response
        super().__init__(message)
