import io
import json

import pytest
from rich.console import Console

from realtime_proxy.cli import ps as module
from realtime_proxy.cli.ps import table
from realtime_proxy.testing.admin_server import ONE

CONFIG = '[admin]\nlisten = "{}"'


@pytest.fixture
def ps(admin_server, realtime_proxy):
    def run(*arguments):
        return realtime_proxy("ps", *arguments, config=CONFIG.format(admin_server.address))

    return run


@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_what_is_no_terminal_gets_lines(ps, admin_server, arguments):
    result = ps(*arguments, "--route", "events", "--kind", "sse")
    assert result.exit_code == 0
    titles, line = result.stdout.splitlines()
    assert titles.startswith("KIND  ROUTE")
    assert line.startswith("sse   events")
    assert "\x1b" not in result.stdout
    assert admin_server.requests[0][1] == "/connections?route=events&kind=sse&limit=1000"


def test_json_is_for_programs(ps, admin_server):
    admin_server.connections = [ONE, ONE | {"id": "old", "age_seconds": 100.0}]
    result = ps("--json", "--limit", "1")
    assert [one["id"] for one in json.loads(result.stdout)["connections"]] == ["old", ONE["id"]]


def test_more_than_asked_for_is_told(ps, admin_server):
    admin_server.connections = [ONE] * 3
    result = ps("--once", "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "more than 2" in result.stderr


def test_no_admin_port_is_told_with_what_to_do(realtime_proxy):
    result = realtime_proxy("ps", config="")
    assert result.exit_code == 1
    assert "no admin port to ask" in result.stderr
    assert "[admin]" in result.stderr
    result = realtime_proxy("ps", config="[admin]\nlistn = 1")
    assert (result.exit_code, "did you mean `listen`" in result.stderr) == (1, True)


def test_nobody_answers(realtime_proxy):
    result = realtime_proxy("ps", "--admin", "127.0.0.1:1")
    assert (result.exit_code, "no answer from the admin port" in result.stderr) == (1, True)


def screen(width, height, connections, summary="2 connections"):
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(table(console, connections, summary))
    return console.file.getvalue().splitlines()


def test_the_table_fits_the_terminal():
    connections = [ONE | {"uri": "http://a/" + "x" * 500}] * 100
    for width, height in ((80, 24), (200, 50), (40, 5)):
        lines = screen(width, height, connections)
        assert len(lines) < height
        assert max(map(len, lines)) <= width
    wide = screen(300, 24, [ONE])
    assert wide[0].strip() == "2 connections"
    assert wide[-1].split()[-2:] == [ONE["id"], ONE["uri"]]


def test_nothing_of_a_name_is_markup():
    lines = screen(300, 24, [ONE | {"route": "[red]a", "channels": ["[/]\x1b[2J"]}])
    assert "[red]a" in lines[-1]
    assert "[/]\\x1b[2J" in lines[-1]


def test_the_live_table_goes_on_while_nobody_answers(admin_server, monkeypatch, capsys):
    shown = []

    class Live:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, renderable, refresh):
            assert refresh
            shown.append(str(renderable.renderables[0]))

    def sleep(_):
        if len(shown) == 1:
            admin_server.refusal = (504, b'{"error": "no answer from worker 1"}')
        elif len(shown) == 2:
            admin_server.refusal = None
            admin_server.connections = [ONE] * 3
        elif len(shown) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("rich.live.Live", Live)
    monkeypatch.setattr(module.time, "sleep", sleep)
    client = module.client_of(None, admin_server.address, None, None)
    module._show_live(client, {}, "age", 2)
    assert shown == ["1 connections", "no answer from worker 1", "more than 2 connections"]
