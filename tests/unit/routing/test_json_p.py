"""What the query of a script's GET says about the request to make."""

import contextlib
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.errors import ProtocolError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.json_p import JsonPRequest, JsonPRules
from realtime_proxy.routing.script import Script
from realtime_proxy.wire.http1_client import encode_request_head
from realtime_proxy.wire.http1_rules import parse_request_block

RULES = JsonPRules()
BASIC = JsonPRules(extended=False)
NAMED = JsonPRules(callback_name=b"cb", body_name=b"payload", default_callback=b"handle")
HOST = (b"Host", b"a.example")
ACCEPT = (b"Accept", b"*/*")


def get(target: str, *fields: tuple[bytes, bytes], method: bytes = b"GET") -> RequestHead:
    return RequestHead(method, target.encode(), Headers([HOST, *fields]))


def read(target: str, *fields: tuple[bytes, bytes], rules: JsonPRules = RULES) -> JsonPRequest:
    asked = rules.read(get(target, *fields))
    assert asked is not None
    return asked


def problem(target: str, rules: JsonPRules = RULES) -> str:
    with pytest.raises(ProtocolError) as caught:
        rules.read(get(target))
    assert caught.value.status == 400
    return str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        get("/a"),
        get("/a?"),
        get("/a?call=cb"),
        get("/a?Callback=cb"),
        get("/a?callback=cb", method=b"POST"),
        get("/a?callback=cb", method=b"HEAD"),
        get("/a?_method=PUT&_body=x"),
    ],
)
def test_other_requests_are_ordinary(head: RequestHead) -> None:
    assert RULES.read(head) is None


def test_a_callback_is_enough() -> None:
    asked = read("/a?callback=cb")
    assert asked == JsonPRequest(
        Script(b"cb", extended=True), RequestHead(b"GET", b"/a", Headers([HOST, ACCEPT])), b""
    )


def test_basic_mode_posts() -> None:
    asked = read("/a?callback=cb", rules=BASIC)
    assert asked.head.method == b"POST"
    assert asked.head.headers.get(b"content-length") == b"0"
    assert not asked.script.extended


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("callback=cb&a=1", "?a=1"),
        ("a=%20+1&callback=cb&&b", "?a=%20+1&&b"),
        ("callback=one&a&callback=two", "?a"),
        ("c%61llback=cb&_method=PUT&_headers={}&_body=", ""),
    ],
)
def test_the_rest_of_the_query_is_passed_on_as_it_is(query: str, rest: str) -> None:
    assert read(f"/a?{query}").head.target == f"/a{rest}".encode()


def test_the_request_is_described() -> None:
    fields = quote(json.dumps({"X-One": "ä", "If-Match": "*"}))
    asked = read(f"/a?callback=cb&_method=PUT&_headers={fields}&_body=b%26%3D+d", (b"X-Own", b"1"))
    assert (asked.head.method, asked.body) == (b"PUT", b"b&=+d")
    assert asked.head.headers == [
        (b"X-One", "ä".encode()),
        (b"If-Match", b"*"),
        HOST,
        ACCEPT,
        (b"X-Own", b"1"),
        (b"Content-Length", b"5"),
    ]


def test_names_of_parameters_may_be_others() -> None:
    target = "/a?cb=f&payload=%7B%7D&callback=plain&_body=b"
    asked = read(target, (b"Content-Type", b"x/y"), rules=NAMED)
    assert asked.script.callback == b"f"
    assert asked.body == b"{}"
    assert asked.head.target == b"/a?callback=plain&_body=b"
    assert asked.head.headers.get_all(b"content-type") == [b"application/json"]


def test_a_body_is_enough_where_there_is_a_default_callback() -> None:
    assert read("/a?payload=1", rules=NAMED).script.callback == b"handle"
    assert NAMED.read(get("/a?other=1")) is None
    assert JsonPRules(body_name=b"payload").read(get("/a?payload=1")) is None
    assert JsonPRules(default_callback=b"handle").read(get("/a?_body=1")) is None


def test_the_default_method_may_be_another() -> None:
    rules = JsonPRules(default_method=b"PUT")
    assert read("/a?callback=cb", rules=rules).head.method == b"PUT"
    assert read("/a?callback=cb&_method=PATCH", rules=rules).head.method == b"PATCH"


@pytest.mark.parametrize("callback", ["cb", "$", "_a1", "jQuery.cb_1", "a.b[0].c", "cbs[12]"])
def test_a_callback_is_the_name_of_a_function(callback: str) -> None:
    assert read(f"/a?callback={quote(callback)}").script.callback == callback.encode()


