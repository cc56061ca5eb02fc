"""Backends that speak TLS, with authorities and names of a site's own."""

import ssl

import pytest
import trustme

from realtime_proxy.testing.scripted_backend import ScriptedBackend

ROUTES = """
[[route]]
targets = [{{ url = "{url}", ca = "{folder}/ca.pem", server_name = "inner.test" }}]

[[route]]
host = "by.address"
targets = [{{ url = "{url}", ca = "{folder}/ca.pem" }}]

[[route]]
host = "other.name"
targets = [{{ url = "{url}", ca = "{folder}/ca.pem", server_name = "other.test" }}]

[[route]]
host = "system"
targets = [{{ url = "{url}", server_name = "inner.test" }}]

[[route]]
id = "anybody"
host = "insecure"
targets = [{{ url = "{url}", insecure = true, server_name = "other.test" }}]
"""


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


@pytest.fixture(scope="module")
def inner(authority):
    """A backend with a certificate for its name alone; `asked` has what it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("inner.test").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    asked = []
    context.sni_callback = lambda tls, name, _: asked.append((name, tls))
    with ScriptedBackend(tls=context) as backend:
        backend.asked = asked
        yield backend


@pytest.fixture(scope="module")
def program(start, inner, folder):
    return start(ROUTES.format(url=inner.url, folder=folder))


def status(connect, path, host="any"):
    client = connect()
    client.request("GET", path, host=host)
    return client.read_reply().status


def test_it_is_asked_for_by_name(connect, inner, path):
    assert status(connect, path) == 200
    (name, tls) = inner.asked[-1]
    assert name == "inner.test"
    assert tls.selected_alpn_protocol() == "http/1.1"
    assert inner.calls_to(path)[0].get("host") == "any"


@pytest.mark.parametrize("host", ["by.address", "other.name", "system"])
def test_another_name_or_authority_is_not_believed(connect, program, inner, path, host):
    before = len(program.log)
    assert status(connect, path, host) == 502
    assert not inner.calls_to(path)
    program.wait_for_log("certificate verify failed", after=before)


def test_who_is_not_checked_is_told(connect, program, path):
    assert status(connect, path, "insecure") == 200
    program.wait_for_log(r"certificates of backends are not checked.*anybody")


def test_other_authorities_count_once_the_file_is_another(
    connect, program, inner, folder, authority, path
):
    trustme.CA().cert_pem.write_to_path(folder / "ca.pem")
    program.hang_up()
    assert status(connect, path) == 502
    assert not inner.calls_to(path)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    program.hang_up()
    assert status(connect, path) == 200
