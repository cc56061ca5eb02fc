import ssl

import pytest

from realtime_proxy.backend.origin import Origin, client_context


@pytest.mark.parametrize(
    ("host", "shown"),
    [("a.example", "a.example:80"), ("::1", "[::1]:80"), ("127.0.0.1", "127.0.0.1:80")],
)
def test_an_origin_is_shown_as_an_address(host, shown):
    assert str(Origin(host, 80)) == shown


def test_equal_origins_are_one():
    assert {Origin("a", 1), Origin("a", 1)} == {Origin("a", 1)}
    assert len({Origin("a", 1), Origin("a", 2), Origin("a", 1, tls=True), Origin("b", 1)}) == 4
    assert Origin("a", 1, tls=True) != Origin("a", 1, tls=True, insecure=True)


def test_certificates_are_checked():
    context = client_context(Origin("a", 443, tls=True))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_certificates_are_not_checked_if_insecure():
    context = client_context(Origin("a", 443, tls=True, insecure=True))
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_NONE
