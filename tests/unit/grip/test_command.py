import contextlib

import pytest
import tnetstring
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.errors import CommandError
from realtime_proxy.grip.command import Command, failure_reply, parse_command, success_reply


def encoded(**members):
    return tnetstring.dumps({name.encode(): value for name, value in members.items()})


def test_a_command():
    data = encoded(id=b"7", method=b"refresh", args={b"cid": b"x"}, **{"from": b"somebody"})
    assert parse_command([data]) == Command("refresh", {"cid": b"x"}, b"7")
    assert parse_command([b"25:6:method,12:get-zmq-uris,}"]) == Command("get-zmq-uris", {})


@pytest.mark.parametrize(
    ("parts", "text", "command_id"),
    [
        ([], "one part", None),
        ([encoded(method=b"a"), b""], "one part", None),
        ([b""], "no", None),
        ([b"J{}"], "not a TNetString", None),
        ([b"1:a,"], "not a dictionary", None),
        ([encoded(id=7, method=b"a")], "'id'", None),
        ([encoded(id=b"7")], "'method'", b"7"),
        ([encoded(id=b"7", method=3)], "'method'", b"7"),
        ([encoded(id=b"7", method=b"a", args=[])], "'args'", b"7"),
    ],
)
def test_what_is_no_command_is_told_to_its_sender(parts, text, command_id):
    with pytest.raises(CommandError, match=text) as caught:
        parse_command(parts)
    reply = tnetstring.loads(failure_reply(caught.value))
    assert reply.pop(b"value")
    expected = {b"success": False, b"condition": b"bad-request"}
    assert reply == (expected if command_id is None else {b"id": command_id, **expected})


@given(st.binary())
def test_any_bytes_are_a_command_or_refused(data):
    with contextlib.suppress(CommandError):
        assert isinstance(parse_command([data]), Command)


def test_replies():
    command = Command("a", {}, b"\xff")
    assert tnetstring.loads(success_reply(command, ["é", {"a": b"b"}])) == {
        b"id": b"\xff",
        b"success": True,
        b"value": ["é".encode(), {b"a": b"b"}],
    }
    assert tnetstring.loads(success_reply(Command("a", {}))) == {b"success": True, b"value": None}
    assert tnetstring.loads(failure_reply(CommandError("item-not-found"))) == {
        b"success": False,
        b"condition": b"item-not-found",
    }
