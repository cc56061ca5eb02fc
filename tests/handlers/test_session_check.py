"""Sessions: whom the server is asked about, what its answers become, what is kept of them."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import trustme

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    NOT_MINE,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    HttpCallError,
    Identity,
    Refuse,
    RequestHead,
    Response,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.secret import files_relative_to

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "session_check.py")
URL = "http://kratos.test:4433/sessions/whoami"
COOKIE = ("Cookie", "ory_kratos_session=s-1; csrf=c")
INVALID = {"code": 401, "status": "Unauthorized", "message": "Access credentials are invalid"}


class SessionServer:
    """Answers in turn as told, the last one again and again; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers) or [session()]
        self.asked = []

    async def ask(self, method, url, headers, **options):
        self.asked.append(SimpleNamespace(method=method, url=url, headers=headers, **options))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status=200, body=b"{}", *fields):
    return Response(status, Headers((n.encode(), v.encode()) for n, v in fields), body)


def session(*fields, seconds=60, **more):
    ends = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
    document = {
        "id": "77",
        "active": True,
        "expires_at": ends.replace("+00:00", "123Z"),  # nanoseconds, as Kratos has them
        "identity": {"id": "u-1", "traits": {"email": "älice@a.test", "roles": ["x"]}},
        **more,
    }
    return answer(200, json.dumps(document).encode(), *fields)


def make(server, **settings):
    settings = {"check_session_url": URL, "only": ["ory_kratos_session"], **settings}
    with files_relative_to(CHECKOUT):
        config = structure(settings, Handler.Config)
    services = HandlerServices(http=server, connections=None, key_sets=None)
    context = HandlerContext("session_check", structlog.get_logger(), set(), services)
    return Handler(config, context)


def new_exchange(*fields, target="/a?b=c", method="GET", scheme="http", **more):
    pairs = [("Host", "site.test"), *fields]
    headers = Headers((name.encode(), value.encode()) for name, value in pairs)
    request = RequestHead(method.encode(), target.encode(), headers)
    return Exchange(request, "r", scheme, "192.0.2.7", **more)


async def passes(handler, *fields, **more):
    exchange = new_exchange(*(fields or (COOKIE,)), **more)
    assert await handler.on_request(exchange) is CONTINUE
    return exchange


async def refused(handler, *fields, **more):
    exchange = new_exchange(*(fields or (COOKIE,)), **more)
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    return decision.response


# -- the question --------------------------------------------------------------------------


async def test_only_the_session_goes_along():
    server = SessionServer()
    handler = make(server, forward_http_headers=["X-Request-Id"], additional_headers={"X-Key": "k"})
    request_id = ("X-Request-Id", "7")
    await passes(handler, COOKIE, request_id, ("X-Own", "1"), method="POST", target="/../admin?a=b")
    [asked] = server.asked
    assert (asked.method, asked.url, asked.tls) == ("GET", URL, None)
    assert asked.headers == [
        (b"Cookie", b"ory_kratos_session=s-1"),
        (b"Accept", b"application/json"),
        (b"X-Request-Id", b"7"),
        (b"X-Key", b"k"),
    ]


async def test_without_names_every_cookie_is_of_a_session():
    server = SessionServer()
    await passes(make(server, only=[]), COOKIE, ("cookie", "d=e"))
    assert server.asked[0].headers.get_all(b"cookie") == [b"ory_kratos_session=s-1; csrf=c; d=e"]


@pytest.mark.parametrize("fields", [(("Cookie", "csrf=c"),), (("X-Own", "1"),)])
async def test_without_a_session_nobody_is_asked(fields):
    server = SessionServer()
    response = await refused(make(server), *fields)
    assert (response.status, json.loads(response.body)["error"]) == (401, INVALID)
    exchange = new_exchange(*fields)
    assert await make(server, optional=True).on_request(exchange) is NOT_MINE
    assert exchange.identity is None
    assert server.asked == []


async def test_who_is_known_already_needs_no_session():
    server = SessionServer()
    exchange = new_exchange(COOKIE, identity=Identity("alice"))
    assert await make(server, optional=True).on_request(exchange) is NOT_MINE
    assert exchange.identity == Identity("alice")
    await make(server).on_request(exchange)
    assert exchange.identity.consumer == "u-1"


async def test_preflights():
    preflight = ("Access-Control-Request-Method", "POST")
    assert (await refused(make(SessionServer()), preflight, method="OPTIONS")).status == 401
    await passes(make(None, run_on_preflight=False), preflight, method="OPTIONS")


# -- a session -----------------------------------------------------------------------------


