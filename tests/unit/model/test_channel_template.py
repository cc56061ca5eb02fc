import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.model.channel_template import claims_of, filled


@pytest.mark.parametrize(
    ("template", "claims"),
    [
        ("alerts", set()),
        ("alerts/{claims.agency}", {"agency"}),
        ("{claims.https://a.test/agency}/{claims.sub}", {"https://a.test/agency", "sub"}),
        ("{claims.}", {""}),
        ("{claim.agency}{}{claims", set()),
    ],
)
def test_the_claims_that_a_name_has_places_for(template, claims):
    assert claims_of(template) == claims


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("12", "alerts/12"),
        ("North-East_1.a~b", "alerts/North-East_1.a~b"),
        ("12/admin", "alerts/12%2Fadmin"),
        ("a b,c;*", "alerts/a%20b%2Cc%3B%2A"),
        ("{claims.agency}", "alerts/%7Bclaims.agency%7D"),
        ("%31", "alerts/%2531"),
        (r"\1\g<0>", "alerts/%5C1%5Cg%3C0%3E"),
        ("Zürich", "alerts/Z%C3%BCrich"),
    ],
)
def test_a_value_stands_for_one_part_of_a_name(value, name):
    assert filled("alerts/{claims.agency}", value) == name


TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@given(TEXTS, TEXTS, st.sampled_from(["{claims.a}", "x/{claims.a}", "{claims.a}/{claims.a}y"]))
def test_two_values_never_make_the_same_name(one, other, template):
    assert (filled(template, one) == filled(template, other)) == (one == other)
