import pytest

from realtime_proxy.inputs.admin_query import (
    Paging,
    QueryError,
    parse_dismissal,
    parse_listing,
    parse_paging,
)
from realtime_proxy.model.connection_filter import ConnectionFilter
from realtime_proxy.model.dismissal import Dismissal


def test_nothing_asks_for_the_beginning_of_all():
    assert parse_listing("") == (ConnectionFilter(), Paging("", 100))
    assert parse_paging("") == Paging("", 100)


def test_filters_and_paging():
    which, paging = parse_listing(
        "route=r%201&channel=a%2Fb&consumer=%C3%BC&kind=sse&id=x%3A1&after=0.7&limit=1000"
    )
    assert which == ConnectionFilter("x:1", "sse", "r 1", "a/b", "\u00fc")
    assert paging == Paging("0.7", 1000)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("limit=0", "`limit` is 0; accepted: 1 to 1000"),
        ("limit=1001", "accepted: 1 to 1000"),
        ("limit=-1", "a whole number"),
        ("limit=\u0663", "a whole number"),
        ("kind=ws", "accepted: `http-stream`"),
        ("rout=a", "no parameter `rout`; accepted: `id`"),
        ("route=a&route=a", "`route` is given twice"),
        ("route", "not `name=value&"),
        ("route=%ff", "not `name=value&"),
        ("&", "not `name=value&"),
    ],
)
def test_what_makes_no_sense(query, why):
    with pytest.raises(QueryError, match=why):
        parse_listing(query)


def test_those_meant_end_for_a_reason():
    which, dismissal = parse_dismissal("consumer=alice&code=4001&reason=so%20long", None)
    assert which == ConnectionFilter(consumer="alice")
    assert dismissal == Dismissal(4001, "so long")
    assert parse_dismissal("", "x:1") == (
        ConnectionFilter(id="x:1"),
        Dismissal(1008, "closed by operator"),
    )


def test_an_empty_value_means_those_that_have_it_empty():
    which, _ = parse_dismissal("consumer=", None)
    assert which == ConnectionFilter(consumer="")


@pytest.mark.parametrize(
    ("query", "connection_id", "why"),
    [
        ("", None, "which connections"),
        ("reason=x", None, "which connections"),
        ("limit=1", None, "no parameter `limit`"),
        ("route=a", "x:1", "no parameter `route`; accepted: `code`, `reason`"),
        ("code=999", "x:1", "`code` is 999"),
        ("code=1005", "x:1", "`code` is 1005"),
        ("code=x", "x:1", "whole number"),
        ("reason=" + "%C3%BC" * 62, "x:1", "123 bytes"),
    ],
)
def test_an_end_that_makes_no_sense(query, connection_id, why):
    with pytest.raises(QueryError, match=why):
        parse_dismissal(query, connection_id)
