"""Tables of a TOML file to the classes that describe them, with every problem and its place.

cattrs does the walking. Scalars are taken strictly: 5 is not a text, true is not a number.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from realtime_proxy.config.checks import Check
from realtime_proxy.errors import ConfigError, Problem

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_NAMES = {
    dict: "a table",
    list: "a list",
    str: "text in quotes",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


_added: dict[type, Hook] = {}


def structure(table: Any, cls: type[T], key_path: str = "", *, passing: bool = False) -> T:
    """The class filled from a table; `ConfigError` has every problem found below `key_path`.

    `passing` is for classes that are made anew with each configuration, as those of handlers are:
    nothing then keeps them.
    """
    converter = _new_converter() if passing else _lasting_converter()
    try:
        return converter.structure(table, cls)
    # Hooks of a handler's own settings may raise anything; all of it is about the file.
    except Exception as error:  # noqa: BLE001
        raise ConfigError(list(_problems(error, key_path))) from None


def add_type(kind: type, hook: Hook) -> None:
    """Teach `structure` a type of a higher floor, such as a secret of a handler's settings."""
    _added[kind] = hook


def join_key(path: str, key: str | int) -> str:
    """The path of a key below another: `route` and 2 give `route[2]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    bare = key if key.replace("-", "_").isidentifier() or key.isdigit() else f'"{key}"'
    return f"{path}.{bare}" if path else bare


def _problems(error: Exception, path: str) -> Iterator[Problem]:
    match error:
        case ConfigError():
            for problem in error.problems:
                yield Problem(path, problem.message)
        case ClassValidationError():
            located, others = error.group_exceptions()
            for inner, note in located:
                yield from _problems(inner, join_key(path, note.name))
            for inner in others:
                yield from _problems(inner, path)
        case IterableValidationError():
            for inner, element in error.group_exceptions()[0]:
                yield from _problems(inner, join_key(path, element.index))
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                yield Problem(join_key(path, key), _unknown(key, error.cl))
        case KeyError():
            yield Problem(path, "is missing; it has no default")
        case _:
            yield Problem(path, str(error) or type(error).__name__)


def _unknown(key: str, cls: type) -> str:
    names = [field.name for field in attrs.fields(cls)]
    nearest = difflib.get_close_matches(key, names, n=1)
    if nearest:
        return f"unknown key; did you mean `{nearest[0]}`?"
    return (
        f"unknown key; known here: {', '.join(names)}" if names else "unknown key; there are none"
    )


def _expected(kind: type, value: Any, more: str = "") -> ConfigError:
    got = _NAMES.get(type(value), "a date or time")
    return ConfigError([Problem("", f"must be {_NAMES[kind]}{more}, not {got}")])


def _exactly(kind: type) -> Hook:
    def structure_scalar(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise _expected(kind, value)
        return value

    return structure_scalar


def _structure_float(value: Any, _: Any) -> float:
    if type(value) not in {int, float}:
        raise _expected(float, value)
    if not math.isfinite(value):
        raise ConfigError([Problem("", "must be a finite number")])
    return float(value)


def _list_hook(cls: Any, converter: cattrs.Converter, check: Check | None = None) -> Hook:
    """The hook of a list type. Not cattrs's own, which takes a text for a list of letters."""
    origin, kind = get_origin(cls), get_args(cls)[0]
    structure_element = _checked(kind, converter, check)

    def structure_list(value: Any, _: Any) -> Any:
        if type(value) is not list:
            heads = " (`[[…]]`)" if attrs.has(kind) and type(value) is dict else ""
            raise _expected(list, value, heads)
        return origin(_structure_each(enumerate(value), kind, structure_element))

    return structure_list


def _dict_hook(cls: Any, converter: cattrs.Converter, check: Check | None = None) -> Hook:
    """The hook of a table with keys of the file's own choice; a check sees key and value."""
    kind = get_args(cls)[1]
    structure_element = _checked(kind, converter, None)

    def structure_dict(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _expected(dict, value)
        structured = dict(
            zip(value, _structure_each(value.items(), kind, structure_element), strict=True)
        )
        if check is not None:
            for pair in structured.items():
                check(*pair)
        return structured

    return structure_dict


def _structure_each(
    elements: Iterable[tuple[int | str, Any]], kind: Any, structure_element: Hook
) -> list[Any]:
    structured, errors = [], []
    for key, element in elements:
        try:
            structured.append(structure_element(element, kind))
        except Exception as error:  # noqa: BLE001  collected and raised together below
            error.add_note(IterableValidationNote("", key, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, kind)
    return structured


def _checked(kind: Any, converter: cattrs.Converter, check: Check | None) -> Hook:
    """The hook of one value, or of each element of a list: its type, then the schema's check."""
    if _is_list(kind):
        return _list_hook(kind, converter, check)
    if _is_dict(kind):
        return _dict_hook(kind, converter, check)

    def structure_value(value: Any, _: Any) -> Any:
        structured = converter.structure(value, kind)
        if check is not None:
            check(structured)
        return structured

    return structure_value


def _table_hook(cls: Any, converter: cattrs.Converter) -> Hook:
    # Annotations may be text: only resolved ones are types.
    fields = attrs.fields(attrs.resolve_types(cls))
    hooks = {
        field.name: override(
            struct_hook=_checked(field.type, converter, field.metadata.get("check"))
        )
        for field in fields
    }
    fill = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **hooks,  # type: ignore[arg-type]  # the other keywords are named above
    )

    def structure_table(value: Any, kind: Any) -> Any:
        if type(value) is not dict:
            raise _expected(dict, value)
        return fill(value, kind)

    return structure_table


def _is_list(cls: Any) -> bool:
    if get_origin(cls) is tuple:
        return get_args(cls)[1:] == (...,)
    return get_origin(cls) in {list, set, frozenset}


def _is_dict(cls: Any) -> bool:
    return get_origin(cls) in {dict, Mapping}


def _new_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (str, bool, int):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, _structure_float)
    for added, hook in _added.items():
        converter.register_structure_hook(added, hook)
    for accepts, factory in (
        (_is_list, _list_hook),
        (_is_dict, _dict_hook),
        (attrs.has, _table_hook),
    ):
        converter.register_structure_hook_factory(accepts, partial(_made, factory, converter))
    return converter


@cache
def _lasting_converter() -> cattrs.Converter:
    """It keeps every class it has met, and so need not make them out again."""
    return _new_converter()


def _made(factory: Callable[..., Hook], converter: cattrs.Converter, cls: Any) -> Hook:
    return factory(cls, converter)
