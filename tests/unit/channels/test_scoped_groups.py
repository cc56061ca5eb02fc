import pytest

from realtime_proxy.channels.group import Group
from realtime_proxy.channels.scope import Scope
from realtime_proxy.channels.scoped_groups import ScopedGroups
from realtime_proxy.model.item import HttpStream, Item
from realtime_proxy.wire.encodings import WireForm


def group(*values, claim="agency", named=False, position=None, form=WireForm.RAW):
    scope = Scope(claim, values, named) if values != (None,) else None
    return Group("a", (form, False, False, position, False, "", scope))


OPEN = group(None)
NORTH, SOUTH, BOTH = group("north"), group("south"), group("north", "south")
NAMED = group("north", named=True)
NOBODY = group()
TENANT = group("north", claim="tenant")
ALL = {
    "open": OPEN,
    "north": NORTH,
    "south": SOUTH,
    "both": BOTH,
    "named": NAMED,
    "nobody": NOBODY,
    "tenant": TENANT,
}


def item(**meta):
    return Item("a", meta=meta, http_stream=HttpStream(content=b"x"))


@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ({}, "open named"),
        ({"agency": ""}, "open"),
        ({"agency": "west"}, "open"),
        ({"agency": "North"}, "open"),
        ({"agency": "north"}, "open north both named"),
        ({"agency": " south "}, "open south both"),
        ({"agency": "south,north"}, "open north south both named"),
        ({"agency": "*"}, "open north south both named"),
        ({"agency": "west,*"}, "open north south both named"),
        ({"agency": "south", "tenant": "north"}, "open south both tenant"),
        ({"tenant": "*"}, "open named tenant"),
    ],
)
def test_whom_an_item_is_for(meta, names):
    found = ScopedGroups(ALL.values()).groups_for(item(**meta))
    assert {name for name, one in ALL.items() if one in found} == set(names.split())
    assert len(found) == len(set(found))


def test_those_who_have_left_are_forgotten():
    groups = ScopedGroups([OPEN, NORTH, BOTH, TENANT])
    assert groups.has_scopes
    groups.discard(NORTH)
    assert groups.groups_for(item(agency="north")) == [OPEN, BOTH]
    groups.discard(BOTH)
    groups.discard(OPEN)
    assert groups.groups_for(item(agency="*", tenant="north")) == [TENANT]
    groups.discard(TENANT)
    assert not groups.has_scopes


def test_those_who_go_by_ids_hear_of_all_items_of_their_form():
    counting = group("north", position="1")
    keeping = group("north", form=WireForm.KEPT)
    polling = group("north", position="1", form=WireForm.RESPONSE)
    groups = ScopedGroups([OPEN, NORTH, counting, keeping, polling, group(None, position="1")])
    assert groups.bystanders(item(agency="south")) == [counting, keeping]
    assert groups.bystanders(item(agency="north")) == []
    counting.position = None  # an item without an id has been there
    assert groups.bystanders(item()) == [keeping]
    groups.discard(keeping)
    assert groups.bystanders(item()) == []


def test_an_item_that_says_nothing_lacks_something_where_not_all_have_named_channels():
    assert ScopedGroups([NORTH, OPEN]).missing_scope(item()) == "agency"
    assert ScopedGroups([NORTH, OPEN]).missing_scope(item(agency="west")) == ""
    assert ScopedGroups([NAMED, OPEN]).missing_scope(item()) == ""
    assert ScopedGroups([NAMED, TENANT]).missing_scope(item(agency="north")) == "tenant"
