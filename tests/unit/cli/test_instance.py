import attrs
import pytest

from realtime_proxy.cli.instance import as_instance
from realtime_proxy.config.admin_section import Admin
from realtime_proxy.config.schema import Config, Publish, Stats
from realtime_proxy.errors import ConfigError


def publish(number, **values):
    return as_instance(Config(publish=Publish(**values)), number).publish


def test_ports_are_higher():
    assert publish(1).command == "tcp://127.0.0.1:5573"
    moved = publish(1, pull="tcp://[::1]:5560", http="127.0.0.1:5561")
    assert (moved.pull, moved.http) == ("tcp://[::1]:5570", "127.0.0.1:5571")


def test_names_of_sockets_get_a_prefix():
    assert publish(1, pull="ipc:///run/push").pull == "ipc:///run/p1-push"
    assert publish(0, pull="ipc://push").pull == "ipc://p0-push"


def test_what_is_off_stays_off():
    moved = publish(3, pull="", sub=(), command="", http="")
    assert (moved.pull, moved.sub, moved.command, moved.http) == ("", (), "", "")


def test_every_address_of_sub_is_moved_unless_it_is_a_publishers():
    sub = ("tcp://*:5562", "ipc:///run/sub")
    assert publish(2, sub=sub).sub == ("tcp://*:5582", "ipc:///run/p2-sub")
    assert publish(2, sub=sub, sub_connect=True).sub == sub


def test_statistics_are_moved_too():
    config = Config(stats=Stats(pub="tcp://127.0.0.1:5570"))
    assert as_instance(config, 1).stats.pub == "tcp://127.0.0.1:5580"
    assert as_instance(Config(), 1).stats.pub == ""


def test_nothing_else_changes():
    config = Config()
    assert attrs.evolve(as_instance(config, 5), publish=config.publish) == config


def test_ports_have_an_end():
    with pytest.raises(ConfigError, match="port 65540 does not exist"):
        publish(1, pull="", http="127.0.0.1:65530")
    with pytest.raises(ConfigError):
        publish(7000)


@pytest.mark.parametrize(
    ("listen", "moved"),
    [
        ("127.0.0.1:5564", "127.0.0.1:5574"),
        ("unix:/run/admin?mode=600", "unix:/run/p1-admin?mode=600"),
        ("", ""),
    ],
)
def test_the_admin_port_is_moved_too(listen, moved):
    assert as_instance(Config(admin=Admin(listen=listen)), 1).admin.listen == moved
