"""%-directives in content: what stands for what, and where what is wrong is."""

import pytest

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.template import MAX_ARGUMENT_BYTES, Template, rendered, variables

VALUES = {"name": "Bob", "empty": "", "a)b\\c": "odd", "ü": "ä", "none": None}


def shown(directive):
    """A directive as it was read."""
    return repr((directive.letter, directive.argument, directive.position)).encode()


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (b"", b""),
        (b"plain \xff\x00 ()\\ text", b"plain \xff\x00 ()\\ text"),
        (b"Hi %(name)s, 100%%", b"Hi Bob, 100%"),
        (b"%(name)s%(name)s", b"BobBob"),
        (b"<%(empty)s>", b"<>"),
        (rb"%(a\)b\\c)s", b"odd"),
        ("%(ü)s".encode(), "ä".encode()),
        (b"%%(name)s", b"%(name)s"),
        (b"%%%%", b"%%"),
        (b"\xff%(name)s\xfe", b"\xffBob\xfe"),
    ],
)
def test_variables(content, result):
    assert rendered(content, variables(VALUES)) == result


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"Hi %(nobody)s", "No such variable 'nobody' at position 12"),
        (b"%(none)s", "No such variable 'none' at position 7"),
        (b"%()s", "No such variable '' at position 3"),
        (b"%(\xff)s", "No such variable '\ufffd' at position 4"),
        (b"ab%s", "Directive 's' requires argument at position 3"),
        (b"%I", "Unknown directive 'I' at position 1"),
        (b"%(name)x", "Unknown directive 'x' at position 7"),
        (b"100% ", "Unknown directive ' ' at position 4"),
        (b"%(name)%", "Unknown directive '%' at position 7"),
        (b"%\n", r"Unknown directive '\n' at position 1"),
        (b"%\xff", r"Unknown directive '\xff' at position 1"),
        (b"100%", "Expected directive after '%' at position 3"),
        (b"ab%(", "Expected character after '(' at position 3"),
        (b"ab%(name", "Unterminated field starting at position 3"),
        (rb"ab%(name\)", "Unterminated field starting at position 3"),
        (b"%(a\\", "Expected character after '\\' at position 3"),
        (b"%(name)", "Expected directive after ')' at position 6"),
    ],
)
def test_errors(content, error):
    with pytest.raises(FilterError) as raised:
        rendered(content, variables(VALUES))
    assert str(raised.value) == error


def test_a_directive_knows_where_it_stands():
    template = Template(shown)
    assert template.feed(b"ab%(x") == b"ab"
    assert template.feed(b"y)") == b""
    assert template.feed(b"Zc") == b"(b'Z', b'xy', 7)c"
    template.finish()


def test_positions_count_from_the_beginning_of_all_pieces():
    template = Template(variables(VALUES))
    template.feed(b"x" * 100 + b"%%%")
    with pytest.raises(FilterError, match="'s' requires argument at position 103"):
        template.feed(b"s")


def test_what_is_held_back_is_bounded():
    template = Template(shown)
    template.feed(b"ab%(" + b"x" * MAX_ARGUMENT_BYTES)
    assert template.feed(b")I").endswith(b"10005)")
    template.feed(b"%(" + b"x" * MAX_ARGUMENT_BYTES + b")")
    with pytest.raises(FilterError, match="Field of more than 10000 bytes starting at position 3"):
        rendered(b"ab%(" + b"x" * (MAX_ARGUMENT_BYTES + 1) + b")I", shown)
    with pytest.raises(FilterError, match="Field of more than 10000 bytes"):
        Template(shown).feed(b"%(" + b"x" * (MAX_ARGUMENT_BYTES + 2))
