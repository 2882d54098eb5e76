"""TLinFormer, TConstFormer and the baseline transformer, in PyTorch.

One class, `Model`, for training and for checking the serving engine. It favours
clarity over speed at inference: nothing is cached between calls.

Shapes in comments: B sequences, T tokens, L history rows, W window rows, D width,
H heads, E = D / H elements a head.
"""

import dataclasses
import math
from typing import Iterator, Optional, Tuple, Union

import torch
from torch import nn
from torch.nn import functional as F

ARCHITECTURES = ('tlinformer', 'tconstformer', 'transformer')

# History rows kept for a history of L tokens where `history_window` is "auto": FACTOR * ln L.
_AUTO_WINDOW_FACTOR = {'tlinformer': 12.0, 'tconstformer': 8.33}


@dataclasses.dataclass
class Config:
  """The fields of a model directory's config.json."""

  architecture: str
  vocab_size: int
  n_embd: int
  n_head: int
  n_block: int = 0  # not for the baseline
  block_depth: int = 0  # layers a block, compress and restore included; not for the baseline
  history_window: Union[int, str] = 0  # rows, or "auto"; not for the baseline
  generation_window: int = 0  # rows; not for the baseline
  n_layer: int = 0  # only for the baseline
  eos_token_id: Optional[int] = None
  bos_token_id: Optional[int] = None

  def __post_init__(self):
    if self.architecture not in ARCHITECTURES:
      raise ValueError(f'architecture is {self.architecture!r}, not one of {", ".join(ARCHITECTURES)}')
    needed = ['vocab_size', 'n_embd', 'n_head']
    if self.architecture == 'transformer':
      needed += ['n_layer']
    else:
      needed += ['n_block', 'generation_window']
      if self.history_window != 'auto':
        needed += ['history_window']
      if type(self.block_depth) is not int or self.block_depth < 2:
        raise ValueError(f'block_depth is {self.block_depth!r}: a block has at least a compress and a restore layer')
    for name in needed:
      value = getattr(self, name)
      if type(value) is not int or value < 1:
        raise ValueError(f'{name} is {value!r}, not a positive integer')
    if self.n_embd % self.n_head or (self.n_embd // self.n_head) % 2:
      raise ValueError(f'n_embd {self.n_embd} over n_head {self.n_head} is not an even head size')

  @classmethod
  def from_dict(cls, fields: dict) -> 'Config':
    """Ignores fields that it does not know; raises ValueError where one is missing or wrong."""
    known = {f.name for f in dataclasses.fields(cls)}
    missing = [name for name in ('architecture', 'vocab_size', 'n_embd', 'n_head') if name not in fields]
    if missing:
      raise ValueError(f'config lacks {", ".join(missing)}')
    return cls(**{name: value for name, value in fields.items() if name in known})

  def to_dict(self) -> dict:
    """Only the fields that this architecture uses."""
    baseline = ('n_layer',)
    windowed = ('n_block', 'block_depth', 'history_window', 'generation_window')
    unused = windowed if self.architecture == 'transformer' else baseline
    return {name: value for name, value in dataclasses.asdict(self).items()
            if name not in unused and value is not None}

  @property
  def head_size(self) -> int:
    return self.n_embd // self.n_head

  @property
  def ffn_size(self) -> int:
    return 256 * math.ceil(int(8 / 3 * self.n_embd) / 256)

  def history_rows(self, length: int) -> int:
    """W_oh: how many of `length` history rows the compress layer keeps, before clipping to length."""
    if self.history_window != 'auto':
      return self.history_window
    return int((_AUTO_WINDOW_FACTOR[self.architecture] * math.log(length) + 7) // 8) * 8

  def history_length(self, tokens: int) -> int:
    """L for a sequence of `tokens` >= 1 tokens: all full windows but the one that is open."""
    if self.architecture == 'transformer':
      return 0
    return (tokens - 1) // self.generation_window * self.generation_window


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False) -> torch.Tensor:
  """Softmax attention per head. q [B, Tq, H, E], k and v [B, Tk, H, E] -> [B, Tq, D]."""
  q, k, v = (t.transpose(1, 2) for t in (q, k, v))
  if hasattr(F, 'scaled_dot_product_attention'):
    a = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
  else:  # torch 1.13
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
      rows = scores.shape[-1]
      future = torch.ones(rows, rows, dtype=torch.bool, device=q.device).triu(1)
      scores = scores.masked_fill(future, float('-inf'))
    a = torch.softmax(scores, -1) @ v
  return a.transpose(1, 2).flatten(2)


def rotate(x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
  """Rotates adjacent pairs of x [B, T, heads, E] by rope [T, E/2] (unit complex numbers)."""
  pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
  return torch.view_as_real(pairs * rope[:, None, :]).flatten(-2).to(x.dtype)


class FeedForward(nn.Module):

  def __init__(self, config: Config):
    super().__init__()
    self.w1 = nn.Linear(config.n_embd, config.ffn_size, bias=False)  # gate
    self.w3 = nn.Linear(config.n_embd, config.ffn_size, bias=False)  # up
    self.w2 = nn.Linear(config.ffn_size, config.n_embd, bias=False)  # down

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Layer(nn.Module):
  """One layer's tensors, shared by the history path and the generation path."""

  def __init__(self, config: Config):
    super().__init__()
    self.n_head = config.n_head
    self.norm1 = nn.LayerNorm(config.n_embd)
    self.qkv_proj = nn.Linear(config.n_embd, 3 * config.n_embd)
    self.out_proj = nn.Linear(config.n_embd, config.n_embd)
    self.norm2 = nn.LayerNorm(config.n_embd)
    self.ffn = FeedForward(config)

  def qkv(self, x: torch.Tensor, rope: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x [B, T, D] -> q, k, v [B, T, H, E], q and k rotated."""
    qkv = self.qkv_proj(self.norm1(x)).unflatten(-1, (3 * self.n_head, -1))
    qk, v = qkv.split([2 * self.n_head, self.n_head], dim=2)
    q, k = rotate(qk, rope).chunk(2, dim=2)
    return q, k, v

  def finish(self, residual: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    x = residual + self.out_proj(attention)
    return x + self.ffn(self.norm2(x))


class Block(nn.Module):
  """compress, hidden..., restore."""

  def __init__(self, config: Config):
    super().__init__()
    self.config = config
    self.compress_context_layer = Layer(config)
    self.hidden_layers = nn.ModuleList(Layer(config) for _ in range(config.block_depth - 2))
    self.restore_context_shape_layer = Layer(config)

  def forward(self, history: torch.Tensor, x: torch.Tensor, first_qkv, rope: torch.Tensor, last: bool):
    """One block over the history [B, L, D] (L may be 0) and one window x [B, W, D].

    `first_qkv` is the compress layer's q, k, v of history and window, joined: [B, L + W, H, E] each.
    `rope` covers positions 0 .. L + W - 1. Returns the next block's history and x; the history is
    None after the last block, which nothing reads.
    """
    length = history.shape[1]
    first = self.compress_context_layer
    (q_old, q), (k_old, k), (v_old, v) = (t.split([length, x.shape[1]], dim=1) for t in first_qkv)
    here = rope[length:]
    a = attend(q, k, v, causal=True)
    if length == 0:
      x = first.finish(x, a)
      for layer in [*self.hidden_layers, self.restore_context_shape_layer]:
        q, k, v = layer.qkv(x, here)
        x = layer.finish(x, attend(q, k, v, causal=True))
      return (None if last else history), x

    if self.config.architecture == 'tlinformer':
      a = a + attend(q, k_old, v_old)
    x = first.finish(x, a)
    start = max(0, length - self.config.history_rows(length))
    there = rope[start:length]  # of the compressed rows
    z = first.finish(history[:, start:], attend(q_old[:, start:], k_old, v_old))
    for layer in self.hidden_layers:
      q_z, k_z, v_z = layer.qkv(z, there)
      x = self._generate(layer, x, here, k_z, v_z)
      z = layer.finish(z, attend(q_z, k_z, v_z))
    layer = self.restore_context_shape_layer
    _, k_z, v_z = layer.qkv(z, there)
    x = self._generate(layer, x, here, k_z, v_z)
    return (None if last else layer.finish(history, attend(q_old, k_z, v_z))), x

  @staticmethod
  def _generate(layer: Layer, x: torch.Tensor, rope: torch.Tensor, k_hist: torch.Tensor, v_hist: torch.Tensor):
    """A layer of the generation path: two separate softmaxes, added."""
    q, k, v = layer.qkv(x, rope)
    return layer.finish(x, attend(q, k, v, causal=True) + attend(q, k_hist, v_hist))


class Body(nn.Module):
  """Everything between the embedding and the logits; it exists to give tensors their names."""

  def __init__(self, config: Config):
    super().__init__()
    if config.architecture == 'transformer':
      layers = [Layer(config) for _ in range(config.n_layer)]
    else:
      layers = [Block(config) for _ in range(config.n_block)]
    self.transformer_layers = nn.ModuleList(layers)
    self.norm = nn.LayerNorm(config.n_embd)


class Model(nn.Module):

  def __init__(self, config: Config):
    super().__init__()
    self.config = config
    self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
    self.transformer = Body(config)
    # Every operation in float32: rounding only at the end moves some frequencies by one unit in the
    # last place, which shows in the logits from about position 20,000 on.
    exponents = torch.arange(0, config.head_size, 2, dtype=torch.float32) / config.head_size
    self._frequencies = 1.0 / 10000.0 ** exponents
    self._rope = torch.empty(0)
    self._initialise()

  def _initialise(self):
    """Normal weights; those that write to the residual are smaller the more of them there are."""
    layers = [m for m in self.modules() if isinstance(m, Layer)]
    for module in self.modules():
      if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
      if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    for layer in layers:
      for writer in (layer.out_proj, layer.ffn.w2):
        nn.init.normal_(writer.weight, std=0.02 / math.sqrt(2 * len(layers)))

  def rope(self, positions: int, device: torch.device) -> torch.Tensor:
    """cos + i sin of positions 0 .. positions - 1: [positions, E/2] complex64.

    The angle is a float32 product on purpose: at positions beyond 100,000 a float64 angle gives
    other logits than the ones that the models were defined with.
    """
    if self._rope.shape[0] < positions or self._rope.device != device:
      p = torch.arange(positions, dtype=torch.float32)
      angles = (p[:, None] * self._frequencies[None, :]).double()
      self._rope = torch.polar(torch.ones_like(angles), angles).to(torch.complex64).to(device)
    return self._rope[:positions]

  def windows(self, tokens: torch.Tensor, only_last: bool = False) -> Iterator[Tuple[int, torch.Tensor]]:
    """Teacher-forced pass over tokens [B, T]: yields (first position, normed rows [B, W, D]) a window.

    Every window k sees the history of length k * W that it would see when it is generated. The
    baseline has one window, all of T. `only_last` leaves all windows but the last one out.
    """
    total = tokens.shape[1]
    rope = self.rope(total, tokens.device)
    x = self.embedding(tokens)
    layers = self.transformer.transformer_layers
    if self.config.architecture == 'transformer':
      for layer in layers:
        q, k, v = layer.qkv(x, rope)
        x = layer.finish(x, attend(q, k, v, causal=True))
      yield 0, self.transformer.norm(x)
      return
    # In the first block a position has the same q, k, v in the window and in every later history:
    # they are computed once for all windows.
    shared = layers[0].compress_context_layer.qkv(x, rope)
    last_start = self.config.history_length(total)
    for start in range(last_start if only_last else 0, last_start + 1, self.config.generation_window):
      end = min(start + self.config.generation_window, total)
      yield start, self._window(x[:, :start], x[:, start:end], [t[:, :end] for t in shared], rope[:end])

  def _window(self, history: torch.Tensor, x: torch.Tensor, qkv, rope: torch.Tensor) -> torch.Tensor:
    blocks = self.transformer.transformer_layers
    for i, block in enumerate(blocks):
      if i > 0:
        first = block.compress_context_layer
        old = first.qkv(history, rope[:history.shape[1]])
        new = first.qkv(x, rope[history.shape[1]:])
        qkv = [torch.cat(pair, dim=1) for pair in zip(old, new)]
      history, x = block(history, x, qkv, rope, last=i + 1 == len(blocks))
    return self.transformer.norm(x)

  def logits(self, rows: torch.Tensor) -> torch.Tensor:
    return F.linear(rows, self.embedding.weight)

  def forward(self, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of every position: tokens [B, T] -> [B, T, vocab]."""
    return torch.cat([self.logits(rows) for _, rows in self.windows(tokens)], dim=1)

  def last_logits(self, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of the last position alone: tokens [B, T] -> [B, vocab]."""
    for _, rows in self.windows(tokens, only_last=True):
      last = rows[:, -1]
    return self.logits(last)

  def losses(self, tokens: torch.Tensor, targets: torch.Tensor) -> Iterator[torch.Tensor]:
    """Summed negative log-likelihood (nats) of targets [B, T], one tensor a window."""
    for start, rows in self.windows(tokens):
      logits = self.logits(rows).float().flatten(0, 1)
      yield F.cross_entropy(logits, targets[:, start:start + rows.shape[1]].flatten(), reduction='sum')
