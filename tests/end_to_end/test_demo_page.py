"""The demo's page in a real browser, served by the real program.

Needs Debian's chromium and chromium-driver; skipped where they are not installed.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_proxy.testing.browser import is_installed, running_browser, running_program
from realtime_proxy.testing.reserved_ports import reserved_ports

PROGRAM = Path(sys.executable).with_name("realtime-proxy")
PUBCLI = Path(sys.executable).with_name("pubcli")
PANELS = ("events", "websocket", "poll")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed, reason="chromium-driver is not installed"),
]


@pytest.fixture
def browser(tmp_path):
    with running_browser(tmp_path / "profile") as browser:
        yield browser


CONFIG = """
[server]
listen = ["127.0.0.1:{client}"]

[publish]
pull = "tcp://127.0.0.1:{pull}"
sub = []
command = ""
http = "127.0.0.1:{control}"

[[route]]
targets = [{{ demo = true }}]
"""


class Proxy:
    """The program with the demo for its only route, on ports of its own."""

    def __init__(self, folder, ports):
        client, pull, control = ports
        self.url = f"http://127.0.0.1:{client}/"
        self.control_url = f"http://127.0.0.1:{control}"
        self.push_url = f"tcp://127.0.0.1:{pull}"
        self.config = folder / "routes.toml"
        self.config.write_text(CONFIG.format(client=client, pull=pull, control=control))

    def start(self):
        return running_program(PROGRAM, "run", "--config", self.config, until="serving")


@pytest.fixture
def proxy(tmp_path):
    with reserved_ports(3) as ports:
        yield Proxy(tmp_path, ports)


def wait_for_panels(browser, comparison):
    for panel in PANELS:
        browser.wait_until(f"document.querySelector('#{panel}-state').textContent {comparison}")


@pytest.fixture
def page(proxy, browser):
    """The browser with the page open, all three panels connected."""
    with proxy.start():
        browser.open(proxy.url)
        wait_for_panels(browser, "=== 'open'")
        yield browser


def shows(panel, text):
    entries = f"[...document.querySelectorAll('#{panel}-log li')]"
    return f"{entries}.some((entry) => entry.lastChild.textContent === {json.dumps(text)})"


def assert_arrives_everywhere(page, publish):
    """Publish until a message is in all panels.

    The first few may find the long-poll between two requests, and the page says that it has no
    remedy for that; the other two have to show every message.
    """
    for attempt in range(10):
        text = f"<b>message</b> {attempt}"
        publish(text)
        page.wait_until(shows("events", text))
        page.wait_until(shows("websocket", text))
        if page.evaluate(shows("poll", text)):
            return
    pytest.fail("no message has reached the long-poll")


def test_published_from_the_page(page):
    def publish(text):
        page.submit("#publish", text)

    assert_arrives_everywhere(page, publish)
    assert re.fullmatch(
        r"Sent to [23] connections\.",
        page.evaluate("document.querySelector('#outcome').textContent"),
    )
    assert page.complaints() == []


@pytest.mark.parametrize("address", ["control_url", "push_url"])
def test_published_from_a_shell(proxy, page, address):
    def publish(text):
        spec = getattr(proxy, address)
        subprocess.run([PUBCLI, "--spec", spec, "--sse", "demo", text], check=True)

    assert_arrives_everywhere(page, publish)


def test_echo(page):
    page.submit("#echo", 'c:{"type":"detach"}')
    page.submit("#echo", "hello")
    page.wait_until(shows("websocket", "hello"))
    assert page.evaluate(shows("websocket", 'c:{"type":"detach"}'))
    assert not page.evaluate(shows("events", "hello"))


def test_panels_say_when_the_proxy_is_gone_and_come_back(proxy, browser):
    with proxy.start():
        browser.open(proxy.url)
        wait_for_panels(browser, "=== 'open'")
    wait_for_panels(browser, "!== 'open'")
    with proxy.start():
        wait_for_panels(browser, "=== 'open'")


def test_commands_name_this_host(proxy, page):
    codes = page.evaluate(
        "[...document.querySelectorAll('.command code')].map((code) => code.textContent)"
    )
    assert f"curl -N {proxy.url}demo/events" in codes
    assert f"curl -N {proxy.url.replace('http', 'ws')}demo/ws" in codes
    assert not any("{" in code for code in codes)
    buttons = "document.querySelectorAll('.command button').length"
    assert page.evaluate(buttons) == len(codes)


def test_nothing_to_scroll_sideways_on_a_phone(page):
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.post("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
