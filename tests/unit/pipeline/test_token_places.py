"""Where tokens are looked for: in the places that are named, and one at a time."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.bearer_refusal import NoToken, SeveralTokens
from realtime_proxy.pipeline.handler import SoleCredential
from realtime_proxy.pipeline.token_places import TokenPlaces, token_of_message

PLACES = TokenPlaces(("Authorization",), ("jwt",), ("token",), "Bearer")


def request(*headers, target=b"/"):
    return RequestHead(b"GET", target, Headers(headers))


@pytest.mark.parametrize(
    "asking",
    [
        request((b"authorization", b"Bearer abc")),
        request((b"Authorization", b" bearer  abc ")),
        request(target=b"/?a=b&jwt=abc"),
        request((b"Cookie", b"a=b; token=abc")),
        request((b"Sec-WebSocket-Protocol", b"bearer, abc")),
        request((b"Cookie", b"token=abc"), (b"Authorization", b"Bearer abc")),
        request((b"Authorization", b"Basic abc"), target=b"/?jwt=abc"),
    ],
)
def test_each_place(asking):
    assert PLACES.token(asking, is_websocket=True) == b"abc"
    with pytest.raises(NoToken):
        TokenPlaces().token(asking, is_websocket=True)


def test_two_are_not_guessed_among():
    with pytest.raises(SeveralTokens):
        PLACES.token(
            request((b"Authorization", b"Bearer abc"), target=b"/?jwt=xyz"), is_websocket=False
        )
    with pytest.raises(SeveralTokens):
        PLACES.token(
            request((b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer b")),
            is_websocket=False,
        )


def test_subprotocols_are_those_of_websockets():
    asking = request((b"Sec-WebSocket-Protocol", b"bearer, abc"))
    with pytest.raises(NoToken):
        PLACES.token(asking, is_websocket=False)


def test_backends_are_kept_from_them():
    asking = request(
        (b"Authorization", b"Bearer abc"),
        (b"Cookie", b"a=b; token=abc"),
        (b"Sec-WebSocket-Protocol", b"chat, bearer, abc"),
        target=b"/?jwt=abc&c=d",
    )
    PLACES.take_out(asking)
    assert asking.target == b"/?c=d"
    assert asking.headers.get(b"cookie") == b"a=b"
    assert not asking.headers.has(b"authorization")
    assert PLACES.take_subprotocol(asking)
    assert asking.headers.get(b"sec-websocket-protocol") == b"chat"
    assert not PLACES.take_subprotocol(asking)


@pytest.mark.parametrize(
    ("content", "token"),
    [
        (b'{"type": "renew", "token": "abc"}', b"abc"),
        (b'{"type": "renew"}', b"None"),  # which is no token
        (b'{"type": "other", "token": "abc"}', None),
        (b'["renew"]', None),
        (b'{"type": "renew"', None),
        (b"\xff", None),
    ],
)
def test_tokens_in_messages(content, token):
    assert token_of_message(content, "renew") == token


@pytest.mark.parametrize(
    ("places", "sole"),
    [
        (TokenPlaces(["Authorization"], ["jwt"]), SoleCredential("authorization", {"jwt"}, 5)),
        (TokenPlaces(["Authorization"]), SoleCredential("authorization", frozenset(), 5)),
        (TokenPlaces(["a", "b"]), None),
        (TokenPlaces(["a"], cookies=["b"]), None),
        (TokenPlaces(arguments=["a"]), None),
    ],
)
def test_where_a_header_alone_decides(places, sole):
    assert places.sole_credential(5) == sole
