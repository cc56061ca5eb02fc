"""The readers of `grip/` on anything at all: an answer or the documented error, nothing else."""

import base64
import hashlib
import hmac
import json

import pytest
import tnetstring
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import GripError, PublishError
from realtime_proxy.grip.control_message import parse_control_message
from realtime_proxy.grip.instruct import HoldMode, is_instruct, may_stream, parse_instruct
from realtime_proxy.grip.json_patch import patched_body
from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.grip.publish import (
    item_from_json,
    items_from_tnetstring,
    parse_items_json,
    parse_message,
)
from realtime_proxy.grip.signature import Signer, SigningKey, Verifier
from realtime_proxy.grip.tnetstring_text import NotTnetstringError, decode_tnetstring
from realtime_proxy.grip.websocket_events import (
    Event,
    close_content,
    decode_events,
    encode_events,
    parse_close_content,
)
from realtime_proxy.grip.websocket_extension import message_prefix
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead

# -- what is put in --------------------------------------------------------------------

# Words that the formats know, so that chance leads beyond the first check.
WORDS = [
    "action",
    "body",
    "body-bin",
    "body-patch",
    "channel",
    "channels",
    "close",
    "code",
    "content",
    "content-bin",
    "content-filters",
    "filters",
    "formats",
    "headers",
    "hold",
    "http-response",
    "http-stream",
    "id",
    "items",
    "keep-alive",
    "message-type",
    "meta",
    "mode",
    "name",
    "no-seq",
    "prev-id",
    "reason",
    "response",
    "send",
    "size",
    "stream",
    "text",
    "timeout",
    "type",
    "value",
    "ws-message",
    "/a",
    "200",
    "1000",
    "-1",
    "X-A",
]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=25,
)


def objects(**members):
    """Objects whose members are mostly there and mostly of a type that makes sense."""
    named = {name.replace("_", "-"): members[name] | JSON for name in members}
    return st.fixed_dictionaries({}, optional=named)


PAYLOADS = objects(
    action=TEXTS,
    code=st.integers(0, 5000),
    reason=TEXTS,
    headers=st.dictionaries(TEXTS, TEXTS) | st.lists(st.tuples(TEXTS, TEXTS).map(list)),
    content=TEXTS,
    content_bin=TEXTS,
    content_filters=st.lists(TEXTS),
    body=TEXTS,
    body_bin=TEXTS,
    body_patch=st.lists(JSON),
    type=st.sampled_from(["text", "binary", "ping", "pong"]),
)
ITEMS = st.builds(
    lambda base, channel: {"channel": channel, **base},
    objects(
        id=TEXTS,
        prev_id=TEXTS,
        formats=objects(http_response=PAYLOADS, http_stream=PAYLOADS, ws_message=PAYLOADS),
        meta=st.dictionaries(TEXTS, TEXTS),
        size=st.integers(0, 100),
        no_seq=st.booleans(),
    ),
    TEXTS,
)
INSTRUCTS = objects(
    hold=objects(
        mode=st.sampled_from(["response", "stream"]),
        channels=st.lists(objects(name=TEXTS, prev_id=TEXTS, filters=st.lists(TEXTS))),
        timeout=st.integers(),
        keep_alive=objects(content=TEXTS, content_bin=TEXTS, timeout=st.integers()),
        meta=st.dictionaries(TEXTS, TEXTS),
    ),
    response=PAYLOADS,
)
CONTROLS = objects(
    type=st.sampled_from(
        ["subscribe", "unsubscribe", "detach", "session", "set-meta", "keep-alive", "send-delayed"]
    ),
    channel=TEXTS,
    filters=st.lists(TEXTS),
    id=TEXTS,
    name=TEXTS,
    value=TEXTS,
    content=TEXTS,
    content_bin=TEXTS,
    message_type=st.sampled_from(["text", "binary", "ping", "pong"]),
    timeout=st.integers(-5, 5) | TEXTS,
    mode=TEXTS,
)


def as_bytes(value):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(member) for key, member in value.items()}
    return [as_bytes(element) for element in value] if isinstance(value, list) else value


def outcome(function, *args):
    """What comes back, or the text of the one error there may be."""
    try:
        return function(*args)
    except (GripError, PublishError) as error:
        return str(error)


# -- WebSocket events ---------------------------------------------------------------------

