import pytest

from realtime_proxy.channels.scope import scopes_of


@pytest.mark.parametrize(
    ("written", "values"),
    [("12", ["12"]), (" 12 , 13", ["12", "13"]), ("", [""]), ("12,", ["12", ""]), ("*", ["*"])],
)
def test_the_values_that_an_item_is_for(written, values):
    assert list(scopes_of(written)) == values
