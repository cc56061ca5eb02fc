"""Consumers and their credentials over the admin port, in the calls of Kong."""

import contextlib
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

import attrs
import msgspec
from msgspec.structs import replace

from realtime_proxy.inputs.consumer_fields import (
    FieldError,
    check_jwt,
    consumer_fields,
    group_fields,
    jwt_fields,
    key_fields,
    read_fields,
)
from realtime_proxy.inputs.consumer_store import ConsumerStore, Overtaken, StoreAway
from realtime_proxy.model.consumer_record import (
    ConsumerRecord,
    GroupRecord,
    JwtRecord,
    KeyRecord,
)
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response
from realtime_proxy.pipeline.consumers import digest_of

_MAX_PAGE = 1_000
_PAGE = 100

Credential = KeyRecord | JwtRecord | GroupRecord
C = TypeVar("C", bound=Credential)


@attrs.frozen
class _Kind:
    """One kind of credentials: where a record has them, and what may be said of one."""

    field: str
    fields: Callable[[dict[str, Any]], dict[str, Any]]
    new: Callable[[dict[str, Any]], Credential]
    name: Callable[[Any], str]


class _Failure(Exception):
    """Something that is answered otherwise than asked for."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class ConsumerApi:
    """`/consumers` and what is below. Both spellings of Kong: `key-auth` and `keyauth`."""

    def __init__(self, store: ConsumerStore, wall_clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wall_clock = wall_clock
        keys = _Kind("keys", key_fields, self._new_key, lambda one: one.key)
        jwt = _Kind("jwt", jwt_fields, self._new_jwt, lambda one: one.key)
        groups = _Kind("groups", group_fields, self._new_group, lambda one: one.group)
        self._kinds = {"key-auth": keys, "keyauth": keys, "jwt": jwt, "acls": groups, "acl": groups}

    async def answer(self, head: RequestHead, body: bytes) -> Response:
        """The response to a call whose path begins with `/consumers`."""
        path = head.path.decode("ascii", errors="replace").strip("/")
        _, *names = map(unquote, path.split("/"))
        method = "GET" if head.method == b"HEAD" else head.method.decode("latin-1")
        try:
            fields = read_fields(head.headers, body)
            query = head.target.partition(b"?")[2]
            while True:
                with contextlib.suppress(Overtaken):
                    async with self._store.change():
                        return await self._follow(method, names, fields, query)
        except FieldError as error:
            return _json(400, {"message": str(error)})
        except _Failure as failure:
            return _json(failure.status, {"message": str(failure)})
        except StoreAway as problem:
            return _json(503, {"message": f"the store of consumers can't be used: {problem}"})

    async def _follow(
        self, method: str, names: list[str], fields: dict[str, Any], query: bytes
    ) -> Response:
        match method, names:
            case "GET", []:
                return self._list(query)
            case "POST", []:
                return await self._create(consumer_fields(fields))
            case "GET", [name]:
                return _json(200, _shown(self._known(name)))
            case "PUT", [name]:
                return await self._put(name, consumer_fields(fields))
            case "PATCH", [name]:
                return await self._change(self._known(name), consumer_fields(fields))
            case "DELETE", [name]:
                if (found := self._store.book.called(name)) is not None:
                    await self._store.remove(found.id)
                return Response(204, Headers())
            case _, [name, kind, *rest] if kind in self._kinds and len(rest) < 2:
                record = self._known(name)
                return await self._credential(method, record, self._kinds[kind], rest, fields)
            case _, ([] | [_]):
                raise _Failure(405, "Method not allowed")
        raise _Failure(404, "Not found")

    def _known(self, name: str) -> ConsumerRecord:
        record = self._store.book.called(name)
        if record is None:
            raise _Failure(404, "Not found")
        return record

    # -- consumers -------------------------------------------------------------------------

    def _list(self, query: bytes) -> Response:
        given = dict(pair.partition(b"=")[::2] for pair in query.split(b"&"))
        size, offset = given.get(b"size", b"%d" % _PAGE), given.get(b"offset", b"").decode()
        if not size.isdigit() or not 0 < int(size) <= _MAX_PAGE:
            raise FieldError(f"size: must be a number from 1 to {_MAX_PAGE}")
        ids = sorted(one for one in self._store.book.records if one > offset)
        shown = [self._store.book.records[one] for one in ids[: int(size)]]
        more = shown[-1].id if len(ids) > len(shown) else None
        following = None if more is None else f"/consumers?size={int(size)}&offset={more}"
        data = [_shown(one) for one in shown]
        return _json(200, {"data": data, "next": following, "offset": more})

    async def _create(self, fields: dict[str, Any]) -> Response:
        record = ConsumerRecord(
            **{"id": str(uuid.uuid4()), "created_at": int(self._wall_clock()), **fields}
        )
        if record.id in self._store.book.records:
            raise _not_unique("id", record.id)
        return await self._keep(record, 201)

    async def _put(self, name: str, fields: dict[str, Any]) -> Response:
        """Have a consumer be just so; its credentials stay."""
        found = self._store.book.called(name)
        if found is None:
            key = "id" if _is_id(name) else "username"
            return await self._create({**fields, key: name})
        nothing = {"username": None, "custom_id": None, "tags": ()}
        keeps = {} if name == found.id else {"username": found.username}
        return await self._change(found, {**nothing, **keeps, **fields})

    async def _change(self, record: ConsumerRecord, fields: dict[str, Any]) -> Response:
        if fields.get("id", record.id) != record.id:
            raise FieldError("id: can't be changed")
        return await self._keep(replace(record, **fields), 200)

    async def _keep(self, record: ConsumerRecord, status: int) -> Response:
        if not record.username and not record.custom_id:
            raise FieldError("at least one of username and custom_id must be given")
        for field in ("username", "custom_id"):
            value = getattr(record, field)
            for other in self._store.book.records.values() if value else ():
                if other.id != record.id and getattr(other, field) == value:
                    raise _not_unique(field, value)
        await self._store.put(record)
        return _json(status, _shown(record))

    # -- credentials -----------------------------------------------------------------------

    async def _credential(
        self,
        method: str,
        record: ConsumerRecord,
        kind: _Kind,
        rest: list[str],
        fields: dict[str, Any],
    ) -> Response:
        known: tuple[Credential, ...] = getattr(record, kind.field)
        if not rest:
            if method == "GET":
                data = [_shown_credential(one, record) for one in known]
                return _json(200, {"data": data, "next": None})
            if method == "POST":
                return await self._add(record, kind, kind.new(kind.fields(fields)), 201)
            raise _Failure(405, "Method not allowed")
        found = next((one for one in known if rest[0] in (one.id, kind.name(one))), None)
        if method == "DELETE":
            if found is not None:
                await self._store.put(_with(record, kind, [one for one in known if one != found]))
            return Response(204, Headers())
        if found is None:
            raise _Failure(404, "Not found")
        if method == "GET":
            return _json(200, _shown_credential(found, record))
        if method not in ("PATCH", "PUT"):
            raise _Failure(405, "Method not allowed")
        changed: Any = replace(found, **{**kind.fields(fields), "id": found.id})
        return await self._add(record, kind, changed, 200)

    async def _add(
        self, record: ConsumerRecord, kind: _Kind, credential: Credential, status: int
    ) -> Response:
        self._check(record, credential)
        others = [one for one in getattr(record, kind.field) if one.id != credential.id]
        if any(kind.name(one) == kind.name(credential) for one in others):
            raise _not_unique(kind.field, kind.name(credential))
        await self._store.put(_with(record, kind, [*others, credential]))
        return _json(status, _shown_credential(credential, record))

    def _check(self, record: ConsumerRecord, credential: Credential) -> None:
        """Raises if another consumer has it, or if it can't be used."""
        book = self._store.book
        if isinstance(credential, KeyRecord):
            owner = book.of_key(digest_of(credential.key.encode()))
            if owner is not None and owner.consumer.id != record.id:
                raise _not_unique("key", "***")
        elif isinstance(credential, JwtRecord):
            check_jwt(credential.algorithm, credential.rsa_public_key)
            known = book.of_issuer(credential.key)
            if known is not None and known[0].id != record.id:
                raise _not_unique("key", credential.key)

    def _new_key(self, fields: dict[str, Any]) -> KeyRecord:
        return KeyRecord(**{"key": secrets.token_urlsafe(24), **self._begun(), **fields})

    def _new_jwt(self, fields: dict[str, Any]) -> JwtRecord:
        given = {name: value for name, value in fields.items() if value is not None}
        given.setdefault("key", secrets.token_urlsafe(24))
        if given.get("algorithm", "HS256").startswith("HS"):
            given.setdefault("secret", secrets.token_urlsafe(24))
        return JwtRecord(**{**self._begun(), **given})

    def _new_group(self, fields: dict[str, Any]) -> GroupRecord:
        return GroupRecord(**{**self._begun(), **fields})

    def _begun(self) -> dict[str, Any]:
        return {"id": str(uuid.uuid4()), "created_at": int(self._wall_clock())}


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _with(record: ConsumerRecord, kind: _Kind, credentials: list[Any]) -> ConsumerRecord:
    return replace(record, **{kind.field: tuple(credentials)})


def _shown(record: ConsumerRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "username": record.username,
        "custom_id": record.custom_id,
        "created_at": record.created_at,
        "tags": list(record.tags) or None,
    }


def _shown_credential(credential: Credential, record: ConsumerRecord) -> dict[str, Any]:
    """As Kong shows it today, and with the `consumer_id` of its early days."""
    owner = {"consumer": {"id": record.id}, "consumer_id": record.id}
    return msgspec.structs.asdict(credential) | owner


def _not_unique(field: str, value: str) -> _Failure:
    return _Failure(409, f'UNIQUE violation detected on {{{field}="{value}"}}')


def _json(status: int, value: Any) -> Response:
    kind = b"application/json; charset=utf-8"
    headers = Headers([(b"Content-Type", kind), (b"Cache-Control", b"no-store")])
    return Response(status, headers, msgspec.json.encode(value) + b"\n")
