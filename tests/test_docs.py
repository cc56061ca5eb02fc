"""What the documents show works as it is shown."""

import re
from pathlib import Path

import attrs
import pytest

from realtime_proxy.config.load import load_text
from realtime_proxy.pipeline import (
    CONTINUE,
    Drop,
    Exchange,
    Headers,
    Refuse,
    RequestHead,
    WebSocketEvent,
)
from realtime_proxy.pipeline.catalogue import load_class
from realtime_proxy.pipeline.registry import load_handlers
from realtime_proxy.testing.tokens import private_pem

CHECKOUT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    str(path.relative_to(CHECKOUT))
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "handlers/*.md")
    for path in CHECKOUT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)#\s]+)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(document: str, language: str) -> list[str]:
    text = (CHECKOUT / document).read_text()
    return [body for found, body in BLOCK.findall(text) if found == language]


async def test_the_handler_in_the_readme_of_handlers_runs(tmp_path: Path) -> None:
    [code] = blocks("handlers/README.md", "python")
    [settings] = blocks("handlers/README.md", "toml")
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "listen_only.py").write_text(code)
    config = load_text(settings, str(tmp_path / "routes.toml"))
    [chain] = load_handlers(config, tmp_path).chains

    asking = Exchange(RequestHead(b"GET", b"/feed/", Headers()), "feed", "ws", "192.0.2.1")
    assert await chain.handlers[0].on_request(asking) is CONTINUE
    assert chain.websocket_event(asking, WebSocketEvent("TEXT", b"hi")) is Drop.DROP
    ping = WebSocketEvent("PING", b"")
    assert chain.websocket_event(asking, ping) is ping
    chain.closed(asking, "client-gone")

    telling = Exchange(RequestHead(b"POST", b"/feed/", Headers()), "feed", "http", "192.0.2.1")
    decision = await chain.request(telling)
    assert isinstance(decision, Refuse)
    assert decision.response.status == 405
    assert decision.response.body == b"Please only listen."


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document: str) -> None:
    folder = (CHECKOUT / document).parent
    links = LINK.findall((CHECKOUT / document).read_text())
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


@pytest.mark.parametrize(
    "document", ["README.md", *(one for one in DOCUMENTS if one.startswith("docs/handlers"))]
)
def test_configurations_that_are_shown_load(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GRIP_KEY", "ALICE_KEY", "JWT_SECRET_KEY", "REDIS_HOST", "REDIS_PASSWORD"):
        monkeypatch.setenv(name, "a key of thirty-two bytes or more")
    monkeypatch.setenv("REDIS_PORT", "6379")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "new.pem").write_bytes(private_pem("P-256"))
    (tmp_path / "keys" / "old.pem").write_bytes(private_pem("RSA"))
    (tmp_path / "certs").mkdir()
    for name in ("site.pem", "site.key", "clients.pem"):  # that they are there is all that is read
        (tmp_path / "certs" / name).touch()
    for text in blocks(document, "toml"):
        load_handlers(load_text(text, str(tmp_path / "routes.toml")), tmp_path)


@pytest.mark.parametrize("handler", sorted(p.stem for p in (CHECKOUT / "handlers").glob("*.py")))
def test_every_setting_of_a_handler_is_on_its_page(handler: str) -> None:
    page = (CHECKOUT / "docs" / "handlers" / f"{handler}.md").read_text()
    assert f"(handlers/{handler}.md)" in (CHECKOUT / "docs" / "handlers.md").read_text()
    config = load_class(CHECKOUT / "handlers" / f"{handler}.py").Config
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {field.name for field in attrs.fields(config)} <= named
