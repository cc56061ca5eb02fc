"""The WebSocket extension `permessage-deflate` (RFC 7692): what is agreed on with each side.

The proxy agrees with a client and with a backend apart from each other. Neither side may refer to
earlier messages, so that a quiet connection keeps no compression state, and a published message is
deflated once for all.
"""

from collections.abc import Iterator, Sequence

import attrs

from realtime_proxy.grip.header_values import parse_element, split_elements
from realtime_proxy.model.headers import Headers
from realtime_proxy.wire.encodings import WireForm

_NAME = b"permessage-deflate"
_NO_TAKEOVER = b"; server_no_context_takeover; client_no_context_takeover"
# What a backend is offered.
OFFER = _NAME + _NO_TAKEOVER
_WINDOWS = frozenset(b"%d" % bits for bits in range(8, 16))
_FULL_WINDOW = b"15"
# zlib can't deflate for a window of 8 bits, and those who ask for less than all get 9.
_TOO_SMALL = b"8"
_SMALL_WINDOW = b"9"
_WINDOW = b"; server_max_window_bits="


@attrs.frozen
class Agreement:
    """What is agreed on with a client: the form of its messages, and what the 101 says of it."""

    form: WireForm
    answer: bytes


_FULL = Agreement(WireForm.DEFLATED, OFFER)
_FULL_AS_ASKED = Agreement(WireForm.DEFLATED, OFFER + _WINDOW + _FULL_WINDOW)
_SMALL = Agreement(WireForm.DEFLATED_SMALL, OFFER + _WINDOW + _SMALL_WINDOW)


def agreement(headers: Headers) -> Agreement | None:
    """What is made of a client's offers: the first one that can be accepted counts, if any."""
    for parameters in _offers(split_elements(headers.get_all(b"sec-websocket-extensions"))):
        window = parameters.get(b"server_max_window_bits")
        if _is_valid(parameters, valueless=b"client_max_window_bits") and window != _TOO_SMALL:
            if window is None:
                return _FULL
            return _FULL_AS_ASKED if window == _FULL_WINDOW else _SMALL
    return None


def accepted_form(extensions: Sequence[bytes]) -> WireForm | None:
    """The form of messages for a backend that answers our offer so; None if it must not."""
    if len(extensions) != 1:
        return None
    for parameters in _offers(extensions):
        takes_over = b"server_no_context_takeover" not in parameters
        if _is_valid(parameters) and not takes_over and b"client_max_window_bits" not in parameters:
            return WireForm.DEFLATED
    return None


def _offers(elements: Sequence[bytes] | Iterator[bytes]) -> Iterator[dict[bytes, bytes]]:
    """The parameters of each permessage-deflate in a header, if none is given twice."""
    for text in elements:
        element = parse_element(text)
        if element is not None and element.value.lower() == _NAME:
            parameters = {name.lower(): value for name, value in element.parameters}
            if len(parameters) == len(element.parameters):
                yield parameters


def _is_valid(parameters: dict[bytes, bytes], valueless: bytes = b"") -> bool:
    """True if all parameters are known and have a value that they may have (RFC 7692 7.1)."""
    for name, value in parameters.items():
        match name:
            case b"server_no_context_takeover" | b"client_no_context_takeover":
                if value:
                    return False
            case b"server_max_window_bits" | b"client_max_window_bits":
                if value not in _WINDOWS and not (name == valueless and not value):
                    return False
            case _:
                return False
    return True
