"""STID, Graph WaveNet, STAEformer and OpenCity in plain PyTorch, as a peer to compare our Go implementation with.

Written from the papers' formulas, in the way a researcher would write them. Parameter names and shapes are those of the
references' state dicts. Every model takes x [B,T,N,C] and returns a forecast [B,Q,N,1]; what the channels are, `inputs` says:

    "index"    z-scored value, time of day in [0,1), day of week 0..6
    "seventh"  the same, day of week / 7
    "clock"    raw value, minute of the day 1..1440 at which the step ends, weekday 1..7; forward() also takes the same two
               calendar channels of the forecast steps, [B,Q,N,2]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DAYS = 7


@dataclass(frozen=True)
class Shape:
    """What a model must know about the data. The matrices are float32; see data.py for what they are."""

    nodes: int
    history: int
    horizon: int
    per_day: int
    forward_walk: Tensor | None = None  # [N,N], Graph WaveNet
    backward_walk: Tensor | None = None
    adjacency: Tensor | None = None  # [N,N], OpenCity; its rows need not sum to 1
    eigenvectors: Tensor | None = None  # [N,k], OpenCity


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, dropout: float = 0.0, sdpa: bool = False) -> Tensor:
    """Multi-head softmax(q kᵀ / √d) v over the last but one axis of [..., L, D]."""

    def split(x: Tensor) -> Tensor:  # to [..., heads, L, d]
        return x.unflatten(-1, (heads, -1)).transpose(-2, -3)

    q, k, v = split(q), split(k), split(v)
    if sdpa:
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    else:
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
        if dropout > 0:
            weights = F.dropout(weights, dropout)
        out = weights @ v
    return out.transpose(-2, -3).flatten(-2)


# STID ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class STIDOptions:
    embed_dim: int = 32
    node_dim: int = 32
    tod_dim: int = 32
    dow_dim: int = 32
    layers: int = 3
    dropout: float = 0.15


class ResidualMLP(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.fc1 = nn.Conv2d(width, width, 1)
        self.fc2 = nn.Conv2d(width, width, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(F.relu(self.fc1(x)))) + x


class STID(nn.Module):
    inputs = "index"
    options = STIDOptions
    hidden = ("encoder.",)

    def __init__(self, shape: Shape, o: STIDOptions, sdpa: bool = False):
        super().__init__()
        self.per_day = shape.per_day
        self.node_emb = nn.Parameter(torch.empty(shape.nodes, o.node_dim))
        self.time_in_day_emb = nn.Parameter(torch.empty(shape.per_day, o.tod_dim))
        self.day_in_week_emb = nn.Parameter(torch.empty(DAYS, o.dow_dim))
        for table in (self.node_emb, self.time_in_day_emb, self.day_in_week_emb):
            nn.init.xavier_uniform_(table)
        width = o.embed_dim + o.node_dim + o.tod_dim + o.dow_dim
        self.time_series_emb_layer = nn.Conv2d(shape.history * 3, o.embed_dim, 1)
        self.encoder = nn.Sequential(*(ResidualMLP(width, o.dropout) for _ in range(o.layers)))
        self.regression_layer = nn.Conv2d(width, shape.horizon, 1)

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        batch, _, nodes, _ = x.shape
        series = x.permute(0, 1, 3, 2).reshape(batch, -1, nodes, 1)  # [B,T·C,N,1]
        tod = (x[:, -1, :, 1] * self.per_day).long()  # float32, see models.md 10.1
        dow = x[:, -1, :, 2].long()
        parts = [
            self.time_series_emb_layer(series),
            self.node_emb.t()[None, :, :, None].expand(batch, -1, -1, -1),
            self.time_in_day_emb[tod].transpose(1, 2).unsqueeze(-1),
            self.day_in_week_emb[dow].transpose(1, 2).unsqueeze(-1),
        ]
        return self.regression_layer(self.encoder(torch.cat(parts, dim=1)))


# Graph WaveNet ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GraphWaveNetOptions:
    channels: int = 3
    residual: int = 32
    dilation: int = 32
    skip: int = 256
    end: int = 512
    kernel: int = 2
    blocks: int = 4
    layers: int = 2
    dropout: float = 0.3
    adaptive: bool = True
    node_dim: int = 10
    dead_convs: bool = False


class Mix(nn.Module):
    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.mlp = nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class Diffusion(nn.Module):
    """[x, A x, A² x for every A] along the channels, mixed by a 1×1 convolution."""

    order = 2

    def __init__(self, width_in: int, width_out: int, supports: int):
        super().__init__()
        self.mlp = Mix(width_in * (1 + self.order * supports), width_out)

    def forward(self, x: Tensor, supports: list[Tensor]) -> Tensor:
        return self.walk(x, supports, lambda y, a: torch.einsum("bcvt,vw->bcwt", y, a))

    def nodes_last(self, x: Tensor, supports: list[Tensor]) -> Tensor:
        """The same of x [B,C,T,N]."""
        return self.walk(x, supports, torch.matmul)

    def walk(self, x: Tensor, supports: list[Tensor], step: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        out = [x]
        for a in supports:
            y = x
            for _ in range(self.order):
                y = step(y, a)
                out.append(y)
        return self.mlp(torch.cat(out, dim=1))


class GraphWaveNet(nn.Module):
    inputs = "seventh"
    options = GraphWaveNetOptions
    hidden = ("filter_convs.", "gate_convs.", "skip_convs.", "gconv.", "end_conv_1.")

    def __init__(self, shape: Shape, o: GraphWaveNetOptions, sdpa: bool = False):
        super().__init__()
        if o.channels not in (2, 3):
            raise ValueError(f"option channels = {o.channels}; choose 2 or 3")
        walks = shape.forward_walk is not None
        if not walks and not o.adaptive:
            raise ValueError("option adaptive = false needs a data set with a graph")
        self.channels, self.adaptive, self.walks, self.dropout = o.channels, o.adaptive, walks, o.dropout
        if walks:
            self.register_buffer("forward_walk", shape.forward_walk, persistent=False)
            self.register_buffer("backward_walk", shape.backward_walk, persistent=False)
        if o.adaptive:
            self.nodevec1 = nn.Parameter(torch.randn(shape.nodes, o.node_dim))
            self.nodevec2 = nn.Parameter(torch.randn(o.node_dim, shape.nodes))
        dilations = [2**i for _ in range(o.blocks) for i in range(o.layers)]
        self.receptive_field = 1 + (o.kernel - 1) * sum(dilations)

        def temporal() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(o.residual, o.dilation, (1, o.kernel), dilation=(1, d)) for d in dilations)

        supports = 2 * walks + o.adaptive
        self.start_conv = nn.Conv2d(o.channels, o.residual, 1)
        self.filter_convs = temporal()
        self.gate_convs = temporal()
        if o.dead_convs:  # parameters of the original file that nothing uses
            self.residual_convs = nn.ModuleList(nn.Conv2d(o.dilation, o.residual, 1) for _ in dilations)
        self.skip_convs = nn.ModuleList(nn.Conv2d(o.dilation, o.skip, 1) for _ in dilations)
        self.gconv = nn.ModuleList(Diffusion(o.dilation, o.residual, supports) for _ in dilations)
        self.bn = nn.ModuleList(nn.BatchNorm2d(o.residual) for _ in dilations)
        self.end_conv_1 = nn.Conv2d(o.skip, o.end, 1)
        self.end_conv_2 = nn.Conv2d(o.end, shape.horizon, 1)

    def supports(self) -> list[Tensor]:
        matrices = [self.forward_walk, self.backward_walk] if self.walks else []
        if self.adaptive:
            matrices.append(torch.softmax(F.relu(self.nodevec1 @ self.nodevec2), dim=1))
        return matrices

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        x = x[..., : self.channels].permute(0, 3, 2, 1)  # [B,C,N,T]
        x = self.start_conv(F.pad(x, (max(0, self.receptive_field - x.shape[-1]), 0)))
        supports = self.supports()
        skip: Tensor | None = None
        for i, diffusion in enumerate(self.gconv):
            z = torch.tanh(self.filter_convs[i](x)) * torch.sigmoid(self.gate_convs[i](x))
            s = self.skip_convs[i](z)
            skip = s if skip is None else s + skip[..., -s.shape[-1] :]
            h = F.dropout(diffusion(z, supports), self.dropout, self.training)
            x = self.bn[i](h + x[..., -h.shape[-1] :])
        out = self.end_conv_2(F.relu(self.end_conv_1(F.relu(skip))))
        return out[..., -1:]


class LeanGraphWaveNet(GraphWaveNet):
    """The same numbers with less work: nodes last, so that a step along the graph is a plain matrix product, and skip
    convolutions of the last step alone, all that the head reads."""

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        x = x[..., : self.channels].permute(0, 3, 1, 2)  # [B,C,T,N]
        x = self.start_conv(F.pad(x, (0, 0, max(0, self.receptive_field - x.shape[2]), 0)))
        supports = self.supports()
        skip: Tensor | None = None
        for i, diffusion in enumerate(self.gconv):
            z = torch.tanh(self.turned(self.filter_convs[i], x)) * torch.sigmoid(self.turned(self.gate_convs[i], x))
            s = self.skip_convs[i](z[:, :, -1:])
            skip = s if skip is None else s + skip
            h = F.dropout(diffusion.nodes_last(z, supports), self.dropout, self.training)
            x = self.bn[i](h + x[:, :, -h.shape[2] :])
        return self.end_conv_2(F.relu(self.end_conv_1(F.relu(skip)))).transpose(2, 3)

    @staticmethod
    def turned(conv: nn.Conv2d, x: Tensor) -> Tensor:
        return F.conv2d(x, conv.weight.transpose(2, 3), conv.bias, dilation=conv.dilation[::-1])


# STAEformer ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class STAEformerOptions:
    embed_dim: int = 24
    tod_dim: int = 24
    dow_dim: int = 24
    adaptive_dim: int = 80
    ff_dim: int = 256
    heads: int = 4
    layers: int = 3
    dropout: float = 0.1


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, sdpa: bool):
        super().__init__()
        self.FC_Q = nn.Linear(width, width)
        self.FC_K = nn.Linear(width, width)
        self.FC_V = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.heads, self.sdpa = heads, sdpa

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(attention(self.FC_Q(x), self.FC_K(x), self.FC_V(x), self.heads, sdpa=self.sdpa))


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each added to its input and then normalised, over the last but one axis."""

    def __init__(self, width: int, o: STAEformerOptions, sdpa: bool):
        super().__init__()
        self.attn = SelfAttention(width, o.heads, sdpa)
        self.feed_forward = nn.Sequential(nn.Linear(width, o.ff_dim), nn.ReLU(), nn.Linear(o.ff_dim, width))
        self.ln1 = nn.LayerNorm(width)
        self.ln2 = nn.LayerNorm(width)
        self.drop = nn.Dropout(o.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln1(x + self.drop(self.attn(x)))
        return self.ln2(x + self.drop(self.feed_forward(x)))


class STAEformer(nn.Module):
    inputs = "index"
    options = STAEformerOptions
    hidden = ("attn_layers_t.", "attn_layers_s.")

    def __init__(self, shape: Shape, o: STAEformerOptions, sdpa: bool = False):
        super().__init__()
        width = o.embed_dim + o.tod_dim + o.dow_dim + o.adaptive_dim
        if width % o.heads:
            raise ValueError(f"option heads = {o.heads} does not divide the width {width}")
        self.per_day = shape.per_day
        self.adaptive_embedding = nn.Parameter(torch.empty(shape.history, shape.nodes, o.adaptive_dim))
        nn.init.xavier_uniform_(self.adaptive_embedding)
        self.input_proj = nn.Linear(3, o.embed_dim)
        self.tod_embedding = nn.Embedding(shape.per_day, o.tod_dim)
        self.dow_embedding = nn.Embedding(DAYS, o.dow_dim)
        self.attn_layers_t = nn.ModuleList(TransformerBlock(width, o, sdpa) for _ in range(o.layers))
        self.attn_layers_s = nn.ModuleList(TransformerBlock(width, o, sdpa) for _ in range(o.layers))
        self.output_proj = nn.Linear(shape.history * width, shape.horizon)

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        tod = (x[..., 1] * self.per_day).long()
        parts = [
            self.input_proj(x),
            self.tod_embedding(tod),
            self.dow_embedding(x[..., 2].long()),
            self.adaptive_embedding.expand(x.shape[0], -1, -1, -1),
        ]
        h = torch.cat(parts, dim=-1).transpose(1, 2)  # [B,N,T,D]
        for block in self.attn_layers_t:
            h = block(h)
        h = h.transpose(1, 2)
        for block in self.attn_layers_s:
            h = block(h)
        out = self.output_proj(h.transpose(1, 2).flatten(2))  # [B,N,Q]
        return out.transpose(1, 2).unsqueeze(-1)


# OpenCity --------------------------------------------------------------------------------------------------------------------

PATCH = 12
DAY_TOKENS = 24
DAY_ROWS = 288  # of the output layer of a model of whole days, whatever their steps


@dataclass(frozen=True)
class OpenCityOptions:
    size: str = "mini"
    dim: int = 0  # 0: as size says
    depth: int = 0
    heads: int = 0
    lap_dim: int = 8
    ff_ratio: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.3

    def sizes(self) -> tuple[int, int, int]:
        named = {"mini": (128, 3, 16), "base": (256, 3, 16), "plus": (512, 6, 16)}
        if self.size not in named:
            raise ValueError(f"option size = {self.size}; choose one of {', '.join(named)}")
        dim, depth, heads = named[self.size]
        return self.dim or dim, self.depth or depth, self.heads or heads


class PositionCode(nn.Module):
    pe: Tensor

    def __init__(self, width: int, rows: int = 100):
        super().__init__()
        angle = torch.arange(rows)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[None])


