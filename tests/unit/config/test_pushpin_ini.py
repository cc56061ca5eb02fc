import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.pushpin_ini import is_ambiguous, items_of, read_ini, text_of


def test_sections_and_values():
    text = """\ufeff# a comment
; another
[global]
rundir=run
  indented = yes
[proxy]
debug
sig_key=a=b
[global]
rundir=later
"""
    assert read_ini(text) == {
        "global": {"rundir": "later", "indented": "yes"},
        "proxy": {"debug": "", "sig_key": "a=b"},
    }


def test_keys_before_any_section_belong_to_none():
    assert read_ini("a=1\n[b]\nc=2") == {"b": {"c": "2"}}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7999 ; the port", "7999"),
        ("a;b", "a;b"),
        ('"a ; b" ; c', '"a ; b"'),
        ("# not a comment", "# not a comment"),
        (" ; all comment", ""),
        ('a"b ; c', 'a"b ; c'),
    ],
)
def test_comments_after_values(written, value):
    assert read_ini(f"[s]\nkey={written}") == {"s": {"key": value}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (r"a\nb,c", r"a\nb,c"),
        ('"a, b;c"', "a, b;c"),
        (r'"a\"b\\c\n\x41"', 'a"b\\c\nA'),
        ('"open', '"open'),
        ('"a" b', '"a" b'),
    ],
)
def test_quotes(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []),
        ("a", ["a"]),
        (" a ,b,, c ", ["a", "b", "c"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a,b', ['"a', "b"]),
    ],
)
def test_lists(value, items):
    assert items_of(value) == items


def test_what_pushpin_may_read_differently():
    assert is_ambiguous("a,b")
    assert is_ambiguous("a\\b")
    assert not is_ambiguous('"a,b"')
    assert not is_ambiguous("changeme")


@given(st.text(alphabet='ab=[];#", \\\n'))
def test_any_text_is_read(text):
    for values in read_ini(text).values():
        for value in values.values():
            assert "\n" not in value
            text_of(value)
            items_of(value)