async def test_whose_session_it_is():
    claims_to_headers = {"X-Email": "identity.traits.email", "X-Roles": "identity.traits.roles"}
    handler = make(SessionServer(), claims_to_headers={**claims_to_headers, "X-None": "a.b"})
    begun = time.time()
    exchange = await passes(handler, COOKIE, ("X-Email", "forged"), ("X-None", "forged"))
    identity = exchange.identity
    assert (identity.consumer, identity.subject) == ("u-1", "u-1")
    assert identity.claims["identity"]["traits"]["roles"] == ["x"]
    assert begun + 59 < identity.expires_at <= time.time() + 60.001
    headers = exchange.request.headers
    assert headers.get_all(b"x-consumer-username") == [b"u-1"]
    assert headers.get_all(b"x-email") == ["älice@a.test".encode()]
    assert headers.get_all(b"x-roles") == [b'["x"]']
    assert not headers.has(b"x-none")
    assert headers.get(b"cookie") == COOKIE[1].encode()
    assert {"x-email", "x-consumer-username"} <= handler.sets_headers


async def test_other_places_of_an_answer():
    body = json.dumps({"subject": "bob", "extra": {"a": 1}}).encode()
    handler = make(SessionServer(answer(200, body)), subject_from="subject", extra_from="extra")
    assert (await passes(handler)).identity == Identity("bob", {"a": 1}, subject="bob")


async def test_sessions_are_hidden():
    exchange = await passes(make(SessionServer(), hide_credentials=True))
    assert exchange.request.headers.get(b"cookie") == b"csrf=c"


@pytest.mark.parametrize("over", [session(active=False), session(seconds=-1)])
async def test_a_session_that_is_over(over):
    assert (await refused(make(SessionServer(over)))).status == 401


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 204, 302, 500])
async def test_any_other_status_is_no_session(status):
    response = await refused(make(SessionServer(answer(status, b"internal"))))
    assert response.status == 401
    assert response.headers == [(b"Content-Type", b"application/json")]
    assert json.loads(response.body) == {"error": INVALID}


async def test_less_may_be_said():
    response = await refused(make(SessionServer(answer(401)), verbose=False))
    assert json.loads(response.body) == {"error": {"code": 401, "status": "Unauthorized"}}


async def test_too_many_questions():
    limits = (("Retry-After", "7"), ("X-RateLimit-Limit", "5"), ("RateLimit", "a"))
    server = SessionServer(answer(429, b"", *limits, ("X-Internal", "1")))
    page = ("Accept", "text/html")
    response = await refused(make(server, redirect_to="/login"), COOKIE, page)
    assert response.status == 429
    assert json.loads(response.body)["error"]["code"] == 429
    assert [name for name, _ in response.headers[1:]] == [
        b"Retry-After",
        b"X-RateLimit-Limit",
        b"RateLimit",
    ]


@pytest.mark.parametrize(
    "given",
    [
        HttpCallError("refused"),
        answer(200, b"no JSON"),
        answer(200, b"[]"),
        answer(200, b"{}"),
        answer(200, b'{"identity": {"id": 7}}'),
        answer(200, b'{"identity": {"id": ""}}'),
        answer(200, b'{"identity": {"id": "a\\r\\nb"}}'),
        answer(200, b'{"identity": {"id": "a"}, "expires_at": "soon"}'),
        answer(200, b'{"identity": {"id": "a"}, "expires_at": 7}'),
        answer(200, b'{"identity": {"id": "a"}, "expires_at": "2099-01-01T00:00:00"}'),
    ],
)
async def test_without_a_usable_answer_nobody_passes(given):
    page = ("Accept", "text/html")
    response = await refused(make(SessionServer(given), redirect_to="/login"), COOKIE, page)
    assert response.status == 403
    assert json.loads(response.body)["error"]["status"] == "Forbidden"
    handler = make(SessionServer(given), unavailable_status=503)
    assert (await refused(handler)).status == 503
    # A held client is not lost for it at once.
    assert (await refused(make(SessionServer(given)), is_recheck=True)).status == 503


async def test_a_held_client_may_stay_while_the_server_fails():
    handler = make(SessionServer(answer(502), answer(401)))
    assert (await refused(handler, is_recheck=True)).status == 503
    assert (await refused(handler, is_recheck=True)).status == 401


# As Oathkeeper matches: what a client accepts counts to the letter.
@pytest.mark.parametrize(
    ("accept", "scheme", "status"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "http", 302),
        ("text/html", "https", 302),
        ("*/*", "http", 401),
        ("text/*", "http", 401),
        ("application/json", "http", 401),
        (None, "http", 401),
        ("text/event-stream", "http", 401),
        ("text/html", "ws", 401),
        ("text/html", "wss", 401),
    ],
)
@pytest.mark.parametrize("fields", [(), (COOKIE,)])
async def test_only_pages_are_sent_to_the_login(accept, scheme, status, fields):
    handler = make(SessionServer(answer(401)), redirect_to="https://login.test/")
    said = [("Accept", accept)] if accept else []
    response = await refused(handler, ("X-Own", "1"), *fields, *said, scheme=scheme)
    assert response.status == status
    location = response.headers.get(b"location")
    assert location == (b"https://login.test/" if status == 302 else None)


