"""How SockJS's frames go to a client over HTTP: the ways that it may ask for, and their bytes."""

from collections.abc import Callable

import attrs

from realtime_proxy.sessions.sockjs_frames import quoted

# After so many bytes a stream ends, and the client asks for the next: browsers keep all of it.
MAX_STREAM_BYTES = 128 * 1024
# What some browsers want to see before they hand out anything.
_XHR_PRELUDE = b"h" * 2048 + b"\n"
_HTML_PRELUDE_BYTES = 1024

_HTML = """<!doctype html>
<html><head>
<meta http-equiv="X-UA-Compatible" content="IE=edge">
<meta charset="UTF-8">
</head><body><h2>Messages come as they are sent</h2>
<script>
document.domain = document.domain;
var c = parent.{callback};
c.start();
function p(d) {{ c.message(d); }}
window.onload = c.stop;
</script>
"""


@attrs.frozen
class Transport:
    """One way to receive: the type of its response, what comes first, and each frame's bytes.

    What does not `stream` has one frame in each response. `callback` names the function of the
    page that is called, which whoever made the transport has looked at.
    """

    content_type: bytes
    streams: bool
    _encode: Callable[[str, str], str]
    _prelude: Callable[[str], bytes] = lambda _callback: b""
    callback: str = ""

    def prelude(self) -> bytes:
        """What the body begins with."""
        return self._prelude(self.callback)

    def encode(self, frame: str) -> bytes:
        """The bytes of a frame."""
        return self._encode(frame, self.callback).encode()


def _line(frame: str, _callback: str) -> str:
    return f"{frame}\n"


def _event(frame: str, _callback: str) -> str:
    return f"data: {frame}\r\n\r\n"


def _call(frame: str, callback: str) -> str:
    # The comment keeps it from being taken for anything but a script, whatever the callback is.
    return f"/**/{callback}({quoted(frame)});\n"


def _script(frame: str, _callback: str) -> str:
    return f"<script>\np({_quoted_in_page(frame)});\n</script>\r\n"


def _quoted_in_page(frame: str) -> str:
    """As a JSON string that can't end the script it is in, or begin a comment."""
    return quoted(frame).replace("<", "\\u003c")


def _page(callback: str) -> bytes:
    page = _HTML.format(callback=callback)
    return (page + " " * (_HTML_PRELUDE_BYTES - len(page)) + "\r\n\r\n").encode()


# By the last segment of the path. Of those that need one the callback is filled in.
TRANSPORTS = {
    b"xhr": Transport(b"text/plain; charset=UTF-8", False, _line),
    b"xhr_streaming": Transport(
        b"text/plain; charset=UTF-8", True, _line, lambda _callback: _XHR_PRELUDE
    ),
    b"eventsource": Transport(
        b"text/event-stream; charset=UTF-8", True, _event, lambda _callback: b"\r\n"
    ),
    b"htmlfile": Transport(b"text/html; charset=UTF-8", True, _script, _page),
    b"jsonp": Transport(b"application/javascript; charset=UTF-8", False, _call),
}
NEEDS_CALLBACK = frozenset((b"htmlfile", b"jsonp"))
