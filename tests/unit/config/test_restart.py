import attrs
import pytest

from realtime_proxy.config.restart import until_restart
from realtime_proxy.config.schema import Config, Log, Publish
from realtime_proxy.config.server_section import Server, Tls

RUNNING = Config(server=Server(tls=(Tls("a:1", "a.pem", "a.key"), Tls("b:1", "b.pem", "b.key"))))


def test_nothing_has_changed():
    assert until_restart(RUNNING, RUNNING) == (RUNNING, [])


def test_most_needs_no_restart():
    wanted = attrs.evolve(
        RUNNING,
        server=attrs.evolve(RUNNING.server, max_connections=1, debug=True),
        publish=Publish(max_body_bytes=1),
        log=Log(level="error"),
    )
    assert until_restart(RUNNING, wanted) == (wanted, [])


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "listen", ("127.0.0.1:1",)),
        ("server", "workers", 3),
        ("publish", "pull", ""),
        ("publish", "http", ""),
        ("publish", "command", ""),
        ("publish", "sub", ()),
        ("publish", "sub_connect", True),
        ("publish", "ipc_mode", "660"),
    ],
)
def test_what_is_open_stays_and_is_named(section, key, value):
    changed = attrs.evolve(getattr(RUNNING, section), **{key: value})
    wanted = attrs.evolve(RUNNING, **{section: changed}, log=Log(level="error"))
    used, waiting = until_restart(RUNNING, wanted)
    assert waiting == [f"{section}.{key}"]
    assert used == attrs.evolve(RUNNING, log=Log(level="error"))


def with_tls(*listeners):
    return attrs.evolve(RUNNING, server=attrs.evolve(RUNNING.server, tls=listeners))


def test_certificates_of_the_same_addresses_are_exchanged():
    wanted = with_tls(Tls("a:1", "new.pem", "new.key"), RUNNING.server.tls[1])
    assert until_restart(RUNNING, wanted) == (wanted, [])


def test_tls_listeners_that_come_or_go_wait():
    wanted = with_tls(Tls("b:1", "new.pem", "new.key"), Tls("c:1", "c.pem", "c.key"))
    used, waiting = until_restart(RUNNING, wanted)
    assert waiting == ["server.tls"]
    assert used.server.tls == (RUNNING.server.tls[0], wanted.server.tls[0])
