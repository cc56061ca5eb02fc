"""Where the configuration comes from, so that it can be read again."""

from collections.abc import Callable
from pathlib import Path

import attrs

from realtime_proxy.config.schema import Config


@attrs.frozen
class Source:
    """`load` reads the configuration (ConfigError), `file` is its file, if it has one.

    Relative paths in it begin at `base_dir`.
    """

    load: Callable[[], Config]
    base_dir: Path
    file: Path | None = None
