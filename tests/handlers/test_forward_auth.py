"""Asking who decides: what it is told, what its yes and its no become, what is kept of it."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import trustme

from realtime_proxy.config.structure import structure
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import (
    CONTINUE,
    BaseHandler,
    Exchange,
    HandlerContext,
    HandlerServices,
    Headers,
    HttpCallError,
    Identity,
    NoConfig,
    Refuse,
    RequestHead,
    Response,
    ResponseHead,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.chain import Chain
from realtime_proxy.pipeline.secret import files_relative_to

CHECKOUT = Path(__file__).resolve().parents[2]
Handler = load_class(CHECKOUT / "handlers" / "forward_auth.py")
URL = "http://auth.test/verify"


class AuthServer:
    """Answers in turn as told, the last one again and again; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers) or [yes()]
        self.asked = []

    async def ask(self, method, url, headers, **options):
        self.asked.append(SimpleNamespace(method=method, url=url, headers=headers, **options))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def yes(*fields, status=200):
    return Response(status, Headers((n.encode(), v.encode()) for n, v in fields), b"")


def make(server, **settings):
    with files_relative_to(CHECKOUT):
        config = structure({"url": URL, **settings}, Handler.Config)
    services = HandlerServices(http=server, connections=None, key_sets=None)
    return Handler(config, HandlerContext("forward_auth", structlog.get_logger(), set(), services))


def new_exchange(*fields, target="/a?b=c", method="GET", scheme="http", **more):
    pairs = [("Host", "site.test"), *fields]
    headers = Headers((name.encode(), value.encode()) for name, value in pairs)
    request = RequestHead(method.encode(), target.encode(), headers)
    return Exchange(request, "r", scheme, "192.0.2.7", **more)


async def passes(handler, *fields, **more):
    exchange = new_exchange(*fields, **more)
    assert await handler.on_request(exchange) is CONTINUE
    return exchange


async def refused(handler, *fields, **more):
    exchange = new_exchange(*fields, **more)
    decision = await handler.on_request(exchange)
    assert isinstance(decision, Refuse)
    assert exchange.identity is None
    return decision.response


# -- the question --------------------------------------------------------------------------


async def test_what_the_server_is_told():
    server = AuthServer()
    await passes(
        make(server), ("Cookie", "a=b"), ("X-Own", "1"), method="POST", target="/a/%2e?b=c"
    )
    [asked] = server.asked
    assert (asked.method, asked.url, asked.tls) == ("GET", URL, None)
    assert asked.headers == [
        (b"Cookie", b"a=b"),
        (b"X-Own", b"1"),
        (b"X-Forwarded-Method", b"POST"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"site.test"),
        (b"X-Forwarded-Uri", b"/a/%2e?b=c"),
        (b"X-Original-Method", b"POST"),
        (b"X-Original-URI", b"/a/%2e?b=c"),
        (b"X-Original-URL", b"http://site.test/a/%2e?b=c"),
        (b"X-Forwarded-For", b"192.0.2.7"),
        (b"X-Real-IP", b"192.0.2.7"),
    ]


@pytest.mark.parametrize(
    ("scheme", "told"), [("https", b"https"), ("wss", b"https"), ("ws", b"http")]
)
async def test_websockets_are_told_as_http(scheme, told):
    server = AuthServer()
    await passes(make(server), scheme=scheme)
    assert server.asked[0].headers.get_all(b"x-forwarded-proto") == [told]


NEVER = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "k"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Extensions", "e"),
    ("Content-Length", "5"),
    ("Content-Type", "text/plain"),
    ("Transfer-Encoding", "chunked"),
    ("TE", "trailers"),
    ("Expect", "100-continue"),
    ("If-None-Match", "x"),
    ("Range", "bytes=0-"),
    ("X-Forwarded-User", "root"),
    ("X-Forwarded-Uri", "/open"),
    ("X-Original-URI", "/open"),
    ("X-Real-IP", "127.0.0.1"),
    ("Forwarded", "for=127.0.0.1"),
    ("Grip-Sig", "token"),
)


@pytest.mark.parametrize("chosen", [[], [name for name, _ in NEVER]])
async def test_what_it_is_never_told(chosen):
    server = AuthServer()
    await passes(make(server, request_headers=chosen), *NEVER, scheme="ws")
    headers = server.asked[0].headers
    assert not headers.only({name.lower().encode() for name, _ in NEVER}).without(
        {b"x-forwarded-uri", b"x-original-uri", b"x-real-ip"}
    )
    assert headers.get_all(b"x-forwarded-uri") == [b"/a?b=c"]
    assert headers.get_all(b"x-original-uri") == [b"/a?b=c"]
    assert headers.get_all(b"x-real-ip") == [b"192.0.2.7"]


