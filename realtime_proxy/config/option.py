"""How a key of the configuration is declared."""

from typing import Any

import attrs

from realtime_proxy.config.checks import (
    Check,
)


def option(
    default: Any,
    doc: str,
    check: Check | None = None,
    *,
    restart: bool = False,
    file: bool = False,
) -> Any:
    """A field of the configuration: its default, the text of the manual, what it may be.

    The check sees one value, of a list each element, of a table each key with its value. `restart`
    says that a change needs one; `file` that the value names a file or folder whose change counts
    as one of the configuration.
    """
    metadata = {"doc": doc, "check": check, "restart": restart, "file": file}
    return attrs.field(default=default, metadata=metadata)


def required(doc: str, check: Check | None = None, *, file: bool = False) -> Any:
    """A field that the file must give."""
    return attrs.field(metadata={"doc": doc, "check": check, "file": file})
