"""The JSON form of instructions by itself; test_instruct.py has it with headers, and errors."""

from realtime_proxy.grip.hold import Channel
from realtime_proxy.grip.instruct_json import (
    JsonHold,
    JsonInstruct,
    JsonResponse,
    parse_json_instruct,
)


def test_nothing_is_no_hold_and_an_empty_response():
    assert parse_json_instruct(b'{"unknown": null}') == JsonInstruct(None, JsonResponse())


def test_what_is_not_given_is_none():
    instruct = parse_json_instruct(b'{"hold": {"channels": [{"name": ""}]}}')
    assert instruct.hold == JsonHold(None, [Channel("")], None, None, {})


def test_a_fraction_is_cut_and_text_is_a_number():
    instruct = parse_json_instruct(b'{"hold": {"channels": [], "timeout": 7.9}}')
    assert instruct.hold.timeout_seconds == 7
    instruct = parse_json_instruct(b'{"hold": {"channels": [], "timeout": "soon"}}')
    assert instruct.hold.timeout_seconds == 0