async def test_only_chosen_headers_go_along():
    server = AuthServer()
    offered = ("Sec-WebSocket-Protocol", "bearer, token")
    fields = (("Cookie", "a=b"), ("X-Own", "1"), offered)
    await passes(make(server), *fields)
    await passes(make(server, request_headers=["cookie", "Sec-WebSocket-Protocol"]), *fields)
    every, chosen = (asked.headers for asked in server.asked)
    assert every.has(b"x-own")
    assert not every.has(b"sec-websocket-protocol")
    assert not chosen.has(b"x-own")
    assert chosen.has(b"cookie")
    assert chosen.has(b"sec-websocket-protocol")


async def test_the_clients_method_and_target():
    server = AuthServer()
    handler = make(server, method="", append_target=True, url="http://auth.test/decisions/")
    await passes(handler, method="DELETE", target="/a#b/%41?c=%3F#d")
    [asked] = server.asked
    assert asked.method == "DELETE"
    assert asked.url == "http://auth.test/decisions/a%23b/%41?c=%3F%23d"


@pytest.mark.parametrize(
    "target", ["/../health", "/a/%2e%2E/b", "/a%2f..%2fb", "/a\\..\\b", "/..;x/b", "/.", "*"]
)
async def test_no_target_leads_out_of_the_url(target):
    server = AuthServer()
    handler = make(server, append_target=True)
    assert (await refused(handler, target=target, method="OPTIONS")).status == 400
    assert server.asked == []
    await passes(make(server), target=target)  # it is only told


async def test_preflights():
    server = AuthServer(yes(status=401))
    preflight = ("Access-Control-Request-Method", "POST")
    assert (await refused(make(server), preflight, method="OPTIONS")).status == 401
    await passes(make(server, run_on_preflight=False), preflight, method="OPTIONS")
    assert len(server.asked) == 1


# -- a yes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 299])
async def test_a_yes_and_what_the_backend_gets_of_it(status):
    answer = yes(("X-User", "alice"), ("X-Role", "a"), ("X-Role", "b"), ("X-C", "c"), status=status)
    handler = make(AuthServer(answer), copy_headers=["x-user", "X-Role", "X-Absent"])
    exchange = await passes(handler, ("X-Absent", "forged"), ("X-User", "root"), ("X-Own", "1"))
    assert exchange.request.headers == [
        (b"Host", b"site.test"),
        (b"X-Own", b"1"),
        (b"X-User", b"alice"),
        (b"X-Role", b"a"),
        (b"X-Role", b"b"),
    ]
    assert handler.sets_headers == {"x-user", "x-role", "x-absent"}
    assert exchange.identity is None


async def test_what_a_yes_has_for_the_client_goes_with_the_response():
    cookies = [("Set-Cookie", "session=2"), ("Set-Cookie", "seen=1"), ("X-Realm", "a")]
    server = AuthServer(yes(*cookies), yes())
    handler = make(server, response_headers=["Set-Cookie", "X-Realm"], cache_seconds=60)

    def shown(exchange):
        fields = [(b"set-cookie", b"theme=dark"), (b"x-realm", b"b"), (b"X-Other", b"c")]
        response = ResponseHead(200, "", Headers(fields))
        handler.on_response_head(exchange, response)
        return response.headers

    first = shown(await passes(handler))
    assert first.get_all(b"set-cookie") == [b"theme=dark", b"session=2", b"seen=1"]
    assert first.get_all(b"x-realm") == [b"a"]
    # They are of one answer: the server is asked again, and has none.
    assert shown(await passes(handler)).get_all(b"set-cookie") == [b"theme=dark"]
    assert len(server.asked) == 2
    assert make(server).unused_moments == {"on_response_head"}


async def test_credentials_of_clients_are_replaced_but_asked_with():
    server = AuthServer(yes(("Authorization", "Bearer internal")), yes())
    handler = make(server, copy_headers=["Authorization"])
    assert handler.sets_headers == set()
    for expected in ([b"Bearer internal"], []):
        exchange = await passes(handler, ("Authorization", "Bearer own"))
        assert exchange.request.headers.get_all(b"authorization") == expected
        assert server.asked[-1].headers.get(b"authorization") == b"Bearer own"


async def test_who_it_is():
    answer = yes(("Remote-User", "älice"), ("Remote-Groups", "staff, night"))
    settings = {"consumer_header": "Remote-User", "groups_header": "Remote-Groups"}
    handler = make(AuthServer(answer, yes()), **settings)
    exchange = await passes(handler)
    assert exchange.identity == Identity("älice", groups=("staff", "night"))
    assert exchange.request.headers.get(b"x-consumer-username") == "älice".encode()
    assert "x-consumer-username" in handler.sets_headers
    assert (await passes(handler)).identity is None


