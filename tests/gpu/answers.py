"""Ask a GPU what only a GPU can answer, in ten minutes at most:

    python tests/gpu/answers.py --device cuda --out gpu-answers

Each question has a process and some seconds of its own, and what it leaves over the next one has. Answers are
`answers.json` and `answers.md` in the folder; asked again, the script goes on with what is not answered yet.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_SECONDS = 2  # less than it takes to begin is not worth beginning


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every question is answered, as far as there was time for it; 1 when one failed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda", help="of torch: cuda, cuda:1, cpu to see that it works")
    options.add_argument("--out", type=Path, default=Path("gpu-answers"), help="folder of the answers")
    options.add_argument("--minutes", type=float, default=10.0, help="for all questions")
    options.add_argument("--only", nargs="*", default=(), help="questions, by name; all when none is named")
    options.add_argument("--small", action="store_true", help="as little as shows that the questions work")
    options.add_argument("--answer", help=argparse.SUPPRESS)
    asked = options.parse_args(arguments)
    if asked.answer:
        return answer(asked.answer, asked.device, asked.out, small=asked.small)
    sys.path.insert(0, str(HERE))
    from questions import QUESTIONS

    if unknown := set(asked.only) - QUESTIONS.keys():
        options.error(f"there is no question `{min(unknown)}`; there are {', '.join(QUESTIONS)}")
    budgets = {name: seconds for name, (_, seconds) in QUESTIONS.items() if not asked.only or name in asked.only}
    command = [sys.executable, __file__, "--device", asked.device, *(["--small"] if asked.small else [])]
    answers = ask(budgets, command, asked.out, 60 * asked.minutes)
    sys.stdout.write((asked.out / "answers.md").read_text(encoding="utf-8"))
    return int(any(one["status"] == "failed" for one in answers.values()))


def answer(name: str, device: str, folder: Path, *, small: bool) -> int:
    """In a question's own process."""
    sys.path.insert(0, str(HERE))
    from questions import QUESTIONS, Place

    from fedgen_bench.base.determinism import settle

    settle(device)
    QUESTIONS[name][0](Place(device, folder, small))
    return 0


def ask(budgets: Mapping[str, float], command: Sequence[str], out: Path, seconds: float) -> dict[str, Any]:
    """Answers by question: those that are there already, and those that are found now, within so many seconds."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "answers.json"
    answers: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    ends = time.monotonic() + seconds
    todo = [name for name in budgets if answers.get(name, {}).get("status") != "answered"]
    for place, name in enumerate(todo):
        spare = ends - time.monotonic() - sum(budgets[later] for later in todo[place + 1 :])
        given = min(max(budgets[name], spare), ends - time.monotonic())
        if given > START_SECONDS:
            answers[name] = _asked(name, command, out / name, given)
            kept.write_text(json.dumps(answers, indent=1), encoding="utf-8")
            (out / "answers.md").write_text(_report(answers), encoding="utf-8")
    if not (out / "answers.md").exists():
        (out / "answers.md").write_text(_report(answers), encoding="utf-8")
    return answers


def _asked(name: str, command: Sequence[str], folder: Path, seconds: float) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    began = time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [*command, "--answer", name, "--out", str(folder)], stdout=log, stderr=log, start_new_session=True
        )
        try:
            status = "answered" if child.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "cut off"
            os.killpg(child.pid, 9)  # with its workers; what is committed is kept
            child.wait()
    found = folder / "answer.json"
    last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return {
        "status": status,
        "seconds": round(time.monotonic() - began, 1),
        **({"reason": last[0] if last else ""} if status == "failed" else {}),
        "answer": json.loads(found.read_text(encoding="utf-8")) if found.exists() else {},
    }


def _report(answers: Mapping[str, Any]) -> str:
    lines = ["# Answers of a device", ""]
    for name, one in answers.items():
        lines += [f"## {name}: {one['status']}, {one['seconds']} s", ""]
        lines += [f"- {one['reason']}"] if "reason" in one else []
        for key, value in one["answer"].items():
            told = "; ".join(f"{inner}: {said}" for inner, said in value.items()) if isinstance(value, dict) else value
            lines.append(f"- {key}: {told}")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
