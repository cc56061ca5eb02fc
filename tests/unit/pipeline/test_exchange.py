"""Identities: which of them renews another."""

import attrs
import pytest

from realtime_proxy.pipeline.exchange import Identity

ALICE = Identity(
    "alice", {"iat": 1}, expires_at=10, groups=("a", "b"), subject="s", scope=(("agency", "x"),)
)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": 20, "claims": {"iat": 2}},
        {"groups": ("b", "a")},
        {"credential": "alice/2", "challenge": "Key"},
    ],
)
def test_a_later_credential_with_the_same_rights_renews(changes):
    assert ALICE.is_renewed_by(attrs.evolve(ALICE, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"consumer": "bob"},
        {"subject": "t"},
        {"groups": ("a",)},
        {"scope": (("agency", "y"),)},
        {"anonymous": True},
    ],
)
def test_other_rights_do_not(changes):
    assert not ALICE.is_renewed_by(attrs.evolve(ALICE, **changes))