EVENTS = st.builds(
    Event, st.sampled_from([b"TEXT", b"BINARY", b"PING", b"PONG"]), st.binary()
) | st.builds(Event, st.sampled_from([b"OPEN", b"DISCONNECT", b"CLOSE"]))
BITS = [
    b"TEXT",
    b"OPEN",
    b"SPARE",
    b" ",
    b"0",
    b"3",
    b"f",
    b"\r\n",
    b"\r",
    b"\n",
    b"abc",
    b"-",
    b"x",
]


@given(st.lists(EVENTS))
def test_events_come_back(events):
    assert decode_events(encode_events(events)) == events


@given(st.lists(EVENTS, min_size=1), st.data())
def test_a_body_cut_anywhere_is_refused_or_ends_between_events(events, data):
    body = encode_events(events)
    cut = body[: data.draw(st.integers(0, len(body)))]
    try:
        decoded = decode_events(cut)
    except GripError:
        return
    assert decoded == events[: len(decoded)]
    assert encode_events(decoded) == cut


@given(st.binary() | st.lists(st.sampled_from(BITS)).map(b"".join))
def test_any_bytes_are_events_or_refused(body):
    try:
        events = decode_events(body)
    except GripError:
        return
    assert decode_events(encode_events(events)) == [
        Event(event.type, event.content or (None if event.type in NO_MESSAGE else b""))
        for event in events
    ]


NO_MESSAGE = {b"OPEN", b"DISCONNECT", b"CLOSE"}


@given(st.integers(1, 65535), st.text(st.characters(exclude_categories=["Cs"])))
def test_close_content_comes_back(code, reason):
    assert parse_close_content(close_content(code, reason)) == (code, reason)


@given(st.binary())
def test_any_close_content_is_read_or_refused(content):
    if len(content) == 1:
        with pytest.raises(GripError):
            parse_close_content(content)
    else:
        code, reason = parse_close_content(content)
        assert code is None or 0 < code < 65536
        assert isinstance(reason, str)


# -- publish items ---------------------------------------------------------------------------


@given(ITEMS | JSON)
def test_an_item_means_the_same_in_both_encodings(value):
    """Base64 apart: of a TNetString those members are not known, or are the bytes themselves."""
    decoded = decode_json(json.dumps(value).encode())
    item = outcome(item_from_json, decoded)
    read = outcome(lambda frame: parse_message(frame).item(), b"J" + json.dumps(value).encode())
    assert read in (
        item,
        f"received message with invalid format: {item}",
        "received message with invalid format (not a valid json object)",
    )
    if "-bin" not in str(value):
        other = outcome(parse_message, b"T" + tnetstring.dumps(as_bytes(value)))
        # Which of several bad members is named, the order of a dictionary decides.
        assert other == item or (isinstance(item, str) and isinstance(other, str))


@given(st.lists(ITEMS, max_size=4))
def test_a_body_is_all_its_items_or_an_error(values):
    items = [outcome(item_from_json, value) for value in values]
    result = outcome(parse_items_json, json.dumps({"items": values}).encode())
    errors = [item for item in items if isinstance(item, str)]
    if errors:
        assert result.startswith(f"Invalid format: {errors[0]}")
    else:
        assert result == items


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_items_or_an_error(body):
    result = outcome(parse_items_json, body)
    assert isinstance(result, list) or result.startswith(("Body is not", "Invalid format"))


@given(
    st.binary() | st.binary().map(lambda rest: b"T" + rest) | st.binary().map(lambda r: b"J" + r)
)
def test_any_frame_is_an_item_or_an_error(frame):
    result = outcome(parse_message, frame)
    assert not isinstance(result, str) or result.startswith("received message with invalid format")


@given(JSON)
def test_any_arguments_are_items_or_an_error(value):
    arguments = decode_tnetstring(tnetstring.dumps(as_bytes(value)))
    result = outcome(items_from_tnetstring, arguments)
    assert isinstance(result, list) or result.startswith("Invalid format: ")


@given(st.binary())
def test_any_bytes_decode_or_raise_their_error(data):
    for decode, error in ((decode_json, NotJsonError), (decode_tnetstring, NotTnetstringError)):
        try:
            decode(data)
        except error:
            continue


# -- instructions ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    b"Grip-Hold Grip-Channel Grip-Timeout Grip-Keep-Alive Grip-Set-Meta Grip-Status "
    b"Grip-Expose-Headers Grip-Link X-A".split()
)
WORDS_OF_FIELDS = (
    b"stream response a /n 5 200 rel=next prev-id= filter= timeout= format=cstring \\n \\".split()
)
PIECES = st.sampled_from([*WORDS_OF_FIELDS, b";", b",", b"=", b'"', b"<", b">", b" ", b"\xff"])
VALUES = st.lists(PIECES).map(b"".join) | st.binary()
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


