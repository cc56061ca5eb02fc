"""Names of channels with a place for a claim of the client: `alerts/{claims.agency}`."""

import re
from urllib.parse import quote

_PLACE = re.compile(r"\{claims\.([^{}]*)\}")


def claims_of(template: str) -> frozenset[str]:
    """The claims that a name has places for."""
    return frozenset(_PLACE.findall(template))


def filled(template: str, value: str) -> str:
    """The name with a value in its places.

    The value is encoded, as in URLs: so it can't be taken for another, or for several parts of a
    name, and two values never make the same name.
    """
    text = quote(value, safe="")
    return _PLACE.sub(lambda _: text, template)
