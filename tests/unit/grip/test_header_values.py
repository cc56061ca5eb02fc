"""Elements and parameters of header values."""

import pytest

from realtime_proxy.errors import GripError
from realtime_proxy.grip.header_values import (
    Element,
    parse_element,
    parse_parameters,
    split_elements,
    split_links,
    timeout_of,
)


@pytest.mark.parametrize(
    ("lines", "elements"),
    [
        ([], []),
        ([b""], []),
        ([b" , ,"], []),
        ([b"a, b ", b"c"], [b"a", b"b", b"c"]),
        ([b'a"b,c"d, e'], [b'a"b,c"d', b"e"]),
        ([b'"a\\",b", c'], [b'"a\\",b"', b"c"]),
        ([b'a, b", c', b"d"], [b"a", b"d"]),
        ([b'"a\\'], []),
        ([b"<a,b>"], [b"<a", b"b>"]),
    ],
)
def test_elements(lines, elements):
    assert list(split_elements(lines)) == elements


@pytest.mark.parametrize(
    ("line", "elements"),
    [
        (b"<a,b>; x, <c>", [b"<a,b>; x", b"<c>"]),
        (b' \t<a"b>, <c>', [b'<a"b>', b"<c>"]),
        (b'<a>; x="1,2", <c>', [b'<a>; x="1,2"', b"<c>"]),
        (b"<a,b", [b"<a", b"b"]),
        (b"a<b,c>", [b"a<b", b"c>"]),
    ],
)
def test_links(line, elements):
    assert list(split_links([line])) == elements


@pytest.mark.parametrize(
    ("text", "element"),
    [
        (b"a", Element(b"a", ())),
        (b" a ; b = c ", Element(b"a", ((b"b", b"c"),))),
        (b"a;b;;c=", Element(b"a", ((b"b", b""), (b"c", b"")))),
        (b'a;b="c;d";e="\\"\\\\"', Element(b"a", ((b"b", b"c;d"), (b"e", b'"\\')))),
        (b'a;b="c"d', Element(b"a", ((b"b", b'"c"d'),))),
        (b'"a";b', Element(b'"a"', ((b"b", b""),))),
        (b"", Element(b"", ())),
        (b'a;b="c', None),
        (b'a"b;c"d', None),
    ],
)
def test_element(text, element):
    assert parse_element(text) == element


def test_parameters_are_found_in_any_case():
    element = parse_element(b"a; B=1; b=2")
    assert (element.get(b"b"), element.get(b"c")) == (b"1", None)


def test_parameters_alone():
    assert parse_parameters(b'a=1; b="2;3"') == ((b"a", b"1"), (b"b", b"2;3"))
    assert parse_parameters(b'a="') is None


@pytest.mark.parametrize(
    ("parameters", "seconds"), [((), 55), (((b"Timeout", b"7"),), 7), (((b"timeout", b"0"),), 0)]
)
def test_a_timeout_has_its_default(parameters, seconds):
    assert timeout_of(Element(b"", parameters), "Grip-X", 55) == seconds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"soon", "failed to parse Grip-X timeout value"),
        (b"-1", "Grip-X timeout has invalid value"),
    ],
)
def test_a_timeout_that_is_none_is_refused_by_the_name_of_its_field(text, problem):
    with pytest.raises(GripError) as caught:
        timeout_of(Element(b"", ((b"timeout", text),)), "Grip-X", 55)
    assert str(caught.value) == problem
