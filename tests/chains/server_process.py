"""A server that runs in a folder, its output in a file."""

import contextlib
import os
import re
import subprocess
import time

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS


class ServerProcess:
    """Runs from the start to `stop`."""

    def __init__(self, command, folder, log_file, environment):
        self._log_file = log_file
        with self._log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )

    @property
    def log(self):
        return self._log_file.read_text(errors="replace")

    def wait_for(self, what, find):
        """What `find` returns, once that is something; fails if the server ends."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not (found := find()):
            assert self.process.poll() is None, f"it has ended:\n{self.log[-5000:]}"
            assert time.monotonic() < end, f"no {what}:\n{self.log[-5000:]}"
            time.sleep(0.02)
        return found

    def wait_for_log(self, pattern, after=0):
        """Come back when the log has a match, after so many characters."""
        return self.wait_for(f"{pattern} logged", lambda: re.search(pattern, self.log[after:]))

    def lines_with(self, text):
        return [line for line in self.log.splitlines() if text in line]

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(DEADLINE_SECONDS)
        self.process.kill()
        self.process.wait()
