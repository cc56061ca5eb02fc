"""Responses as scripts: what the callback gets, and that nothing else runs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response, ResponseHead, text_response
from realtime_proxy.routing.script import Script

EXTENDED = Script(b"cb", extended=True)
BASIC = Script(b"cb", extended=False)
JAVASCRIPT = (b"Content-Type", b"application/javascript")
NOSNIFF = (b"X-Content-Type-Options", b"nosniff")
NOT_ENCODABLE = b"Upstream response could not be JSON-P encoded.\n"
SEPARATORS = "\u2028\u2029"


def argument(script: bytes) -> str:
    """What the callback is called with; nothing in it can be read as anything but JSON."""
    text = script.decode("ascii")
    assert text.startswith("/**/cb(")
    assert text.endswith(");\n")
    assert "<" not in text
    return text.removeprefix("/**/cb(").removesuffix(");\n")


def response(
    body: bytes, *fields: tuple[bytes, bytes], status: int = 200, reason: bytes = b""
) -> Response:
    return Response(status, Headers(fields), body, reason)


def is_refused(answer: Response) -> bool:
    plain = answer.headers == [(b"Content-Type", b"text/plain")]
    return plain and (answer.status, answer.body) == (500, NOT_ENCODABLE)


# -- extended ------------------------------------------------------------------------------------


def test_extended() -> None:
    given_fields = [(b"X-A", b"1"), (b"x-a", b"2"), (b"Cache-Control", b"no-store")]
    answer = EXTENDED.whole(response(b'no "such" thing\n', *given_fields, status=404))
    assert (answer.status, answer.reason) == (200, b"OK")
    assert answer.headers == [JAVASCRIPT, NOSNIFF, (b"Cache-Control", b"no-store")]
    assert answer.body == (
        b'/**/cb({"code": 404, "reason": "Not Found", '
        b'"headers": {"X-A": "1", "Cache-Control": "no-store"}, '
        b'"body": "no \\"such\\" thing\\n"});\n'
    )


def test_held_responses_have_their_own_form() -> None:
    fields = [(b"X-A", b"1"), (b"Content-Type", b"a/b"), (b"x-a", b"2")]
    answer = EXTENDED.held(response(b"new\n", *fields, status=299, reason=b"Odd"))
    assert (answer.status, answer.reason) == (200, b"OK")
    assert answer.headers == [JAVASCRIPT, NOSNIFF, (b"X-A", b"1"), (b"x-a", b"2")]
    assert answer.body == (
        b'/**/cb({"body":"new\\n","code":299,'
        b'"headers":{"Content-Type":"a/b","X-A":"1, 2"},"reason":"Odd"});\n'
    )


def test_cookies_are_not_shown_to_the_page() -> None:
    fields = [(b"Set-Cookie", b"session=1"), (b"X-A", b"1")]
    for answer in (EXTENDED.whole(response(b"", *fields)), EXTENDED.held(response(b"", *fields))):
        assert json.loads(argument(answer.body))["headers"] == {"X-A": "1"}
    assert EXTENDED.held(response(b"", *fields)).headers.has(b"set-cookie")


@pytest.mark.parametrize("body", [b"\xff", b"\xc3"])
def test_a_body_that_is_no_text_is_refused(body: bytes) -> None:
    assert is_refused(EXTENDED.whole(response(body)))
    assert is_refused(EXTENDED.held(response(body)))


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=["C"])))
def test_whatever_is_told_arrives_as_data(body: str, value: str) -> None:
    told = response(f"{body}</script>{SEPARATORS}".encode(), (b"X", value.encode()))
    for answer in (EXTENDED.whole(told), EXTENDED.held(told)):
        described = json.loads(argument(answer.body))
        assert described["body"].encode() == told.body
        assert described["headers"] == {"X": value}


@given(st.text(), st.integers(1, 7))
def test_a_script_in_parts_is_the_same_script(text: str, size: int) -> None:
    data = text.encode()
    head = ResponseHead(200, b"OK", Headers())
    body, written = EXTENDED.begin(head, data[:size])
    for start in range(size, len(data), size):
        written += body.encode(data[start : start + size])
    written += body.encode(b"", is_last=True)
    assert written == EXTENDED.whole(response(data)).body
    assert EXTENDED.head(head).headers == [JAVASCRIPT, NOSNIFF]


def test_a_part_that_is_no_text_is_refused() -> None:
    body, _ = EXTENDED.begin(ResponseHead(200, b"OK", Headers()), b"a\xc3")
    with pytest.raises(ProtocolError) as caught:
        body.encode(b"", is_last=True)
    assert caught.value.status == 500
    with pytest.raises(ProtocolError):
        EXTENDED.begin(ResponseHead(200, b"OK", Headers()), b"\xff")


# -- basic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_basic_passes_the_body_as_it_is_written(end: bytes) -> None:
    fields = [(b"X-A", b"1"), (b"cache-control", b"max-age=5")]
    answer = BASIC.whole(response(b'{"a": [1,  2]}' + end, *fields, status=404))
    assert (answer.status, answer.body) == (200, b'/**/cb({"a": [1,  2]});\n')
    assert answer.headers == [JAVASCRIPT, NOSNIFF, (b"cache-control", b"max-age=5")]
    held = BASIC.held(response(b'{"a": [1,  2]}' + end, *fields, (b"Content-Type", b"a/b")))
    assert held.body == answer.body
    assert held.headers == [JAVASCRIPT, NOSNIFF, *fields]


def test_only_one_line_end_goes() -> None:
    assert BASIC.whole(response(b"1\n\n")).body == b"/**/cb(1\n);\n"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_whatever_is_json_arrives_as_it_was(value: object) -> None:
    body = json.dumps([value, f"</script>{SEPARATORS}"], ensure_ascii=False)
    data = body.encode()
    assert json.loads(argument(BASIC.whole(response(data)).body)) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"1);alert(1", b"alert(1)", b"{a: 1}", b'"\xff"', b"<p>", b"1;2", b"[" * 100_000, b"NaN"],
)
def test_a_body_that_is_no_json_would_be_code(body: bytes) -> None:
    assert is_refused(BASIC.whole(response(body)))
    assert is_refused(BASIC.held(response(body, status=404)))
    assert is_refused(BASIC.whole(response(body, (b"Content-Type", b"text/html"), status=404)))


def test_a_failure_in_plain_text_stays_one() -> None:
    answer = BASIC.whole(text_response(502, "Error while proxying to origin."))
    assert (answer.status, answer.body) == (502, b"Error while proxying to origin.\n")
    assert answer.headers == [(b"Content-Type", b"text/plain"), NOSNIFF]


def test_basic_scripts_are_not_made_in_parts() -> None:
    with pytest.raises(ProtocolError):
        BASIC.begin(ResponseHead(200, b"OK", Headers()), b"[")
