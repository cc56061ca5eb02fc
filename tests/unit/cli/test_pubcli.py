"""The command as a whole: what it says, and with which status it ends."""

import pytest

from realtime_proxy.cli import pubcli as command


def test_success_says_published(pubcli, control_server):
    outcome = pubcli("news", "hi")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Published\n", "")


def test_failure_goes_to_standard_error(pubcli):
    outcome = pubcli("news")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "Error: must specify content\n"


def test_arguments_default_to_those_of_the_process(pubcli, control_server, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pubcli", "news", "hi"])
    assert command.main() == 0
    assert b'"channel":"news"' in control_server.requests[0]


def test_interrupted(pubcli, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "build_items", interrupt)
    outcome = pubcli("news", "hi")
    assert (outcome.status, outcome.err) == (130, "")


# Each call is wrong in one thing more than the one after it: the first is what is reported.
IN_ORDER = [
    (["--code", "x", "-u", "a:b", "-B", "t"], "failed to parse code: invalid digit found in it"),
    (["--code", "1000", "-u", "a:b", "-B", "t"], "only one authentication method"),
    (["--code", "1000"], "code must be an integer between 0 and 999"),
    (["--patch", "-H", "x"], "must specify content"),
    (["--patch", "-H", "x", "--", "{}"], "patch content must be a JSON array"),
    (["-H", "x", "-M", "x", "@/no/such"], 'header must be in the form "name: value"'),
    (["-M", "x", "@/no/such"], 'meta must be in the form "name=value"'),
    (["--spec", "http://", "@/no/such"], "can't read file /no/such: No such file or directory"),
    (["--spec", "http://", "-u", "a:b", "x"], "invalid URL"),
    (["--spec", "http://127.0.0.1:1", "-u", "a:b", "x"], "Authentication requires https"),
    (["--spec", "http://127.0.0.1:1", "x"], "can't connect to 127.0.0.1:1: Connection refused"),
]


@pytest.mark.parametrize(("argv", "problem"), IN_ORDER)
def test_first_mistake_is_reported(pubcli, argv, problem):
    outcome = pubcli("channel", *argv)
    assert outcome.status == 1
    assert outcome.err.startswith(f"Error: {problem}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("spec", ["http:", "HTTP://", "https://?x"])
def test_http_specs_are_urls(pubcli, spec):
    assert pubcli("--spec", spec, "news", "hi").err == "Error: invalid URL\n"


@pytest.mark.parametrize("spec", ["", "tcp:nonsense", "nonsense"])
def test_any_other_spec_is_an_endpoint(pubcli, spec):
    outcome = pubcli("--spec", spec, "news", "hi")
    assert outcome.err == "Error: can't use the publish address: Invalid argument\n"


def test_an_empty_grip_url_counts_as_given(pubcli, monkeypatch):
    monkeypatch.setenv("GRIP_URL", "")
    assert "can't use the publish address" in pubcli("news", "hi").err


def test_no_secret_in_any_message(pubcli):
    secret = "s3cret"
    calls = [
        ["--spec", f"http://user:{secret}@host", "ch", "x"],
        ["--spec", f"http://h:x?key={secret}", "ch", "x"],
        ["--spec", f"http://h?key=base64:{secret}%25", "ch", "x"],
        ["--spec", f"http://127.0.0.1:1?iss=me&key={secret}", "ch", "x"],
        ["--spec", f"htps://h?key={secret}", "ch", "x"],
        ["--spec", f"ipc:///nobody?key={secret}", "--timeout", "0.01", "ch", "x"],
        ["-u", f"a:{secret}", "ch", "x"],
        ["-B", secret, "-u", f"a:{secret}", "ch", "x"],
        ["--spec", "https://h", "-B", f"{secret}\n", "ch", "x"],
        [f"--beare={secret}", "ch", "x"],
        [f"-T{secret}", "ch", "x"],
    ]
    for call in calls:
        outcome = pubcli(*call)
        assert outcome.status in (1, 2), call
        assert secret not in outcome.err + outcome.out, call
