"""The command line of `pubcli`: everything `pushpin-publish` takes, and a few options more."""

import argparse
import math
import os
from collections.abc import Sequence

from realtime_proxy import __version__

DEFAULT_SPEC = "http://localhost:5561"
DEFAULT_TIMEOUT_SECONDS = 5.0

_USAGE = "pubcli [options] CHANNEL [CONTENT]"
_EPILOG = """\
CONTENT is the text itself, @FILE for the bytes of a file, or - for standard input. A text gets
a newline at its end for HTTP receivers; files and standard input are sent as they are. After --
nothing is an option. With --channel or --json, a single word is CONTENT and not CHANNEL.
"""


class Arguments(argparse.Namespace):
    """What the command line says; `channels` and `content` are sorted out of its plain words."""

    channels: list[str]
    content: str | None
    file: str | None
    json: bool
    id: str
    prev_id: str
    sender: str
    code: str | None
    header: list[str]
    meta: list[str]
    hint: bool
    close: bool
    patch: bool
    no_seq: bool
    no_eol: bool
    sse: bool
    spec: str
    user: str | None
    bearer: str | None
    timeout: float

    # As argparse leaves them, before they are sorted.
    words: list[str]
    channel: list[str]

    @property
    def is_action(self) -> bool:
        """True if a hint or a close is published, which carries no content."""
        return self.hint or self.close


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """The arguments of a call. Exits 2 on a usage error, 0 after --help or --version."""
    parser = _parser()
    options, words = _split_at_dashes(argv)
    arguments, unknown = parser.parse_known_intermixed_args(options, Arguments())
    if unknown:
        # Only the name: a mistyped option may well have a secret for its value.
        parser.error(f"unknown option {_option_name(unknown[0])}")
    _sort_words(parser, arguments, arguments.words + words)
    _check_json(parser, arguments)
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pubcli",
        usage=_USAGE,
        description="Publish a message to the clients that listen to a channel.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    _add_item_options(parser)
    _add_content_options(parser)
    _add_transport_options(parser)
    parser.add_argument("-V", "--version", action="version", version=f"pubcli {__version__}")
    return parser


def _add_item_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the item")
    add = group.add_argument
    add("--channel", action="append", default=[], metavar="CH", help="one more channel; repeatable")
    add("--id", default="", help="id of the item")
    add("--prev-id", default="", metavar="ID", help="id of the item before it")
    add("--sender", default="", metavar="S", help="meta item `sender`, for filters")
    add("--code", metavar="N", help="status for long-polls (default: 200)")
    add(
        "-H", "--header", action="append", default=[], metavar='"K: V"', help="field for long-polls"
    )
    add("-M", "--meta", action="append", default=[], metavar='"K=V"', help="meta item, for filters")
    add("--no-seq", action="store_true", help="deliver at once, whatever the ids say")


def _add_content_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("its content")
    add = group.add_argument
    add("--file", metavar="FILE", help="read the content from a file; - is standard input")
    add("--json", action="store_true", help="the content is an item, or a list of items, in JSON")
    add("--patch", action="store_true", help="the content is a JSON patch for long-polls")
    add("--no-eol", action="store_true", help="add no newline for HTTP receivers")
    add("--sse", action="store_true", help="make an event for EventSource of it, on streams")
    add("--hint", action="store_true", help="make receivers ask the backend, instead of content")
    add("--close", action="store_true", help="close streams and WebSockets, instead of content")


def _add_transport_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where to, and who says so")
    add = group.add_argument
    # `default` is looked up at each call and never shown: it may hold a key.
    add(
        "--spec",
        default=os.environ.get("GRIP_URL", DEFAULT_SPEC),
        metavar="URL",
        help=f"GRIP URL, tcp:// or ipc:// (default: $GRIP_URL, else {DEFAULT_SPEC})",
    )
    add("-u", "--user", metavar="USER:PASS", help="basic authentication, over https only")
    add("-B", "--bearer", metavar="TOKEN", help="bearer authentication, over https only")
    add(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT_SECONDS,
        metavar="SECONDS",
        help=f"how long to try (default: {DEFAULT_TIMEOUT_SECONDS:g})",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _split_at_dashes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and after it.

    argparse is not asked: what it makes of `--` among intermixed words differs by version.
    """
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _option_name(word: str) -> str:
    return word.partition("=")[0] if word.startswith("--") else word[:2]


def _sort_words(parser: argparse.ArgumentParser, arguments: Arguments, words: list[str]) -> None:
    has_file = arguments.file is not None
    if len(words) > 2 or (has_file and len(words) == 2):
        parser.error("CONTENT and --file exclude each other" if has_file else "too many arguments")
    needs_channel = not (arguments.channel or arguments.json)
    needs_content = not (has_file or arguments.is_action)
    if len(words) == 2 or (words and (needs_channel or not needs_content)):
        arguments.channels = [words.pop(0), *arguments.channel]
    else:
        arguments.channels = arguments.channel
    arguments.content = words.pop(0) if words else None
    if needs_channel and not arguments.channels:
        parser.error("missing CHANNEL")


# Options that would shape an item. One given as JSON is sent as it is written.
_SHAPING = (
    *("id", "prev_id", "sender", "code", "header", "meta"),
    *("no_seq", "no_eol", "sse", "hint", "close", "patch"),
)


def _check_json(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    given = [name for name in _SHAPING if getattr(arguments, name)]
    if arguments.json and given:
        parser.error(f"--json and --{given[0].replace('_', '-')} exclude each other")
