"""Worker processes of a script: they are spawned without running it again."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from contextlib import nullcontext
from functools import partial
from operator import is_

from fedgen_bench.base.pool import Note
from fedgen_bench.base.workers import Workers

print("script")
crew = Workers(partial(nullcontext, is_))
worker = crew.hire()
crew.give(worker, 1)
while not (heard := [said for _, said in crew.wait([worker], block=True) if not isinstance(said, Note)]):
    pass
print(heard, __name__)
crew.dismiss(worker)
"""


def test_a_script_without_a_guard_may_hire_workers(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "script\n[False] __main__\n"
