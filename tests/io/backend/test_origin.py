import os
import ssl

import pytest

from realtime_proxy.backend.origin import Origin, client_context, default_context, show_certificate


@pytest.mark.parametrize(
    ("host", "shown"),
    [("a.example", "a.example:80"), ("::1", "[::1]:80"), ("127.0.0.1", "127.0.0.1:80")],
)
def test_an_origin_is_shown_as_an_address(host, shown):
    assert str(Origin(host, 80)) == shown


def test_equal_origins_are_one():
    one, other = client_context(), client_context()
    origins = [
        Origin("a", 1),
        Origin("a", 2),
        Origin("b", 1),
        Origin("a", 1, tls=one),
        Origin("a", 1, tls=other),
        Origin("a", 1, tls=one, server_name="b"),
        Origin("a", 1, untrusted=True),
    ]
    assert {Origin("a", 1), Origin("a", 1)} == {Origin("a", 1)}
    assert len(set(origins)) == len(origins)


def test_certificates_are_checked():
    for context in (client_context(), default_context()):
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert default_context() is default_context()


def test_certificates_are_not_checked_if_insecure():
    context = client_context(insecure=True)
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_NONE


def test_a_certificate_of_our_own(authority, tmp_path):
    certificate = authority.issue_cert("client")
    both, alone, key = tmp_path / "both.pem", tmp_path / "alone.pem", tmp_path / "key.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(both)
    certificate.cert_chain_pems[0].write_to_path(alone)
    certificate.private_key_pem.write_to_path(key)
    context = client_context()
    show_certificate(context, both, None)
    show_certificate(context, alone, key)
    with pytest.raises(ssl.SSLError, match="PEM"):
        show_certificate(context, alone, None)
    with pytest.raises(FileNotFoundError):
        show_certificate(context, tmp_path / "missing.pem", None)


def test_authorities_of_its_own(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = client_context(authorities=tmp_path / "ca.pem")
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    with pytest.raises(FileNotFoundError):
        client_context(authorities=tmp_path / "missing.pem")


def test_other_authorities_of_the_system_are_noticed(authority, tmp_path, monkeypatch):
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    before = default_context()
    assert default_context() is before
    os.utime(bundle, (0, 1))
    assert default_context() is not before


def test_old_versions_are_refused():
    assert client_context().minimum_version is ssl.TLSVersion.TLSv1_2
