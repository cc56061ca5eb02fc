"""CORS for listed pages: one origin in each answer, and never everyone with cookies."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline import AllowedPages, CorsSettings

VARY = (b"Vary", b"Origin")
A = b"https://a.test"


def pages(*origins, **settings):
    settings = CorsSettings(origins or ("https://a.test", "https://B.test:8443"), **settings)
    settings.check()
    return AllowedPages(settings)


def origin(*values):
    return Headers([(b"Origin", value) for value in values])


@pytest.mark.parametrize("value", [A, b"https://b.test:8443", b"https://A.test"])
def test_the_origin_that_asks_is_named(value):
    assert pages().fields(origin(value)) == [(b"Access-Control-Allow-Origin", value), VARY]


@pytest.mark.parametrize(
    "values",
    [(), (b"https://c.test",), (b"http://a.test",), (b"null",), (b"*",), (A, A), (A + b".test",)],
)
def test_others_are_told_nothing(values):
    assert pages().fields(origin(*values)) == [VARY]
    assert pages().preflight_fields(origin(*values)) == [VARY]


def test_credentials():
    fields = pages(allow_credentials=True).fields(origin(A))
    assert fields.get(b"access-control-allow-credentials") == b"true"
    assert (
        not pages(allow_credentials=True)
        .fields(origin(b"https://c.test"))
        .has(b"access-control-allow-credentials")
    )


def test_everyone():
    assert pages("*").fields(origin(A)) == [(b"Access-Control-Allow-Origin", b"*")]
    assert pages("*").fields(origin()) == [(b"Access-Control-Allow-Origin", b"*")]
    pages("*").fields(origin()).append(VARY)
    assert pages("*").fields(origin()) == [(b"Access-Control-Allow-Origin", b"*")]


def test_nobody():
    nobody = AllowedPages(CorsSettings())
    assert not nobody
    assert nobody.fields(origin(A)) == []


def test_preflight():
    allowed = pages(allowed_methods=("GET", "PUT"), allowed_headers=("X-A",), max_age_seconds=60)
    assert allowed.preflight_fields(origin(A)) == [
        (b"Access-Control-Allow-Origin", A),
        VARY,
        (b"Access-Control-Allow-Methods", b"GET, PUT"),
        (b"Access-Control-Allow-Headers", b"X-A"),
        (b"Access-Control-Max-Age", b"60"),
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"allowed_origins": ("a.test",)}, r"cors\.allowed_origins\[0\]"),
        ({"allowed_origins": ("https://a.test/",)}, r"cors\.allowed_origins\[0\]"),
        ({"allowed_origins": ("https://a.test,https://b.test",)}, r"cors\.allowed_origins\[0\]"),
        ({"allowed_origins": ("*",), "allow_credentials": True}, "can't be for all origins"),
        ({"allowed_methods": ("GET, PUT",)}, r"cors\.allowed_methods\[0\]"),
        ({"allowed_headers": ("X\r\nA",)}, r"cors\.allowed_headers\[0\]"),
    ],
)
def test_settings_that_make_no_sense(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        CorsSettings(**settings).check()
