"""What is agreed on with clients and backends about compression."""

import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.sessions.compression import OFFER, accepted_form, agreement
from realtime_proxy.wire.encodings import WireForm

ANSWER = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def offered(*lines):
    return agreement(Headers((b"Sec-WebSocket-Extensions", line) for line in lines))


@pytest.mark.parametrize(
    "line",
    [
        b"permessage-deflate",
        b"Permessage-Deflate; Server_No_Context_Takeover",
        b"permessage-deflate; client_max_window_bits",  # browsers
        b"permessage-deflate; client_max_window_bits=8",
        b'permessage-deflate; client_max_window_bits="10"',
        b"permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        b"x-webkit-deflate-frame, permessage-deflate",
        b"permessage-deflate; unknown, permessage-deflate; client_max_window_bits",
        b"permessage-deflate; server_max_window_bits=8, permessage-deflate",
        b'other; x="permessage-deflate; unknown, y", permessage-deflate',
    ],
)
def test_offers_without_a_window(line):
    agreed = offered(line)
    assert agreed.form is WireForm.DEFLATED
    assert agreed.answer == ANSWER


@pytest.mark.parametrize(
    ("window", "answered", "form"),
    [
        (b"15", b"15", WireForm.DEFLATED),
        (b"14", b"9", WireForm.DEFLATED_SMALL),
        (b"10", b"9", WireForm.DEFLATED_SMALL),
        (b"9", b"9", WireForm.DEFLATED_SMALL),
    ],
)
def test_a_window_is_never_larger_than_asked_for(window, answered, form):
    agreed = offered(b"permessage-deflate; server_max_window_bits=" + window)
    assert agreed.form is form
    assert agreed.answer == ANSWER + b"; server_max_window_bits=" + answered


def test_the_first_offer_that_can_be_accepted_counts():
    small = b"permessage-deflate; server_max_window_bits=10"
    assert offered(small, b"permessage-deflate").form is WireForm.DEFLATED_SMALL
    assert offered(b"permessage-deflate, " + small).form is WireForm.DEFLATED


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b""],
        [b"grip"],
        [b"permessage-deflated"],
        [b"permessage-deflate; server_max_window_bits=8"],  # zlib has none
        [b"permessage-deflate; server_max_window_bits"],
        [b"permessage-deflate; server_max_window_bits=7"],
        [b"permessage-deflate; server_max_window_bits=16"],
        [b"permessage-deflate; server_max_window_bits=09"],
        [b"permessage-deflate; server_max_window_bits=-9"],
        [b"permessage-deflate; client_max_window_bits=16"],
        [b"permessage-deflate; client_max_window_bits=x"],
        [b"permessage-deflate; server_no_context_takeover=1"],
        [b"permessage-deflate; client_no_context_takeover=true"],
        [b"permessage-deflate; unknown"],
        [b"permessage-deflate; unknown=1"],
        [b"permessage-deflate; client_max_window_bits; client_max_window_bits=10"],
        [b"permessage-deflate; server_no_context_takeover; SERVER_NO_CONTEXT_TAKEOVER"],
        [b'permessage-deflate; client_max_window_bits="10'],
    ],
)
def test_what_is_declined(lines):
    assert offered(*lines) is None


def test_what_a_backend_is_offered():
    assert OFFER == ANSWER


@pytest.mark.parametrize(
    "answer",
    [
        OFFER,
        b"permessage-deflate; server_no_context_takeover",
        b"Permessage-Deflate; SERVER_no_context_takeover; server_max_window_bits=8",
    ],
)
def test_a_backend_that_accepts(answer):
    assert accepted_form([answer]) is WireForm.DEFLATED


@pytest.mark.parametrize(
    "answers",
    [
        [b"permessage-deflate"],  # it would take over
        [OFFER + b"; client_max_window_bits=10"],  # not offered
        [OFFER + b"; server_max_window_bits"],
        [OFFER + b"; server_max_window_bits=7"],
        [OFFER + b"; unknown"],
        [OFFER + b"; server_no_context_takeover"],
        [OFFER, OFFER],
        [OFFER, b"other"],
        [b"other"],
        [],
    ],
)
def test_a_backend_that_accepts_what_it_must_not(answers):
    assert accepted_form(answers) is None
