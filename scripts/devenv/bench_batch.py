"""How many questions a second `chaperone explain --batch` answers, as anybody runs it: one process, on one core.

The questions are the rules' own examples, over and over: every rule is asked about, matching and not. The clock runs
from the first piece of its output to the last, so that loading the rules does not count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import IO, Any

import orjson

from addons.core.reading import read_target
from addons.core.resources import BUILTIN_AND_OPTIONAL, refusal_of
from addons.edge.rulefiles import read_rules
from scripts.devenv.bench_machine import pinned
from scripts.devenv.bench_scenarios import WrongAnswers
from scripts.devenv.places import REPOSITORY

AIM = 1500
_PIECE = 65536


def measure(folders: Sequence[Path], rounds: int, questions: int, core: int | None) -> dict[str, Any]:
    """The report: questions a second, the median of the rounds. Raises WrongAnswers if one is not answered."""
    with tempfile.TemporaryFile() as asked, pinned(core):
        asked.writelines(islice(cycle(_questions(folders)), questions))
        rates = [_rate(folders, asked, questions) for _ in range(rounds)]
    rate = statistics.median(rates)
    return {
        "per_second": round(rate),
        "per_second_range": [round(min(rates)), round(max(rates))],
        "questions": questions,
        "aim_per_second": AIM,
        "met": rate >= AIM,
    }


def _rate(folders: Sequence[Path], asked: IO[bytes], questions: int) -> float:
    asked.seek(0)
    command = [sys.executable, "-m", "addons.cli", "explain", "--batch", *(f"--rules={folder}" for folder in folders)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, env=environment) as process:
        pieces = list(_pieces(process))
    answers = b"".join(piece for _, piece in pieces).splitlines()
    wrong = [answer for answer in answers if b'"verdict"' not in answer]
    if process.returncode or wrong or len(answers) != questions:
        raise WrongAnswers(f"explain --batch answered {len(answers)} of {questions} questions; {wrong[:1]}")
    (began, first), (ended, _) = pieces[0], pieces[-1]
    return (questions - first.count(b"\n")) / (ended - began)


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[tuple[float, bytes]]:
    """What it prints, with the time at which each piece came."""
    assert process.stdout
    while piece := os.read(process.stdout.fileno(), _PIECE):
        yield time.perf_counter(), piece


def _questions(folders: Sequence[Path]) -> list[bytes]:
    """Every example of every rule, but for those about resources that only a cluster could tell of."""
    documents, _ = read_rules([str(folder) for folder in folders])
    examples = [example for document in documents if document.kind == "Guardrail" for example in document.spec["tests"]]
    questions = [_question(example) for example in examples]
    return [
        orjson.dumps(question) + b"\n"
        for question in questions
        if refusal_of(read_target(question["method"], question["target"]), BUILTIN_AND_OPTIONAL) is None
    ]


def _question(example: Mapping[str, Any]) -> dict[str, Any]:
    """What is created or replaced is sent as clients send it; what a patch results in is given."""
    method, _, target = example["request"].partition(" ")
    field = "body" if method in ("POST", "PUT") else "object"
    question = {"method": method, "target": target, field: example.get("object")}
    return {**question, "old_object": example.get("oldObject")}
