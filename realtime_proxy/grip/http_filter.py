"""The filters `http-check` and `http-modify`: a backend is asked about each item."""

import json
from collections.abc import Mapping

import attrs

from realtime_proxy.errors import FilterError
from realtime_proxy.model.headers import Headers

CHECK = "http-check"
MODIFY = "http-modify"
# The largest content that a backend may put in an item's place (filters.md F-8.8).
MAX_CONTENT_BYTES = 100_000


@attrs.frozen
class FilterRequest:
    """What to POST; `url` may be relative to what the client asked for."""

    url: str
    headers: Headers
    body: bytes = b""


@attrs.frozen
class FilterReply:
    """What of the response matters: its status, the field `Action`, and its body.

    A body over MAX_CONTENT_BYTES may be cut anywhere after that.
    """

    status: int
    action: bytes | None = None
    body: bytes = b""


def filter_request(
    name: str,
    sub_meta: Mapping[str, str],
    pub_meta: Mapping[str, str],
    last_ids: Mapping[str, str | None],
    content: bytes,
) -> FilterRequest:
    """What a filter asks about content. Raises FilterError without the meta `url`."""
    url = sub_meta.get("url")
    if not url:
        raise FilterError("missing url value")
    headers = Headers([(b"Sub-Meta", _json(sub_meta)), (b"Pub-Meta", _json(pub_meta))])
    headers.extend(
        (b"Grip-Last", f"{channel}; last-id={last_id}".encode())
        for channel, last_id in last_ids.items()
        if last_id is not None
    )
    return FilterRequest(url, headers, content if name == MODIFY else b"")


def filtered_content(name: str, reply: FilterReply, content: bytes) -> bytes | None:
    """What a reply makes of the content; None if the item is to be dropped. Raises FilterError."""
    if reply.status not in (200, 204):
        raise FilterError(f"unexpected network request status: code={reply.status}")
    if reply.action == b"drop":
        return None
    if name == CHECK or reply.status == 204:
        return content
    if len(reply.body) > MAX_CONTENT_BYTES:
        raise FilterError(f"network response exceeded {MAX_CONTENT_BYTES} bytes")
    return reply.body


def _json(meta: Mapping[str, str]) -> bytes:
    """An object as a header field may have it: in ASCII, without control characters."""
    return json.dumps(dict(meta), separators=(",", ":")).replace("\x7f", "\\u007f").encode()
