"""What a held request keeps. What clients see of holds is tested end to end."""

from types import SimpleNamespace

from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.model.shared_headers import KnownHeaders
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.http_hold import HttpHold
from realtime_proxy.wire.encodings import WireForm


class Connection:
    """A connection on which nothing is written."""

    socket = SimpleNamespace(write=None)
    presence = None

    def __init__(self, lifetimes):
        begin = SimpleNamespace(begin=lifetimes.append)
        self.context = SimpleNamespace(lifetimes=begin, registry=None)


def test_what_is_known_of_fields_is_not_held():
    route = SimpleNamespace(chain=Chain(), max_age_seconds=0, logs_requests=False, scope_claim="")
    fields = KnownHeaders([(b"Host", b"a")])
    exchange = Exchange(RequestHead(b"GET", b"/", fields), "r", "http", "192.0.2.1")
    lifetimes = []
    order = SimpleNamespace(
        connection=Connection(lifetimes), route=route, exchange=exchange, filters={}
    )
    hold = HttpHold(order, WireForm.CHUNK)
    hold._subscribe(order, {})
    assert lifetimes == [hold]
    assert exchange.request.headers == fields
    assert type(exchange.request.headers) is Headers
