"""The filter `build-id`: ids that say what a client has of all its channels, put into content.

Its form is the subscription's meta `id_format`, a template of last ids by channel: `%(a)s_%(b)s`.
"""

from collections.abc import Callable, Mapping

from realtime_proxy.errors import FilterError
from realtime_proxy.grip.template import Directive, rendered, variables


def id_substitute(
    meta: Mapping[str, str], last_ids: Mapping[str, str | None] | None
) -> Callable[[Directive], bytes]:
    """For templates in which `%I` is the client's id, and `%(TEXT)I` the id that TEXT is.

    `last_ids` has the session's channels; without them, as in a first response, there is no `%I`.
    With the meta `id_encoding=hex` ids are written so. Raises FilterError.
    """
    form = meta.get("id_format")
    if form is None:
        raise FilterError("no sub meta 'id_format'")
    encoding = meta.get("id_encoding")
    if encoding not in (None, "hex"):
        raise FilterError(f"unsupported encoding: {encoding}")

    def substitute(directive: Directive) -> bytes:
        if directive.letter != b"I":
            raise directive.unknown()
        text = directive.argument
        if text is None:
            if last_ids is None:
                raise directive.error("No ID specified and no default ID in context")
            text = _rendered_id(form, last_ids)
        return text.hex().encode() if encoding else text

    return substitute


def _rendered_id(form: str, last_ids: Mapping[str, str | None]) -> bytes:
    try:
        return rendered(form.encode(), variables(last_ids))
    except FilterError as error:
        raise FilterError(f"failed to render ID: {error}") from error
