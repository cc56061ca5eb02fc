"""Consumers in a file of their own: a change counts at once, for those who are held, too."""

import json

import pytest

ROUTES = """
[handler.key_auth]
consumers_file = "file:consumers.toml"

[handler.staff]
use = "acl"
allow = ["staff"]

[[route]]
handlers = ["key_auth", "staff"]
targets = [{{ url = "{url}", over_http = true }}]
"""
CONSUMERS = """
[[consumers]]
username = "alice"
groups = ["staff"]
keys = {alice}

[[consumers]]
username = "bob"
keys = ["bobs"]
"""
STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "a"), ("Content-Type", "text/event-stream")]


def write(program, *keys):
    file = program.file.with_name("consumers.toml")
    new = file.with_suffix(".new")
    new.write_text(CONSUMERS.format(alice=json.dumps(keys)))
    new.replace(file)
    program.hang_up()


@pytest.fixture
def program(start_own, backend):
    program = start_own("")
    file = program.file.with_name("consumers.toml")
    file.write_text(CONSUMERS.format(alice='["first", "second"]'))
    program.reload(ROUTES.format(url=backend.url))
    return program


def status_of(connect, path, key):
    client = connect()
    client.request("GET", path, [("apikey", key)])
    return client.read_reply().status


def test_a_key_that_is_taken_away_closes_what_it_has_opened(
    connect, websocket, backend, program, path
):
    assert status_of(connect, path, "first") == 200
    assert status_of(connect, path, "bobs") == 403
    backend.scripts[path] = lambda call: call.respond(fields=STREAM)
    first, second = connect(), connect()
    for client, key in ((first, "first"), (second, "second")):
        client.request("GET", path, [("apikey", key)])
        assert client.read_head().status == 200
    write(program, "second", "third")
    assert first.read_until(b"event: revoked\ndata: credential revoked\n\n")
    assert status_of(connect, path, "first") == 401
    program.publish("a", http_stream={"content": "still there"})
    assert second.read_until(b"still there")
    del backend.scripts[path]
    assert status_of(connect, path, "third") == 200


def test_a_key_may_go_while_its_backend_is_asked(connect, backend, program, path):
    def slow(call):
        write(program, "second")
        call.respond(fields=STREAM)

    backend.scripts[path] = slow
    client = connect()
    client.request("GET", path, [("apikey", "first")])
    assert client.read_reply().body == b"event: revoked\ndata: credential revoked\n\n"


def test_a_file_that_is_wrong_changes_nothing(connect, program, path):
    program.file.with_name("consumers.toml").write_text("[[consumers]]\n")
    program.hang_up()
    program.wait_for_log(r"consumers_file: consumers\[0\]: must have a username or a custom_id")
    assert status_of(connect, path, "first") == 200