@pytest.mark.parametrize(
    ("login", "location"),
    [
        ("/login", b"/login?return_to=https%3A%2F%2Fsite.test%2Fa%3Fb%3Dc"),
        ("/login?a=b", b"/login?a=b&return_to=https%3A%2F%2Fsite.test%2Fa%3Fb%3Dc"),
    ],
)
async def test_the_way_back(login, location):
    handler = make(None, redirect_to=login, return_to_query_param="return_to")
    response = await refused(handler, ("Accept", "text/html"), scheme="https")
    assert response.headers == [(b"Location", location)]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_challenge_in_place_of_json(scheme):
    handler = make(SessionServer(answer(401)), realm="Site")
    for fields in ((("X-A", "1"),), (COOKIE,), (COOKIE, ("Accept", "text/html"))):
        response = await refused(handler, *fields, scheme=scheme)
        assert (response.status, response.body) == (401, b"Unauthorized\n")
        assert response.headers.get(b"www-authenticate") == b'Basic realm="Site"'
    page = ("Accept", "text/html")
    server = SessionServer(answer(401))
    both = make(server, realm="Site", redirect_to="/login", redirect_status=301)
    assert (await refused(both, page)).status == 301
    assert (await refused(both)).headers.has(b"www-authenticate")


async def test_a_long_poll_that_outlives_its_session_is_challenged_too():
    exchange = await passes(make(SessionServer(session()), realm="Site"))
    assert exchange.identity.challenge == 'Basic realm="Site"'
    assert (await passes(make(SessionServer(session())))).identity.challenge == ""


# -- what is kept --------------------------------------------------------------------------


async def test_a_session_is_kept_for_as_long_as_the_server_says(monkeypatch):
    server = SessionServer(session(("Ory-Session-Cache-For", "10")))
    handler = make(server)
    first = await passes(handler)
    assert (await passes(handler, COOKIE, target="/other")).identity == first.identity
    await passes(handler, ("Cookie", "csrf=other; ory_kratos_session=s-1"))
    assert len(server.asked) == 1
    await passes(handler, ("Cookie", "ory_kratos_session=s-2"))
    assert len(server.asked) == 2
    later = time.time() + 11
    monkeypatch.setattr("time.time", lambda: later)
    await passes(handler)
    assert len(server.asked) == 3


@pytest.mark.parametrize("told", ["0", "soon", "-1", ""])
async def test_what_is_not_kept(told):
    server = SessionServer(session(("Ory-Session-Cache-For", told)))
    handler = make(server)
    for _ in range(2):
        await passes(handler)
    assert len(server.asked) == 2


async def test_a_session_is_not_kept_past_its_end(monkeypatch):
    server = SessionServer(session(("Ory-Session-Cache-For", "600")), answer(401))
    handler = make(server)
    await passes(handler)
    later = time.time() + 61
    monkeypatch.setattr("time.time", lambda: later)
    assert (await refused(handler)).status == 401


async def test_who_is_held_is_always_asked_about():
    server = SessionServer(session(("Ory-Session-Cache-For", "60")), answer(401), answer(401))
    handler = make(server)
    await passes(handler)
    assert (await refused(handler, is_recheck=True)).status == 401
    assert (await refused(handler)).status == 401  # what was known before is forgotten


# -- settings ------------------------------------------------------------------------------


async def test_a_servers_own_authority():
    server = SessionServer()
    await passes(make(server, ca=trustme.CA().cert_pem.bytes().decode()))
    assert len(server.asked[0].tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"check_session_url": "kratos"}, "check_session_url: must be"),
        ({"redirect_to": "login"}, "redirect_to: must be"),
        ({"redirect_status": 307}, "redirect_status: must be 301 or 302"),
        ({"realm": 'a"'}, "realm: must not"),
        ({"redirect_to": "/a\r\nb"}, "redirect_to: must be"),
        ({"return_to_query_param": "to"}, "return_to_query_param: needs"),
        ({"hide_credentials": True, "only": []}, "hide_credentials: needs"),
        ({"unavailable_status": 200}, "unavailable_status: must be"),
        ({"claims_to_headers": {"X A": "a"}}, "claims_to_headers.X A: .X A. is not"),
        ({"additional_headers": {"": "a"}}, "additional_headers"),
        ({"additional_headers": {"X-A": "a\r\nb"}}, "additional_headers.X-A: must not"),
    ],
)
def test_settings_that_can_not_be(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(None, **settings)
