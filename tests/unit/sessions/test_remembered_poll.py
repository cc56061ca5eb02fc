"""A long-poll's memory: whatever goes in comes out, and what many have is there once."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response
from realtime_proxy.sessions.remembered_poll import OwnAnswer, RememberedPoll

FIELDS = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3).map(tuple)


@given(
    st.builds(
        RememberedPoll,
        method=st.binary(max_size=9),
        target=st.binary(max_size=9),
        headers=FIELDS,
        body=st.binary(max_size=99),
        is_trusted=st.booleans(),
        is_tls=st.booleans(),
        client_address=st.text(max_size=9),
    )
)
def test_unpacking_undoes_packing(poll: RememberedPoll) -> None:
    assert RememberedPoll.unpack(poll.pack()) == poll


@given(
    st.builds(
        OwnAnswer,
        method=st.binary(max_size=9),
        version=st.sampled_from([b"1.0", b"1.1"]),
        keep_alive=st.booleans(),
        status=st.integers(200, 999),
        reason=st.binary(max_size=9),
        headers=FIELDS,
        body=st.binary(max_size=2_000),
    )
)
def test_unpacking_an_answer_undoes_packing(own: OwnAnswer) -> None:
    assert OwnAnswer.unpack(own.pack()) == own


def answer(body: bytes) -> OwnAnswer:
    return OwnAnswer(b"GET", b"1.1", True, 200, b"OK", ((b"A", b"b"),), body)


def test_equal_answers_are_kept_once_unless_they_are_long() -> None:
    assert answer(b"nothing new").pack() is answer(b"nothing new").pack()
    assert answer(b"x" * 2_000).pack() is not answer(b"x" * 2_000).pack()


def test_the_answer_at_the_deadline_is_the_backends() -> None:
    assert answer(b"nothing new").response() == Response(
        200, Headers([(b"A", b"b")]), b"nothing new", b"OK"
    )
