"""The tables of README.md, from one file of results.

python benchmarks/tables.py benchmarks/results/MACHINE.json            prints them
python benchmarks/tables.py benchmarks/results/MACHINE.json --write    puts them into README.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from baselines import EAGER
from jobs import DENSE, OURS

from ncg_fast.benchmark.timing import spread

ROOT = Path(__file__).parents[1]
MARKS = {
    "cpu": ("<!-- speed: begin -->\n", "<!-- speed: end -->\n"),
    "cuda": ("<!-- speed on a GPU: begin -->\n", "<!-- speed on a GPU: end -->\n"),
}


def render(found: dict[str, Any], name: str) -> str:
    """Caption, a line for each job of ours, a line for each program, limits and notes."""
    machine = f"{found['processor']}, {found['instruction_set']}, torch {found['torch']}"
    caption = f"{machine}, commit {found['commit']}; from `benchmarks/results/{name}`."
    records = found["records"]
    names = "job", "n_threads", "n_visible", "n_hidden", "n_rows", "density"
    keyed = {tuple(record[name] for name in names): record for record in reversed(records)}
    alone = reversed(keyed.values())  # of a job measured twice the first, beside eager torch alone
    parts = [caption, _table(_JOBS, map(_job_rows, alone))]
    compared = [record for record in records if len(record["ms"]) > len(record["own"]) + 1]
    if compared:
        parts.append("The same against what else there is:")
        parts.append(_table(_PROGRAMS, map(_program_rows, compared)))
    parts.append("\n".join(f"- {note}" for note in (*_limits(found["limits"]), *_notes(found))))
    return "\n\n".join(parts) + "\n"


_JOBS = ("job", "rows x visible x hidden", "density", "threads", "ms [quartiles]")
_JOBS += ("x eager", "G mult-adds/s", "GB/s", "of limit")
_PROGRAMS = ("job", "rows x visible x hidden", "threads", "program", "ms [quartiles]")
_PROGRAMS += ("ncg_fast is faster by",)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *(row for several in rows for row in several)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _job_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for variant, own in record["own"].items():
        label = record["job"] if variant == OURS else f"{record['job']}, {variant}"
        ratio = own["speedup"].get(EAGER)
        share = own["share"]
        sparse = record.get("digits") == "sparse" and variant != DENSE
        paths = own.get("paths") or ["sparse"] * sparse
        label += "".join(f", {path}" for path in dict.fromkeys(paths))
        rows.append(
            (
                label,
                _shape(record),
                f"{record['density']:g}",
                str(record["n_threads"] or ""),
                spread(record["ms"][variant]),
                f"{ratio[1]:.2g}" if ratio else "",
                f"{own['multiply_adds_per_s'] / 1e9:.3g}",
                f"{own['bytes_per_s'] / 1e9:.3g}" if own["bytes_per_s"] else "",
                "" if share is None else f"{share:.0%}",
            )
        )
    return rows


def _program_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Each baseline, and by how much our first variant is faster."""
    first, own = next(iter(record["own"].items()))
    same = record["job"], _shape(record), str(record["n_threads"] or "")
    label = OURS if first == OURS else f"{OURS}, {first}"
    ours = (*same, label, spread(record["ms"][first]), "1")
    ratios = own["speedup"].items()
    return [
        ours,
        *((*same, name, spread(record["ms"][name]), f"{x[1]:.2g}") for name, x in ratios),
    ]


def _shape(record: dict[str, Any]) -> str:
    return " x ".join(str(record[name]) for name in ("n_rows", "n_visible", "n_hidden"))


def _limits(limits: dict[str, Any]) -> list[str]:
    """A note on each number of threads."""
    lines = []
    for n_threads, limit in limits.items():
        products = (f"{name} {rate / 1e9:.0f}" for name, rate in limit["products"].items())
        read, update = (
            f"{limit[way]['cache'] / 1e9:.0f} and {limit[way]['far'] / 1e9:.0f}"
            for way in ("read", "update")
        )
        words = f"{', '.join(products)} G multiply-adds/s of bytes; memory in and beyond the cache"
        of = "" if n_threads == "0" else f", {n_threads} thread(s)"
        lines.append(f"Limits{of}: {words}: read {read}, update {update} GB/s.")
    return lines


def _notes(found: dict[str, Any]) -> list[str]:
    """What is said of single jobs, and of the run."""
    jobs = {f"{record['job']}: {record['note']}." for record in found["records"] if record["note"]}
    return [*sorted(jobs), *found["notes"]]


def write(text: str, device: str) -> None:
    """Between the device's marks of README.md."""
    readme, (begin, end) = ROOT / "README.md", MARKS[device]
    before, rest = readme.read_text().split(begin)
    readme.write_text(before + begin + text + end + rest.split(end)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, metavar="FILE", help="written by speed.py")
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    args = parser.parse_args()
    found = json.loads(args.results.read_text())
    text = render(found, args.results.name)
    if args.write:
        write(text, "cuda" if "0" in found["limits"] else "cpu")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
