"""Consumers: of the settings and of a file, found by what they show, told to backends."""

import pytest

from realtime_proxy.errors import ConfigError
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.pipeline.consumers import (
    Consumer,
    JwtCredential,
    digest_of,
    identity_headers,
    is_known,
    nobody,
    pass_as,
    read_consumers,
)
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.secret import Secret, files_relative_to

ALICE = Consumer("alice", "c-1", "11", ("staff",), (Secret(b"one"), Secret(b"two")))
FILE = b"""
[[consumers]]
username = "bob"
groups = ["guests"]
keys = ["file:key"]

[[consumers.jwt]]
key = "bobs"
secret = "s"
"""


def test_consumers_are_found_by_what_they_show(tmp_path):
    (tmp_path / "key").write_text("three")
    with files_relative_to(tmp_path):
        consumers = read_consumers((ALICE,), Secret(FILE))
    owner = consumers.by_key[digest_of(b"two")]
    assert (owner.consumer, owner.identifier) == (ALICE, "alice/2")
    assert consumers.by_key[digest_of(b"three")].consumer.groups == ("guests",)
    assert digest_of(b"four") not in consumers.by_key
    bob, credential = consumers.of_issuer("bobs")
    assert (bob.name, credential.secret.value) == ("bob", b"s")
    assert consumers.of_issuer("alice") is None
    assert consumers.called("11") is ALICE
    assert consumers.called("") is None


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"[", "consumers_file: is no TOML"),
        (b"\xff", "consumers_file: is no TOML"),
        (b"[[consumers]]\nkeys = 5", r"consumers_file: consumers\[0\].keys"),
        (b"[[consumers]]", r"consumers_file: consumers\[0\]: must have a username"),
        (b'[[consumers]]\nusername = "alice"', r"is the same as consumers\[0\].username"),
        (b'[[consumers]]\nusername = "b"\nkeys = ["one"]', r"is the same as consumers\[0\].keys"),
        (b'[[consumers]]\nusername = "b"\ngroups = ["a,b"]', r"groups\[0\]: must not have"),
    ],
)
def test_problems_of_the_file_are_told_with_their_places(file, problem, tmp_path):
    with files_relative_to(tmp_path), pytest.raises(ConfigError, match=problem):
        read_consumers((ALICE,), Secret(file))


def test_two_can_not_have_tokens_of_one_issuer():
    both = [Consumer(name, jwt=(JwtCredential("k", Secret(b"s")),)) for name in ("a", "b")]
    with pytest.raises(ConfigError, match=r"consumers\[1\].jwt\[0\].key: is the same"):
        read_consumers(tuple(both), None)


def test_what_backends_are_told():
    claimed = Headers([(b"x-consumer-id", b"0"), (b"A", b"b")])
    exchange = Exchange(RequestHead(b"GET", b"/", claimed), "r", "http", "")
    assert not is_known(exchange)
    identity = Identity("alice", credential="alice/1")
    pass_as(exchange, identity, identity_headers(ALICE, identity))
    assert is_known(exchange)
    assert exchange.request.headers == [
        (b"A", b"b"),
        (b"X-Consumer-ID", b"11"),
        (b"X-Consumer-Custom-ID", b"c-1"),
        (b"X-Consumer-Username", b"alice"),
        (b"X-Credential-Identifier", b"alice/1"),
    ]
    pass_as(exchange, *nobody(Consumer("guest", groups=("g",))))
    assert exchange.identity == Identity("guest", anonymous=True, groups=("g",))
    assert not is_known(exchange)
    assert exchange.request.headers.get(b"x-anonymous-consumer") == b"true"
