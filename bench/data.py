"""Data sets in our folder format, the protocol that turns one into windows, and the batches made of them."""

from __future__ import annotations

import csv
import hashlib
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import MODELS, Shape

Array = np.ndarray


@dataclass
class Series:
    name: str
    values: Array  # [T,N] float32, raw units; NaN is missing
    missing: float  # this value is missing too; NaN: only NaN is
    slot: Array  # [T] int64, time of day in steps from its start
    day: Array  # [T] int64, Monday 0
    per_day: int  # steps of a day
    weights: Array | None  # [N,N] float64, entry (i,j) of the edge from i to j; None without a graph


# Folders ---------------------------------------------------------------------------------------------------------------------

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration(text: str) -> timedelta:
    """A Go duration such as 5m0s."""
    parts = re.findall(r"([0-9.]+)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"step {text!r}; a duration such as 5m0s is needed")
    return timedelta(seconds=sum(float(n) * UNITS[u] for n, u in parts))


def read_file(folder: Path, about: dict[str, Any]) -> bytes:
    path = folder / about["name"]
    content = path.read_bytes()
    if len(content) != about["bytes"] or hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(f"{path}: its size or checksum is not that of the card; import the data set again")
    return content


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(content.decode().splitlines()))[1:]


def edges(content: bytes, nodes: list[str]) -> Array:
    index = {node: i for i, node in enumerate(nodes)}
    weights = np.zeros((len(nodes), len(nodes)))
    for start, end, weight in rows_of(content):
        weights[index[start], index[end]] = np.float32(weight)
    return weights


def calendar(times: list[datetime], start: datetime, step: timedelta, slots: int) -> tuple[Array, Array, int]:
    """Slot and day of the week of each time, and the steps of a day."""
    per_day = slots or max(1, timedelta(days=1) // step)

    def slot(t: datetime) -> int:
        return (t - t.replace(hour=0, minute=0, second=0, microsecond=0)) // step

    first = slot(start) if slots else 0  # a series of part of each day counts from where it begins
    of_day = np.array([min(max(0, slot(t) - first), per_day - 1) for t in times])
    return of_day, np.array([t.weekday() for t in times]), per_day


def load_folder(folder: Path) -> Series:
    """Reads dataset.toml and what it lists: values.f32, nodes.csv and, where there are, graph.csv and times.csv."""
    card_file = folder / "dataset.toml"
    if not card_file.is_file():
        raise ValueError(f"{folder} is not a data set's folder: there is no dataset.toml")
    card = tomllib.loads(card_file.read_text())
    if card["format"] != 1:
        raise ValueError(f"{card_file}: format {card['format']}; this script reads format 1")
    files = {about["name"]: read_file(folder, about) for about in card["files"]}
    steps, count = card["steps"], card["nodes"]
    values = np.frombuffer(files["values.f32"], dtype="<f4").reshape(steps, count).copy()
    nodes = [row[0] for row in rows_of(files["nodes.csv"])]
    start, step = card["start"], duration(card["step"])
    times = [start + i * step for i in range(steps)]
    if "times.csv" in files:
        times = [datetime.fromisoformat(row[0]) for row in rows_of(files["times.csv"])]
    if len(nodes) != count or len(times) != steps:
        raise ValueError(f"{folder}: {len(nodes)} nodes and {len(times)} times; the card says {count} and {steps}")
    weights = edges(files["graph.csv"], nodes) if "graph.csv" in files else None
    return Series(card["name"], values, card["missing"], *calendar(times, start, step, card.get("slots", 0)), weights)


def made_up(nodes: int, batch: int, history: int, horizon: int, per_day: int) -> Series:
    """The series that `stprune bench step` makes up: a sine, and a ring of nodes as the graph."""
    steps = max(2 * per_day, 2 * (history + horizon) + 5 * batch)
    start, step = datetime(2024, 1, 1), timedelta(days=1) / per_day
    values = (50 + 10 * np.sin(np.arange(steps * nodes, dtype=np.float64))).astype(np.float32).reshape(steps, nodes)
    weights = np.eye(nodes)
    weights[np.arange(nodes), (np.arange(nodes) + 1) % nodes] = 1
    when = calendar([start + i * step for i in range(steps)], start, step, 0)
    return Series("made up", values, float("nan"), *when, weights)


# Graphs ----------------------------------------------------------------------------------------------------------------------


def power(degree: Array, p: float) -> Array:
    """degree^p, 0 where the degree is 0."""
    return np.where(degree > 0, np.where(degree > 0, degree, 1.0) ** p, 0.0)


def random_walk(weights: Array) -> Array:
    """D⁻¹W: rows sum to 1, those of isolated nodes to 0."""
    return weights * power(weights.sum(axis=1), -1)[:, None]


def normalised(weights: Array) -> Array:
    """D^(−1/2) W D^(−1/2), D from the sums of the rows."""
    scale = power(weights.sum(axis=1), -0.5)
    return scale[:, None] * weights * scale[None, :]


def with_self_loops(weights: Array) -> Array:
    """Every node without a loop gets one of weight 1."""
    out = weights.copy()
    loops = np.diagonal(weights)
    np.fill_diagonal(out, np.where(loops > 0, loops, 1.0))
    return out


def laplacian_eigenvectors(weights: Array, count: int) -> Array:
    """[N,count] eigenvectors of the undirected graph's normalised Laplacian, after the first 1 + (isolated nodes) of them. The
    entry of the largest size of each is positive."""
    both = np.maximum(weights, weights.T)
    skip = 1 + int((both.sum(axis=1) <= 0).sum())
    if skip + count > len(both):
        raise ValueError(f"{count} eigenvectors asked for; {len(both)} nodes give {len(both) - skip}")
    _, vectors = np.linalg.eigh(np.eye(len(both)) - normalised(both))
    chosen = vectors[:, skip : skip + count]
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=0)[None], axis=0)
    return chosen * np.sign(largest)


