import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

from realtime_proxy.cli.main import main
from realtime_proxy.config.route_section import Target
from realtime_proxy.config.schema import Config
from realtime_proxy.errors import ConfigError, Problem

FILE = """
[server]
listen = ["127.0.0.1:7000"]
[log]
level = "warning"
[[route]]
host = "file.test"
targets = [{ demo = true }]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs `run` with a server that only keeps what it is given."""
    monkeypatch.chdir(tmp_path)
    served = types.SimpleNamespace(status=0, error=None)

    def serve(config, source):
        served.config, served.source, served.base_dir = config, source, source.base_dir
        if served.error:
            raise served.error
        return served.status

    module = types.ModuleType("realtime_proxy.app.run")
    module.serve = serve
    monkeypatch.setitem(sys.modules, "realtime_proxy.app.run", module)

    def run(*arguments):
        served.result = CliRunner().invoke(main, ["run", *arguments])
        return served

    run.served = served
    return run


@pytest.fixture
def file(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my.toml").write_text(FILE)
    return "conf/my.toml"


def test_the_file_here_is_the_default(run, tmp_path):
    (tmp_path / "routes.toml").write_text(FILE)
    served = run()
    assert served.result.exit_code == 0
    assert served.config.route[0].host == "file.test"
    assert served.base_dir == Path()


def test_another_file_and_its_folder(run, file):
    served = run("--config", file)
    assert served.config.server.listen == ("127.0.0.1:7000",)
    assert served.base_dir == Path("conf")


def test_the_status_of_the_server_is_that_of_the_command(run, file):
    run.served.status = 3
    assert run("--config", file).result.exit_code == 3


def test_without_a_file(run):
    served = run()
    assert served.result.exit_code == 1
    assert served.result.stderr == "routes.toml: can't be read: No such file or directory\n"


def test_a_broken_file_is_not_served(run, tmp_path):
    (tmp_path / "routes.toml").write_text("a = 1\nb = 2")
    served = run()
    assert served.result.exit_code == 1
    assert len(served.result.stderr.splitlines()) == 2
    assert not hasattr(served, "config")


def test_problems_the_server_finds_are_told_of_the_same_way(run, file):
    run.served.error = ConfigError([Problem("handler.x", "is odd")])
    served = run("--config", file)
    assert served.result.exit_code == 1
    assert served.result.stderr == "conf/my.toml: handler.x: is odd\n"


def test_routes_need_no_file(run):
    served = run("--route", "a.test b:1", "--route", "* test")
    assert served.result.exit_code == 0
    assert [route.host for route in served.config.route] == ["a.test", "*"]
    assert served.config.route[0].targets == (Target(url="http://b:1"),)
    assert served.config.server == Config().server


def test_routes_replace_those_of_a_file(run, file):
    served = run("--config", file, "--route", "*,colour=red b:1")
    assert [route.host for route in served.config.route] == ["*"]
    assert served.config.server.listen == ("127.0.0.1:7000",)
    assert "`colour` is unknown" in served.result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--route", "* nonsense"), "--route: target bad format"),
        (("--route", "* test", "--port", "x"), "--port: `x`"),
        (("--route", "* test", "--log-level", "loud"), "`loud` is not a log level"),
        (("--route", "* test", "--id", "7000"), "7000 is too high"),
        (("--route", "* test", "--id", "-1"), "--id"),
        (("--route", "* test", "--workers", "-1"), "--workers"),
    ],
)
def test_mistakes_on_the_command_line(run, arguments, problem):
    served = run(*arguments)
    assert served.result.exit_code == 2
    assert problem in served.result.stderr


@pytest.mark.parametrize(
    ("port", "listen"),
    [("80", "0.0.0.0:80"), ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:80", "[::1]:80")],
)
def test_a_port_replaces_all_listeners(run, tmp_path, port, listen):
    for name in "ck":
        (tmp_path / name).touch()
    tls = '[[server.tls]]\nlisten = "127.0.0.1:1"\ncertificate = "c"\nkey = "k"\n'
    (tmp_path / "routes.toml").write_text(tls)
    served = run("--port", port)
    assert served.config.server.listen == (listen,)
    assert served.config.server.tls == ()


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ((), "warning"),
        (("--log-level", "debug"), "debug"),
        (("--loglevel", "0"), "error"),
        (("--loglevel", "2,handler:3"), "info"),
        (("--log-level", "info", "--loglevel", "0"), "info"),
        (("--verbose", "--log-level", "error"), "debug"),
        (("-m",), "warning"),
        (("--merge-output",), "warning"),
    ],
)
def test_log_levels(run, file, arguments, level):
    assert run("--config", file, *arguments).config.log.level == level


def test_a_log_file_is_where_the_program_runs(run, file, tmp_path):
    served = run("--config", file, "--logfile", "x.log")
    assert served.config.log.file == str(tmp_path / "x.log")


def test_an_instance_has_publish_sockets_of_its_own(run, file):
    served = run("--config", file, "--id", "2")
    assert served.config.publish.pull == "tcp://127.0.0.1:5580"
    assert served.config.publish.http == "127.0.0.1:5581"
    assert served.config.server.listen == ("127.0.0.1:7000",)


@pytest.mark.parametrize(
    ("arguments", "workers"), [((), 1), (("--workers", "4"), 4), (("--workers", "0"), 0)]
)
def test_workers(run, file, arguments, workers):
    served = run("--config", file, *arguments)
    assert served.config.server.workers == workers
    assert served.config.server.listen == ("127.0.0.1:7000",)


def test_the_configuration_can_be_read_again(run, file, tmp_path):
    served = run("--config", file, "--port", "80", "--route", "a.test,odd=1 b:1")
    assert served.source.file == Path(file)
    (tmp_path / file).write_text(FILE.replace("warning", "error"))
    again = served.source.load()
    assert (again.log.level, again.server.listen) == ("error", ("0.0.0.0:80",))
    assert [route.host for route in again.route] == ["a.test"]
    assert served.result.stderr.count("`odd` is unknown") == 1


def test_without_a_file_there_is_none_to_watch(run):
    served = run("--route", "* test")
    assert served.source.file is None
    assert served.source.load() == served.config


def test_what_the_command_line_asks_for_may_not_fit_any_more(run, file, tmp_path):
    served = run("--config", file, "--id", "100")
    (tmp_path / file).write_text(FILE + '[publish]\nhttp = "127.0.0.1:65000"')
    with pytest.raises(ConfigError, match="--id: 100 is too high: port 66000 does not exist"):
        served.source.load()


def test_problems_are_those_of_what_was_read(run, file):
    run.served.error = ConfigError([Problem("server.listen", "taken")])
    assert run("--config", file).result.stderr == "conf/my.toml: server.listen: taken\n"
    ended = run("--route", "* localhost:9000")
    assert ended.result.stderr == "realtime-proxy: server.listen: taken\n"
