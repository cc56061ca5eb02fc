"""How many clients a route may have at a time."""

import pytest

from realtime_proxy.errors import OverloadError
from realtime_proxy.metrics.counters import Counters
from realtime_proxy.serving.route_places import RoutePlaces


def test_a_route_has_only_so_many():
    counters = Counters()
    places = RoutePlaces(counters)
    places.take("a", 2)
    places.take("a", 2)
    with pytest.raises(OverloadError) as caught:
        places.take("a", 2)
    assert (caught.value.status, caught.value.limit) == (503, "route.max_connections")
    assert counters.limit_route_connections == 1
    places.take("b", 1)
    places.leave("a")
    places.take("a", 2)


def test_of_one_id_each_route_goes_by_its_own_limit():
    places = RoutePlaces(Counters())
    places.take("a", 2)
    with pytest.raises(OverloadError):
        places.take("a", 1)
    places.take("a", 2)


def test_nothing_is_kept_of_routes_without_clients():
    places = RoutePlaces(Counters())
    places.take("a", 1)
    places.leave("a")
    assert not places._taken
