"""The tables of benchmarks/README.md, and the short one of README.md, from one file of results.

python benchmarks/tables.py benchmarks/results/FILE.json            prints them
python benchmarks/tables.py benchmarks/results/FILE.json --write    puts them into both
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


SHORT = (  # rows, visible and hidden units, density
    ("half step v → h", 128, 784, 500, 0.5),
    ("CD-1 step", 128, 784, 500, 0.5),
    ("CD-10 step", 128, 784, 500, 0.5),
    ("CD-1 step", 5, 784, 500, 0.5),
    ("CD-1 step", 512, 784, 4096, 0.5),
    ("CD-1 step", 128, 4096, 4096, 0.5),
    ("CD-1 step", 128, 784, 16384, 0.02),
    ("MNIST epoch, CD-10", 50, 784, 500, 0.5),
    ("100 Gibbs steps", 512, 784, 500, 0.5),
    ("free energy", 512, 784, 500, 0.5),
    ("AIS, 100 sweeps", 100, 784, 500, 0.5),
)
_N_SHORT = 6  # columns


def render(found: dict[str, Any], name: str) -> str:
    """Caption, a line for each job of ours, a line for each program, limits and notes."""
    parts = [_caption(found, name), _table(_JOBS, map(_job_rows, _alone(found)))]
    records = found["records"]
    compared = [record for record in records if len(record["ms"]) > len(record["own"]) + 1]
    if compared:
        parts.append("The same against what else there is:")
        parts.append(_table(_PROGRAMS, map(_program_rows, compared)))
    parts.append("\n".join(f"- {note}" for note in (*_limits(found["limits"]), *_notes(found))))
    return "\n\n".join(parts) + "\n"


def render_short(found: dict[str, Any], name: str) -> str:
    """Caption, and a line for each job of ``SHORT`` with the most threads, and for what loses."""
    taken = {_job(record): record for record in _alone(found)}  # few threads first
    rows = (_short_rows(taken[job]) for job in SHORT if job in taken)
    return f"{_caption(found, name)}\n\n{_table(_JOBS[:_N_SHORT], rows)}\n"


def _caption(found: dict[str, Any], name: str) -> str:
    computer = f"{found['processor']}, {found['instruction_set']}, torch {found['torch']}"
    return f"{computer}, commit {found['commit']}; from `benchmarks/results/{name}`."


def _alone(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a job measured twice the first, beside eager torch alone."""
    keyed = {(*_job(each), each["n_threads"]): each for each in reversed(found["records"])}
    return [*reversed(keyed.values())]


def _job(record: dict[str, Any]) -> tuple[str, int, int, int, float]:
    names = "job", "n_rows", "n_visible", "n_hidden", "density"
    job, n_rows, n_visible, n_hidden, density = (record[name] for name in names)
    return job, n_rows, n_visible, n_hidden, density


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


def _short_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Our first variant, and each that is slower than eager torch."""
    ratios = [own["speedup"].get(EAGER) for own in record["own"].values()]
    rows = zip(_job_rows(record), ratios, strict=True)
    kept = [row for n, (row, ratio) in enumerate(rows) if n == 0 or (ratio and ratio[1] < 1)]
    return [row[:_N_SHORT] for row in kept]


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


def write(found: dict[str, Any], name: str, device: str) -> None:
    """Between the device's marks of both files."""
    begin, end = MARKS[device]
    for file, table in WRITTEN.items():
        before, rest = (ROOT / file).read_text().split(begin)
        (ROOT / file).write_text(before + begin + table(found, name) + end + rest.split(end)[1])


WRITTEN = {"benchmarks/README.md": render, "README.md": render_short}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, metavar="FILE", help="written by speed.py")
    parser.add_argument("--write", action="store_true", help="put them into both files")
    args = parser.parse_args()
    found = json.loads(args.results.read_text())
    if args.write:
        write(found, args.results.name, "cuda" if "0" in found["limits"] else "cpu")
    else:
        print(render(found, args.results.name), end="")


if __name__ == "__main__":
    main()
