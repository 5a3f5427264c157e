#!/usr/bin/env python3
"""Times what a model does on made-up values, whole batches throughout, as `stprune bench step` does: training steps (gather, forward,
loss, backward, clipping and Adam), evaluations (gather and forward, the sums of the errors), or epochs of three steps and one evaluation.
The first is reported by itself, the second warms up. On a GPU each ends when the GPU has done it."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from data import Batches, made_up, shape_of, split_windows
from models import MODELS, build
from training import Optimiser, OptimiserOptions, error_sums, evaluate, masked_mae

LEAST = {"step": 10, "evaluate": 10, "epoch": 2}  # what is measured, so often
EPOCH_BATCHES = 3  # trained on in an epoch


@dataclass(frozen=True)
class Report:
    what: str
    backend: str
    backbone: str
    nodes: int
    batch: int
    parameters: int
    first_step_ns: int  # from the start of the process to the end of the first step, evaluation or epoch
    steps: int  # or evaluations or epochs
    median_ns: int
    fastest_ns: int
    slowest_ns: int
    peak_bytes: int


def loss_function(
    model: nn.Module, batches: Batches, compiled: bool, reduce: Callable[[Tensor, Tensor, Tensor], Tensor] = masked_mae
) -> Callable[[Tensor], Tensor]:
    """The loss of the windows that begin at the given steps."""

    def loss(starts: Tensor) -> Tensor:
        x, future, y, mask = batches.cut(starts)
        return reduce(model(x, future) * batches.std + batches.mean, y, mask)

    return torch.compile(loss, dynamic=False) if compiled else loss


def running() -> float:
    """Seconds since this process was started, the interpreter and all imports included."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def measure(work: Callable[[], object], least: int, seconds: float, wait: Callable[[], None]) -> tuple[float, list[float]]:
    """When the first piece of work ended, see running, and the seconds of those after the second; wait returns when the device has
    done all."""

    def timed() -> float:
        wait()
        begin = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - begin

    timed()
    first = running()
    timed()
    end = time.perf_counter() + seconds
    times: list[float] = []
    while len(times) < least or time.perf_counter() < end:
        times.append(timed())
    return first, times


def run(args: argparse.Namespace) -> Report:
    torch.manual_seed(1)
    series = made_up(args.nodes, args.batch, args.history, args.horizon, args.per_day)
    windows = split_windows(series, args.history, args.horizon, (8, 1, 1))
    options = dict(args.option)
    model = build(args.model, shape_of(series, windows, args.model, options), options, args.sdpa, args.lean).to(args.device).train()
    batches = Batches(series, windows, model.inputs).to(args.device)
    loss_of, sums_of = loss_function(model, batches, args.compile), error_sums(model, batches, args.compile)
    optimiser = Optimiser(model, OptimiserOptions())
    starts_of_all = windows.train.to(args.device)
    few = starts_of_all[: EPOCH_BATCHES * args.batch]

    def shuffled(starts: Tensor) -> Tensor:
        return starts[torch.randperm(len(starts), device=args.device)]

    def train(starts: Tensor) -> None:
        optimiser.zero_grad()
        loss = loss_of(starts)
        loss.backward()
        optimiser.step()
        loss.item()

    def epoch() -> None:
        model.train()
        for starts in shuffled(few).split(args.batch):
            train(starts)
        evaluate(model, sums_of, [starts_of_all[len(few) : len(few) + args.batch]])

    work = {
        "step": lambda: train(shuffled(starts_of_all)[: args.batch]),
        "evaluate": lambda: evaluate(model, sums_of, [starts_of_all[: args.batch]]),
        "epoch": epoch,
    }[args.what]
    first, times = measure(work, LEAST[args.what], args.seconds, torch.cuda.synchronize if args.device == "cuda" else lambda: None)
    device = [] if args.device == "cpu" else [args.device]
    kind = " ".join(["torch", *device, *(f for f in ("compile", "sdpa", "lean", "keep_memory") if getattr(args, f))])
    nanoseconds = [round(t * 1e9) for t in times]
    return Report(
        args.what, kind, args.model, args.nodes, args.batch, sum(p.numel() for p in model.parameters()), round(first * 1e9),
        len(times), round(statistics.median(nanoseconds)), min(nanoseconds), max(nanoseconds),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    )  # fmt: skip


def key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}; want KEY=VALUE")
    return key.strip(), value.strip()


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="stid", choices=MODELS)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        help="option of the model, e.g. layers=2; may be repeated",
    )
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: torch's own choice")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--sdpa", action="store_true", help="attention by torch's scaled_dot_product_attention")
    parser.add_argument("--lean", action="store_true", help="Graph WaveNet's variant with less work")
    parser.add_argument(
        "--keep-memory", action="store_true", help="keep freed memory for the next step instead of handing it back to the system"
    )


def set_up(args: argparse.Namespace) -> None:
    """Applies the flags of the whole process, before torch takes memory."""
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    if args.keep_memory:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        no_mmap, no_trim = (-4, 0), (-1, -1)
        if mallopt is None or not (mallopt(*no_mmap) and mallopt(*no_trim)):
            raise ValueError("--keep-memory needs glibc's malloc")


def use_cuda() -> None:
    """Makes sure of a GPU, and of float32 in convolutions too, where torch would take TensorFloat-32."""
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU; see nvidia-smi, and whether torch was built for its driver")
    torch.backends.cudnn.allow_tf32 = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="step", choices=LEAST, help="what to time")
    add_model_flags(parser)
    parser.add_argument("--nodes", type=int, default=307)
    parser.add_argument("--batch", type=int, default=64, help="windows in a batch")
    parser.add_argument("--history", type=int, default=12)
    parser.add_argument("--horizon", type=int, default=12)
    parser.add_argument("--per-day", type=int, default=288, help="steps of a day")
    parser.add_argument("--for", dest="seconds", type=float, default=5.0, help="measure at least this many seconds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        set_up(args)
        if args.device == "cuda":
            use_cuda()
        r = run(args)
    except ValueError as e:
        print(f"step.py: {e}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(r), indent=2))
        return 0
    print(f"{r.backbone}, N = {r.nodes}, batch of {r.batch} windows, {r.parameters} parameters, on {r.backend}")
    print(f"threads  {torch.get_num_threads()}")
    print(f"{r.what:<8} {r.median_ns / 1e6:.1f} ms median of {r.steps} ({r.fastest_ns / 1e6:.1f} ms to {r.slowest_ns / 1e6:.1f} ms)")
    print(f"start    {r.first_step_ns / 1e9:.2f} s from the start of the process to the end of the first one")
    print(f"memory   {r.peak_bytes >> 20} MB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
