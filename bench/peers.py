"""Measures ours and PyTorch, or another build of ours, in turn: prints a table, stores every number as CSV."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS, BEFORE = "ours", "before"
QUIET = 0.1  # cores that others may use
SLOWER, ROUNDS = 0.9, 3  # before / ours: below this in every round, and in so many, ours has become slower
WHAT = ["step", "evaluate", "epoch"]
CASES = [
    *("stid 67 64", "stid 170 64", "stid 307 64", "stid 716 64", "gwnet 67 64", "gwnet 170 64"),
    *("staeformer 67 16", "staeformer 170 16", "opencity 67 4 288"),
]
VARIANTS = {
    "cpu": ["plain=", "tuned=--lean --keep-memory"],
    "cuda": ["plain=", "tuned=--lean", "compile=--lean --compile"],
}


@dataclass(frozen=True)
class Case:
    model: str
    nodes: int
    batch: int
    steps: int  # history and horizon

    @staticmethod
    def read(text: str) -> Case:
        words = text.split()
        try:
            model, *numbers = words
            nodes, batch, steps = (*map(int, numbers), 12)[:3]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r}; want MODEL NODES BATCH, perhaps followed by the steps of history and horizon"
            ) from None
        return Case(model, nodes, batch, steps)

    def flags(self) -> list[str]:
        given = {"model": self.model, "nodes": self.nodes, "batch": self.batch, "history": self.steps, "horizon": self.steps}
        return [word for key, value in given.items() for word in ("--" + key, str(value))]


@dataclass(frozen=True)
class Row:
    """One measurement, as it stands in the CSV."""

    date: str
    device: str  # the GPU's name, or cpu
    cpu: str
    cores: int
    revision: str
    model: str
    nodes: int
    batch: int
    history: int
    what: str  # step, evaluate or epoch
    round: int
    who: str
    backend: str
    parameters: int
    steps: int  # or evaluations or epochs
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    first_s: float  # from the start of the process to the end of the first
    peak_mb: float
    others: float  # cores that other processes kept busy meanwhile
    host_share: float  # of the time, in which ours did not compute; nan for theirs
    flags: str  # beyond the case's


@dataclass(frozen=True)
class Machine:
    device: str
    cpu: str
    cores: int
    revision: str

    @staticmethod
    def here(device: str) -> Machine:
        if device == "cuda":
            ask = "import torch; print(torch.cuda.get_device_name())"
            answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
            if answer.returncode != 0:
                raise RuntimeError(f"torch finds no GPU:\n{answer.stderr[-2000:]}")
            device = answer.stdout.strip()
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        git = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True)
        cpu = names[0].strip() if names else "unknown"
        return Machine(device, cpu, len(os.sched_getaffinity(0)), git.stdout.strip() or "unknown")


def busy_seconds() -> float:
    """What all cores have worked since the machine started."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def call(command: list[str], environment: dict[str, str]) -> tuple[dict, float, float]:
    """The JSON that a command prints, its peak memory in MB as the system counts it, and the cores that others kept busy."""
    begin, busy = time.perf_counter(), busy_seconds()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise RuntimeError(f"{shlex.join(command)}: exit status {process.returncode}\n{errors.read()[-2000:]}")
    others = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
    return json.loads(out), usage.ru_maxrss / 1024, max(0.0, others / (time.perf_counter() - begin))


def measure(machine: Machine, device: str, case: Case, what: str, round: int, who: str, command: list[str], flags: str) -> Row:
    # Without the caches of compiled code, from which only a second run would profit.
    r, peak, others = call(command, {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "STPRUNE_EXEC_CACHE": "off"})
    if who in (OURS, BEFORE) and r["backend"] != device:
        raise RuntimeError(f"{shlex.join(command)}: computed on backend {r['backend']}; want {device}")
    times = (r["median_ns"] / 1e6, r["fastest_ns"] / 1e6, r["slowest_ns"] / 1e6, r["first_step_ns"] / 1e9)
    numbers = (*times, peak, others, r.get("host_share", math.nan))
    return Row(
        datetime.now().isoformat(timespec="seconds"), machine.device, machine.cpu, machine.cores, machine.revision,
        case.model, case.nodes, case.batch, case.steps, what, round, who, r["backend"], r["parameters"], r["steps"],
        *(float(f"{t:.4g}") for t in numbers), flags,
    )  # fmt: skip


def commands(args: argparse.Namespace, case: Case, what: str) -> dict[str, tuple[list[str], str]]:
    """What measures ours and the others, and its flags beyond the case's."""
    flags = ["--json", *case.flags()]
    if what != "step":  # older builds measure nothing else
        flags += ["--what", what]
    step = ["bench", "step", "--backend", f"xla:{args.device}", "--for", f"{args.seconds:g}s", *flags, *shlex.split(args.ours)]
    ours = ([args.stprune, *step], args.ours.strip())
    if args.against:
        return {OURS: ours, BEFORE: ([args.against, *step], args.ours.strip())}
    theirs = [sys.executable, str(HERE / "step.py"), "--device", args.device, "--for", f"{args.seconds:g}", *flags]
    return {OURS: ours} | {name: ([*theirs, *shlex.split(more)], more.strip()) for name, more in args.variant}


def spread(values: list[float], digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})" if len(values) > 1 else f"{middle:.{digits}f}"


def ratios(pairs: list[tuple[Row, Row]]) -> list[float]:
    """Theirs / ours in each round."""
    return [theirs.median_ms / mine.median_ms for mine, theirs in pairs]


