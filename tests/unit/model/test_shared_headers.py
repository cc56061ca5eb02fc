"""Shared fields: nobody can change them, and they answer as any others, once or again."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.shared_headers import CheckedHeaders, KnownHeaders, SharedHeaders

KINDS = (SharedHeaders, CheckedHeaders, KnownHeaders)
A, B, C = (b"A", b"1"), (b"b", b"2, x"), (b"a", b"3")

names = st.sampled_from((b"A", b"a", b"b", b"Connection", b"c"))
fields = st.lists(st.tuples(names, st.sampled_from((b"", b"1", b"x, Y", b"close"))), max_size=6)

CHANGES = {
    "append": lambda headers: headers.append(A),
    "clear": lambda headers: headers.clear(),
    "delete": lambda headers: headers.__delitem__(0),
    "extend": lambda headers: headers.extend([A]),
    "add": lambda headers: headers.__iadd__([A]),
    "multiply": lambda headers: headers.__imul__(2),
    "insert": lambda headers: headers.insert(0, A),
    "pop": lambda headers: headers.pop(),
    "remove": lambda headers: headers.remove(A),
    "reverse": lambda headers: headers.reverse(),
    "set": lambda headers: headers.__setitem__(0, B),
    "set a slice": lambda headers: headers.__setitem__(slice(0, 1), []),
    "sort": lambda headers: headers.sort(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_they_can_not_be_changed(change, kind):
    headers = kind([A, B])
    with pytest.raises(TypeError, match="change a copy"):
        CHANGES[change](headers)
    assert headers == [A, B]


def test_every_way_to_change_a_list_is_thought_of():
    ways = {name for name in vars(list) if vars(list)[name] is not vars(object).get(name)}
    reading = {
        "__add__", "__class_getitem__", "__contains__", "__doc__", "__eq__", "__ge__",
        "__getattribute__", "__getitem__", "__gt__", "__hash__", "__init__", "__iter__", "__le__",
        "__len__", "__lt__", "__mul__", "__ne__", "__new__", "__repr__", "__reversed__",
        "__rmul__", "__sizeof__", "copy", "count", "index",
    }  # fmt: skip
    assert {name for name in ways if name in vars(SharedHeaders)} >= ways - reading


@pytest.mark.parametrize("kind", KINDS)
def test_copies_can_be_changed(kind):
    headers = kind([A, B])
    for copy in (
        Headers(headers),
        headers.without((b"c",)),
        headers.without_prefix(b"c"),
        headers.only((b"a",)),
        headers.replaced(b"c", b"1"),
        headers.end_to_end(frozenset()),
    ):
        copy.append(C)
        copy.get_all(b"a").append(b"?")
    headers.get_all(b"a").append(b"?")
    assert headers == [A, B]
    assert headers.get_all(b"a") == [b"1"]


@pytest.mark.parametrize("kind", KINDS)
@given(fields, fields)
def test_they_answer_as_others_do(kind, first, more):
    plain = Headers([*first, *more])
    for headers in (kind(plain), kind(first).plus(SharedHeaders(more))):
        assert headers == plain
        for _ in range(2):
            for name in (b"a", b"b", b"connection", b"d"):
                assert headers.get(name) == plain.get(name)
                assert headers.get_all(name) == plain.get_all(name)
                assert headers.has(name) == plain.has(name)
                assert headers.tokens(name) == plain.tokens(name)
            assert headers.content_bytes() == plain.content_bytes()
            assert headers.hop_by_hop() == plain.hop_by_hop()
            names = frozenset((b"a", b"c"))
            assert headers.lacking(names) == plain.without(names)
            assert headers.lacking(names).content_bytes() == plain.without(names).content_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_those_that_lack_nothing_are_the_same(kind):
    headers = kind([A, B])
    assert headers.lacking(frozenset((b"c",))) is headers
    joined = headers.plus(headers)
    assert joined.lacking(frozenset((b"c",))) is joined


def test_what_may_change_is_taken_as_it_is_now():
    headers = Headers([A])
    shared = SharedHeaders.of(headers)
    headers.append(B)
    assert shared == [A]
    assert SharedHeaders.of(shared) is shared


def test_fields_are_as_checked_as_the_least_of_them():
    checked, unchecked = CheckedHeaders([A]), SharedHeaders([B])
    assert checked.plus(checked).is_checked
    assert checked.subset([A]).is_checked
    assert checked.lacking(frozenset((b"a",))).is_checked
    assert not checked.plus(unchecked).is_checked
    assert not unchecked.plus(checked).is_checked
    assert not SharedHeaders.of(Headers(checked)).is_checked
    assert not KnownHeaders([A]).is_checked


def test_what_is_known_is_asked_once():
    asked = []

    def question(headers, *details):
        asked.append(details)
        return len(headers)

    for headers in (Headers([A]), SharedHeaders([A])):
        asked.clear()
        assert headers.remember(question, 1) == headers.remember(question, 1) == 1
        assert asked == [(1,), (1,)]
    known = KnownHeaders([A])
    asked.clear()
    assert [known.remember(question, detail) for detail in (1, 1, 2, 1)] == [1] * 4
    assert asked == [(1,), (2,)]


def test_of_what_changes_the_latest_is_known():
    known, asked = KnownHeaders([A]), []

    def question(_headers, about, *details):
        asked.append((about, *details))
        return about

    about = [known.remember_latest(question, about, "x") for about in (1, 1, 2, 2, 1)]
    assert about == [1, 1, 2, 2, 1]
    assert asked == [(1, "x"), (2, "x"), (1, "x")]
    assert Headers([A]).remember_latest(question, 5) == 5


def test_answers_are_bounded_in_number():
    known = KnownHeaders([A])
    for number in range(1_000):
        assert known.remember(lambda _, detail: detail, number) == number
        assert known.remember_latest(lambda _, detail: detail, number) == number
    assert len(known._answers) <= 16


def test_a_question_that_fails_is_asked_again():
    known = KnownHeaders([A])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            known.remember(lambda _: 1 // 0)


def _all_answers(headers):
    """What is found out about known fields on their way to a backend, and back."""
    other, none, host = KnownHeaders([C]), frozenset((b"z",)), frozenset((b"b",))
    signed = headers.remember_latest(lambda some, _: some.lacking(none).plus(other), 1)
    signed.lacking(none), signed.lacking(host), signed.content_bytes()
    headers.remember(lambda some: some.joined(other, some.lacking(host)))
    headers.remember(lambda some: some.joined(other, some.lacking(none)))
    return [headers.remember(lambda some: some), headers.lacking(none), headers.lacking(host)]


@pytest.mark.parametrize("is_joined", [False, True])
def test_nothing_that_is_remembered_keeps_the_fields_from_going(is_joined):
    headers = KnownHeaders([A, B])
    if is_joined:
        headers = headers.plus(KnownHeaders([C]))
    assert _all_answers(headers) == _all_answers(headers)
    gone = weakref.ref(headers)
    gc.disable()
    try:
        del headers
        assert gone() is None
    finally:
        gc.enable()


def test_a_question_whose_answer_are_the_fields_is_asked_once():
    headers, asked = KnownHeaders([A]), []

    def same(these):
        asked.append(these)
        return these

    assert headers.remember(same) is headers
    assert headers.remember(same) is headers
    assert len(asked) == 1
