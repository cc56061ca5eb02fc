"""Requests for pages: the only ones whose sender may be told to go elsewhere and log in."""

from realtime_proxy.pipeline.exchange import Exchange


def is_page_request(exchange: Exchange) -> bool:
    """True if a browser asks for a page to show; False for WebSockets, event streams and scripts.

    A form that is sent is such a request, too.
    What a client accepts counts to the letter: `*/*` and a missing `Accept` do not mean HTML, so
    that programs get an answer that they can read.
    """
    if exchange.scheme not in ("http", "https"):
        return False
    accepted = accepted_types(exchange)
    return b"text/html" in accepted and b"text/event-stream" not in accepted


def accepted_types(exchange: Exchange) -> frozenset[bytes]:
    """The media types that a request names in `Accept`, in lower case; refused ones (`q=0`) not."""
    parted = (element.split(b";") for element in exchange.request.headers.tokens(b"accept"))
    return frozenset(
        name.strip()
        for name, *parameters in parted
        if not any(_is_refusal(parameter) for parameter in parameters)
    )


def _is_refusal(parameter: bytes) -> bool:
    name, _, value = parameter.strip().partition(b"=")
    return name == b"q" and value.rstrip(b"0") in (b"", b"0.", b".")
