"""For whom items are, where a route parts its clients by a claim (`docs/scoped-delivery.md`)."""

from collections.abc import Iterator
from typing import NamedTuple

# What an item says that is for every client of a scoped route.
FOR_ALL = "*"


class Scope(NamedTuple):
    """What the members of a group may have: items for one of these values of a claim.

    With `is_named`, the channel's name says that already, and items need not.
    """

    claim: str
    values: tuple[str, ...]
    is_named: bool = False


def scopes_of(written: str) -> Iterator[str]:
    """The values that an item is for, separated by commas."""
    return map(str.strip, written.split(","))
