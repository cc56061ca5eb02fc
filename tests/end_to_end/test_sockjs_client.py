"""The real SockJS client in a real browser, over each transport that it has for one.

Needs Debian's chromium, chromium-driver and npm, and the package sockjs-client, which is fetched;
skipped where these are not to be had.
"""

import json
import shutil
import subprocess
import tarfile

import pytest

from realtime_proxy.testing.browser import is_installed, running_browser
from realtime_proxy.testing.events import CONTENT_TYPE, read_events, write_events
from realtime_proxy.testing.scripted_backend import ScriptedBackend

NPM = shutil.which("npm")
PACKAGE = "sockjs-client@1.6.1"
SCRIPT = "package/dist/sockjs.min.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed, reason="chromium-driver is not installed"),
    pytest.mark.skipif(NPM is None, reason="npm is not installed"),
]

ROUTES = """
[[route]]
path = "/sock"
sockjs = "/sock"
targets = [{{ url = "{url}", over_http = true }}]

[[route]]
targets = [{{ url = "{url}" }}]
"""
PAGE = """<!doctype html>
<script src="/s.js"></script>
<script>
  const asked = new URLSearchParams(location.search);
  const got = [], seen = {opened: false, closed: null};
  const sock = new SockJS(asked.get("url"), null, {transports: [asked.get("transport")]});
  sock.onopen = () => { seen.opened = true; };
  sock.onmessage = (event) => got.push(event.data);
  sock.onclose = (event) => { seen.closed = {code: event.code, reason: event.reason}; };
</script>
"""
TRANSPORTS = [
    "websocket",
    "xhr-streaming",
    "eventsource",
    "htmlfile",
    "xhr-polling",
    "jsonp-polling",
    "iframe-eventsource",
    "iframe-htmlfile",
    "iframe-xhr-polling",
]
# What is put into a page must be none of it, and some characters are lost if sent as they are.
TEXTS = ['{"a": "b"}', "</script><!-- \\ ' \"", "zwölf 😀 \u2028\u200d\ufeff\x00", "", "x" * 20_000]
# With several workers, requests of a session come to any of them.
WORKERS = 2


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("npm")
    command = [NPM, "pack", PACKAGE, "--pack-destination", str(folder)]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip(f"{PACKAGE} can't be fetched")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        return package.extractfile(SCRIPT).read()


def app(call):
    """Echo, say which channel to listen to, and close when told to."""
    out, fields = [], [("Content-Type", CONTENT_TYPE), ("Sec-WebSocket-Extensions", "grip")]
    for kind, content in read_events(call.body):
        if kind == "OPEN":
            control = {"type": "subscribe", "channel": "news"}
            out += ["OPEN", ("TEXT", b"c:" + json.dumps(control).encode())]
        elif kind == "TEXT" and content == b"close":
            out.append(("CLOSE", (3456).to_bytes(2, "big") + b"as told"))
        elif kind in ("TEXT", "CLOSE"):
            out.append((kind, (b"m:" if kind == "TEXT" else b"") + content))
    call.respond(fields=fields, body=write_events(*out))


@pytest.fixture(scope="module")
def site(script):
    """The site's backend: a page, the script, and the application."""

    def answer(call):
        path = call.target.partition("?")[0]
        if call.get("content-type") == CONTENT_TYPE:
            app(call)
        elif path == "/s.js":
            call.respond(fields=[("Content-Type", "text/javascript")], body=script)
        elif path == "/page":
            call.respond(fields=[("Content-Type", "text/html")], body=PAGE.encode())
        else:
            call.respond(404)

    with ScriptedBackend(answer) as backend:
        yield backend


@pytest.fixture(scope="module")
def program(start, site):
    server = f'workers = {WORKERS}\nsockjs_url = "/s.js"'
    program = start(ROUTES.format(url=site.url), server=server)
    program.wait_for_log("serving ")
    return program


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def open_page(program, browser):
    def open_page(transport, host="127.0.0.1"):
        """The page at 127.0.0.1 with a client of SockJS at a host, which may be another origin."""
        url = f"http://{host}:{program.port}/sock"
        query = f"transport={transport}&url={url}"
        browser.open(f"http://127.0.0.1:{program.port}/page?{query}")
        browser.wait_until("seen.opened || seen.closed")
        assert browser.evaluate("seen.opened"), browser.evaluate("seen.closed")
        assert browser.evaluate("sock.transport") == transport
        return browser

    return open_page


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_transport(open_page, program, transport):
    page = open_page(transport)
    for text in TEXTS:
        page.evaluate(f"sock.send({json.dumps(text)})")
    page.wait_until(f"got.length === {len(TEXTS)}")
    assert page.evaluate("got") == TEXTS
    program.publish_until_taken("news", ws_message={"content": "published"})
    page.wait_until("got.includes('published')")
    page.evaluate("sock.send('close')")
    page.wait_until("seen.closed")
    assert page.evaluate("seen.closed") == {"code": 3456, "reason": "as told"}


@pytest.mark.parametrize(
    "transport",
    ["websocket", "xhr-streaming", "xhr-polling", "jsonp-polling", "iframe-xhr-polling"],
)
def test_a_page_of_another_origin(open_page, transport):
    page = open_page(transport, host="localhost")
    page.evaluate("sock.send('from elsewhere')")
    page.wait_until("got.includes('from elsewhere')")


def test_a_client_that_closes(open_page, program):
    page = open_page("xhr-streaming")
    page.evaluate("sock.close(3000, 'enough')")
    page.wait_until("seen.closed")
    assert page.evaluate("seen.closed") == {"code": 3000, "reason": "enough"}
    program.wait_for_no_subscribers("news")
