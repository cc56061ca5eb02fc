"""Certificates of clients for tests, each issued when it is asked for."""

import ssl
from datetime import datetime
from functools import cache

import trustme

from realtime_proxy.model.client_certificate import ClientCertificate


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def client_certificate(
    *names: str, common_name: str | None = None, not_after: datetime | None = None
) -> ClientCertificate:
    """One with these alternative names, as a listener has checked it."""
    issued = _authority().issue_cert(*names, common_name=common_name, not_after=not_after)
    return ClientCertificate(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode()))