async def test_two_credentials_bound_a_connection_together():
    known = Identity("alice", groups=("staff",), expires_at=time.time() + 5, credential="k")
    answer = yes(("Cache-Control", "max-age=60"), ("X-User", "bob"))

    class Known(BaseHandler):
        async def on_request(self, exchange):
            exchange.identity = known
            return CONTINUE

    async def identity(**settings):
        first = Known(NoConfig(), HandlerContext("first", None))
        exchange = new_exchange()
        handlers = (first, make(AuthServer(answer), **settings))
        assert await Chain(handlers).request(exchange) is None
        return exchange.identity

    assert await identity() == known
    shorter = await identity(lifetime_seconds=1)
    assert shorter.consumer == "alice"
    assert shorter.expires_at < known.expires_at
    named = await identity(consumer_header="X-User")
    assert (named.consumer, named.expires_at) == ("bob", known.expires_at)


@pytest.mark.parametrize(
    ("settings", "fields", "seconds"),
    [
        ({}, (), None),
        ({}, (("Cache-Control", "private, max-age=60"),), 60),
        ({}, (("Cache-Control", 'max-age="60"'),), 60),
        ({}, (("Cache-Control", "no-cache, max-age=0"),), None),
        ({"lifetime_header": ""}, (("Cache-Control", "max-age=60"),), None),
        ({"lifetime_header": "X-Ends-In"}, (("X-Ends-In", "60.5"),), 60.5),
        ({"lifetime_header": "X-Ends-In"}, (("Cache-Control", "max-age=60"),), None),
        ({"lifetime_seconds": 30}, (), 30),
        ({"lifetime_seconds": 30}, (("Cache-Control", "max-age=60"),), 30),
        ({"lifetime_seconds": 90}, (("Cache-Control", "max-age=60"),), 60),
    ],
)
async def test_how_long_a_yes_counts(settings, fields, seconds):
    begun = time.time()
    identity = (await passes(make(AuthServer(yes(*fields)), **settings))).identity
    if seconds is None:
        assert identity is None
    else:
        assert identity.anonymous
        assert begun + seconds <= identity.expires_at <= time.time() + seconds


# -- refusals ------------------------------------------------------------------------------


async def test_a_refusal_is_passed_on():
    fields = (
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "a=b"),
        ("Set-Cookie", "c=d"),
        ("Content-Length", "99"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Grip-Hold", "stream"),
    )
    answer = Response(403, Headers((n.encode(), v.encode()) for n, v in fields), b"no", b"Nope")
    for scheme in ("http", "ws"):
        response = await refused(make(AuthServer(answer)), scheme=scheme)
        assert (response.status, response.reason, response.body) == (403, b"Nope", b"no")
        assert response.headers == [
            (b"WWW-Authenticate", b"Basic"),
            (b"Set-Cookie", b"a=b"),
            (b"Set-Cookie", b"c=d"),
        ]


PAGE = ("Accept", "text/html,*/*;q=0.8")


@pytest.mark.parametrize(
    ("fields", "more", "status"),
    [
        ((PAGE,), {}, 302),
        ((PAGE,), {"scheme": "ws"}, 401),
        ((PAGE,), {"method": "POST"}, 302),
        ((), {}, 401),
        ((("Accept", "*/*"),), {}, 401),
        ((("Accept", "text/event-stream"),), {}, 401),
    ],
)
async def test_only_pages_are_sent_elsewhere(fields, more, status):
    login = yes(("Location", "https://login.test/?rd=x"), ("Set-Cookie", "a=b"), status=302)
    response = await refused(make(AuthServer(login)), *fields, **more)
    assert response.status == status
    if status == 302:
        assert response.headers == login.headers
    else:
        assert not response.headers.has(b"location")
        assert json.loads(response.body)["message"] == "Unauthorized"


async def test_a_redirect_to_nowhere_is_none():
    assert (await refused(make(AuthServer(yes(status=304))), PAGE)).status == 401


UNUSABLE = [
    HttpCallError("refused"),
    yes(status=101),
    yes(("Cache-Control", "max-age=soon")),
    yes(("Cache-Control", "max-age=1, max-age=2")),
    yes(("Cache-Control", "max-age=-1")),
    yes(("Cache-Control", "max-age=" + "9" * 400)),
    yes(("X-User", "a\tb")),
    yes(("X-User", "a"), ("X-User", "b")),
    Response(200, Headers([(b"X-User", b"\xff")])),
]


