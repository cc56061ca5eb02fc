"""The features that backends are told of."""

from realtime_proxy.grip.features import GRIP_FEATURE


def test_features_in_their_order():
    assert GRIP_FEATURE == (
        b"status, session, link:next, link:gone, filter:skip-self, filter:skip-users, "
        b"filter:require-sub, filter:build-id, filter:var-subst, "
        b"filter:http-check, filter:http-modify"
    )
