"""Everything that goes wrong at once, in short: `benchmarks/faults.py` has the long form."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_rest_goes_on_being_served():
    command = [sys.executable, "-m", "benchmarks.faults", "--clients", "100", "--seconds", "2"]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
