"""The demo's page: one HTML file, sent with a policy that lets nothing else run in it."""

import base64
import functools
import hashlib
import re
from pathlib import Path

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

_FILE = Path(__file__).with_name("page.html")
_INLINE = re.compile(rb"<(style|script)>(.*?)</\1>", re.DOTALL)
# `Host` comes from the client: only what a host and a port are written with goes into the policy.
_HOST = re.compile(rb"[0-9A-Za-z.:\[\]-]+")


@attrs.frozen
class Page:
    """The page's bytes, and the hashes of what it has inline."""

    body: bytes
    styles: bytes
    scripts: bytes


@functools.cache
def load_page() -> Page:
    """Read the page, once."""
    body = _FILE.read_bytes()
    hashes: dict[bytes, list[bytes]] = {b"style": [], b"script": []}
    for tag, text in _INLINE.findall(body):
        digest = base64.b64encode(hashlib.sha256(text).digest())
        hashes[tag].append(b"'sha256-%b'" % digest)
    return Page(body, b" ".join(hashes[b"style"]), b" ".join(hashes[b"script"]))


def page_response(host: bytes) -> Response:
    """The page for a browser that asked this host for it."""
    page = load_page()
    headers = Headers(
        [
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Cache-Control", b"no-cache"),
            (b"Vary", b"Accept"),
            (b"Content-Security-Policy", _policy(page, host)),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Referrer-Policy", b"no-referrer"),
        ]
    )
    return Response(200, headers, page.body)


def _policy(page: Page, host: bytes) -> bytes:
    """What the page may do: its own style and script, and talk to where it came from."""
    # Not every browser takes 'self' to cover WebSockets.
    sockets = b" ws://%b wss://%b" % (host, host) if _HOST.fullmatch(host) else b""
    return b"; ".join(
        [
            b"default-src 'none'",
            b"style-src " + page.styles,
            b"script-src " + page.scripts,
            b"connect-src 'self'" + sockets,
            b"img-src data:",
            b"base-uri 'none'",
            b"form-action 'none'",
            b"frame-ancestors 'none'",
        ]
    )
