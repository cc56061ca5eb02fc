"""Authorities of a setting, and what is none."""

import pytest
import trustme

from realtime_proxy.errors import ConfigError
from realtime_proxy.pipeline.secret import Secret
from realtime_proxy.pipeline.server_authority import server_authority


def test_the_certificates_of_a_setting():
    context = server_authority(Secret(trustme.CA().cert_pem.bytes()))
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert server_authority(None) is None


@pytest.mark.parametrize("text", [b"nonsense", b"\xff", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate(text):
    with pytest.raises(ConfigError, match="ca: has no certificates in PEM"):
        server_authority(Secret(text))
