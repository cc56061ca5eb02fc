"""Which items, and which channels, are for one client of a route with `delivery_scope_claim`."""

from realtime_proxy.grip.instruct import Instruct
from realtime_proxy.model.messages import text_response
from realtime_proxy.pipeline.client_scope import ClientScope
from realtime_proxy.pipeline.decision import Refuse
from realtime_proxy.pipeline.exchange import Exchange
from realtime_proxy.serving.live_route import LiveRoute
from realtime_proxy.serving.live_target import LiveTarget


def take_scope(route: LiveRoute, exchange: Exchange | None) -> Refuse | None:
    """Find out what of a route's items a client may have that is about to be held.

    Who has no claim to any is refused.
    """
    claim = route.scope_claim
    if exchange is None or not claim:
        return _refusal(claim) if claim else None
    claims = {} if exchange.identity is None else exchange.identity.claims
    scope = exchange.scope
    if scope is None or scope.claim != claim or not scope.is_of(claims):
        exchange.scope = ClientScope.of(claim, claims)
    return _refusal(claim) if exchange.scope is None else None


def _refusal(claim: str) -> Refuse:
    response = text_response(403, "Not allowed to wait for messages here.")
    return Refuse(response, f"without the claim {claim} it can't be held")


def scope_of(route: LiveRoute, exchange: Exchange | None) -> ClientScope | None:
    """What was found out; None if the route does not part its clients."""
    return exchange.scope if route.scope_claim and exchange is not None else None


def followed(instruct: Instruct, route: LiveRoute, exchange: Exchange | None) -> Instruct:
    """Instructions with the client's own channels. Raises GripError for a name with no sense."""
    scope = scope_of(route, exchange)
    return instruct if scope is None else scope.followed(instruct, route.channel_prefix)


def channels_called(name: str, route: LiveRoute, exchange: Exchange | None) -> tuple[str, ...]:
    """The whole names of the client's channels that a backend calls so. Raises GripError."""
    scope, prefix = scope_of(route, exchange), route.channel_prefix
    names = (name,) if scope is None else scope.names(name, prefix)
    return tuple(prefix + each for each in names)


def implicit_channels(
    target: LiveTarget, route: LiveRoute, exchange: Exchange | None
) -> tuple[str, ...]:
    """The channels that a target adds to the client's hold."""
    scope = scope_of(route, exchange)
    if scope is None or not target.subscribe:
        return target.subscribe
    return tuple(name for template in target.subscribe for name in scope.names(template))
