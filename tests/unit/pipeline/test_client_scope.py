import pytest

from realtime_proxy.channels.scope import Scope
from realtime_proxy.errors import GripError
from realtime_proxy.grip.hold import Channel
from realtime_proxy.grip.instruct import parse_instruct_headers
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import ResponseHead
from realtime_proxy.pipeline.client_scope import ClientScope


@pytest.mark.parametrize(
    ("claims", "values"),
    [
        ({"agency": "12"}, ("12",)),
        ({"agency": 12}, ("12",)),
        ({"agency": ["13", 12, "13"]}, ("12", "13")),
        ({"agency": "12,13"}, ("12,13",)),
        ({"agency": ["12", None, {}, "", True, 1.5, "a\x00b", "\ud800"]}, ("12",)),
    ],
)
def test_what_claims_say(claims, values):
    assert ClientScope.of("agency", claims).values == values


@pytest.mark.parametrize(
    "claims",
    [{}, *({"agency": value} for value in (None, "", True, 1.5, [], {}, "\n", "\ud800", [[]]))],
)
def test_claims_that_say_nothing(claims):
    assert ClientScope.of("agency", claims) is None


@pytest.mark.parametrize("claim", ["org.agency", "https://a.test/agency"])
def test_a_claim_within_others_and_one_with_dots_in_its_name(claim):
    claims = {"org": {"agency": "12"}, "https://a.test/agency": "12"}
    assert ClientScope.of(claim, claims).values == ("12",)


def test_the_same_is_said_in_any_order_and_nothing_else_is_the_same():
    scope = ClientScope.of("agency", {"agency": ["12", "13"]})
    assert scope.is_of({"agency": [13, "12"], "sub": "other"})
    for other in ("12", ["12", "13", "14"], "12,13", None):
        assert not scope.is_of({"agency": other})
    assert not scope.is_of({})


def test_a_channel_with_a_place_is_named_by_the_value_and_others_are_not():
    scope = ClientScope("agency", ("12", "a/b"))
    assert scope.names("alerts") == ("alerts",)
    assert scope.names("alerts/{claims.agency}", "p-") == ("alerts/12", "alerts/a%2Fb")
    assert scope.on("p-alerts/12") == Scope("agency", ("12",), is_named=True)
    assert scope.on("p-alerts/a%2Fb") == Scope("agency", ("a/b",), is_named=True)
    for other in ("alerts", "alerts/12", "p-alerts/13"):
        assert scope.on(other) == Scope("agency", ("12", "a/b"))


@pytest.mark.parametrize("template", ["{claims.sub}", "{claims.agency}/{claims.sub}", "{claims.}"])
def test_only_the_claim_of_the_route_is_filled_in(template):
    scope = ClientScope("agency", ("12",))
    with pytest.raises(GripError, match="only 'agency' is filled in"):
        scope.names(template)


def test_instructions_with_the_channels_of_the_client():
    fields = [
        (b"Grip-Hold", b"stream"),
        (b"Grip-Channel", b"all, a/{claims.agency}; prev-id=1; filter=skip-self"),
    ]
    instruct = parse_instruct_headers(ResponseHead(200, b"OK", Headers(fields)))
    followed = ClientScope("agency", ("12", "13")).followed(instruct, "p-")
    assert followed.channels == (
        Channel("all"),
        Channel("a/12", "1", ("skip-self",)),
        Channel("a/13", "1", ("skip-self",)),
    )
    assert followed.hold is instruct.hold
