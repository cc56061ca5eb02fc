"""A long-poll's memory: whatever goes in comes out."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.sessions.remembered_poll import RememberedPoll

FIELDS = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3).map(tuple)
IDS = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=2).map(tuple)


@given(
    st.builds(
        RememberedPoll,
        method=st.binary(max_size=9),
        version=st.sampled_from([b"1.0", b"1.1"]),
        keep_alive=st.booleans(),
        status=st.integers(200, 999),
        reason=st.binary(max_size=9),
        headers=FIELDS,
        body=st.binary(max_size=99),
        backend_method=st.binary(max_size=9),
        backend_target=st.binary(max_size=9),
        backend_headers=FIELDS,
        backend_body=st.binary(max_size=99),
        is_trusted=st.booleans(),
        is_tls=st.booleans(),
        client_address=st.text(max_size=9),
    )
)
def test_unpacking_undoes_packing(poll: RememberedPoll) -> None:
    assert RememberedPoll.unpack(poll.pack()) == poll
