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


def test_targets_whose_options_do_nothing_or_too_much(tmp_path):
    (tmp_path / "c.pem").touch()
    targets = f"""
        [[route]]
        targets = [
            {{ url = "http://a", client_certificate = "{tmp_path}/c.pem" }},
            {{ url = "http://10.0.0.1", untrusted = true }},
            {{ url = "http://192.0.2.1" }},
        ]
    """
    assert list(advice(targets)) == [
        "route[0].targets[0].client_certificate",
        "route[0].targets[1].untrusted",
    ]


def test_routes_that_pushpin_route_is_to_lead_to():
    by_id = '[[route]]\nid = "x"\nhost = ""\ntargets = [{demo = true}]\n'
    assert list(advice(by_id)) == ["route[0].host"]
    accepting = "[forwarded]\naccept_pushpin_route = true\n"
    assert advice(accepting + by_id) == {}
    assert list(advice(accepting + by_id * 2)) == ["route[1].id"]
    shared = '[[route]]\nid = "x"\ntargets = [{demo = true}]\n'
    assert advice(shared + shared + 'path = "/a"') == {}


def test_handlers_elsewhere():
    for address, paths in (
        ("tcp://127.0.0.1:1", []),
        ("ipc:///tmp/x", []),
        ("tcp://*:1", ["route[0].targets[0].zhttpreq"]),
    ):
        assert list(advice(f'[[route]]\ntargets = [{{ zhttpreq = "{address}" }}]')) == paths
    connects = 'zhttpreq = "tcp://10.0.0.1:1", zhttpreq_connect = true'
    assert advice(f"[[route]]\ntargets = [{{ {connects} }}]") == {}


def test_backends_that_can_be_anybody():
    text = """
        [[route]]
        targets = [{ url = "http://a", server_name = "b" }, { url = "https://a", insecure = true }]
    """
    found = advice(text)
    assert found["route[0].targets[0].server_name"] == "is for `https` backends only"
    assert "can be this backend" in found["route[0].targets[1].insecure"]


def test_consumers_that_nobody_finds_or_keeps():
    stored = "\n[handler.a]\nuse = 'key_auth'\nstored = true\n"
    store, admin = "[consumers]\nstore = 'c.db'\n", "[admin]\nlisten = '127.0.0.1:5564'\n"
    assert list(advice(stored + ROUTE)) == ["handler.a.stored"]
    assert list(advice(stored + store + ROUTE)) == ["consumers.store"]
    assert advice(stored + store + admin + ROUTE) == {}
    shared = "[consumers]\nstore = 'redis://127.0.0.1'\n"
    assert advice(stored + shared + ROUTE) == {}
