from pathlib import Path

import attrs

from realtime_proxy.cli.manual import manual
from realtime_proxy.config.load import load_config
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Backend, Config, Grip, Log, Publish
from realtime_proxy.config.server_section import Server, Tls

ROOT = Path(__file__).parents[3]


def test_the_page_in_the_repository_is_current():
    """Renew it with `python -m realtime_proxy.cli.manual > docs/configuration.md`."""
    assert (ROOT / "docs" / "configuration.md").read_text() == manual()


def test_every_key_is_in_it():
    for cls in (Server, Tls, Backend, Grip, Publish, Log, Route, Target):
        for field in attrs.fields(cls):
            assert f"| `{field.name}` |" in manual()
    for field in attrs.fields(Config):
        assert f"[{field.name}" in manual()


def test_the_example_in_the_repository_loads():
    config = load_config(ROOT / "routes.toml")
    assert config.server.listen == ("127.0.0.1:7999",)
    assert config.publish == Config().publish
    assert [target.demo for target in config.route[0].targets] == [True]


def test_what_the_example_has_in_comments_loads_too(tmp_path):
    lines = (ROOT / "routes.toml").read_text().splitlines()
    start = lines.index("# [[route]]")
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[start:])
    tables = text[text.index("[handler.partner_key]") :]
    (tmp_path / "routes.toml").write_text(tables)
    config = load_config(tmp_path / "routes.toml")
    assert config.handler["partner_key"]["use"] == "key_auth"
    assert len(config.route[0].targets) == 2
