"""Answers to long-polls: the same bytes for all who get the same, and others for all others."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import HttpResponse
from realtime_proxy.model.messages import Response
from realtime_proxy.sessions.poll_answer import PollAnswers, poll_answer
from realtime_proxy.sessions.remembered_poll import OwnAnswer


def own(**changes):
    fields = {
        "method": b"GET",
        "version": b"1.1",
        "keep_alive": True,
        "status": 200,
        "reason": b"OK",
        "headers": ((b"A", b"b"),),
        "body": b"[1]",
    }
    return OwnAnswer(**{**fields, **changes})


ITEM = HttpResponse(body=b"new")


@pytest.fixture
def answers():
    return PollAnswers()


def given(answers, payload=ITEM, *, may_stay=True, **changes):
    return answers.of_item(payload, own(**changes).pack(), may_stay=may_stay)


def test_an_answer_is_what_the_item_makes_of_the_hold(answers):
    answer = given(answers)
    assert answer.data == b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nnew"
    assert answer.keep_alive
    assert answer.response == Response(200, Headers([(b"A", b"b")]), b"new", b"OK")
    assert answer.header_bytes == len(b"200OKAb")


def test_the_next_client_that_has_the_same_gets_the_same_bytes(answers):
    assert given(answers) is given(answers)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"method": b"HEAD"}, b"Content-Length: 3\r\n\r\n"),
        ({"version": b"1.0"}, b"Content-Length: 3\r\nConnection: keep-alive\r\n\r\nnew"),
        ({"keep_alive": False}, b"Content-Length: 3\r\nConnection: close\r\n\r\nnew"),
        ({"may_stay": False}, b"Content-Length: 3\r\nConnection: close\r\n\r\nnew"),
        ({"headers": ((b"C", b"d"),)}, b"C: d\r\nContent-Length: 3\r\n\r\nnew"),
        ({"payload": HttpResponse(body=b"n")}, b"Content-Length: 1\r\n\r\nn"),
    ],
)
def test_whoever_differs_gets_another_answer(answers, changes, end):
    first = given(answers)
    assert given(answers, **changes).data.endswith(end)
    assert given(answers).data == first.data


def test_what_head_does_not_get_is_not_counted(answers):
    assert given(answers).body_bytes == len(b"new")
    assert given(answers, method=b"HEAD").body_bytes == 0


def test_a_patch_changes_each_holds_own_body(answers):
    patch = HttpResponse(body_patch=[{"op": "add", "path": "/0", "value": 0}])
    assert given(answers, patch).data.endswith(b"[0,1]")
    assert given(answers, patch, body=b"[2]").data.endswith(b"[0,2]")


def test_any_response_can_be_the_answer():
    answer = poll_answer(own(), Response(502, Headers(), b"oh"), may_stay=False)
    assert answer.data == (
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\nConnection: close\r\n\r\noh"
    )
    assert not answer.keep_alive