# Windows ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Windows:
    """Window starts: a window has history steps from its start and the horizon after them."""

    history: int
    horizon: int
    train: Tensor
    val: Tensor
    test: Tensor
    mean: float  # of the rows that training histories cover, missing values included as the references do, NaN left out
    std: float


def split_windows(s: Series, history: int, horizon: int, split: tuple[float, float, float]) -> Windows:
    """Chronological, by window index; the sizes are rounded half to even, test takes the rest."""
    n = len(s.values) - history - horizon + 1
    total = sum(split)
    if abs(total - 1) < 1e-9:
        total = 1.0
    train, val = (round(n * (part / total)) for part in split[:2])
    if min(train, val, n - train - val) < 1:
        raise ValueError(f"{s.name}: {n} windows split into {train}, {val} and {n - train - val}; each part needs at least one")
    rows = s.values[: train - 1 + history].astype(np.float64)
    mean, std = float(np.nanmean(rows)), float(np.nanstd(rows))
    if not std > 0:
        raise ValueError(f"{s.name} is constant over its training rows")
    starts = torch.arange(n)
    return Windows(history, horizon, starts[:train], starts[train : train + val], starts[train + val :], mean, std)


class Batches:
    """Cuts batches out of a series that stays in memory, encoded as a model wants it (see models.py)."""

    def __init__(self, s: Series, w: Windows, inputs: str):
        raw = inputs == "clock"
        self.mean, self.std = (0.0, 1.0) if raw else (w.mean, w.std)
        nan = np.isnan(s.values)
        values = np.where(nan, 0.0 if np.isnan(s.missing) else s.missing, s.values).astype(np.float32)
        measured = ~nan & (s.values != np.float32(s.missing))
        channel = values if raw else ((values - np.float32(w.mean)) / np.float32(w.std))
        if np.isnan(s.missing):  # nothing is known of a missing input: it is average
            channel = np.where(measured, channel, 0.0)
        if raw:
            clock = np.maximum(1, (s.slot + 1) * 1440 // s.per_day), s.day + 1
        else:
            clock = s.slot / s.per_day, s.day / (7.0 if inputs == "seventh" else 1.0)
        features = np.empty((*values.shape, 3), np.float32)  # [T,N,C]
        features[..., 0], features[..., 1], features[..., 2] = channel, clock[0][:, None], clock[1][:, None]
        self.features = torch.from_numpy(features)
        self.values = torch.from_numpy(values)[..., None]  # [T,N,1]
        self.measured = torch.from_numpy(measured.astype(np.float32))[..., None]
        self.past = torch.arange(w.history)
        self.ahead = torch.arange(w.history, w.history + w.horizon)
        self.with_future = raw

    def to(self, device: str) -> Batches:
        for name in ("features", "values", "measured", "past", "ahead"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def cut(self, starts: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Inputs, the calendar of the forecast steps where the model takes it, targets in raw units, and where they are known."""
        ahead = starts[:, None] + self.ahead
        future = self.features[ahead][..., 1:] if self.with_future else None
        return self.features[starts[:, None] + self.past], future, self.values[ahead], self.measured[ahead]


def shape_of(s: Series, w: Windows, model: str, options: dict[str, Any]) -> Shape:
    """What the model must know about the series, with the matrices that it uses."""

    def tensor(m: Array) -> Tensor:
        return torch.from_numpy(m.astype(np.float32))

    matrices: dict[str, Tensor] = {}
    if model == "gwnet" and s.weights is not None:
        matrices = {"forward_walk": tensor(random_walk(s.weights)), "backward_walk": tensor(random_walk(s.weights.T))}
    if model == "opencity":
        if s.weights is None:
            raise ValueError(f"{s.name} has no graph, which OpenCity needs")
        looped = with_self_loops(s.weights)
        count = int(options.get("lap_dim", MODELS["opencity"].options.lap_dim))
        matrices = {
            "adjacency": tensor(np.eye(len(looped)) + normalised(looped)),
            "eigenvectors": tensor(laplacian_eigenvectors(looped, count)),
        }
    return Shape(s.values.shape[1], w.history, w.horizon, s.per_day, **matrices)