@pytest.mark.parametrize("answer", UNUSABLE)
async def test_without_a_usable_answer_nobody_passes(answer):
    settings = {"consumer_header": "X-User", "cache_seconds": 60}
    response = await refused(make(AuthServer(answer), **settings))
    assert response.status == 503
    assert json.loads(response.body)["message"] == "Authorization can't be checked"
    over = make(AuthServer(yes(("X-Ends-In", "0.000"))), lifetime_header="X-Ends-In")
    assert (await refused(over)).status == 503
    handler = make(AuthServer(answer), unavailable_status=403, **settings)
    assert (await refused(handler, scheme="ws")).status == 403


async def test_the_log_has_no_query():
    handler = make(AuthServer(yes(status=403)), url=URL + "?key=secret")
    decision = await handler.on_request(new_exchange())
    assert decision.why == f"{URL} has answered 403"


# -- what is kept --------------------------------------------------------------------------


async def test_the_same_question_is_asked_once():
    answer = yes(("X-User", "alice"), ("Cache-Control", "max-age=60"))
    server = AuthServer(answer)
    settings = {"copy_headers": ["X-User"], "request_headers": ["Cookie"], "cache_seconds": 60}
    handler = make(server, **settings)
    first = await passes(handler, ("Cookie", "a=b"), ("X-Own", "1"))
    again = await passes(handler, ("Cookie", "a=b"), ("X-Own", "2"), scheme="ws")
    assert len(server.asked) == 1
    assert again.identity == first.identity  # with the end that it had
    assert again.request.headers.get(b"x-user") == b"alice"
    others = [
        (("Cookie", "a=c"), {}),
        (("Cookie", "a=b"), {"target": "/other"}),
        (("Cookie", "a=b"), {"method": "POST"}),
        (("Cookie", "a=b"), {"scheme": "https"}),
    ]
    for number, (field, more) in enumerate(others, start=2):
        await passes(handler, field, **more)
        assert len(server.asked) == number


@pytest.mark.parametrize(
    "answer", [yes(("Cache-Control", "no-store")), yes(("Cache-Control", "max-age=9, no-cache"))]
)
async def test_what_must_not_be_kept(answer):
    server = AuthServer(answer)
    handler = make(server, cache_seconds=60)
    for _ in range(2):
        await passes(handler)
    assert len(server.asked) == 2


async def test_a_refusal_is_not_kept():
    server = AuthServer(yes(status=401), yes())
    handler = make(server, cache_seconds=60)
    await refused(handler)
    await passes(handler)


async def test_a_kept_yes_ends_with_what_it_is_about(monkeypatch):
    server = AuthServer(yes(("Cache-Control", "max-age=10")))
    handler = make(server, cache_seconds=60)
    clock = [1000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    for seconds, asked in ((0, 1), (9, 1), (2, 2), (9, 2)):
        clock[0] += seconds
        assert (await passes(handler)).identity.expires_at > clock[0]
        assert len(server.asked) == asked


async def test_who_is_held_is_always_asked_about():
    server = AuthServer(yes(), yes(status=403), yes())
    handler = make(server, cache_seconds=60)
    await passes(handler)
    assert (await refused(handler, is_recheck=True)).status == 403
    await passes(handler)  # what was known before is forgotten
    assert len(server.asked) == 3


# -- settings ------------------------------------------------------------------------------


async def test_a_servers_own_authority():
    server = AuthServer()
    pem = trustme.CA().cert_pem.bytes().decode()
    await passes(make(server, url="https://auth.test/", ca=pem))
    assert len(server.asked[0].tls.get_ca_certs()) == 1
    with pytest.raises(ConfigError, match="ca: has no certificates in PEM"):
        make(None, ca="nonsense")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "auth.test"}, "url: must be"),
        ({"url": "http://u:p@auth.test/"}, "url: must be"),
        ({"url": "ftp://auth.test/"}, "url: must be"),
        ({"url": URL + "?a=b", "append_target": True}, "url: must not have a query"),
        ({"method": "get"}, "method: must be"),
        ({"unavailable_status": 200}, "unavailable_status: must be"),
        ({"unavailable_status": 302}, "unavailable_status: must be"),
        ({"copy_headers": ["X User"]}, r"copy_headers\[0\]"),
        ({"request_headers": [""]}, r"request_headers\[0\]"),
        ({"copy_headers": ["A", "Transfer-Encoding"]}, r"copy_headers\[1\]: Transfer-Encoding is"),
        ({"copy_headers": ["Content-Length"]}, r"copy_headers\[0\]"),
        ({"copy_headers": ["Host"]}, r"copy_headers\[0\]"),
        ({"copy_headers": ["Grip-Sig"]}, r"copy_headers\[0\]"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_settings_that_can_not_be(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        make(None, **settings)
