"""The target of a request: a path, or a whole URI as for a forward proxy (RFC 9112 3.2)."""

import re

from realtime_proxy.errors import ProtocolError

# No user and password, which a host in front of `@` would be taken for (RFC 9110 4.2.4).
_ABSOLUTE = re.compile(
    rb"https?://((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::[0-9]*)?)([/?].*)?",
    re.IGNORECASE,
)


def absolute_form(method: bytes, target: bytes) -> tuple[bytes, bytes] | None:
    """The host (with its port) and the path of a target that is a whole URI; None for a path.

    The host stands for the `Host` field, whatever that says (RFC 9112 3.2.2): who reads one of them
    must not see another host than who reads the other. The scheme says nothing about how the
    request came. Raises ProtocolError (400) for what is neither.
    """
    if target[:1] == b"/" or (target == b"*" and method == b"OPTIONS"):
        return None
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise ProtocolError(
            400, "The request target must be a path that begins with '/', or an http:// URI."
        )
    host, rest = match.groups()
    if not rest:
        return host, b"*" if method == b"OPTIONS" else b"/"
    return host, rest if rest[:1] == b"/" else b"/" + rest
