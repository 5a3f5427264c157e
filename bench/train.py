#!/usr/bin/env python3
"""Trains a model on a data set's folder with the protocol and the defaults of our own runs, and tests the parameters of the best
validation: train.py FOLDER --split 7 1 2 --epochs 20."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data import Batches, Windows, load_folder, shape_of, split_windows
from models import build
from step import add_model_flags, loss_function, set_up
from training import InfoBatch, Metrics, Optimiser, OptimiserOptions, Schedule, error_sums, evaluate, masked_mae, masked_mae_each


@dataclass
class Seconds:
    steps: float = 0.0
    evaluation: float = 0.0


class Run:
    def __init__(self, args: argparse.Namespace):
        self.args = args
        series = load_folder(args.folder)
        torch.manual_seed(args.seed)
        history, horizon = args.history or series.per_day, args.horizon or series.per_day
        self.windows: Windows = split_windows(series, history, horizon, tuple(args.split))
        options = dict(args.option)
        self.model = build(args.model, shape_of(series, self.windows, args.model, options), options, args.sdpa, args.lean)
        self.batches = Batches(series, self.windows, self.model.inputs)
        reduce = masked_mae_each if args.infobatch else masked_mae
        self.loss_of: Callable[[Tensor], Tensor] = loss_function(self.model, self.batches, args.compile, reduce)
        self.sums_of = error_sums(self.model, self.batches, args.compile)
        self.optimiser = Optimiser(self.model, OptimiserOptions(**{f.name: getattr(args, f.name) for f in fields(OptimiserOptions)}))
        self.schedule = Schedule(args.schedule, tuple(args.milestones), args.gamma, args.floor)
        self.order = torch.Generator().manual_seed(args.seed)
        self.infobatch = None
        if args.infobatch:
            self.infobatch = InfoBatch(len(self.windows.train), args.infobatch, args.delta, args.epochs, self.order)
        self.seconds = Seconds()

    def epoch(self, epoch: int) -> float:
        """Trains one epoch, the last batch as short as it is, and returns the mean training loss."""
        self.model.train()
        begin = time.perf_counter()
        count = len(self.windows.train)
        if self.infobatch:
            order = self.infobatch.draw(epoch)
        else:
            order = torch.randperm(count, generator=self.order)[: max(1, round(self.args.rho * count))]
        batches = order.split(self.args.batch)
        total = 0.0
        for i, windows in enumerate(batches):
            # How many steps InfoBatch will take is not known: an epoch's steps share its part of the schedule.
            share = self.schedule.share(epoch, epoch * len(batches) + i, self.args.epochs * len(batches))
            self.optimiser.scale_rates(share)
            self.optimiser.zero_grad()
            loss = self.loss_of(self.windows.train[windows])
            if self.infobatch:
                loss = self.infobatch.weighted(windows, loss)
            loss.backward()
            self.optimiser.step()
            total += loss.item() * len(windows)
        self.seconds.steps += time.perf_counter() - begin
        if not total < float("inf"):
            raise ValueError(f"the loss became {total} in epoch {epoch + 1}; lower the learning rate")
        return total / len(order)

    def evaluate(self, starts: Tensor) -> Metrics:
        begin = time.perf_counter()
        metrics = evaluate(self.model, self.sums_of, starts.split(self.args.eval_batch))
        self.seconds.evaluation += time.perf_counter() - begin
        return metrics

    def train(self) -> dict[str, Any]:
        """Trains all epochs and tests the best parameters."""
        w = self.windows
        print(f"{len(w.train)}, {len(w.val)} and {len(w.test)} windows, mean {w.mean:.4f}, std {w.std:.4f}", file=sys.stderr)
        best_mae, best_epoch, best, validations = float("inf"), 0, {}, []
        for epoch in range(self.args.epochs):
            loss = self.epoch(epoch)
            mae = self.evaluate(w.val).pooled.mae
            validations.append(mae)
            print(
                f"epoch {epoch + 1:>3}  loss {loss:.4f}  validation MAE {mae:.4f}  {sum(asdict(self.seconds).values()):.1f} s",
                file=sys.stderr,
            )
            if mae < best_mae:
                best_mae, best_epoch = mae, epoch + 1
                best = {k: v.clone() for k, v in self.model.state_dict().items()}
            if 0 < self.args.patience <= epoch + 1 - best_epoch:
                break
        if not best:
            raise ValueError("no validation gave a number")
        self.model.load_state_dict(best)
        test = self.evaluate(w.test)
        return {
            "model": self.args.model,
            "seed": self.args.seed,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "validation_mae": validations,
            "best_epoch": best_epoch,
            "test": asdict(test),
            "seconds": asdict(self.seconds),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        }


def print_result(r: dict[str, Any]) -> None:
    rows = {f"horizon {h}": r["test"]["horizons"][h - 1] for h in (3, 6, 12) if h <= len(r["test"]["horizons"])}
    rows |= {"mean of horizons": r["test"]["mean"], "all entries": r["test"]["pooled"]}
    print(f"{'test':>16}  {'MAE':>8}  {'RMSE':>8}  {'MAPE':>8}")
    for name, e in rows.items():
        print(f"{name:>16}  {e['mae']:8.4f}  {e['rmse']:8.4f}  {100 * e['mape']:6.2f} %")
    best, all_seconds = r["best_epoch"], r["seconds"]
    print(f"\nbest validation   MAE {r['validation_mae'][best - 1]:.4f} in epoch {best} of {len(r['validation_mae'])}")
    print(
        f"seconds           {sum(all_seconds.values()):.1f}: steps {all_seconds['steps']:.1f}, evaluation {all_seconds['evaluation']:.1f}"
    )
    print(f"peak memory       {r['peak_bytes'] >> 20} MB")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a data set's folder, with dataset.toml in it")
    add_model_flags(parser)
    data = parser.add_argument_group("data and training")
    data.add_argument("--history", type=int, default=12, help="input steps; 0: a day")
    data.add_argument("--horizon", type=int, default=12, help="forecast steps; 0: a day")
    data.add_argument("--split", type=float, nargs=3, default=(6, 2, 2), metavar=("TRAIN", "VAL", "TEST"))
    data.add_argument("--epochs", type=int, default=20)
    data.add_argument("--rho", type=float, default=1.0, help="share of the windows that each epoch draws anew")
    data.add_argument("--infobatch", type=float, default=0, metavar="R", help="prune by InfoBatch with this r, e.g. 0.5; 0: don't")
    data.add_argument("--delta", type=float, default=0.875, help="share of the epochs after which InfoBatch keeps all")
    data.add_argument("--batch", type=int, default=64)
    data.add_argument("--eval-batch", type=int, default=64)
    data.add_argument("--patience", type=int, default=0, help="epochs without a better validation after which the run ends; 0: none")
    data.add_argument("--seed", type=int, default=1)
    rates = parser.add_argument_group("optimiser")
    default = OptimiserOptions()
    rates.add_argument("--optimiser", dest="name", choices=("sgd", "adam", "adamw", "muon"), default=default.name)
    for name in ("lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "aux_lr", "clip"):
        rates.add_argument("--" + name.replace("_", "-"), type=float, default=getattr(default, name))
    rates.add_argument("--nesterov", action="store_true")
    rates.add_argument("--schedule", choices=("constant", "multistep", "cosine"), default="constant")
    rates.add_argument("--milestones", type=int, nargs="*", default=(), help="epochs after which multistep multiplies by --gamma")
    rates.add_argument("--gamma", type=float, default=0.1)
    rates.add_argument("--floor", type=float, default=0.0, help="last rate of cosine as a share of the first")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if min(args.split) <= 0 or min(args.epochs, args.batch, args.eval_batch) < 1 or min(args.history, args.horizon) < 0:
        parser.error("split, epochs and batches must be above 0, history and horizon not below")
    if not 0 < args.rho <= 1:
        parser.error("--rho must be in (0,1]")
    if not 0 <= args.infobatch < 1:
        parser.error("--infobatch must be in [0,1)")
    return args


def main() -> int:
    args = parse()
    try:
        set_up(args)
        result = Run(args).train()
    except (ValueError, OSError) as e:
        print(f"train.py: {e}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
