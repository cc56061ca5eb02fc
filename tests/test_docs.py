"""What the documents show works as it is shown."""

import re
from pathlib import Path

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
from realtime_proxy.pipeline.registry import load_handlers

CHECKOUT = Path(__file__).resolve().parents[1]
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
