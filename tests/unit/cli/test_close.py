import pytest


@pytest.fixture
def close(admin_server, realtime_proxy):
    def run(*arguments):
        return realtime_proxy("close", *arguments, "--admin", admin_server.address)

    return run


def test_those_meant_are_closed(close, admin_server):
    result = close("--consumer", "alice", "--reason", "so long", "--code", "4000")
    assert (result.exit_code, result.stdout) == (0, "1 closed\n")
    assert admin_server.requests[0][:2] == (
        "DELETE",
        "/connections?consumer=alice&reason=so+long&code=4000",
    )


def test_one_is_closed(close, admin_server):
    assert close("worker_1:7").stdout == "1 closed\n"
    assert admin_server.requests[0][1] == "/connections/worker_1%3A7"


@pytest.mark.parametrize("arguments", [(), ("--reason", "x"), ("id", "--route", "a")])
def test_who_is_meant_has_to_be_clear(close, admin_server, arguments):
    assert close(*arguments).exit_code == 2
    assert admin_server.requests == []


def test_a_refusal_is_told(close, admin_server):
    admin_server.refusal = (404, b'{"error": "there is no connection"}')
    result = close("x")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no connection\n")


def test_a_configuration_that_does_not_load(realtime_proxy):
    result = realtime_proxy("close", "x", config="[admin]\nlistn = 1")
    assert (result.exit_code, "listn" in result.stderr) == (1, True)