class PatchEmbedding(nn.Module):
    """The tokens [B,N,P,D] of normalised values [B,N,T]: a linear layer of each patch, and its position."""

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.steps = steps
        self.value_embedding = nn.Linear(PATCH, width, bias=False)
        self.position_encoding = PositionCode(width)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.unflatten(-1, (-1, self.steps))
        tokens = self.value_embedding(F.pad(patches, (0, PATCH - self.steps)))
        return tokens + self.position_encoding.pe[:, : tokens.shape[-2]]


class CalendarEmbedding(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.daytime_embedding = nn.Embedding(24 * 60 + 1, width // 2)
        self.weekday_embedding = nn.Embedding(DAYS + 1, width // 2)

    def forward(self, clock: Tensor) -> Tensor:
        minute, weekday = clock.long().unbind(-1)
        return torch.cat([self.daytime_embedding(minute), self.weekday_embedding(weekday)], dim=-1)


class SpatialEmbedding(nn.Module):
    def __init__(self, vectors: Tensor, width: int):
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.embedding_lap_pos_enc = nn.Linear(vectors.shape[1], width)

    def forward(self) -> Tensor:
        return self.embedding_lap_pos_enc(self.vectors)  # [N,D]


class GraphStep(nn.Module):
    def __init__(self, adjacency: Tensor, width: int):
        super().__init__()
        self.register_buffer("matrix", adjacency / adjacency.sum(dim=1, keepdim=True), persistent=False)
        self.fc1 = nn.Linear(width, width, bias=False)
        self.mlp = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        around = torch.einsum("nm,bmpd->bnpd", self.matrix, x)
        return self.mlp(0.05 * x + 0.95 * self.fc1(around))


class SpaceTime(nn.Module):
    """Attention from the future calendar to the past one, attention over the tokens of a node, one step along the graph."""

    def __init__(self, adjacency: Tensor, width: int, heads: int, dropout: float, sdpa: bool):
        super().__init__()
        self.tc_q_conv, self.tc_k_conv, self.tc_v_conv = (nn.Linear(width, width) for _ in range(3))
        self.t_q_conv, self.t_k_conv, self.t_v_conv = (nn.Linear(width, width) for _ in range(3))
        self.norm_tatt1 = nn.RMSNorm(width, eps=1e-6)
        self.norm_tatt2 = nn.RMSNorm(width, eps=1e-6)
        self.GCN = GraphStep(adjacency, width)
        self.heads, self.dropout, self.sdpa = heads, dropout, sdpa

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, self.heads, self.dropout if self.training else 0.0, self.sdpa)

    def forward(self, x: Tensor, past: Tensor, future: Tensor) -> Tensor:
        v = self.norm_tatt1(self.attend(self.tc_q_conv(future), self.tc_k_conv(past), self.tc_v_conv(x)) + x)
        w = self.norm_tatt2(self.attend(self.t_q_conv(v), self.t_k_conv(v), self.t_v_conv(v)) + v)
        return self.GCN(w)


class SwiGLU(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class EncoderBlock(nn.Module):
    def __init__(self, adjacency: Tensor, width: int, heads: int, o: OpenCityOptions, sdpa: bool):
        super().__init__()
        self.norm1 = nn.RMSNorm(width, eps=1e-6)
        self.norm2 = nn.RMSNorm(width, eps=1e-6)
        self.st_attn = SpaceTime(adjacency, width, heads, o.attention_dropout, sdpa)
        self.mlp = SwiGLU(width, o.ff_ratio * width)
        self.drop = nn.Dropout(o.dropout)

    def forward(self, x: Tensor, past: Tensor, future: Tensor) -> Tensor:
        x = x + self.drop(self.st_attn(self.norm1(x), past, future))
        return x + self.mlp(self.norm2(x))


class OpenCity(nn.Module):
    inputs = "clock"
    options = OpenCityOptions
    hidden = ("encoder_blocks.",)

    def __init__(self, shape: Shape, o: OpenCityOptions, sdpa: bool = False):
        super().__init__()
        if shape.adjacency is None or shape.eigenvectors is None:
            raise ValueError("OpenCity needs a data set with a graph")
        if shape.per_day % DAY_TOKENS or shape.per_day // DAY_TOKENS > PATCH:
            raise ValueError(f"{shape.per_day} steps a day; OpenCity's tokens of one hour need 24, 48, … 288")
        self.steps = shape.per_day // DAY_TOKENS  # of a token
        if shape.history % self.steps:
            raise ValueError(f"a history of {shape.history} steps is no whole number of hours of {self.steps} steps")
        if shape.horizon < shape.history:
            raise ValueError(f"horizon {shape.horizon}, history {shape.history}; the forecast must not be shorter")
        tokens = shape.history // self.steps
        day = tokens == DAY_TOKENS and shape.horizon == shape.per_day
        dim, depth, heads = o.sizes()
        self.horizon, self.tokens = shape.horizon, tokens
        self.patch_embedding_flow = PatchEmbedding(dim, self.steps)
        self.patch_embedding_time = CalendarEmbedding(dim)
        self.spatial_embedding = SpatialEmbedding(shape.eigenvectors[:, : o.lap_dim], dim)
        self.encoder_blocks = nn.ModuleList(EncoderBlock(shape.adjacency, dim, heads, o, sdpa) for _ in range(depth))
        self.linear = nn.Linear(dim * tokens, DAY_ROWS if day else shape.horizon)

    def calendar(self, clock: Tensor, space: Tensor) -> Tensor:
        """The calendar and place [B,N,P,D] of the first step of each token, from steps [B,·,N,2]."""
        first = clock[:, : self.tokens * self.steps : self.steps].transpose(1, 2)
        return self.patch_embedding_time(first) + space[:, None]

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        if future is None:
            raise ValueError("OpenCity needs the calendar of the forecast steps")
        value = x[..., 0].transpose(1, 2)  # [B,N,T]
        mean = value.mean(dim=-1, keepdim=True)
        std = torch.sqrt(value.var(dim=-1, keepdim=True, unbiased=False) + 1e-5)
        tokens = self.patch_embedding_flow((value - mean) / std)
        space = self.spatial_embedding()
        past, ahead = self.calendar(x[..., 1:], space), self.calendar(future, space)
        for block in self.encoder_blocks:
            tokens = block(tokens, past, ahead)
        out = self.linear(tokens.transpose(-1, -2).flatten(-2))[..., : self.horizon]
        return (out * std + mean).transpose(1, 2).unsqueeze(-1)


# Choice ----------------------------------------------------------------------------------------------------------------------

MODELS: dict[str, Any] = {"stid": STID, "gwnet": GraphWaveNet, "staeformer": STAEformer, "opencity": OpenCity}
LEAN: dict[str, Any] = {"gwnet": LeanGraphWaveNet}


def read_options(kind: Any, given: Mapping[str, Any]) -> Any:
    """The options of a model from names and values, which may be text. An unknown name is an error."""
    defaults = {f.name: f.default for f in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(f"unknown option {name}; there are {', '.join(defaults)}")
        want = type(defaults[name])
        if want is bool and isinstance(value, str):
            if value not in ("true", "false"):
                raise ValueError(f"option {name} = {value}; want true or false")
            value = value == "true"
        try:
            values[name] = want(value)
        except ValueError:
            raise ValueError(f"option {name} = {value}; want a {want.__name__}") from None
    return kind(**values)


def build(name: str, shape: Shape, options: Mapping[str, Any] | None = None, sdpa: bool = False, lean: bool = False) -> nn.Module:
    """The model called name, freshly initialised from torch's random numbers; lean: its variant with less work, if it has one."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name}; choose one of {', '.join(MODELS)}")
    model = LEAN.get(name, MODELS[name]) if lean else MODELS[name]
    return model(shape, read_options(model.options, options or {}), sdpa)
