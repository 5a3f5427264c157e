#!/usr/bin/env python3
"""Compares the models with arrays of the reference implementations: check.py FOLDER (of X.npz with X.json)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models import Shape, build
from training import Optimiser, OptimiserOptions, hidden_matrices, masked_mae


class Golden:
    """One file of arrays, and what differed from it."""

    def __init__(self, path: Path):
        self.path = path
        self.about: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        with np.load(path) as arrays:
            self.arrays: dict[str, np.ndarray] = {k: arrays[k] for k in arrays.files}
        if not self.group("param."):  # opencity_48 has those of opencity_288
            with np.load(path.with_name("opencity_288.npz")) as arrays:
                self.arrays |= {k: arrays[k] for k in arrays.files if k.startswith(("param.", "buffer."))}
        self.seen: set[str] = set()
        self.problems: list[str] = []
        self.worst = 0.0, "nothing"  # difference as a share of its tolerance

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name].astype(np.float32))

    def group(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): torch.from_numpy(v) for k, v in self.arrays.items() if k.startswith(prefix)}

    def compare(self, name: str, got: Tensor | None) -> None:
        if name not in self.arrays:
            return
        self.seen.add(name)
        want = self.arrays[name].astype(np.float64)
        tolerance = self.about["arrays"][name]["suggested_abs_tol"]
        if got is None:
            self.problems.append(f"{name}: missing")
            return
        have = got.detach().double().numpy()
        if have.size != want.size:
            self.problems.append(f"{name}: shape {have.shape}, want {want.shape}")
            return
        difference = float(np.abs(have.reshape(want.shape) - want).max())
        self.worst = max(self.worst, (difference / tolerance, name))
        if not difference <= tolerance:
            self.problems.append(f"{name}: differs by {difference:.3g}, tolerance {tolerance:.3g}")


STID_KEYS = {"embed_dim": "embed_dim", "node_dim": "node_dim", "temp_dim_tid": "tod_dim", "temp_dim_diw": "dow_dim", "num_layer": "layers"}
GWNET_KEYS = {
    "residual_channels": "residual", "dilation_channels": "dilation", "skip_channels": "skip", "end_channels": "end",
    "kernel_size": "kernel", "blocks": "blocks", "layers": "layers", "in_dim": "channels", "input_dim": "channels",
}  # fmt: skip
STAEFORMER_KEYS = {
    "input_embedding_dim": "embed_dim", "tod_embedding_dim": "tod_dim", "dow_embedding_dim": "dow_dim",
    "adaptive_embedding_dim": "adaptive_dim", "feed_forward_dim": "ff_dim", "num_heads": "heads", "num_layers": "layers",
}  # fmt: skip
OPENCITY_KEYS = {"embed_dim": "dim", "heads": "heads", "depth": "depth", "lape_dim": "lap_dim", "mlp_ratio": "ff_ratio"}
KEYS = {"stid": STID_KEYS, "gwnet": GWNET_KEYS, "staeformer": STAEFORMER_KEYS, "opencity": OPENCITY_KEYS}


def model_of(g: Golden, sdpa: bool, lean: bool) -> nn.Module:
    """The model of a file with its parameters and buffers, without dropout."""
    name = g.path.stem.split("_")[0]
    if name not in KEYS:
        raise ValueError(f"{g.path}: no model for this file; names begin with {', '.join(KEYS)}")
    config = g.about["config"]
    options: dict[str, Any] = {ours: config[theirs] for theirs, ours in KEYS[name].items() if theirs in config}
    options["dropout"] = 0
    x = g.tensor("x")
    horizon = g.tensor("y").shape[1]
    matrices: dict[str, Tensor] = {}
    per_day = config.get("steps_per_day", 288)
    if name == "gwnet":
        matrices = {"forward_walk": g.tensor("P_fwd"), "backward_walk": g.tensor("P_bwd")}
        options["dead_convs"] = any(k.startswith("residual_convs.") for k in g.group("param."))
    if name == "opencity":
        matrices = {"adjacency": g.tensor("adj_mx"), "eigenvectors": g.tensor("lap_mx")}
        options["attention_dropout"] = 0
        per_day = config.get("steps", 288)
    model = build(name, Shape(x.shape[2], x.shape[1], horizon, per_day, **matrices), options, sdpa, lean)
    problems = model.load_state_dict(g.group("param.") | g.group("buffer."), strict=False)
    missing = [k for k in problems.missing_keys if not k.endswith("num_batches_tracked")]
    if missing or problems.unexpected_keys:
        raise ValueError(f"{g.path}: parameters missing: {missing}, unexpected: {problems.unexpected_keys}")
    return model


class Case:
    """A model with the batch of its file."""

    def __init__(self, g: Golden, sdpa: bool, lean: bool):
        self.g = g
        self.model = model_of(g, sdpa, lean)
        self.start = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.mean, self.std = g.tensor("scaler").tolist()
        self.future = g.tensor("cal_future") if "cal_future" in g.arrays else None

    def reset(self) -> None:
        self.model.load_state_dict(self.start)
        self.model.zero_grad(set_to_none=True)

    def forecast(self, training: bool) -> Tensor:
        self.model.train(training)
        return self.model(self.g.tensor("x"), self.future)

    def batch_loss(self, out: Tensor, target: str = "y") -> Tensor:
        y = self.g.tensor(target)
        return masked_mae(out * self.std + self.mean, y, (y != 0).float())

    def mean_errors(self, out: Tensor, target: str, axes: tuple[int, ...]) -> Tensor:
        """Masked means over the axes, 0 where nothing was measured."""
        y = self.g.tensor(target)
        mask = (y != 0).float()
        errors = (out * self.std + self.mean - y).abs() * mask
        return errors.sum(axes) / mask.sum(axes).clamp(min=1)


def check_forward(c: Case) -> None:
    with torch.no_grad():
        c.g.compare("out_eval", c.forecast(False))
    c.reset()
    out = c.forecast(True)
    c.g.compare("out_train_nodropout", out)
    for name, value in c.model.state_dict().items():
        c.g.compare("bn_after." + name, value)
    for target in [t for t in ("y", "y2") if t in c.g.arrays]:
        end = "" if target == "y" else "_" + target
        c.g.compare("loss_batch" + end, c.batch_loss(out, target))
        c.g.compare("loss_sample" + end, c.mean_errors(out, target, (1, 2, 3)))
        c.g.compare("err_sample_node" + end, c.mean_errors(out, target, (1, 3)))


def check_gradients(c: Case) -> None:
    w = c.g.tensor("w")

    def weighted(out: Tensor) -> Tensor:
        return (w * c.mean_errors(out, "y", (1, 2, 3))).sum() / w.sum()

    for prefix, loss_of in (("grad.", c.batch_loss), ("gradw.", weighted)):
        c.reset()
        loss = loss_of(c.forecast(True))
        if prefix == "gradw.":
            c.g.compare("loss_weighted", loss)
        loss.backward()
        for name, p in c.model.named_parameters():
            c.g.compare(prefix + name, p.grad)
            if name in c.g.about["parameters_without_gradient"] and p.grad is not None:
                c.g.problems.append(f"{prefix}{name}: has a gradient, want none")


def optimiser_options(name: str, about: dict[str, Any]) -> OptimiserOptions:
    main, adam = (about["muon"], about["adamw"]) if name == "muon" else (about, about)
    beta1, beta2 = adam.get("betas", (0.9, 0.999))
    return OptimiserOptions(
        name, main["lr"], main["weight_decay"], main.get("momentum", 0.9), main.get("nesterov", False),
        beta1, beta2, adam.get("eps", 1e-8), adam["lr"], clip=5.0,
    )  # fmt: skip


def check_steps(c: Case, name: str, about: dict[str, Any]) -> None:
    c.reset()
    if name == "muon" and hidden_matrices(c.model) != set(about["muon_parameters"]):
        c.g.problems.append("muon: not the same parameters are orthogonalised")
    optimiser = Optimiser(c.model, optimiser_options(name, about))
    losses, norms = [], []
    for _ in range(3):
        optimiser.zero_grad()
        loss = c.batch_loss(c.forecast(True))
        loss.backward()
        losses.append(loss.detach())
        norms.append(optimiser.step())
    losses.append(c.batch_loss(c.forecast(True)).detach())
    c.g.compare("loss." + name, torch.stack(losses))
    c.g.compare("gradnorm." + name, torch.stack(norms))
    for parameter, value in c.model.named_parameters():
        c.g.compare(f"after.{name}.{parameter}", value)


def check(path: Path, sdpa: bool, lean: bool) -> Golden:
    g = Golden(path)
    c = Case(g, sdpa, lean)
    check_forward(c)
    check_gradients(c)
    for name, about in g.about["optimisers"].items():
        check_steps(c, name, about)
    for name, about in g.about["arrays"].items():
        if "suggested_abs_tol" in about and name not in g.seen:
            g.problems.append(f"{name}: not compared")
    return g


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of model files of reference arrays")
    parser.add_argument("--sdpa", action="store_true", help="attention by torch's scaled_dot_product_attention")
    parser.add_argument("--lean", action="store_true", help="Graph WaveNet's variant with less work")
    args = parser.parse_args()
    files = sorted(args.folder.glob("*.npz"))
    if not files:
        parser.error(f"{args.folder}: no .npz file in it")
    failed = False
    for path in files:
        g = check(path, args.sdpa, args.lean)
        share, name = g.worst
        verdict = f"{len(g.problems)} DIFFER" if g.problems else "ok"
        print(f"{path.stem:<14} {len(g.seen):>4} arrays  {verdict}; largest difference {share:.0%} of the tolerance, {name}")
        for problem in g.problems:
            print("   ", problem)
        failed = failed or bool(g.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
