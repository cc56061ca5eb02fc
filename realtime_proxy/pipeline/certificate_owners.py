"""Whose a client's certificate is: of the consumer that lists it, or that is called as it is."""

import re
from collections.abc import Iterable, Iterator

from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.pipeline.consumers import Consumer, Consumers
from realtime_proxy.pipeline.handler import HandlerContext

# Names that a consumer may have, too; the others are of the certificate alone.
_OF_SUBJECTS = ("DNS:", "email:", "URI:", "IP:", "CN:")
_KINDS = ("fingerprint:", "subject:", *_OF_SUBJECTS)
# Those that count now, by the name of the handler: who was let in by the instances of earlier
# configurations is held to them, too.
_live: dict[str, "CertificateOwners"] = {}
_FINGERPRINT = re.compile(r"fingerprint:[0-9a-f]{64}")


def certificate_names(certificate: ClientCertificate) -> tuple[str, ...]:
    """What it may be known by, the surest first: `fingerprint:…`, `subject:…`, `DNS:…`, `CN:…`.

    Raises ValueError if it can't be read.
    """
    common = (f"CN:{certificate.common_name}",) if certificate.common_name else ()
    return (
        f"fingerprint:{certificate.fingerprint}",
        f"subject:{certificate.subject}",
        *certificate.alternative_names,
        *common,
    )


class CertificateOwners:
    """Consumers by the names of certificates.

    Those that list one (`certificates`) go before those that are called as its owner, by
    `consumer_by`: `username`, `custom_id`. Consumers of the settings go before those of the store.
    """

    def __init__(
        self,
        consumers: Consumers,
        context: HandlerContext,
        consumer_by: Iterable[str],
        *,
        stored: bool = False,
    ) -> None:
        """`stored`: those of the store count, too.

        Raises ConfigError for what can't be the name of a certificate, or is that of two.
        """
        self._context = context
        self._stored = stored
        self._by_certificate: dict[str, Consumer] = {}
        self._by_name: dict[str, Consumer] = {}
        self._fields = tuple(consumer_by)
        for where, consumer, name in _listed(consumers.all):
            if self._by_certificate.setdefault(name, consumer) is not consumer:
                owner = self._by_certificate[name].name
                raise ConfigError([Problem(where, f"is a certificate of {owner}, too")])
        for field in self._fields:
            for consumer in consumers.all:
                self._by_name.setdefault(getattr(consumer, field), consumer)

    def take_over(self) -> None:
        """From now on these are the ones that count."""
        _live[self._context.name] = self

    @property
    def are_known(self) -> bool:
        """False while nobody can tell who is in the store."""
        return not self._stored or self._context.stored.is_known

    def owner(self, names: tuple[str, ...]) -> Consumer | None:
        """Whose certificate has these names."""
        found = (self._by_certificate.get(name) for name in names)
        listed = next(filter(None, found), None)
        if listed is not None:
            return listed
        for name in names:
            kind, _, value = name.partition(":")
            if value and f"{kind}:" in _OF_SUBJECTS:
                consumer = self._by_name.get(value) or self._of_store(value)
                if consumer is not None:
                    return consumer
        return None

    def still_owns(self, names: tuple[str, ...], consumer: str) -> bool:
        """False once the certificate with these names is of nobody, or of somebody else."""
        owner = _live.get(self._context.name, self).owner(names)
        return owner is not None and owner.name == consumer

    def _of_store(self, name: str) -> Consumer | None:
        consumer = self._context.stored.consumer(name) if self._stored else None
        if consumer is None:
            return None
        # It may have been found by its id, which is no name of anybody.
        is_called = any(getattr(consumer, field) == name for field in self._fields)
        return consumer if is_called else None


def _listed(consumers: Iterable[Consumer]) -> Iterator[tuple[str, Consumer, str]]:
    for consumer in consumers:
        for i, written in enumerate(consumer.certificates):
            where = f"consumers: {consumer.name}: certificates[{i}]"
            yield where, consumer, _name(written, where)


def _name(written: str, where: str) -> str:
    """As `certificate_names` has it. Fingerprints may have colons, and capitals."""
    kind, _, value = written.partition(":")
    if f"{kind}:" not in _KINDS or not value:
        accepted = ", ".join(f"`{kind}…`" for kind in _KINDS)
        raise ConfigError([Problem(where, f"`{written}` names none; accepted: {accepted}")])
    if kind != "fingerprint":
        return written
    name = f"fingerprint:{value.replace(':', '').lower()}"
    if not _FINGERPRINT.fullmatch(name):
        raise ConfigError([Problem(where, "a fingerprint is SHA-256: 64 hexadecimal digits")])
    return name
