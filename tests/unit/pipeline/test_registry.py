"""From names in the configuration to chains: what is found, shared, checked and reported."""

from pathlib import Path
from typing import Any

import pytest

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline import Exchange, Headers, Refuse, RequestHead
from realtime_proxy.pipeline.registry import LoadedHandlers, load_handlers

GREETING = '''
"""Says hello to the backend."""
from typing import ClassVar
import attrs
from realtime_proxy.pipeline import CONTINUE, BaseHandler, Secret, option, required

@attrs.frozen
class Person:
    name: str = required("Who.")
    keys: tuple[Secret, ...] = option((), "Keys.")

@attrs.frozen
class GreetingConfig:
    greeting: str = option("hello", "What to say.")
    times: int = option(1, "How often.")
    people: tuple[Person, ...] = option((), "To whom.")

class Handler(BaseHandler):
    Config: ClassVar[type] = GreetingConfig
    sets_headers = frozenset({"X-Said-Greeting"})

    async def on_request(self, exchange):
        exchange.request.headers.append((b"X-Said-Greeting", self.config.greeting.encode()))
        return CONTINUE
'''

BACKGROUND = """
from realtime_proxy.pipeline import BaseHandler

class Handler(BaseHandler):
    async def run(self):
        self.ran = True
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a configuration file, with handlers beside it."""
    folder = tmp_path / "handlers"
    folder.mkdir()
    (folder / "greeting.py").write_text(GREETING)
    (folder / "background.py").write_text(BACKGROUND)
    return tmp_path


def config_of(*routes: tuple[str, ...], handler: dict[str, Any] | None = None) -> Config:
    target = Target(url="http://127.0.0.1:80")
    return Config(
        handler=handler or {},
        route=tuple(Route(targets=(target,), handlers=names) for names in routes),
    )


