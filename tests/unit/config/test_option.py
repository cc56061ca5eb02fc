import attrs
import pytest

from realtime_proxy.config.checks import at_least
from realtime_proxy.config.option import option, required

above_one = at_least(1)


@attrs.frozen
class Section:
    key: str = required("A file.", file=True)
    size: int = option(5, "A size.", above_one, restart=True)


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("size", {"doc": "A size.", "check": above_one, "restart": True, "file": False}),
        ("key", {"doc": "A file.", "check": None, "file": True}),
    ],
)
def test_a_field_carries_its_text_and_what_may_be_in_it(name, metadata):
    assert attrs.fields_dict(Section)[name].metadata == metadata


def test_an_option_has_a_default_and_what_is_required_has_none():
    fields = attrs.fields(Section)
    assert fields.size.default == 5
    assert fields.key.default is attrs.NOTHING
