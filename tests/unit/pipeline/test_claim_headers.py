"""Claims as headers: what backends are told, and what can't be one."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.claim_headers import ClaimHeaders

CLAIMS = {
    "agency": "north",
    "org": {"id": 7, "tags": ["a", "ü"]},
    "admin": False,
    "none": None,
    "split": "a\r\nX-Admin: true",
    "https://a.test/role": "editor",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("agency", b"north"),
        ("org.id", b"7"),
        ("org", b'{"id":7,"tags":["a","\\u00fc"]}'),
        ("admin", b"false"),
        ("https://a.test/role", b"editor"),
        ("none", None),
        ("missing", None),
        ("agency.more", None),
        ("split", None),
    ],
)
def test_a_claim_becomes_a_header_if_it_can(path, value):
    headers = ClaimHeaders({"X-Said": path}).of(CLAIMS)
    assert headers == ([] if value is None else [(b"X-Said", value)])


def test_names_are_known_in_lower_case():
    headers = ClaimHeaders({"X-Agency": "agency", "X_Org": "org.id"})
    assert headers.names == {"x-agency", "x_org"}
    assert headers.field_names == {b"x-agency", b"x_org"}


@pytest.mark.parametrize("name", ["", "X A", "X:", "é", "X\n"])
def test_other_names_are_told(name):
    with pytest.raises(ConfigError, match=r"(?s)claims_to_headers\..*is not the name"):
        ClaimHeaders({name: "a"})
