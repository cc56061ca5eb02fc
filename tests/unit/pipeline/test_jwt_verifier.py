"""Whose tokens are: of consumers, of issuers, of nobody."""

import time

import pytest

from realtime_proxy.pipeline import (
    ClaimRules,
    Consumer,
    HandlerContext,
    HandlerServices,
    Issuer,
    JwtCredential,
    JwtCredentials,
    JwtVerifier,
    KeysUnavailable,
    NotInScope,
    Secret,
    StoredConsumers,
    TokenRefused,
    UnreadableToken,
    issuer_keys,
)
from realtime_proxy.testing.tokens import hs_token, public_pem, signed

ADO = Consumer("Ado", jwt=(JwtCredential("adokey", Secret(b"supersecret")),))
PROVIDER = Issuer("https://idp.test/", ("api",), public_key=Secret(public_pem()))
CONTEXT = HandlerContext("verifier", None)


def verifier(**settings):
    credentials = JwtCredentials((ADO,), CONTEXT)
    return JwtVerifier(CONTEXT, credentials, issuer_keys((PROVIDER,)), ClaimRules(), **settings)


def provided(**claims):
    return signed({"iss": PROVIDER.issuer, "aud": "api", "sub": "u-1", **claims})


async def test_a_consumers_token():
    token = await verifier().verified(hs_token({"iss": "adokey", "a": 1}))
    assert (token.consumer, token.credential) == (ADO, "adokey")
    assert token.claims == {"iss": "adokey", "a": 1}
    assert token.is_current is None
    assert token.holds()


async def test_a_token_may_name_its_credential_elsewhere():
    token = await verifier(key_claim_name="kid").verified(hs_token({"kid": "adokey"}))
    assert token.consumer is ADO


async def test_a_token_of_an_issuer():
    token = await verifier().verified(provided())
    assert token.consumer == Consumer(username="u-1")
    assert (token.credential, token.holds, token.is_current) == (PROVIDER.issuer, None, None)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (b"a.b", UnreadableToken, "Bad token; not three parts"),
        (hs_token({"iss": "adokey"}, algorithm="none"), UnreadableToken, "Bad token; invalid alg"),
        (hs_token({}), UnreadableToken, "No mandatory 'iss' in claims"),
        (hs_token({"iss": "other"}), TokenRefused, "No credentials found for given 'iss'"),
        (hs_token({"iss": "adokey"}, b"wrong"), TokenRefused, "Invalid signature"),
        (hs_token({"iss": "adokey"}, algorithm="HS512"), TokenRefused, "Invalid algorithm"),
        (hs_token({"iss": "adokey", "exp": 1}), TokenRefused, "exp: token expired"),
        (provided(aud="other"), TokenRefused, "aud: not for this audience"),
        (provided(sub="a\nb"), UnreadableToken, "No mandatory 'sub' in claims"),
        (
            hs_token({"iss": PROVIDER.issuer, "aud": "api"}, public_pem()),
            TokenRefused,
            "Invalid algorithm",
        ),
    ],
)
async def test_others_are_refused_in_these_words(text, error, message):
    with pytest.raises(TokenRefused) as caught:
        await verifier().verified(text)
    assert (type(caught.value), str(caught.value)) == (error, message)


async def test_a_token_must_be_for_all_that_is_required():
    checked = verifier(scopes=frozenset(("read", "listen")))
    end = time.time() + 60
    assert await checked.verified(provided(scope="listen read more", exp=end))
    with pytest.raises(NotInScope):
        await checked.verified(provided(scope="read", exp=end))


async def test_while_the_store_is_not_known_only_those_count_that_are_of_the_settings():
    stored = StoredConsumers()
    stored.is_known = False
    context = HandlerContext("verifier", None, services=HandlerServices(None, None, None, stored))
    credentials = JwtCredentials((ADO,), context, stored=True)
    checked = JwtVerifier(context, credentials, issuer_keys((PROVIDER,)), ClaimRules())
    assert (await checked.verified(hs_token({"iss": "adokey"}))).consumer is ADO
    assert (await checked.verified(provided())).credential == PROVIDER.issuer
    with pytest.raises(KeysUnavailable):
        await checked.verified(hs_token({"iss": "perhaps stored"}))
