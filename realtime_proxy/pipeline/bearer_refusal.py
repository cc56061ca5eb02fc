"""Requests whose token does not count: how Kong says so, or RFC 6750."""

import json
from typing import Any

import attrs

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.pipeline.key_set import KeysUnavailable
from realtime_proxy.pipeline.kong_refusal import JSON

_RETRY_AFTER_SECONDS = 5


class TokenRefused(Exception):
    """A request without a token that counts; the text is for the client."""

    classic_status = 403
    error = "invalid_token"
    status = 401

    def __init__(self, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.errors = errors


class NoToken(TokenRefused):
    """There is none."""

    classic_status = 401
    error = ""


class UnreadableToken(TokenRefused):
    """What is there is none, or does not say whose it is."""

    classic_status = 401


class SeveralTokens(TokenRefused):
    """They contradict each other."""

    classic_status = 401
    error = "invalid_request"


class NotInScope(TokenRefused):
    """The token is good, but not for this."""

    error = "insufficient_scope"
    status = 403


@attrs.frozen
class BearerRefusals:
    """Refusals in the words of a profile: `modern` (Kong 3), `classic` (Kong 0.9) or `rfc6750`."""

    profile: str
    realm: str = ""
    scopes: tuple[str, ...] = ()  # what a token is required to be for

    def challenge(self, error: str = "") -> str:
        """`WWW-Authenticate` for a token that does not count, or for one that is not there."""
        challenge = f'Bearer realm="{self.realm}"' if self.realm else "Bearer"
        separator = ", " if self.realm else " "
        return f'{challenge}{separator}error="{error}"' if error else challenge

    def of(self, error: TokenRefused) -> Refuse:
        """The refusal of a request."""
        headers = Headers([(b"Content-Type", JSON)])
        if self.profile == "classic":
            body = _compact(_kong_body(error)) + b"\n"
            return Refuse(Response(error.classic_status, headers, body), why=str(error))
        status, challenge, told = (
            self._by_rfc6750(error) if self.profile == "rfc6750" else self._by_kong(error)
        )
        if isinstance(error, NotInScope):
            challenge += f', scope="{" ".join(self.scopes)}"'
        headers.append((b"WWW-Authenticate", challenge.encode()))
        return Refuse(Response(status, headers, _compact(told)), why=str(error))

    def _by_kong(self, error: TokenRefused) -> tuple[int, str, dict[str, Any]]:
        # Kong has one name for all that is wrong with a token.
        name = "invalid_token" if error.error == "invalid_request" else error.error
        return error.status, self.challenge(name), _kong_body(error)

    def _by_rfc6750(self, error: TokenRefused) -> tuple[int, str, dict[str, Any]]:
        status = 400 if error.error == "invalid_request" else error.status
        told = {"error": error.error or "unauthorized", "error_description": str(error)}
        challenge = self.challenge(error.error)
        if error.error:
            quotable = str(error).replace("\\", "").replace('"', "'")
            challenge += f', error_description="{quotable}"'
        return status, challenge, told


def keys_unavailable(problem: KeysUnavailable) -> Refuse:
    """The refusal while nobody can tell whether a token is good."""
    headers = Headers([(b"Content-Type", JSON), (b"Retry-After", b"%d" % _RETRY_AFTER_SECONDS)])
    body = _compact({"message": "The keys to check the token with can't be had"})
    return Refuse(Response(503, headers, body), why=f"no keys: {problem}")


def _kong_body(error: TokenRefused) -> dict[str, Any]:
    return dict(error.errors) if error.errors else {"message": str(error)}


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
