import pytest

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.routing.condition import Condition, host_of


@pytest.mark.parametrize(
    ("header", "want"),
    [
        (b"a.test", b"a.test"),
        (b"A.Test:8080", b"a.test"),
        (b" a.test ", b"a.test"),
        (b"127.0.0.1:80", b"127.0.0.1"),
        (b"[::1]:80", b"::1"),
        (b"[::A]", b"::a"),
        (b"::1", b"::1"),
        (b"a.test:", b"a.test"),
        (b"A.test.", b"a.test"),
        (b"a.test.:80", b"a.test"),
        (b":80", b":80"),
        (b"", b""),
    ],
)
def test_host_of_a_header(header, want):
    assert host_of(header) == want


def test_the_condition_of_a_route_is_written_as_requests_are():
    route = Route(targets=(Target(demo=True),), host="[::A]", path="/p", protocol="http", tls=True)
    assert Condition.of(route) == Condition(b"::a", b"/p", "http", True)


def test_what_fits():
    assert Condition().fits(websocket=True, tls=False)
    assert Condition(protocol="http", tls=True).fits(websocket=False, tls=True)
    assert not Condition(protocol="http").fits(websocket=True, tls=True)
    assert not Condition(protocol="websocket").fits(websocket=False, tls=True)
    assert not Condition(tls=False).fits(websocket=False, tls=True)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (Condition(id="events", host=b"a.test"), "events"),
        (Condition(), "*,*,*,*"),
        (Condition(b"a.test", b"/p", "websocket", True), "a.test,websocket,tls,/p"),
        (Condition(b"::1", protocol="http", tls=False), "::1,http,no-tls,*"),
    ],
)
def test_a_name_for_each(condition, name):
    assert condition.name == name


def test_the_name_of_a_route_is_its_id():
    assert Condition.of(Route(targets=(Target(demo=True),), id="events")).name == "events"
