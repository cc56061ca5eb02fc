"""Key authentication takes any request: it decides, never raises, and hides what it found."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.structure import structure
from realtime_proxy.pipeline import CONTINUE, Exchange, HandlerContext, Headers, Refuse, RequestHead
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "key_auth.py")

PIECES = [b"key", b"k%65y", b"secret", b"s%65cret", b"=", b"&", b";", b"%", b"+", b"?", b'"', b" "]
TEXT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12).map(b"".join)
FIELDS = st.lists(
    st.tuples(st.sampled_from([b"Key", b"Cookie", b"Accept", b"Expect", b"X-Consumer-ID"]), TEXT),
    max_size=5,
)


def make(profile: str) -> Any:
    settings = {
        "consumers": [{"username": "alice", "keys": ["secret"]}],
        "key_names": ["key"],
        "key_in_cookie": True,
        "hide_credentials": True,
        "profile": profile,
    }
    with files_relative_to(CHECKOUT):
        config: Any = structure(settings, Handler.Config)
    return Handler(config, HandlerContext("key_auth", None))


@given(profile=st.sampled_from(["modern", "classic"]), query=TEXT, fields=FIELDS)
async def test_any_request_is_decided_and_keeps_no_key(
    profile: str, query: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    request = RequestHead(b"GET", b"/?" + query, Headers(fields))
    exchange = Exchange(request, "route", "http", "")
    decision = await make(profile).on_request(exchange)
    assert (decision is CONTINUE) != isinstance(decision, Refuse)
    assert (decision is CONTINUE) == (exchange.identity is not None)
    rest = request.target.partition(b"?")[2].decode("latin-1")
    assert "key" not in [name for name, _ in parse_qsl(rest, keep_blank_values=True)]
    assert not exchange.request.headers.has(b"key")
    assert exchange.request.headers.get_all(b"x-consumer-username") == (
        [b"alice"] if decision is CONTINUE else []
    )
    if decision is CONTINUE:
        assert not exchange.request.headers.has(b"x-consumer-id")


@given(query=TEXT, fields=FIELDS)
async def test_who_lacks_the_key_never_passes(
    query: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    written = b" ".join([query, *(value for _, value in fields)])
    if b"secret" in written or b"s%65cret" in written:
        return
    exchange = Exchange(RequestHead(b"GET", b"/?" + query, Headers(fields)), "route", "http", "")
    assert isinstance(await make("modern").on_request(exchange), Refuse)
