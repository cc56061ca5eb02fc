import attrs
import pytest

from realtime_proxy.config.load import load_text
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Backend, Config, Grip, Log, Metrics, Publish, Stats
from realtime_proxy.config.server_section import Forwarded, Server, Tls
from realtime_proxy.config.toml_text import value_text

SECTIONS = {
    "server": Server,
    "forwarded": Forwarded,
    "backend": Backend,
    "grip": Grip,
    "publish": Publish,
    "stats": Stats,
    "metrics": Metrics,
    "log": Log,
}


@pytest.mark.parametrize("cls", [*SECTIONS.values(), Tls, Route, Target])
def test_every_key_has_a_sentence_for_the_manual(cls):
    for field in attrs.fields(cls):
        assert field.metadata["doc"].endswith(".")


@pytest.mark.parametrize("section", SECTIONS)
def test_defaults_pass_their_own_checks(section):
    written = "\n".join(
        f"{field.name} = {value_text(field.default)}" for field in attrs.fields(SECTIONS[section])
    )
    assert load_text(f"[{section}]\n{written}") == Config()
