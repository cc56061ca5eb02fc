"""Installs the gateways that are not there yet: `make chains` runs it."""

import subprocess
import sys

from tests.chains.gateways import chosen


def main() -> None:
    """Try them all; fail if one could be had and did not install."""
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
        except subprocess.CalledProcessError:
            failed.append(gateway.name)
    if failed:
        sys.exit(f"not installed: {', '.join(failed)} (name others with GATEWAYS='…')")


if __name__ == "__main__":
    main()
