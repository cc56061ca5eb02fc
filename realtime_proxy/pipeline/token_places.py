"""Where a token is looked for in requests, and how it is kept from backends."""

from collections.abc import Iterable, Iterator

from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.bearer_refusal import NoToken, SeveralTokens
from realtime_proxy.pipeline.handler import SoleCredential
from realtime_proxy.pipeline.request_credentials import (
    arguments,
    bearer_of_subprotocols,
    cookies,
    headers_without_bearer,
    headers_without_cookies,
    target_without,
)


class TokenPlaces:
    """Query arguments, cookies, headers with `Bearer TOKEN`, and offered WebSocket subprotocols."""

    def __init__(
        self,
        headers: Iterable[str] = (),
        arguments: Iterable[str] = (),
        cookies: Iterable[str] = (),
        subprotocol: str = "",
    ) -> None:
        """Names of each; the subprotocol that is offered behind `subprotocol` is a token."""
        self._headers = frozenset(name.lower().encode() for name in headers)
        self._sizes = frozenset(map(len, self._headers))  # most names have another one
        self._arguments = frozenset(name.encode() for name in arguments)
        self._cookies = frozenset(name.encode() for name in cookies)
        self.subprotocol = subprotocol.lower().encode()

    def token(self, request: RequestHead, *, is_websocket: bool) -> bytes:
        """The one token of a request. Several are not guessed among: raises SeveralTokens, NoToken.

        The same one in several places is one.
        """
        found = self._in_headers(request)
        is_elsewhere = self._cookies or (self._arguments and b"?" in request.target)
        if is_elsewhere or len(found) > 1:
            found = list(dict.fromkeys((*self._elsewhere(request), *found)))
        if is_websocket and self.subprotocol:
            behind = bearer_of_subprotocols(request.headers, self.subprotocol)
            found += [behind] if behind and behind not in found else []
        if len(found) > 1:
            raise SeveralTokens("Multiple tokens provided")
        if not found:
            raise NoToken("Unauthorized")
        return found[0]

    def sole_credential(self, most: int) -> SoleCredential | None:
        """The one header that has tokens, and where else they may be; None if there is more."""
        if len(self._headers) != 1 or self._cookies:
            return None
        [header] = self._headers
        return SoleCredential(header.decode(), frozenset(map(bytes.decode, self._arguments)), most)

    def _in_headers(self, request: RequestHead) -> list[bytes]:
        found, sizes, names = [], self._sizes, self._headers
        for field, value in request.headers:
            if len(field) in sizes and field.lower() in names:
                written = value.strip()  # so that there is something behind a blank
                if written[:7].lower() == b"bearer ":
                    found.append(written[7:].strip())
        return found

    def _elsewhere(self, request: RequestHead) -> Iterator[bytes]:
        if self._arguments:
            yield from (v for n, v, _ in arguments(request.target) if n in self._arguments and v)
        if self._cookies:
            yield from (v for n, v, _ in cookies(request.headers) if n in self._cookies and v)

    def take_subprotocol(self, request: RequestHead) -> bool:
        """Take the token among subprotocols away, and what marks it; False if there is none."""
        kept = headers_without_bearer(request.headers, self.subprotocol)
        if kept is request.headers:
            return False
        request.headers = kept
        return True

    def take_out(self, request: RequestHead) -> None:
        """Take tokens away everywhere else."""
        request.target = target_without(request.target, self._arguments)
        headers = headers_without_cookies(request.headers, self._cookies)
        request.headers = headers.without(self._headers)


def token_of_message(content: bytes, kind: str) -> bytes | None:
    """The token of a message `{"type": KIND, "token": …}`; None if it is another message."""
    try:
        message = decode_json(content)
    except NotJsonError:
        return None
    if not isinstance(message, dict) or message.get("type") != kind:
        return None
    return str(message.get("token")).encode()
