"""Client certificates: who has shown one in the TLS handshake, of a known consumer, may pass.

The listener has checked it (`[[server.tls]] client_ca`); this handler says whose it is. Headers
that tell of certificates are believed of nobody: what counts is the connection itself.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import attrs

from realtime_proxy.pipeline import (
    CONTINUE,
    IDENTITY_HEADER_NAMES,
    BaseHandler,
    CertificateOwners,
    ClientCertificate,
    ConfigError,
    Consumer,
    Decision,
    Exchange,
    HandlerContext,
    Identity,
    Problem,
    Secret,
    certificate_names,
    identity_headers,
    is_known,
    is_preflight,
    kong_refusal,
    nobody,
    one_of,
    option,
    pass_as,
    read_consumers,
)

NO_CERTIFICATE = "No required TLS certificate was sent"
EXPIRED = "TLS certificate has expired"
UNREADABLE = "TLS certificate can't be read"
UNKNOWN = "TLS certificate of no known consumer"
CONSUMERS_UNKNOWN = "The consumers can't be had"


@attrs.frozen
class MutualTlsConfig:
    """The settings of `mutual_tls`."""

    consumers: tuple[Consumer, ...] = option((), "Who may pass.")
    consumers_file: Secret | None = option(
        None, "`file:PATH` of a TOML file with more of them. A change counts at once."
    )
    stored: bool = option(
        False, "Consumers of the store count, too, as they are at the time (`[consumers] store`)."
    )
    consumer_by: tuple[str, ...] = option(
        ("username", "custom_id"),
        "What of a consumer may be the certificate's alternative name or common name. Empty: "
        "only who lists a certificate has one.",
        one_of("username", "custom_id"),
    )
    consumer_lookup: bool = option(
        True,
        "false: whoever has a certificate may pass, and is called by its common name, or its "
        "subject if it has none.",
    )
    anonymous: str = option(
        "", "Username or id of the consumer that stands for everyone who could not pass."
    )
    run_on_preflight: bool = option(
        True, "false: let CORS preflight requests pass. Browsers show no certificate with them."
    )


class CertificateRefused(Exception):
    """A certificate that does not count; the text is for the client."""

    status = 403


class NoCertificate(CertificateRefused):
    """There is none, or none any more."""

    status = 401


class ConsumersUnknown(Exception):
    """Nobody can tell whether there is such a consumer."""


class Handler(BaseHandler):
    """Refuses who has shown no certificate of a known consumer."""

    Config: ClassVar[type] = MutualTlsConfig
    sets_headers = IDENTITY_HEADER_NAMES

    def __init__(self, config: MutualTlsConfig, context: HandlerContext) -> None:
        super().__init__(config, context)
        consumers = read_consumers(config.consumers, config.consumers_file)
        self._owners = CertificateOwners(
            consumers, context, config.consumer_by, stored=config.stored
        )
        anonymous = consumers.called(config.anonymous)
        problems = list(_problems(config, has_anonymous=anonymous is not None))
        if problems:
            raise ConfigError(problems)
        self._anonymous = None if anonymous is None else nobody(anonymous)

    async def run(self) -> None:
        """From now on these are the consumers; who is held by another's certificate has to go."""
        self._owners.take_over()
        self.context.connections.revoke(lambda identity: identity.has_lapsed)

    async def on_request(self, exchange: Exchange) -> Decision:
        """Find out whose certificate it is, or refuse."""
        request = exchange.request
        if not self.config.run_on_preflight and is_preflight(request):
            return CONTINUE
        if self._anonymous and is_known(exchange):
            return CONTINUE  # this one was only an alternative
        try:
            consumer, identity = self._known(exchange.client_certificate)
        except ConsumersUnknown:
            return kong_refusal(request, 503, CONSUMERS_UNKNOWN)
        except CertificateRefused as error:
            if self._anonymous is None:
                return kong_refusal(request, error.status, str(error))
            pass_as(exchange, *self._anonymous)
        else:
            pass_as(exchange, identity, identity_headers(consumer, identity))
        return CONTINUE

    def _known(self, certificate: ClientCertificate | None) -> tuple[Consumer, Identity]:
        """Whose it is. Raises CertificateRefused, ConsumersUnknown."""
        if certificate is None:
            raise NoCertificate(NO_CERTIFICATE)
        try:
            names, claims = certificate_names(certificate), _claims(certificate)
        except ValueError as error:
            raise CertificateRefused(UNREADABLE) from error
        if certificate.expires_at <= time.time():  # since its handshake
            raise NoCertificate(EXPIRED)
        consumer, holds = self._consumer(certificate, names), None
        if self.config.consumer_lookup:
            holds = partial(self._owners.still_owns, names, consumer.name)
        identity = Identity(
            consumer.name,
            claims=claims,
            expires_at=certificate.expires_at,
            groups=consumer.groups,
            credential=certificate.fingerprint,
            subject=certificate.subject,
            holds=holds,
        )
        return consumer, identity

    def _consumer(self, certificate: ClientCertificate, names: tuple[str, ...]) -> Consumer:
        if not self.config.consumer_lookup:
            name = certificate.common_name or certificate.subject
            if not name or not name.isprintable():
                raise CertificateRefused(UNREADABLE)
            return Consumer(username=name)
        consumer = self._owners.owner(names)
        if consumer is None:
            raise CertificateRefused(UNKNOWN) if self._owners.are_known else ConsumersUnknown
        return consumer


def _claims(certificate: ClientCertificate) -> dict[str, Any]:
    """For `acl`, and for what backends are told."""
    return {
        "subject": certificate.subject,
        "common_name": certificate.common_name,
        "alternative_names": list(certificate.alternative_names),
        "issuer": certificate.issuer,
        "serial_number": certificate.serial_number,
        "fingerprint": certificate.fingerprint,
    }


def _problems(config: MutualTlsConfig, *, has_anonymous: bool) -> Iterator[Problem]:
    """What the types of the settings don't say."""
    if config.consumer_lookup and not (config.consumers or config.consumers_file or config.stored):
        yield Problem("consumers", "nobody could pass; give some, or `consumer_lookup = false`")
    if config.anonymous and not has_anonymous:
        yield Problem("anonymous", f"no consumer has the username or id {config.anonymous!r}")
