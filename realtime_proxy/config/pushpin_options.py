"""The options of `pushpin.conf` that are not carried over: why, and what to do instead."""

import re
from collections.abc import Iterator

import attrs

from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.pushpin_settings import Settings

# Pushpin's own parts and how they talk to each other: there is one process and nothing to set.
_INTERNAL = re.compile(
    r"""
    # the first ones are filled into others, which are carried over
    (global | runner)\ (libdir | rundir | ipc_prefix | port_offset | include)
    | runner\ (services | \w+_bin)
    | proxy\ (
        workers | ipc_file_mode | stats_report_interval | stats_connections_max_ttl
        | updates_check | organization_name | \w+_specs? | inspect\w* | accept\w* | retry\w*
        | intreq\w*
    )
    | handler\ (state_spec | proxy_\w+ | m2a_\w+ | connmgr_\w+ | (?!push_in_)\w+_specs?)
    """,
    re.VERBOSE,
)

_OFF = frozenset({"", "false", "0"})
_UNLIMITED = frozenset({"", "-1", "0"})


@attrs.frozen
class Later:
    """An option that can't be carried over yet: what is different without it."""

    effect: str
    same: frozenset[str] = frozenset({""})  # values that change nothing


_LATER = {
    ("proxy", "max_open_requests"): Later("[server] max_connections is the limit", _UNLIMITED),
    ("handler", "share_all"): Later("each client's request goes to the backend", _OFF),
}


def left_over_notes(settings: Settings) -> Iterator[Note]:
    """A note for every option that the conversion has not used, unless it changes nothing."""
    for section, key, value in settings.not_asked():
        place = settings.place(section, key)
        later = _LATER.get((section, key))
        if later is not None:
            if value.strip().lower() not in later.same:
                yield Note(f"{place} = {value}", f"not carried over yet: {later.effect}")
        elif section == "runner" and key == "logdir":
            yield Note(place, "replaced by [log] file; without one, logs go to standard output")
        elif not _INTERNAL.fullmatch(f"{section} {key}"):
            yield Note(place, "unknown, to Pushpin too; left out")
