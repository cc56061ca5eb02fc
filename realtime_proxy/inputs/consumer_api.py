"""Consumers and their credentials over the admin port, in the calls of Kong."""

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from realtime_proxy.inputs.consumer_answers import (
    Credential,
    Failure,
    full_list,
    invalid,
    json_response,
    nameless,
    not_allowed,
    not_found,
    not_unique,
    page_of,
    read_query,
    shown,
    shown_credential,
)
from realtime_proxy.inputs.consumer_credentials import (
    COLLECTIONS,
    KINDS,
    Kind,
    check_credential,
    is_id,
)
from realtime_proxy.inputs.consumer_fields import FieldError, consumer_fields, read_fields
from realtime_proxy.inputs.consumer_store import ConsumerStore, Overtaken, StoreAway
from realtime_proxy.model.consumer_record import ConsumerRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response

# What paths of these calls begin with.
ROOTS = frozenset(("consumers", *COLLECTIONS))
# What `GET /consumers` may ask for.
_FILTERS = ("id", "username", "custom_id")


class ConsumerApi:
    """`/consumers` and what is below; all credentials of a kind at `/key-auths`, `/jwts`, `/acls`.

    Both spellings of Kong: `key-auth` and `keyauth`.
    """

    def __init__(self, store: ConsumerStore, wall_clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wall_clock = wall_clock

    async def answer(self, head: RequestHead, body: bytes) -> Response:
        """The response to a call whose path begins with one of `ROOTS`."""
        path = head.path.decode("ascii", errors="replace").strip("/")
        root, *names = map(unquote, path.split("/"))
        method = "GET" if head.method == b"HEAD" else head.method.decode("latin-1")
        try:
            fields = read_fields(head.headers, body)
            query = read_query(head.target.partition(b"?")[2])
            while True:
                with contextlib.suppress(Overtaken):
                    async with self._store.change():
                        if root == "consumers":
                            return await self._follow(method, names, fields, query)
                        return self._show_all(method, root, names, query)
        except FieldError as error:
            return invalid(error)
        except Failure as failure:
            return failure.response
        except StoreAway as problem:
            message = f"the store of consumers can't be used: {problem}"
            return json_response(503, {"message": message})

    async def _follow(
        self, method: str, names: list[str], fields: dict[str, Any], query: dict[str, str]
    ) -> Response:
        match method, names:
            case "GET", []:
                return self._list(query)
            case "POST", []:
                return await self._create(consumer_fields(fields), 201)
            case "PUT", []:
                return await self._put_unnamed(consumer_fields(fields))
            case "GET", [name]:
                return json_response(200, shown(self._known(name)))
            case "PUT", [name]:
                return await self._put(name, consumer_fields(fields))
            case "PATCH", [name]:
                return await self._change(self._known(name), consumer_fields(fields))
            case "DELETE", [name]:
                if (found := self._store.book.called(name)) is not None:
                    await self._store.remove(found.id)
                return Response(204, Headers())
            case _, [name, kind] if kind in KINDS:
                return await self._credentials(method, self._known(name), KINDS[kind], fields)
            case _, [name, kind, which] if kind in KINDS:
                record = self._known(name)
                return await self._credential(method, record, KINDS[kind], which, fields)
            case _, ([] | [_]):
                raise not_allowed()
        raise not_found()

    def _known(self, name: str) -> ConsumerRecord:
        record = self._store.book.called(name)
        if record is None:
            raise not_found()
        return record

    def _begun(self) -> dict[str, Any]:
        return {"id": str(uuid.uuid4()), "created_at": int(self._wall_clock())}

    # -- consumers -------------------------------------------------------------------------

    def _list(self, query: dict[str, str]) -> Response:
        wanted = {name: query[name] for name in _FILTERS if name in query}
        found = (
            shown(record)
            for record in self._store.book.records.values()
            if all(getattr(record, name) == value for name, value in wanted.items())
        )
        return page_of("consumers", found, query)

    async def _create(self, fields: dict[str, Any], status: int) -> Response:
        record = ConsumerRecord(**{**self._begun(), **fields})
        if record.id in self._store.book.records:
            raise not_unique("id", record.id)
        return await self._keep(record, status)

    async def _put_unnamed(self, fields: dict[str, Any]) -> Response:
        """As Kong had it once: who has an id that is known is replaced, everybody else is new."""
        if fields.get("id") in self._store.book.records:
            return await self._put(fields["id"], fields)
        return await self._create(fields, 201)

    async def _put(self, name: str, fields: dict[str, Any]) -> Response:
        """Have a consumer be just so; its credentials stay."""
        found = self._store.book.called(name)
        if found is None:
            return await self._create({**fields, "id" if is_id(name) else "username": name}, 200)
        nothing = {"username": None, "custom_id": None, "tags": ()}
        keeps = {} if name == found.id else {"username": found.username}
        return await self._change(found, {**nothing, **keeps, **fields})

    async def _change(self, record: ConsumerRecord, fields: dict[str, Any]) -> Response:
        if fields.get("id", record.id) != record.id:
            raise FieldError("id: can't be changed")
        return await self._keep(replace(record, **fields), 200)

    async def _keep(self, record: ConsumerRecord, status: int) -> Response:
        if not record.username and not record.custom_id:
            raise nameless()
        for field in ("username", "custom_id"):
            value = getattr(record, field)
            for other in self._store.book.records.values() if value else ():
                if other.id != record.id and getattr(other, field) == value:
                    raise not_unique(field, value)
        await self._store.put(record)
        return json_response(status, shown(record))

    # -- credentials -----------------------------------------------------------------------

    def _show_all(
        self, method: str, root: str, names: list[str], query: dict[str, str]
    ) -> Response:
        """Credentials of a kind, whosever they are: to look at only."""
        kind, records = COLLECTIONS[root], self._store.book.records.values()
        match method, names:
            case "GET", []:
                every = (shown_credential(one, of) for of in records for one in kind.all_of(of))
                return page_of(root, every, query)
            case "GET", [name, *rest] if rest in ([], ["consumer"]):
                for record in records:
                    if (found := kind.find(record, name)) is not None:
                        entry = shown(record) if rest else shown_credential(found, record)
                        return json_response(200, entry)
            case _, ([] | [_] | [_, "consumer"]):
                raise not_allowed()
        raise not_found()

    async def _credentials(
        self, method: str, record: ConsumerRecord, kind: Kind, fields: dict[str, Any]
    ) -> Response:
        if method == "GET":
            return full_list([shown_credential(one, record) for one in kind.all_of(record)])
        if method not in ("POST", "PUT"):
            raise not_allowed()
        told = kind.fields(fields)
        # As Kong had it once: PUT replaces one whose id is known.
        if method == "PUT" and (known := kind.find(record, told.get("id", ""))) is not None:
            return await self._put_credential(record, kind, known, told)
        return await self._add(record, kind, kind.make(told, self._begun()), None, 201)

    async def _credential(
        self, method: str, record: ConsumerRecord, kind: Kind, name: str, fields: dict[str, Any]
    ) -> Response:
        if method not in ("GET", "PUT", "PATCH", "DELETE"):
            raise not_allowed()
        found = kind.find(record, name)
        if method == "PUT":
            called = "id" if is_id(name) or (found is not None and name == found.id) else None
            named = {called or kind.called_by: name, **fields}
            return await self._put_credential(record, kind, found, kind.fields(named))
        if found is None:
            raise not_found()
        if method == "GET":
            return json_response(200, shown_credential(found, record))
        if method == "DELETE":
            kept = [one for one in kind.all_of(record) if one != found]
            await self._store.put(replace(record, **{kind.field: tuple(kept)}))
            return Response(204, Headers())
        told = kind.fields({kind.called_by: kind.name(found), **fields})
        return await self._add(record, kind, _changed(found, told), found, 200)

    async def _put_credential(
        self, record: ConsumerRecord, kind: Kind, found: Credential | None, told: dict[str, Any]
    ) -> Response:
        """Have it be just so, and make it if it is not there."""
        begun = self._begun()
        if found is not None:
            if told.get("id", found.id) != found.id:
                raise FieldError("id: can't be changed")
            begun = {"id": found.id, "created_at": found.created_at}
        return await self._add(record, kind, kind.make(told, begun), found, 200)

    async def _add(
        self,
        record: ConsumerRecord,
        kind: Kind,
        credential: Credential,
        replaced: Credential | None,
        status: int,
    ) -> Response:
        check_credential(kind, self._store.book, record, credential, replaced)
        others = [one for one in kind.all_of(record) if one != replaced]
        await self._store.put(replace(record, **{kind.field: (*others, credential)}))
        return json_response(status, shown_credential(credential, record))


def _changed(credential: Credential, told: dict[str, Any]) -> Credential:
    changed: Credential = replace(credential, **{**told, "id": credential.id})
    return changed
