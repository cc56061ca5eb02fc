from pathlib import Path

from realtime_proxy.config.files import named_files
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.schema import Config, Grip
from realtime_proxy.config.server_section import Server, Tls


def test_a_configuration_of_its_own():
    assert named_files(Config(grip=Grip(key="file-like")), Path("conf")) == frozenset()


def test_keys_and_certificates_and_those_of_handlers():
    config = Config(
        server=Server(
            tls=(Tls("a:1", "a.pem", "/etc/a.key", "names"), Tls("b:1", "b.pem", "b.key"))
        ),
        grip=Grip(key="file:grip.key", upstream_key="env:file"),
        handler={"auth": {"consumers": [{"keys": ["file:/keys/alice", "literal"]}], "on": True}},
        route=(Route(targets=(Target(demo=True),), issuer="x", key="file:route.key"),),
    )
    names = {str(path) for path in named_files(config, Path("conf"))}
    assert names == {
        "conf/a.pem", "/etc/a.key", "conf/names", "conf/b.pem", "conf/b.key", "conf/grip.key",
        "/keys/alice", "conf/route.key",
    }  # fmt: skip
