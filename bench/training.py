"""Loss, evaluation, optimisers and learning-rate schedules, shared by check.py, step.py and train.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from data import Batches


def masked_mae(forecast: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean absolute error over the entries where mask is 1; 0 when there are none."""
    return ((forecast - target).abs() * mask).sum() / mask.sum().clamp(min=1)


def masked_mae_each(forecast: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """[masked_mae] of each window of the batch by itself."""
    return ((forecast - target).abs() * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


@dataclass(frozen=True)
class Errors:
    mae: float
    rmse: float
    mape: float  # a share, over targets other than 0


@dataclass(frozen=True)
class Metrics:
    horizons: list[Errors]
    mean: Errors  # of the horizons' values
    pooled: Errors  # over all entries


def errors_of(sums: Tensor) -> Errors:
    """From Σ|e|, Σe², Σ|e|/|y|, and the numbers of measured targets and of those other than 0."""
    absolute, square, share, measured, nonzero = sums.tolist()
    measured, nonzero = max(1.0, measured), max(1.0, nonzero)
    return Errors(absolute / measured, (square / measured) ** 0.5, share / nonzero)


def error_sums(model: nn.Module, batches: Batches, compiled: bool) -> Callable[[Tensor], Tensor]:
    """What [errors_of] takes, for each horizon, of the windows that begin at the given steps."""

    def sums(starts: Tensor) -> Tensor:
        x, future, y, mask = batches.cut(starts)
        error = (model(x, future) * batches.std + batches.mean - y).abs() * mask
        nonzero = mask * (y != 0)
        share = error * nonzero / torch.where(y != 0, y.abs(), 1.0)
        return torch.stack([v.sum((0, 2, 3)) for v in (error, error.square(), share, mask, nonzero)], 1)

    return torch.compile(sums, dynamic=False) if compiled else sums


@torch.no_grad()
def evaluate(model: nn.Module, sums_of: Callable[[Tensor], Tensor], parts: Iterable[Tensor]) -> Metrics:
    """The errors of the model over the windows of all parts, a batch each."""
    model.eval()
    sums = sum(sums_of(part).double() for part in parts)
    if sums[:, 3].sum() == 0:
        raise ValueError("no measured target in this part of the data; choose another split")
    rows = [errors_of(row) for row in sums]
    mean = Errors(*(sum(getattr(r, f.name) for r in rows) / len(rows) for f in fields(Errors)))
    return Metrics(rows, mean, errors_of(sums.sum(0)))


class InfoBatch:
    """Qin et al., ICLR 2024: windows with less than the mean loss are left out with probability r, the others of them count 1/(1-r)
    times; all are kept after the share delta of the epochs. A window's loss is that of its last visit."""

    def __init__(self, count: int, r: float, delta: float, epochs: int, generator: torch.Generator):
        self.r, self.full_from, self.generator = r, delta * epochs, generator
        self.losses = torch.ones(count)
        self.weights = torch.ones(count)

    def draw(self, epoch: int) -> Tensor:
        """The windows of an epoch in random order."""
        kept = torch.ones(len(self.losses), dtype=torch.bool)
        self.weights.fill_(1)
        if epoch < self.full_from:
            easy = self.losses < self.losses.mean()
            kept = ~easy | (torch.rand(len(kept), generator=self.generator) >= self.r)
            self.weights[easy] = 1 / (1 - self.r)
        kept = kept.nonzero()[:, 0]
        return kept[torch.randperm(len(kept), generator=self.generator)]

    def weighted(self, windows: Tensor, losses: Tensor) -> Tensor:
        """The mean of the weighted losses, which it remembers."""
        self.losses[windows] = losses.detach().cpu()
        return (losses * self.weights[windows].to(losses.device)).mean()


def newton_schulz(m: Tensor, steps: int = 5) -> Tensor:
    """Moves the singular values of a matrix towards 1, in the matrix's own precision."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = m.T if m.shape[0] > m.shape[1] else m
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        xx = x @ x.T
        x = a * x + (b * xx + c * xx @ xx) @ x
    return x.T if m.shape[0] > m.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for hidden weight matrices. A parameter without a gradient counts as one with gradient 0."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float, nesterov: bool, weight_decay: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                grad = torch.zeros_like(p) if p.grad is None else p.grad
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(grad, 1 - group["momentum"])
                u = torch.lerp(grad, momentum, group["momentum"]) if group["nesterov"] else momentum
                move = newton_schulz(u.flatten(1)).view_as(p)
                scale = math.sqrt(max(1.0, p.shape[-2] / p.shape[-1]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(move, alpha=-group["lr"] * scale)


@dataclass(frozen=True)
class OptimiserOptions:
    """The defaults are those of our own runs."""

    name: str = "adam"  # sgd, adam, adamw or muon
    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    aux_lr: float = 3e-4  # of Muon's AdamW part
    clip: float = 5.0  # global norm; 0: none


def hidden_matrices(model: nn.Module) -> set[str]:
    """The names of the parameters that Muon orthogonalises."""
    return {n for n, p in model.named_parameters() if n.startswith(model.hidden) and p.ndim >= 2}


class Optimiser:
    """One or two optimisers of torch behind one step() that clips first."""

    def __init__(self, model: nn.Module, o: OptimiserOptions):
        self.options = o
        self.params = list(model.parameters())
        adam: dict[str, Any] = {"betas": (o.beta1, o.beta2), "eps": o.eps, "weight_decay": o.weight_decay, "fused": True}
        if o.name == "sgd":
            self.parts: list[torch.optim.Optimizer] = [
                torch.optim.SGD(self.params, o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov)
            ]
        elif o.name == "adam":
            self.parts = [torch.optim.Adam(self.params, o.lr, **adam)]
        elif o.name == "adamw":
            self.parts = [torch.optim.AdamW(self.params, o.lr, **adam)]
        elif o.name == "muon":
            hidden = hidden_matrices(model)
            named = dict(model.named_parameters())
            self.parts = [
                Muon([named[n] for n in named if n in hidden], o.lr, o.momentum, o.nesterov, o.weight_decay),
                torch.optim.AdamW([named[n] for n in named if n not in hidden], o.aux_lr, **adam),
            ]
        else:
            raise ValueError(f"unknown optimiser {o.name}; choose sgd, adam, adamw or muon")
        self.rates = [part.param_groups[0]["lr"] for part in self.parts]

    def scale_rates(self, share: float) -> None:
        """Sets the learning rates to a share of those they began with."""
        for part, rate in zip(self.parts, self.rates):
            for group in part.param_groups:
                group["lr"] = rate * share

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> Tensor | None:
        """Clips and moves the parameters; returns the gradient's norm before that, if it was needed."""
        norm = nn.utils.clip_grad_norm_(self.params, self.options.clip) if self.options.clip > 0 else None
        for part in self.parts:
            part.step()
        return norm


@dataclass(frozen=True)
class Schedule:
    kind: str = "constant"  # constant, multistep (by epochs) or cosine (by steps of the whole run)
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    floor: float = 0.0  # cosine: last rate as a share of the first

    def share(self, epoch: int, step: int, steps: int) -> float:
        """The learning rate at an epoch and step, both from 0, as a share of the first."""
        if self.kind == "constant":
            return 1.0
        if self.kind == "multistep":
            return self.gamma ** sum(epoch >= m for m in self.milestones)
        if self.kind == "cosine":
            return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * step / max(1, steps))) / 2
        raise ValueError(f"unknown schedule {self.kind}; choose constant, multistep or cosine")