def table(rows: list[Row]) -> tuple[list[list[str]], list[str]]:
    """A line for each case and variant, with medians over the rounds; and the cases in which ours is slower than before."""
    heads = "model,N,batch,steps,what,peer,ours ms,peer ms,peer / ours,ours MB,peer MB,ours first s,peer first s"
    lines, slower = [heads.split(",")], []
    by: dict[tuple, dict[str, list[Row]]] = {}
    for r in rows:
        by.setdefault((r.model, r.nodes, r.batch, r.history, r.what), {}).setdefault(r.who, []).append(r)
    for (model, nodes, batch, history, what), of in by.items():
        ours = {r.round: r for r in of.get(OURS, [])}
        for who in [w for w in of if w != OURS]:
            pairs = [(ours[r.round], r) for r in of[who] if r.round in ours]
            if not pairs:
                continue

            def middle(side: int, name: str, digits: int, pairs: list[tuple[Row, Row]] = pairs) -> str:
                return f"{statistics.median(getattr(p[side], name) for p in pairs):.{digits}f}"

            if who == BEFORE and len(pairs) >= ROUNDS and max(ratios(pairs)) < SLOWER:
                slower.append(f"{model} {nodes} {batch}, {what}")
            lines.append([
                model, str(nodes), str(batch), str(history), what, who, middle(0, "median_ms", 1), middle(1, "median_ms", 1), spread(ratios(pairs), 2),
                middle(0, "peak_mb", 0), middle(1, "peak_mb", 0), middle(0, "first_s", 1), middle(1, "first_s", 1),
            ])  # fmt: skip
    return lines, slower


def print_table(lines: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(w) if i in (0, 4, 5) else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip())


def variant(text: str) -> tuple[str, str]:
    name, equals, flags = text.partition("=")
    if not equals or not name or name == OURS:
        raise argparse.ArgumentTypeError(f"{text!r}; want NAME=FLAGS of step.py, e.g. sdpa=--sdpa")
    return name, flags


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ + " `stprune bench peers` calls this and has the same flags.")
    parser.add_argument("--stprune", required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--against", metavar="PROGRAM", help=f"an older build of ours instead of PyTorch; fails where ours is slower in every round ({BEFORE} / ours < {SLOWER}), of {ROUNDS} at least"
    )
    parser.add_argument("--device", default="cpu", choices=VARIANTS)
    parser.add_argument("--what", action="append", choices=WHAT, help=f"may be repeated; default: {', '.join(WHAT)}; with --against step")
    parser.add_argument("--repeat", type=int, help=f"rounds of each case; default: 2; with --against {ROUNDS}")
    parser.add_argument("--for", dest="seconds", type=float, default=2.0, help="seconds of each measurement")
    parser.add_argument("--case", action="append", type=Case.read, help=f"may be repeated; default: {'; '.join(CASES)}")
    parser.add_argument(
        "--variant",
        action="append",
        type=variant,
        metavar="NAME=FLAGS",
        help=f"of the peer, may be repeated; default: {'; '.join(VARIANTS['cpu'])}",
    )
    parser.add_argument("--ours", default="", metavar="FLAGS", help="more flags of stprune bench step")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the CSV")
    args = parser.parse_args()
    args.what = args.what or (WHAT[:1] if args.against else WHAT)
    if args.repeat is None:
        args.repeat = ROUNDS if args.against else 2
    if args.repeat < 1:
        parser.error("--repeat must be at least 1")
    args.case = args.case or [Case.read(c) for c in CASES]
    args.variant = args.variant or [variant(v) for v in VARIANTS[args.device]]
    return args


def run(args: argparse.Namespace) -> None:
    machine = Machine.here(args.device)
    args.results.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", (machine.cpu if args.device == "cpu" else machine.device).lower()).strip("-")
    path = args.results / f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}.csv"
    rows: list[Row] = []
    failures: list[str] = []
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, [f.name for f in fields(Row)])
        out.writeheader()
        for case, what in itertools.product(args.case, args.what):
            name = f"{case.model} {case.nodes} {case.batch}, {what}"
            parameters: int | None = None
            failed: set[str] = set()  # they would fail in the next round too
            for round in range(1, args.repeat + 1):
                turn = list(commands(args, case, what).items())
                for who, (command, flags) in turn if round % 2 else reversed(turn):
                    if who in failed:
                        continue
                    try:
                        r = measure(machine, args.device, case, what, round, who, command, flags)
                    except RuntimeError as e:  # perhaps the memory is too small for it
                        failed.add(who)
                        failures.append(f"{name}, {who}")
                        print(f"{failures[-1]}: {e}", file=sys.stderr)
                        continue
                    parameters = parameters or r.parameters
                    if r.parameters != parameters:
                        raise RuntimeError(f"{case}: {who} has {r.parameters} parameters, another {parameters}; not the same model")
                    rows.append(r)
                    out.writerow(asdict(r))
                    file.flush()
                    print(f"{name}, round {round}, {who}: {r.median_ms:.1f} ms", file=sys.stderr)
    print(f"{machine.device}, {machine.cpu}, {machine.cores} cores, {machine.revision}\n")
    lines, slower = table(rows)
    print_table(lines)
    if (most := max((r.others for r in rows), default=0.0)) > QUIET:
        print(f"\nnot a quiet machine: others kept up to {most:.1f} cores busy, from which torch's threads suffer far more")
    print(f"\nall numbers: {os.path.relpath(path)}")
    if failures:
        raise RuntimeError("failed: " + "; ".join(failures))
    if slower:
        raise RuntimeError("slower than before in every round: " + "; ".join(slower))


if __name__ == "__main__":
    try:
        run(parse())
    except RuntimeError as e:
        sys.exit(f"bench peers: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
