"""Secrets as the configuration writes them: in place, or where they are to be found."""

import base64
import binascii
import os
from pathlib import Path

from realtime_proxy.errors import ConfigError, Problem


def resolve_secret(text: str, base_dir: Path) -> bytes:
    """The bytes of a secret: `env:NAME`, `file:PATH`, `base64:TEXT`, or the text itself.

    A PEM text is the text itself. Of a file with text in it the line end at its end does not belong
    to the secret: editors and shells put it there. Other bytes are taken as they are.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "env":
        return _from_environment(rest)
    if colon and kind == "file":
        return _from_file(base_dir / rest)
    if colon and kind == "base64":
        return _from_base64(rest)
    return text.encode()


def is_pem(secret: bytes) -> bool:
    """True if a secret is a PEM text: a key pair's half, not a shared secret."""
    return secret.lstrip().startswith(b"-----BEGIN ")


def without_line_end(content: bytes) -> bytes:
    """The secret that a file's content is."""
    text = content.rstrip(b"\r\n")
    return text if text.isascii() and text.decode().isprintable() else content


def _from_environment(name: str) -> bytes:
    value = os.environb.get(name.encode())
    if not value:
        raise _missing(f"environment variable {name or '(no name)'} is not set, or empty")
    return value


def _from_file(path: Path) -> bytes:
    try:
        secret = without_line_end(path.read_bytes())
    except OSError as error:
        raise _missing(f"can't read {path}: {error.strerror}") from error
    if not secret:
        raise _missing(f"{path} is empty")
    return secret


def _from_base64(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # The text is not shown: a near miss of a secret is still most of it.
        raise _missing("what follows `base64:` is not base64") from None
    if not secret:
        raise _missing("nothing follows `base64:`")
    return secret


def _missing(message: str) -> ConfigError:
    return ConfigError([Problem("", message)])
