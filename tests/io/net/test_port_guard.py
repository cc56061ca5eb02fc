import pytest

from realtime_proxy.model.headers import Headers
from realtime_proxy.net.bearer_key import BearerKey
from realtime_proxy.net.own_hosts import OwnHosts
from realtime_proxy.net.port_guard import PortGuard

OPEN = PortGuard("part", OwnHosts(frozenset({b"own.example"})), "[part] names does not have it")
LOCKED = PortGuard("part", OwnHosts(), "", BearerKey(b"sesame"))


def refused(guard, **fields):
    """The refusal of a request with these fields."""
    return guard.refusal(Headers((name.encode(), value.encode()) for name, value in fields.items()))


@pytest.mark.parametrize("host", [None, "127.0.0.1:1", "localhost", "own.example:1"])
def test_who_names_the_port_is_let_in(host):
    assert refused(OPEN, **({} if host is None else {"Host": host})) is None


def test_a_name_of_others_is_refused_with_what_to_do():
    refusal = refused(OPEN, Host="page.example:1")
    assert refusal.status == 403
    assert refusal.body == (
        b"Requests for page.example:1 are refused: [part] names does not have it.\n"
    )


@pytest.mark.parametrize("guard", [OPEN, LOCKED])
@pytest.mark.parametrize(
    "origin", ["null", "http://page.example", "http://127.0.0.1:2", "http://[", "127.0.0.1:1"]
)
def test_pages_of_others_are_refused_even_with_the_key(guard, origin):
    fields = {"Host": "127.0.0.1:1", "Origin": origin, "Authorization": "Bearer sesame"}
    assert refused(guard, **fields).status == 403


def test_its_own_pages_are_not():
    assert refused(OPEN, Host="127.0.0.1:1", Origin="http://127.0.0.1:1") is None


@pytest.mark.parametrize("fields", [{}, {"Authorization": "Bearer wrong"}])
def test_who_has_no_key_is_told_which(fields):
    refusal = refused(LOCKED, Host="127.0.0.1:1", **fields)
    assert (refusal.status, refusal.headers.get(b"www-authenticate")) == (
        401,
        b'Bearer realm="part"',
    )
    assert b"key of [part]" in refusal.body


def test_who_has_the_key_may_use_any_name():
    assert refused(LOCKED, Host="page.example", Authorization="Bearer sesame") is None
