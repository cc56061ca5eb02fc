"""The template language on anything at all, whole and in pieces."""

from itertools import pairwise

from hypothesis import event, given
from hypothesis import strategies as st

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.build_id import id_substitute
from realtime_proxy.grip.template import Template, rendered, variables

# Pieces of the language, so that chance makes directives, right and wrong ones.
TOKENS = st.sampled_from([b"%", b"(", b")", b"\\", b"s", b"I", b"name", b"x", b"\n", b"\xff"])
TEMPLATES = st.lists(TOKENS, max_size=12).map(b"".join) | st.binary(max_size=40)
SUBSTITUTES = st.sampled_from(
    [
        variables({"name": "Bob", "": "none", "x": ""}),
        id_substitute({"id_format": "%(name)s"}, {"name": "5"}),
        id_substitute({"id_format": "x", "id_encoding": "hex"}, None),
    ]
)


def outcome(substitute, pieces):
    """The whole content, or the text of the error."""
    template = Template(substitute)
    try:
        result = b"".join([template.feed(piece) for piece in pieces])
        template.finish()
    except FilterError as error:
        event("error")
        return str(error)
    event("rendered")
    return result


@given(TEMPLATES, SUBSTITUTES, st.data())
def test_pieces_of_any_size_come_to_the_same(content, substitute, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    edges = [0, *cuts, len(content)]
    pieces = [content[start:end] for start, end in pairwise(edges)]
    whole = outcome(substitute, [content])
    assert outcome(substitute, pieces) == whole
    assert outcome(substitute, [bytes([byte]) for byte in content]) == whole


@given(st.binary(max_size=100))
def test_any_text_can_be_said(content):
    assert rendered(content.replace(b"%", b"%%"), variables({})) == content


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name_can_be_said(name, value):
    argument = name.replace("\\", "\\\\").replace(")", "\\)")
    assert rendered(f"%({argument})s".encode(), variables({name: value})) == value.encode()
