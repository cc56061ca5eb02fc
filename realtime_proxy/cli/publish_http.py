"""Publish over HTTP: one POST to the control server, and its verdict."""

import base64
import json
import os
import socket
import time
from http.client import HTTPException, HTTPResponse
from typing import Any

from realtime_proxy.cli.grip_url import GripUrl, parse_grip_url
from realtime_proxy.cli.hosts_to_try import hosts_to_try
from realtime_proxy.cli.publish_arguments import Arguments
from realtime_proxy.cli.publish_item import WireItem
from realtime_proxy.errors import PublishError

# An error page that is longer than this explains nothing any more.
_MAX_REPLY_BYTES = 65_536

# In JSON a payload that is not text stands under another name, in base64.
_BINARY_NAMES = {"body": "body-bin", "content": "content-bin"}


def publish_over_http(items: list[WireItem], arguments: Arguments) -> None:
    """Post all items at once. Raises PublishError unless the server has taken them."""
    url = parse_grip_url(arguments.spec)
    request = encode_request(url, encode_body(items), _authorization(url, arguments))
    connection = _connect(url, arguments.timeout)
    with connection:
        try:
            connection.sendall(request)
            status, reply = _read_reply(connection)
        except (OSError, HTTPException) as error:
            raise PublishError(f"no answer from {url.authority}: {_reason(error)}") from error
    # Not just any success: a 202 or 204 of some other server does not say "published".
    if status != 200:
        raise PublishError(reply or f"the server answered with status {status}")


def encode_body(items: list[WireItem]) -> bytes:
    """The JSON text that carries the items."""
    body = {"items": [_as_json(item) for item in items]}
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise PublishError("an argument, or a text in an item, is not valid UTF-8") from None


def _as_json(value: Any) -> Any:
    """A value with its payload bytes written as JSON can hold them."""
    if isinstance(value, dict):
        return dict(_member(name, member) for name, member in value.items())
    return value


def _member(name: str, value: Any) -> tuple[str, Any]:
    if not isinstance(value, bytes):
        return name, _as_json(value)
    try:
        return name, value.decode()
    except UnicodeDecodeError:
        return _BINARY_NAMES[name], base64.b64encode(value).decode()


def encode_request(url: GripUrl, body: bytes, authorization: str | None) -> bytes:
    """The whole request: HTTP/1.0, so that the reply ends with the connection."""
    lines = [
        f"POST {url.target} HTTP/1.0",
        f"Host: {url.authority}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if authorization is not None:
        lines.append(f"Authorization: {authorization}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _authorization(url: GripUrl, arguments: Arguments) -> str | None:
    if arguments.user is None and arguments.bearer is None:
        token = url.bearer_token(time.time())
        return None if token is None else f"Bearer {token}"
    if url.scheme != "https":
        raise PublishError("Authentication requires https")
    if arguments.user is not None:
        return f"Basic {base64.b64encode(os.fsencode(arguments.user)).decode()}"
    token = arguments.bearer or ""
    if not (token.isascii() and token.isprintable()):
        raise PublishError("the bearer token has characters that no header can hold")
    return f"Bearer {token}"


def _connect(url: GripUrl, timeout_seconds: float) -> socket.socket:
    failures: list[OSError] = []
    for host in hosts_to_try(url.host):
        try:
            connection = socket.create_connection((host, url.port), timeout_seconds)
            return _secured(connection, url) if url.scheme == "https" else connection
        except OSError as error:
            failures.append(error)
    raise PublishError(f"can't connect to {url.authority}: {_reason(failures[0])}")


def _secured(connection: socket.socket, url: GripUrl) -> socket.socket:
    import ssl

    try:
        return ssl.create_default_context().wrap_socket(connection, server_hostname=url.host)
    except OSError:
        connection.close()
        raise


def _read_reply(connection: socket.socket) -> tuple[int, str]:
    response = HTTPResponse(connection, method="POST")
    with response:
        response.begin()
        text = response.read(_MAX_REPLY_BYTES).decode(errors="replace").strip()
        return response.status, text


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "it does not speak HTTP"