@pytest.mark.parametrize(
    "callback",
    [
        *("", "1", "a b", "a-b", "alert(1)//", "a;b", "a=b", "a..b", ".a", "a.", "a[", "a[b]"),
        *("a[0", "a\n", "<script>", "a'b", "ä", "a\u2028", "a/**/", "a\\u0062", "%"),
    ],
)
def test_a_callback_is_nothing_more(callback: str) -> None:
    assert problem(f"/a?callback={quote(callback)}") == "Invalid callback parameter."
    assert problem("/a?callback") == "Invalid callback parameter."
    assert problem("/a?callback=a%zz") == "Invalid callback parameter."


@pytest.mark.parametrize("method", ["", "A B", "GET%0D%0AX:", "%zz", "CONNECT", "trace"])
def test_a_method_is_one_that_pages_may_use(method: str) -> None:
    assert problem(f"/a?callback=cb&_method={method}") == "Invalid _method parameter."


@pytest.mark.parametrize(
    "fields",
    [
        *("nope", "[]", '"a"', '{"a": 1}', '{"a": null}', "%zz", '{"a": "b"'),
        '{"": "a"}',
        '{"a b": "c"}',
        '{"a:": "c"}',
        r'{"a": "b\r\nX-Evil: 1"}',
        r'{"a\nb": "c"}',
        r'{"a": "\u0000"}',
        '{"a": ' * 5_000,
    ],
)
def test_fields_are_an_object_of_fields(fields: str) -> None:
    written = fields if fields == "%zz" else quote(fields)
    assert problem(f"/a?callback=cb&_headers={written}") == "Invalid _headers parameter."


def test_bodies_are_percent_encoded() -> None:
    assert problem("/a?callback=cb&_body=%zz") == "Invalid _body parameter."
    assert problem("/a?cb=f&payload=%zz", NAMED) == "Invalid body parameter."


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Host",
            "accept",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Expect",
            "Cookie",
        ),
        *("Origin", "Grip-Sig", "Grip-Last", "X-Forwarded-For", "x-forwarded-proto", "Forwarded"),
        *("Sec-Fetch-Site", "Proxy-Authorization", "Upgrade", "X-Real-IP", "Via", "Keep-Alive"),
        "eb9bf0f5-X-Own",
    ],
)
def test_a_page_may_not_set_what_tells_of_it_or_of_the_connection(name: str) -> None:
    fields = quote(json.dumps({name: "evil", "X-Good": "1"}))
    headers = read(f"/a?callback=cb&_headers={fields}").head.headers
    assert headers == [(b"X-Good", b"1"), HOST, ACCEPT]


def test_a_page_may_not_replace_what_its_own_request_says() -> None:
    fields = quote(json.dumps({"x-consumer-id": "root"}))
    asked = read(f"/a?callback=cb&_headers={fields}", (b"X-Consumer-ID", b"me"))
    assert asked.head.headers.get_all(b"x-consumer-id") == [b"me"]


def test_the_length_is_that_of_the_new_body() -> None:
    asked = read("/a?callback=cb&_method=POST&_body=abc", (b"Content-Length", b"0"))
    assert asked.head.headers.get_all(b"content-length") == [b"3"]
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        headers = read(f"/a?callback=cb&_method={method}").head.headers
        assert not headers.has(b"content-length")


def test_rules_of_a_route() -> None:
    route = Route(
        targets=(Target(demo=True),),
        json_p_mode="basic",
        json_p_callback="cb",
        json_p_body="b",
        json_p_default_callback="f.g",
        json_p_default_method="PUT",
    )
    assert JsonPRules.of(route) == JsonPRules(
        extended=False,
        callback_name=b"cb",
        body_name=b"b",
        default_callback=b"f.g",
        default_method=b"PUT",
    )
    assert JsonPRules.of(Route(targets=())) == JsonPRules()


@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["callback", "_method", "_headers", "_body", "a"]),
            st.one_of(
                st.binary(max_size=20).map(quote),
                st.sampled_from(["cb", "PUT", "%", "%7B%22A%22%3A%22b%22%7D"]),
                st.dictionaries(st.text(max_size=5), st.text(max_size=5)).map(
                    lambda fields: quote(json.dumps(fields))
                ),
            ),
        ),
        max_size=5,
    )
)
def test_whatever_is_described_is_one_request_or_refused(parts: list[tuple[str, str]]) -> None:
    target = "/a?" + "&".join(f"{name}={value}" for name, value in parts)
    for rules in (RULES, BASIC, NAMED):
        asked = None
        with contextlib.suppress(ProtocolError):
            asked = rules.read(get(target))
        if asked is not None:
            block = encode_request_head(asked.head)
            method, _, _, headers = parse_request_block(block)
            assert method == asked.head.method
            assert headers.get_all(b"host") == [b"a.example"]
            assert len(headers) == len(asked.head.headers)