@given(FIELDS)
def test_any_fields_are_instructions_or_refused(fields):
    head = ResponseHead(200, b"OK", Headers(fields))
    assert is_instruct(head.headers) == any(name != b"X-A" for name, _ in fields)
    try:
        instruct = parse_instruct(head, b"body")
    except GripError:
        return
    assert instruct.timeout_seconds >= 5
    assert 200 <= instruct.status <= 999
    assert all(name == b"X-A" for name, _ in instruct.headers)
    assert all(channel.name for channel in instruct.channels)
    assert instruct.keep_alive is None or instruct.keep_alive.content
    if instruct.next_link:
        assert instruct.next_link.uri.isascii()
        assert not any(c.isspace() for c in instruct.next_link.uri)
    if may_stream(head, instruct):
        assert instruct.next_link or instruct.hold is HoldMode.STREAM


@given((INSTRUCTS | JSON).map(lambda value: json.dumps(value).encode()) | st.binary(), FIELDS)
def test_any_json_is_instructions_or_refused(body, fields):
    carrier = (b"Content-Type", b"application/grip-instruct")
    try:
        instruct = parse_instruct(ResponseHead(200, b"OK", Headers([*fields, carrier])), body)
    except GripError:
        return
    head = instruct.head()
    assert 200 <= head.status <= 999
    for name, value in [(b"", head.reason), *head.headers]:
        assert not {13, 10, 0} & {*name, *value}
    assert not is_instruct(
        Headers(pair for pair in head.headers if pair[0].lower() != b"content-type")
    )


# -- the rest --------------------------------------------------------------------------------------


@given(st.binary() | (CONTROLS | JSON).map(lambda value: json.dumps(value).encode()))
def test_any_control_message_is_read_or_ignored(content):
    message = parse_control_message(content)
    assert message is None or parse_control_message(content) == message


@given(st.lists(VALUES | st.just(b"grip"), max_size=3))
def test_any_extension_field_is_read(lines):
    headers = Headers((b"Sec-WebSocket-Extensions", line) for line in lines)
    prefix = message_prefix(headers)
    assert prefix is None or (b"grip" in b"".join(lines).lower() and isinstance(prefix, bytes))


OPERATIONS = objects(
    op=st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
    path=st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/b/c", "/~1"]) | TEXTS,
    value=JSON,
) | st.fixed_dictionaries(
    {"op": st.sampled_from(["move", "copy"]), "path": TEXTS, "from": st.sampled_from(["", "/a"])}
)
BODIES = st.sampled_from([b"{}", b"[]\n", b'{"a": [1, {"c": 2}], "b": {}}'])


@given(BODIES, st.lists(OPERATIONS | JSON, max_size=6))
def test_any_patch_gives_json_or_nothing(body, patch):
    before = json.dumps(patch)
    result = patched_body(body, patch)
    assert json.dumps(patch) == before
    if result:
        json.loads(result)
        assert result.endswith(b"\n") == body.endswith(b"\n")


SECRETS = st.binary(min_size=1).filter(lambda secret: b"-----BEGIN " not in secret)
VERIFIER = Verifier(SigningKey.from_secret(b"secret"))


def signed(header, claims):
    parts = [
        base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=") for x in (header, claims)
    ]
    message = b".".join(parts)
    digest = hmac.digest(b"secret", message, hashlib.sha256)
    return message + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")


@given(st.binary() | st.text("ab-_.=", max_size=20).map(str.encode))
def test_no_rubbish_is_a_token(token):
    assert not VERIFIER.verify(token, 0)


@given(st.dictionaries(st.sampled_from(["iss", "exp", "aud", "nbf"]), JSON) | JSON)
def test_any_claims_are_trusted_by_exp_alone(claims):
    is_good = (
        isinstance(claims, dict)
        and "aud" not in claims
        and isinstance(claims.get("exp"), int | float)
        and not isinstance(claims["exp"], bool)
        and claims["exp"] > 1000
    )
    assert VERIFIER.verify(signed({"alg": "HS256"}, claims), 1000) == is_good


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 2**33), SECRETS)
def test_any_issuer_and_secret_sign_what_verifies(issuer, now, secret):
    key = SigningKey.from_secret(b"k" + secret)
    token = Signer(issuer, key).token(now + 0.5)
    assert Verifier(key).verify(token, now)
    assert not Verifier(key).verify(token, now + 3600)
    assert not Verifier(SigningKey.from_secret(b"x" + secret)).verify(token, now)
