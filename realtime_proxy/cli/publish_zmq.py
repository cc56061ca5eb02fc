"""Publish over ZeroMQ: items pushed to a PULL socket. Nobody says that they were received."""

import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import tnetstring
import zmq

from realtime_proxy.cli.hosts_to_try import hosts_to_try
from realtime_proxy.cli.publish_arguments import Arguments
from realtime_proxy.cli.publish_item import WireItem
from realtime_proxy.errors import PublishError
from realtime_proxy.grip.lenient import lenient_base64

# JSON items name their base64 payloads so. A TNetString holds bytes as they are, under the plain
# name; only in a WebSocket message does the name stay, for there it also means "binary".
_BASE64_MEMBERS = {
    "http-response": ("body-bin", "body"),
    "http-stream": ("content-bin", "content"),
    "ws-message": ("content-bin", "content-bin"),
}

# libzmq counts time in whole milliseconds, of a clock that it does not read each time.
_LINGER_MARGIN_MS = 10


def publish_over_zmq(items: list[WireItem], arguments: Arguments) -> None:
    """Push the items one by one. Raises PublishError if nobody takes them in time."""
    if arguments.json:
        _check(items)
    messages = [encode_item(item) for item in items]
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.linger = 0
    deadline = time.monotonic() + arguments.timeout
    try:
        _connect(push, arguments.spec)
        for message in messages:
            _push(push, message, deadline, arguments)
        push.linger = _milliseconds_until(deadline) + _LINGER_MARGIN_MS
    except zmq.ZMQError as error:
        # Not the error's own text: it repeats the address, which may hold a key by mistake.
        reason = zmq.strerror(error.errno or 0)
        raise PublishError(f"can't use the publish address: {reason}") from error
    finally:
        push.close()
        context.term()
    # What still waits at the end of the linger time is lost, and libzmq does not say so: but the
    # linger time ends past the deadline, so whatever is over before that has been handed on.
    if time.monotonic() >= deadline:
        raise _too_late("the receiver did not take it", arguments)


def _check(items: list[WireItem]) -> None:
    """Read the items as the server will: over ZeroMQ it does not answer that it can't."""
    from realtime_proxy.grip.publish import item_from_json

    for item in items:
        item_from_json(item)


def encode_item(item: WireItem) -> bytes:
    """An item as a TNetString dictionary."""
    try:
        message: bytes = tnetstring.dumps(_as_bytes(_with_plain_payloads(item)))
    except UnicodeEncodeError:
        raise PublishError("an argument, or a text in an item, is not valid UTF-8") from None
    return message


def _with_plain_payloads(item: WireItem) -> WireItem:
    """A copy in which base64 payloads, which only JSON needs, are the bytes they stand for."""
    if isinstance(item.get("formats"), dict):
        return {**item, "formats": _plain_formats(item["formats"])}
    return _plain_formats(item)  # formats may also stand among the item's own members


def _plain_formats(formats: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_format(name, value) for name, value in formats.items()}


def _plain_format(name: str, value: Any) -> Any:
    encoded, plain = _BASE64_MEMBERS.get(name, ("", ""))
    if not isinstance(value, dict) or not isinstance(value.get(encoded), str):
        return value
    rest = {member: value[member] for member in value if member != encoded}
    return {**rest, plain: lenient_base64(value[encoded])}


def _as_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {name.encode(): _as_bytes(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_as_bytes(element) for element in value]
    return value


def _connect(push: zmq.Socket[bytes], spec: str) -> None:
    # Without this a socket takes messages for an address at which nobody listens.
    push.immediate = True
    for endpoint in _endpoints(spec):
        push.ipv6 = "[" in endpoint
        push.connect(endpoint)


def _endpoints(spec: str) -> Iterator[str]:
    """Every address that a `tcp://` endpoint's name has; libzmq itself would try only one."""
    host, _, port = spec.removeprefix("tcp://").rpartition(":")
    if not spec.startswith("tcp://") or not host or host[0] == "[" or ";" in host:
        yield spec
        return
    try:
        for name in hosts_to_try(host):
            for family, *_, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
                number = str(address[0])
                bracketed = f"[{number}]" if family == socket.AF_INET6 else number
                yield f"tcp://{bracketed}:{port}"
    except OSError as error:
        raise PublishError(f"can't find {host}: {error.strerror}") from error


def _push(push: zmq.Socket[bytes], message: bytes, deadline: float, arguments: Arguments) -> None:
    if not push.poll(_milliseconds_until(deadline), zmq.POLLOUT):
        raise _too_late("nobody listens there", arguments)
    push.send(message, zmq.NOBLOCK)


def _milliseconds_until(deadline: float) -> int:
    return max(0, math.ceil((deadline - time.monotonic()) * 1000))


def _too_late(what: str, arguments: Arguments) -> PublishError:
    address = arguments.spec.partition("?")[0]
    return PublishError(f"{address}: {what} (tried for {arguments.timeout:g} s)")
