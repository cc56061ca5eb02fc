"""A deploy in front of two thousand clients of all kinds, as `benchmarks/deploy.py` has it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("clients", "workers"), [(2_000, 1), (400, 2)])
def test_nobody_is_refused_and_nobody_misses_anything(clients, workers):
    program = [sys.executable, "-m", "benchmarks.deploy"]
    command = [*program, "--clients", str(clients), "--workers", str(workers)]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
