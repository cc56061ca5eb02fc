import pytest
from click.testing import CliRunner

from realtime_proxy.cli.main import main

FINE = """
[handler.mine]
use = "noop"
[[route]]
handlers = ["mine"]
targets = [{ demo = true }]
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs `check` where a routes.toml and a handler are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "noop.py").write_text(
        "from realtime_proxy.pipeline import BaseHandler\n\nclass Handler(BaseHandler):\n    pass\n"
    )

    def check(text, *arguments):
        (tmp_path / "routes.toml").write_text(text)
        return CliRunner().invoke(main, ["check", *arguments])

    return check


def test_a_fine_file(check):
    result = check(FINE)
    assert result.exit_code == 0
    assert result.stdout == "routes.toml: fine: 1 route, 1 listener, 1 handler\n"
    assert result.stderr == ""


def test_the_summary_counts_tls_listeners(check, tmp_path):
    (tmp_path / "pem").touch()
    tls = '[[server.tls]]\nlisten = "127.0.0.1:1"\ncertificate = "pem"\nkey = "pem"\n'
    assert "1 route, 2 listeners, 1 handler" in check(tls + FINE).stdout


def test_every_problem_is_a_line_with_its_place(check):
    result = check(
        """
        [server]
        max_conections = 1
        [[route]]
        handlers = ["unknown_to_all"]
        targets = []
        """
    )
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert (
        "routes.toml: server.max_conections: unknown key; did you mean `max_connections`?" in lines
    )
    assert [line.split(":")[1].strip() for line in lines] == [
        "server.max_conections",
        "route[0].targets",
        "route[0].handlers[0]",
    ]


def test_settings_of_handlers_are_checked(check):
    result = check(FINE.replace('"noop"', '"noop"\ncolour = "red"'))
    assert result.exit_code == 1
    assert result.stderr.startswith("routes.toml: handler.mine.colour: unknown key")


def test_no_problem_is_told_of_twice(check):
    result = check('[handler]\na = 5\n[[route]]\nhandlers = ["../x"]\ntargets = []\nhost = 5')
    lines = result.stderr.splitlines()
    assert len(lines) == len(set(lines))
    assert sum("route[0].host" in line for line in lines) == 1


@pytest.mark.parametrize(
    "text", ["route = 5", "route = [5]", "handler = 5", "[[route]]\nhandlers = [5]"]
)
def test_what_handlers_need_may_be_broken_itself(check, text):
    result = check(text)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


def test_toml_errors(check):
    result = check("a = ?")
    assert result.exit_code == 1
    assert result.stderr == "routes.toml: line 1, column 5: Invalid value\n"


def test_another_file(check, tmp_path):
    (tmp_path / "other.toml").write_text("a = 1")
    result = check(FINE, "--config", "other.toml")
    assert result.stderr.startswith("other.toml: a: unknown key")


def test_a_missing_file(check):
    result = check(FINE, "--config", "missing.toml")
    assert result.exit_code == 1
    assert result.stderr == "missing.toml: can't be read: No such file or directory\n"


def test_short_keys_are_one_warning(check):
    result = check('[grip]\nkey = "changeme"\nupstream_key = "short"' + FINE)
    assert result.exit_code == 0
    assert result.stderr.count("warning") == 1
    assert "grip.key, grip.upstream_key: shorter than 32 bytes" in result.stderr
    assert "changeme" not in result.output


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ("redis://:hunter2@host:port", "must be `redis://"),
        ("rediss://host", "must be `redis://"),
        ("redis://host:65536", "must be a port"),
        ("env:NO_SUCH_STORE", "NO_SUCH_STORE is not set"),
        ("nowhere/consumers.db", "there is no folder nowhere"),
        (".", "is a folder"),
    ],
)
def test_a_store_of_consumers_that_could_not_be_opened(check, store, problem):
    result = check(f'[consumers]\nstore = "{store}"\n[typo]\n{FINE}')
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line for line in lines if "routes.toml: consumers.store: " in line and problem in line]
    assert [line for line in lines if "typo" in line]
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("store", ["consumers.db", "redis://nobody.invalid/1"])
def test_a_store_of_consumers_is_not_opened(check, tmp_path, store):
    assert check(f'[consumers]\nstore = "{store}"\n{FINE}').exit_code == 0
    assert not (tmp_path / "consumers.db").exists()
