import gc
import weakref
from typing import Any

import attrs
import pytest

from realtime_proxy.config.structure import join_key, structure
from realtime_proxy.errors import ConfigError, Problem


@attrs.frozen
class Inner:
    name: str
    size: float = 1.0


@attrs.frozen
class Settings:
    items: list[Inner] = attrs.field(factory=list)
    names: frozenset[str] = frozenset()
    table: "dict[str, int]" = attrs.field(factory=dict)
    anything: Any = None
    count: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.le(9))
    )


def problems(table, key_path=""):
    with pytest.raises(ConfigError) as caught:
        structure(table, Settings, key_path)
    return {problem.key_path: problem.message for problem in caught.value.problems}


def test_a_table_becomes_a_class():
    table = {
        "items": [{"name": "a", "size": 2}],
        "names": ["x", "x"],
        "table": {"k": 1},
        "anything": [1, "two"],
        "count": 3,
    }
    assert structure(table, Settings) == Settings(
        [Inner("a", 2.0)], frozenset("x"), {"k": 1}, [1, "two"], 3
    )


def test_problems_are_below_the_given_path():
    assert problems({"nam": 1, "items": [{}, {"name": 1}, 2]}, "handler.x") == {
        "handler.x.items[0].name": "is missing; it has no default",
        "handler.x.items[1].name": "must be text in quotes, not a whole number",
        "handler.x.items[2]": "must be a table, not a whole number",
        "handler.x.nam": "unknown key; did you mean `names`?",
    }


def test_a_text_is_not_a_list_of_letters():
    assert problems({"names": "xyz"}) == {"names": "must be a list, not text in quotes"}


def test_keys_of_inner_tables_are_named():
    assert set(problems({"table": {"k": "one", "a.b": 2.0, "ok": 3}})) == {"table.k", 'table."a.b"'}


def test_what_a_class_says_itself_is_passed_on():
    assert "must be <= 9" in problems({"count": 10})[""]


def test_without_any_keys_there_is_nothing_to_suggest():
    @attrs.frozen
    class Nothing:
        pass

    with pytest.raises(ConfigError) as caught:
        structure({"a": 1}, Nothing)
    assert caught.value.problems == [Problem("a", "unknown key; there are none")]


@pytest.mark.parametrize(
    ("path", "key", "joined"),
    [
        ("", "server", "server"),
        ("server", "listen", "server.listen"),
        ("route", 2, "route[2]"),
        ("handler", "my-key", "handler.my-key"),
        ("handler", "a.b", 'handler."a.b"'),
    ],
)
def test_paths(path, key, joined):
    assert join_key(path, key) == joined


def test_classes_that_come_and_go_are_not_kept():
    def fill():
        @attrs.frozen
        class Passing:
            count: int = 0

        assert structure({"count": 3}, Passing, passing=True) == Passing(3)
        return weakref.ref(Passing)

    gone = fill()
    gc.collect()
    assert gone() is None
