import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.routing.condition import Condition
from realtime_proxy.routing.table import RouteTable


def table(*conditions: Condition) -> RouteTable[Condition]:
    return RouteTable((condition, condition) for condition in conditions)


def find(routes, host=b"any.test", path=b"/", websocket=False, tls=False):
    return routes.find(host, path, websocket, tls)


ANY = Condition()


def test_an_empty_table_finds_nothing():
    assert find(table()) is None


def test_star_takes_any_host():
    assert find(table(ANY), b"whatever") is ANY


def test_a_named_host_beats_star():
    named = Condition(host=b"a.test")
    assert find(table(ANY, named), b"a.test") is named


def test_a_named_host_does_not_fall_back_to_star():
    routes = table(ANY, Condition(host=b"a.test", path=b"/only"))
    assert find(routes, b"a.test", b"/elsewhere") is None


def test_a_host_without_a_route_for_the_protocol_does_not_fall_back_either():
    routes = table(ANY, Condition(host=b"a.test", protocol="websocket"))
    assert find(routes, b"a.test") is None
    assert find(routes, b"a.test", websocket=True) is not None


@pytest.mark.parametrize(
    ("path", "want"),
    [(b"/", b""), (b"/a", b"/a"), (b"/ab", b"/a"), (b"/a/b", b"/a/b"), (b"/A", b"")],
)
def test_the_longest_path_wins(path, want):
    found = find(table(ANY, Condition(path=b"/a"), Condition(path=b"/a/b")), path=path)
    assert found.path == want


def test_protocol_beats_a_longer_path():
    protocol = Condition(protocol="http")
    assert find(table(Condition(path=b"/long"), protocol), path=b"/long/er") is protocol


def test_a_longer_path_beats_tls():
    longer = Condition(path=b"/a")
    assert find(table(Condition(tls=True), longer), path=b"/a", tls=True) is longer


def test_tls_beats_none():
    plain, encrypted = Condition(tls=False), Condition(tls=True)
    routes = table(ANY, plain, encrypted)
    assert find(routes, tls=True) is encrypted
    assert find(routes, tls=False) is plain


def test_of_equal_conditions_the_first_stays():
    routes = RouteTable([(ANY, "first"), (Condition(), "second")])
    assert find(routes) == "first"


def slowly(conditions, host, path, websocket, tls):
    """The rules of precedence, spelled out."""
    candidates = [c for c in conditions if c.host == host != b""] or [
        c for c in conditions if c.host == b"*"
    ]
    protocol = "websocket" if websocket else "http"
    fitting = [
        c
        for c in candidates
        if path.startswith(c.path) and c.protocol in ("", protocol) and c.tls in (None, tls)
    ]
    for better in (lambda c: c.protocol != "", lambda c: len(c.path), lambda c: c.tls is not None):
        best = max(map(better, fitting), default=None)
        fitting = [c for c in fitting if better(c) == best]
    return fitting[0] if fitting else None


conditions = st.builds(
    Condition,
    host=st.sampled_from([b"*", b"a", b"b", b""]),
    path=st.sampled_from([b"", b"/", b"/x", b"/x/y"]),
    protocol=st.sampled_from(["", "http", "websocket"]),
    tls=st.sampled_from([None, True, False]),
    id=st.sampled_from(["", "one", "two"]),
)


@given(st.lists(conditions, unique_by=lambda c: (c.host, c.path, c.protocol, c.tls)), st.randoms())
def test_the_order_of_routes_never_matters(routes, shuffler: random.Random):
    shuffled = list(routes)
    shuffler.shuffle(shuffled)
    one, other = table(*routes), table(*shuffled)
    for request in itertools.product(
        (b"a", b"c", b""), (b"/", b"/x/y/z", b"*"), (False, True), (False, True)
    ):
        expected = slowly(routes, *request)
        assert one.find(*request) == other.find(*request) == expected
    for name in ("one", "two"):
        called_so = [condition for condition in routes if condition.id == name]
        expected = called_so[0] if len(called_so) == 1 else None
        assert one.named(name) == other.named(name) == expected
        assert one.is_shared(name) == (len(called_so) > 1)


def test_routes_are_found_by_their_ids():
    named, other = Condition(host=b"a.test", id="events"), Condition(host=b"b.test")
    routes = table(named, other)
    assert routes.named("events") is named
    assert routes.named("b.test,*,*,*") is other
    assert routes.named("a.test,*,*,*") is None
    assert len(routes) == 2


def test_a_name_may_be_for_a_path_only():
    condition = Condition(path=b"/a", id="events")
    routes = table(condition)
    assert routes.named("events", b"/a/b") is condition
    assert routes.named("events", b"/b") is None
    assert routes.named("nobody", b"/a") is None


def test_a_shared_id_leads_to_none_of_its_routes():
    one, other = Condition(host=b"a", id="x"), Condition(host=b"b", id="x")
    routes = table(one, other, Condition(id="y"))
    assert routes.is_shared("x")
    assert not routes.is_shared("y")
    assert not routes.is_shared("")
    assert routes.named("x") is None
    assert find(routes, b"b") is other
    assert len(routes) == 3


def test_without_a_host_only_the_id_leads_there():
    hidden = Condition(host=b"", id="x")
    routes = table(hidden)
    assert routes.named("x") is hidden
    assert find(routes, b"") is find(routes, b"*") is None


def test_of_equal_conditions_the_first_has_the_name():
    first, second = Condition(host=b"a.test"), Condition(host=b"a.test")
    assert table(first, second).named("a.test,*,*,*") is first
