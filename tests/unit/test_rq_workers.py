"""The workers' parent process and its shutdown."""

import subprocess
import sys

TOLD_TWICE = """
import os, signal
from app.jobs.rq_workers import Pool

class Told(Pool):
    def _release(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    def _handle(self, number):
        os.kill(os.getpid(), signal.SIGTERM)
        super()._handle(number)

Told(None, url="", processes=0, schedule=False, burst=False).run()
"""


def test_second_signal_does_not_kill_the_parent_as_it_ends():
    assert subprocess.run([sys.executable, "-c", TOLD_TWICE], check=False).returncode == 0
