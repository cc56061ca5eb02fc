"""Installs the gateways that are not there yet: `make chains` runs it."""

import subprocess
import sys

from tests.chains.gateways import are_named, chosen


def main() -> None:
    """Try them all; fail if one did not install that was asked for by name."""
    failed = []
    for gateway in chosen():
        if gateway.program is not None:
            continue
        if obstacle := gateway.source.obstacle():
            print(f"{gateway.name} can't be checked: {obstacle}")
            continue
        print(f"installing {gateway.name} ({gateway.source})", flush=True)
        try:
            gateway.source.install()
        except subprocess.SubprocessError:
            print(f"{gateway.name} can't be checked: it could not be installed")
            failed.append(gateway.name)
    if failed and are_named():
        sys.exit(f"not installed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
