from pathlib import Path

from realtime_proxy.config.advice import advise
from realtime_proxy.config.load import load_text

ROUTE = "\n[[route]]\ntargets = [{demo = true}]\n"


def advice(text):
    return {problem.key_path: problem.message for problem in advise(load_text(text), Path())}


def test_nothing_to_say():
    assert advice(f'[grip]\nkey = "{"k" * 32}"' + ROUTE + 'path = "/a%20b"') == {}


def test_no_routes():
    assert list(advice("")) == ["route"]


def test_short_keys_are_one_warning():
    found = advice('[grip]\nkey = "changeme"\nupstream_key = "base64:AAAA"' + ROUTE)
    assert list(found) == ["grip.key, grip.upstream_key"]


def test_a_pem_key_is_not_short():
    assert advice('[grip]\nkey = "-----BEGIN X"' + ROUTE) == {}


def test_paths_that_no_request_has():
    for path in ("events", "/with space", "/a?b", "/ä"):
        assert list(advice(ROUTE + f'path = "{path}"')) == ["route[0].path"]