def problems_of(config: Config, site: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_handlers(config, site)
    return [str(problem) for problem in caught.value.problems]


async def greeting_of(loaded: LoadedHandlers, route: int) -> bytes | None:
    exchange = Exchange(RequestHead(b"GET", b"/", Headers()), "route", "http", "")
    assert await loaded.chains[route].request(exchange) is None
    return exchange.request.headers.get(b"x-said-greeting")


def test_a_configuration_without_handlers_has_empty_chains(site: Path) -> None:
    loaded = load_handlers(config_of((), ()), site)
    assert [chain.handlers for chain in loaded.chains] == [(), ()]
    assert loaded.handlers == {}
    assert loaded.inbound_identity_headers == frozenset()
    assert loaded.background == ()


async def test_a_name_is_a_file_or_a_configured_handler_that_uses_one(site: Path) -> None:
    settings = {"polite": {"use": "greeting", "greeting": "good day"}}
    loaded = load_handlers(config_of(("greeting",), ("polite",), handler=settings), site)
    assert await greeting_of(loaded, 0) == b"hello"
    assert await greeting_of(loaded, 1) == b"good day"


async def test_settings_under_the_name_of_the_file_need_no_use(site: Path) -> None:
    loaded = load_handlers(config_of(("greeting",), handler={"greeting": {"greeting": "hi"}}), site)
    assert await greeting_of(loaded, 0) == b"hi"


def test_routes_share_a_handler_and_handlers_share_their_file(site: Path) -> None:
    settings = {"polite": {"use": "greeting"}}
    config = config_of(("greeting", "polite"), ("greeting",), handler=settings)
    first, second = load_handlers(config, site).chains
    assert first.handlers[0] is second.handlers[0]
    assert type(first.handlers[0]) is type(first.handlers[1])
    assert [handler.context.name for handler in first.handlers] == ["greeting", "polite"]


def test_the_site_stands_before_the_catalogue(site: Path) -> None:
    (site / "handlers" / "key_auth.py").write_text(BACKGROUND)
    [chain] = load_handlers(config_of(("key_auth",)), site).chains
    assert type(chain.handlers[0]).__module__ == "_realtime_proxy_handler_key_auth"
    assert not chain.handlers[0].sets_headers


async def test_the_catalogue_has_key_auth(tmp_path: Path) -> None:
    settings = {"key_auth": {"consumers": []}}
    [chain] = load_handlers(config_of(("key_auth",), handler=settings), tmp_path).chains
    exchange = Exchange(RequestHead(b"GET", b"/", Headers()), "route", "http", "")
    assert isinstance(await chain.request(exchange), Refuse)


def test_identity_headers_are_stripped_in_every_spelling(site: Path) -> None:
    loaded = load_handlers(config_of((), handler={"greeting": {}}), site)
    assert loaded.inbound_identity_headers == {b"x-said-greeting"}


def test_only_handlers_of_routes_run_in_the_background(site: Path) -> None:
    settings: dict[str, Any] = {"used": {"use": "background"}, "unused": {"use": "background"}}
    loaded = load_handlers(config_of(("greeting", "used"), handler=settings), site)
    assert [handler.context.name for handler in loaded.background] == ["used"]


def test_all_problems_are_told_with_their_places(site: Path) -> None:
    settings: dict[str, Any] = {
        "greeting": {"greting": "hi", "times": "3", "people": [{"name": "a"}, {}]},
        "lost": {"use": "greetin"},
        "odd": {"use": 5},
        "outside": {"use": "../greeting"},
        "missing": {},
    }
    config = config_of(("greeting", "key_auht"), ("nonsense",), handler=settings)
    problems = problems_of(config, site)
    assert "handler.greeting.greting: unknown key; did you mean `greeting`?" in problems
    assert "handler.greeting.times: must be a whole number, not text in quotes" in problems
    assert any(text.startswith("handler.greeting.people[1].name: ") for text in problems)
    assert "handler.lost.use: there is no handlers/greetin.py; did you mean `greeting`?" in problems
    assert "handler.odd.use: must be text in quotes" in problems
    assert any(text.startswith("handler.outside.use: ") for text in problems)
    assert any(
        text.startswith("handler.missing: there is no handlers/missing.py") for text in problems
    )
    assert "route[0].handlers[1]: unknown handler `key_auht`; did you mean `key_auth`?" in problems
    assert any(
        text.startswith("route[1].handlers[0]: unknown handler `nonsense`; known are ")
        for text in problems
    )
    assert len(problems) == 9


def test_secrets_are_read_from_where_the_file_says(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "from the environment")
    (site / "key.txt").write_text("from a file\n")
    people = [{"name": "a", "keys": ["env:A_KEY", "file:key.txt", "base64:YQ==", "plain"]}]
    [chain] = load_handlers(
        config_of(("greeting",), handler={"greeting": {"people": people}}), site
    ).chains
    keys = chain.handlers[0].config.people[0].keys
    assert [key.value for key in keys] == [b"from the environment", b"from a file", b"a", b"plain"]
    assert "plain" not in repr(chain.handlers[0].config)


def test_secrets_that_are_not_there_are_problems(site: Path) -> None:
    people = [{"name": "a", "keys": ["env:NOT_SET_ANYWHERE", "file:none", "", 5]}]
    problems = problems_of(config_of(("greeting",), handler={"greeting": {"people": people}}), site)
    assert [text.partition(": ")[0] for text in problems] == [
        f"handler.greeting.people[0].keys[{i}]" for i in range(4)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nowhere_to_be_found", "can't be loaded: ModuleNotFoundError"),
        ("def", "can't be loaded: SyntaxError"),
        ("Handler = 5", "has no class `Handler` derived from BaseHandler"),
        ("", "has no class `Handler` derived from BaseHandler"),
        ("class Handler: pass", "has no class `Handler` derived from BaseHandler"),
    ],
)
def test_a_file_that_is_no_handler_is_a_problem(site: Path, text: str, expected: str) -> None:
    (site / "handlers" / "broken.py").write_text(text)
    [problem] = problems_of(config_of(("broken",), ("broken",)), site)
    assert problem.startswith(f"handler.broken: {site}/handlers/broken.py ")
    assert expected in problem


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ("KeyError('x')", "handler.picky: can't be made: KeyError('x')"),
        ("ConfigError([Problem('times', 'too many')])", "handler.picky.times: too many"),
        ("ConfigError([Problem('', 'too many')])", "handler.picky: too many"),
    ],
)
def test_a_handler_may_object_to_its_settings(site: Path, raised: str, expected: str) -> None:
    (site / "handlers" / "picky.py").write_text(
        "from realtime_proxy.pipeline import BaseHandler, ConfigError, Problem\n"
        "class Handler(BaseHandler):\n"
        f"    def __init__(self, config, context): raise {raised}\n"
    )
    assert problems_of(config_of(("picky",)), site) == [expected]
