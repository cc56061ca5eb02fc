"""What calls about consumers are answered with: records, lists and failures, as Kong has them."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from realtime_proxy.inputs.consumer_fields import FieldError
from realtime_proxy.model.consumer_record import ConsumerRecord, GroupRecord, JwtRecord, KeyRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import Response

Credential = KeyRecord | JwtRecord | GroupRecord

_MAX_PAGE = 1_000
_PAGE = 100
# Kong's numbers of what may be wrong.
_SCHEMA_VIOLATION = {"code": 2, "name": "schema violation"}
_UNIQUE_VIOLATION = {"code": 5, "name": "unique constraint violation"}


class Failure(Exception):
    """Something that is answered otherwise than asked for."""

    def __init__(self, status: int, message: str, **told: Any) -> None:
        super().__init__(message)
        self.response = json_response(status, {"message": message, **told})


def not_found() -> Failure:
    """There is no such thing."""
    return Failure(404, "Not found")


def not_allowed() -> Failure:
    """The method is not for this."""
    return Failure(405, "Method not allowed")


def not_unique(field: str, value: str) -> Failure:
    """Another one has this already."""
    message = f"UNIQUE violation detected on '{{{field}=\"{value}\"}}'"
    return Failure(409, message, **_UNIQUE_VIOLATION, fields={field: value})


def nameless() -> Failure:
    """A consumer needs something to be called by."""
    problem = "at least one of these fields must be non-empty: 'custom_id', 'username'"
    told = _SCHEMA_VIOLATION | {"fields": {"@entity": [problem]}}
    return Failure(400, f"schema violation ({problem})", **told)


def invalid(error: FieldError) -> Response:
    """The answer to a call that can't be followed, by field where one is at fault."""
    field, colon, problem = str(error).partition(": ")
    if not colon or not field.isidentifier():
        return json_response(400, {"message": str(error)})
    told = {"message": f"schema violation ({error})", "fields": {field: problem}}
    return json_response(400, _SCHEMA_VIOLATION | told)


def shown(record: ConsumerRecord) -> dict[str, Any]:
    """A consumer."""
    return {
        "id": record.id,
        "username": record.username,
        "custom_id": record.custom_id,
        "created_at": record.created_at,
        "tags": list(record.tags) or None,
    }


def shown_credential(credential: Credential, record: ConsumerRecord) -> dict[str, Any]:
    """As Kong shows it today, and with the `consumer_id` of its early days."""
    owner = {"consumer": {"id": record.id}, "consumer_id": record.id}
    return msgspec.structs.asdict(credential) | owner


def full_list(data: Sequence[Any]) -> Response:
    """A list in one piece. `total` is of Kong's early days, too."""
    return json_response(200, {"data": data, "next": None, "total": len(data)})


def page_of(name: str, entries: Iterable[dict[str, Any]], query: dict[str, str]) -> Response:
    """A page of what `/NAME` lists, by ids. Raises FieldError."""
    size, offset = query.get("size", str(_PAGE)), query.get("offset", "")
    if not (size.isascii() and size.isdigit()) or not 0 < int(size[:5]) <= _MAX_PAGE:
        raise FieldError(f"size: must be a number from 1 to {_MAX_PAGE}")
    ordered = sorted(entries, key=lambda entry: str(entry["id"]))
    rest = [entry for entry in ordered if entry["id"] > offset]
    page = rest[: int(size)]
    told: dict[str, Any] = {"data": page, "next": None, "total": len(ordered)}
    if len(rest) > len(page):
        told["offset"] = page[-1]["id"]
        further = {**query, "size": size, "offset": told["offset"]}
        told["next"] = f"/{quote(name)}?{urlencode(further)}"
    return json_response(200, told)


def read_query(query: bytes) -> dict[str, str]:
    """The arguments of a call. Raises FieldError."""
    try:
        return dict(parse_qsl(query.decode("ascii"), errors="strict", max_num_fields=20))
    except ValueError as error:
        raise FieldError("the query is not UTF-8, percent-encoded") from error


def json_response(status: int, value: Any) -> Response:
    """An answer as JSON, for nobody's cache: there are keys in it."""
    kind = b"application/json; charset=utf-8"
    headers = Headers([(b"Content-Type", kind), (b"Cache-Control", b"no-store")])
    return Response(status, headers, msgspec.json.encode(value) + b"\n")
