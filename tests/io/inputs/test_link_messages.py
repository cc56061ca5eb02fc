from hypothesis import example, given
from hypothesis import strategies as st

from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.inputs.link_messages import (
    Kind,
    decode_config,
    decode_item,
    encode_config,
    encode_item,
)
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.item import (
    Action,
    HttpResponse,
    HttpStream,
    Item,
    MessageType,
    WebSocketMessage,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_bytes = st.binary(max_size=50)
maybe_text = st.none() | texts
filters = st.none() | st.lists(texts, max_size=3).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(texts, values, max_size=3),
    max_leaves=10,
)
headers = st.lists(st.tuples(some_bytes, some_bytes), max_size=4).map(Headers)

responses = st.builds(
    HttpResponse,
    action=st.sampled_from(Action),
    status=st.integers(0, 999),
    reason=some_bytes,
    headers=headers,
    body=some_bytes,
    body_patch=st.none() | st.lists(json_values, max_size=3),
    content_filters=filters,
)
streams = st.builds(
    HttpStream, action=st.sampled_from(Action), content=some_bytes, content_filters=filters
)
messages = st.builds(
    WebSocketMessage,
    action=st.sampled_from(Action),
    type=st.sampled_from(MessageType),
    content=some_bytes,
    close_code=st.none() | st.integers(0, 65_535),
    close_reason=texts,
    content_filters=filters,
)
items = st.builds(
    Item,
    channel=texts,
    id=maybe_text,
    prev_id=maybe_text,
    http_response=st.none() | responses,
    http_stream=st.none() | streams,
    ws_message=st.none() | messages,
    meta=st.dictionaries(texts, texts, max_size=3),
    size=st.none() | st.integers(0),
    no_seq=st.booleans(),
)

HUGE = Item("a", http_response=HttpResponse(body_patch=[{"value": 10**40}]), size=10**40)


@given(items)
@example(Item("a"))
@example(HUGE)
def test_an_item_arrives_as_it_was_sent(item):
    arrived = decode_item(encode_item(item))
    assert arrived == item
    if item.http_response is not None:
        assert type(arrived.http_response.headers) is Headers
        assert arrived.http_response.headers.get(b"x") == item.http_response.headers.get(b"x")


def test_only_numbers_without_end_go_the_slow_way():
    assert encode_item(HUGE).startswith(b"\x80")
    assert not encode_item(Item("a", size=2**63)).startswith(b"\x80")


def test_kinds_are_told_apart():
    assert len({kind.value for kind in Kind}) == len(Kind)
    assert all(Kind(kind.value) is kind for kind in Kind)


def test_a_configuration_comes_out_as_it_went_in():
    config = Config(grip=Grip(issuer="x"), handler={"a": {"b": [1]}})
    assert decode_config(encode_config(config)) == config
