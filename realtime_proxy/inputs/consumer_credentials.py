"""The kinds of credentials that consumers have, as calls name, make and check them."""

import secrets
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from realtime_proxy.inputs.consumer_answers import Credential, not_unique
from realtime_proxy.inputs.consumer_fields import check_jwt, group_fields, jwt_fields, key_fields
from realtime_proxy.model.consumer_record import ConsumerRecord, GroupRecord, JwtRecord, KeyRecord
from realtime_proxy.pipeline.consumers import digest_of
from realtime_proxy.pipeline.stored_consumers import StoredConsumers


@attrs.frozen
class Kind:
    """One kind: where a record has them, what may be said of one, and what calls one by.

    `make` takes what is said, and what a new one has anyway: its `id` and `created_at`.
    """

    field: str
    called_by: str
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    make: Callable[[dict[str, Any], dict[str, Any]], Credential]

    def all_of(self, record: ConsumerRecord) -> tuple[Credential, ...]:
        """Those of a consumer."""
        found: tuple[Credential, ...] = getattr(record, self.field)
        return found

    def name(self, credential: Credential) -> str:
        """What one is called by besides its id."""
        return str(getattr(credential, self.called_by))

    def find(self, record: ConsumerRecord, name: str) -> Credential | None:
        """The one of this id or name."""
        known = self.all_of(record)
        return next((one for one in known if name in (one.id, self.name(one))), None)


def _new_key(told: dict[str, Any], begun: dict[str, Any]) -> KeyRecord:
    return KeyRecord(**{"key": secrets.token_urlsafe(24), **begun, **told})


def _new_jwt(told: dict[str, Any], begun: dict[str, Any]) -> JwtRecord:
    given = {name: value for name, value in told.items() if value is not None}
    given.setdefault("key", secrets.token_urlsafe(24))
    if given.get("algorithm", "HS256").startswith("HS"):
        given.setdefault("secret", secrets.token_urlsafe(24))
    return JwtRecord(**{**begun, **given})


def _new_group(told: dict[str, Any], begun: dict[str, Any]) -> GroupRecord:
    return GroupRecord(**{**begun, **told})


_KEYS = Kind("keys", "key", key_fields, _new_key)
_JWT = Kind("jwt", "key", jwt_fields, _new_jwt)
_GROUPS = Kind("groups", "group", group_fields, _new_group)
# As they are called below a consumer, in both spellings.
KINDS = {"key-auth": _KEYS, "keyauth": _KEYS, "jwt": _JWT, "acls": _GROUPS, "acl": _GROUPS}
# All of a kind, whosever they are.
COLLECTIONS = {"key-auths": _KEYS, "keyauths": _KEYS, "jwts": _JWT, "acls": _GROUPS}


def check_credential(
    kind: Kind,
    book: StoredConsumers,
    record: ConsumerRecord,
    credential: Credential,
    replaced: Credential | None,
) -> None:
    """Raises Failure if somebody has it already, or FieldError if it can't be used."""
    known_ids = (one.id for of in book.records.values() for one in kind.all_of(of))
    if replaced is None and credential.id in known_ids:
        raise not_unique("id", credential.id)
    if isinstance(credential, KeyRecord):
        owner = book.of_key(digest_of(credential.key.encode()))
        if owner is not None and owner.id != credential.id:
            raise not_unique("key", "***")
    elif isinstance(credential, JwtRecord):
        check_jwt(credential.algorithm, credential.rsa_public_key)
        known = book.of_issuer(credential.key)
        if known is not None and known[0].id != record.id:
            raise not_unique("key", credential.key)
    for other in kind.all_of(record):
        if other.id != credential.id and kind.name(other) == kind.name(credential):
            raise not_unique(kind.called_by, kind.name(credential))


def is_id(name: str) -> bool:
    """True for a UUID: what everything is called by."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
