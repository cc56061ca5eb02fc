"""An admin port that a test plays."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ONE: dict[str, Any] = {
    "id": "worker_1:7",
    "worker": 0,
    "kind": "sse",
    "route": "events",
    "client_address": "192.0.2.1",
    "consumer": None,
    "channels": ["news"],
    "uri": "http://a/events?token=***",
    "opened_at": 1.0,
    "age_seconds": 65.2,
    "bytes_sent": 1_234,
    "messages_sent": 3,
    "backlog_bytes": 0,
    "expires_at": None,
}


class AdminServer:
    """Has `connections`, and keeps what it was asked; a `refusal` is answered instead."""

    def __init__(self, unix_path: Path | None = None) -> None:
        self.connections = [ONE]
        self.requests: list[tuple[str, str, str | None]] = []
        self.refusal: tuple[int, bytes] | None = None
        handler = type("Handler", (_Handler,), {"port": self})
        self._server: socketserver.BaseServer
        if unix_path is None:
            tcp = self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
            self.address = f"127.0.0.1:{tcp.server_address[1]}"
        else:
            self._server = socketserver.ThreadingUnixStreamServer(str(unix_path), handler)
            self.address = f"unix:{unix_path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, method: str, target: str, authorization: str | None) -> tuple[int, bytes]:
        """Status and body of the answer to a request."""
        self.requests.append((method, target, authorization))
        if self.refusal is not None:
            return self.refusal
        if method == "DELETE":
            return 200, json.dumps({"closed": len(self.connections)}).encode()
        query = dict(parse_qsl(urlsplit(target).query))
        begin = int(query.get("after", "0"))
        end = begin + int(query["limit"])
        following = str(end) if end < len(self.connections) else None
        page = {"connections": self.connections[begin:end], "next": following}
        return 200, json.dumps(page).encode()

    def close(self) -> None:
        """Give the address back."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    port: AdminServer

    def do_GET(self) -> None:
        status, body = self.port.answer(self.command, self.path, self.headers["Authorization"])
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815  as http.server wants it

    def log_request(self, *_: object) -> None:
        """Say nothing; a unix socket has no address to log, either."""
