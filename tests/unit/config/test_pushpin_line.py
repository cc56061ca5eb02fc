import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.pushpin_line import LineError, Word, split_line


def word(head, **options):
    return Word(head, tuple(options.items()))


@pytest.mark.parametrize("line", ["", "   ", "\t", "# comment", "  # comment"])
def test_nothing(line):
    assert split_line(line) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("* a:1", [word("*"), word("a:1")]),
        ("*\ta:1", [word("*"), word("a:1")]),
        ("*,debug a:1,over_http", [word("*", debug=""), word("a:1", over_http="")]),
        ("id=x a:1", [word(None, id="x"), word("a:1")]),
        ("* a:1#comment", [word("*"), word("a:1")]),
        ("*,k=a=b x", [word("*", k="a=b"), word("x")]),
        ('*,"p=/a b#,c" x', [word("*", p="/a b#,c"), word("x")]),
        ('*,p="a b"c x', [word("*", p="a bc"), word("x")]),
        (r'*,p="a\"b\\c" x', [word("*", p='a"b\\c'), word("x")]),
        (r"*,p=a\b x", [word("*", p=r"a\b"), word("x")]),
        ('"" x', [word(""), word("x")]),
    ],
)
def test_words(line, words):
    assert split_line(line) == words


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('* "a', "unterminated quoted section"),
        ('* "a\\', "unterminated escape sequence"),
        ('* "a\\n"', "unexpected escape character: n"),
        ("*, a:1", "expecting prop"),
        ("*,,debug a:1", "expecting prop"),
        ("*,=x a:1", "empty prop name"),
        ("=x a:1", "empty prop name"),
    ],
)
def test_syntax_errors(line, problem):
    with pytest.raises(LineError) as caught:
        split_line(line)
    assert str(caught.value) == problem


def test_options_given_twice():
    (only,) = split_line("*,sub=a,id=1,sub=b,id=2")
    assert only.get("id") == "2"
    assert only.get_all("sub") == ["a", "b"]
    assert only.get("none") is None


plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]))


def quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.lists(plain | st.text('ab ,#"\\'), min_size=1), plain)
def test_what_was_quoted_comes_back(values, head):
    line = ",".join([quoted(head.replace("=", "")), *(f"k={quoted(value)}" for value in values)])
    assert split_line(line) == [Word(head.replace("=", ""), tuple(("k", v) for v in values))]
