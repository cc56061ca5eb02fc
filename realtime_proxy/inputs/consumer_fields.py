"""What calls of the admin port say of consumers: as JSON, or as forms, in which all is text."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from realtime_proxy.errors import RealtimeProxyError
from realtime_proxy.grip.json_text import NotJsonError, decode_json
from realtime_proxy.model.headers import Headers
from realtime_proxy.pipeline.jwt_key import ALGORITHMS, BadKey, JwtKey

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_CHARACTERS = 8_192


class FieldError(RealtimeProxyError):
    """A call that can't be followed; the text says which field is wrong."""


def read_fields(headers: Headers, body: bytes) -> dict[str, Any]:
    """The fields of a body, without those that are null or empty. Raises FieldError."""
    kind = headers.media_type()
    if not body:
        return {}
    if kind == b"application/json":
        try:
            fields = decode_json(body)
        except NotJsonError as error:
            raise FieldError(f"the body is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise FieldError("the body must be a JSON object")
        return fields
    if kind in (b"application/x-www-form-urlencoded", b""):
        try:
            return dict(_form(body.decode()))
        except (UnicodeDecodeError, ValueError) as error:
            raise FieldError("the body is no form in UTF-8") from error
    raise FieldError("accepted: bodies of application/json and application/x-www-form-urlencoded")


def _form(text: str) -> Iterator[tuple[str, Any]]:
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    tags = [value for name, value in pairs if name in ("tags", "tags[]")]
    yield from ((name, value) for name, value in pairs if name not in ("tags", "tags[]"))
    if tags:
        yield "tags", tags


def consumer_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a consumer itself."""
    _only(fields, ("id", "username", "custom_id", "tags"))
    told: dict[str, Any] = {
        name: _text(fields, name) for name in ("username", "custom_id") if name in fields
    }
    if "tags" in fields:
        tags = fields["tags"] or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise FieldError("tags: must be a list of text")
        told["tags"] = tuple(tags)
    return told | _id(fields)


def key_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a key."""
    _only(fields, ("id", "key", "ttl", "tags"))
    told = _id(fields)
    if key := _text(fields, "key"):
        told["key"] = key
    if fields.get("ttl") is not None:
        told["ttl"] = _whole(fields["ttl"])
    return told


def jwt_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What may be said of what tokens are checked with."""
    _only(fields, ("id", "key", "secret", "algorithm", "rsa_public_key", "tags"))
    told = _id(fields)
    for name in ("key", "secret", "rsa_public_key"):
        if name in fields:
            told[name] = _text(fields, name, printable=name == "key")
    if algorithm := _text(fields, "algorithm"):
        if algorithm not in ALGORITHMS:
            raise FieldError(f"algorithm: accepted: {', '.join(ALGORITHMS)}")
        told["algorithm"] = algorithm
    return told


def check_jwt(algorithm: str, public_key: str | None) -> None:
    """Raises FieldError if tokens could not be checked with this."""
    if algorithm.startswith("HS"):
        return
    try:
        JwtKey.from_pem((public_key or "").encode(), (algorithm,))
    except BadKey as error:
        raise FieldError(f"rsa_public_key: {error}, which {algorithm} needs") from error


def group_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """What may be said of a group."""
    _only(fields, ("id", "group", "tags"))
    group = _text(fields, "group")
    if not group or "," in group:
        raise FieldError("group: required, without commas")
    return {"group": group, **_id(fields)}


def _only(fields: dict[str, Any], accepted: tuple[str, ...]) -> None:
    for name in fields:
        if name not in accepted:
            raise FieldError(f"{name}: unknown field; accepted: {', '.join(accepted)}")


def _id(fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("id") is None:
        return {}
    if not isinstance(fields["id"], str) or not _ID.fullmatch(fields["id"]):
        raise FieldError("id: must be a UUID")
    return {"id": fields["id"]}


def _text(fields: dict[str, Any], name: str, *, printable: bool = True) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        raise FieldError(f"{name}: must be text of at most {_MAX_CHARACTERS} characters")
    if printable and not value.isprintable():
        raise FieldError(f"{name}: must not have control characters")
    return value


def _whole(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise FieldError("ttl: must be a whole number of seconds")
    return int(text) or _never()


def _never() -> int:
    raise FieldError("ttl: must be more than 0")
