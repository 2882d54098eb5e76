"""The goldens' pseudo-random tokens and weights: splitmix64 streams, the same in every language."""

import hashlib

import numpy
import torch

from tlin_model import Config, Model


def splitmix64(seed: int, count: int) -> numpy.ndarray:
  """z_1 ... z_count, uint64."""
  with numpy.errstate(over='ignore'):
    z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def tokens(seed: int, count: int, vocab: int) -> torch.Tensor:
  """[1, count] token ids."""
  return torch.from_numpy((splitmix64(seed, count) % numpy.uint64(vocab)).astype(numpy.int64))[None]


def _fnv1a64(text: str) -> int:
  value = 0xCBF29CE484222325
  for byte in text.encode():
    value = (value ^ byte) * 0x100000001B3 % 2**64
  return value


def _tensor(name: str, shape, seed: int) -> numpy.ndarray:
  z = splitmix64(seed ^ _fnv1a64(name), int(numpy.prod(shape)))
  u = (2 * (z >> numpy.uint64(40)).astype(numpy.float64) / 2**24 - 1).astype(numpy.float32).reshape(shape)
  f = numpy.float32
  if '.norm' in name and name.endswith('weight'):
    return f(1) + f(0.1) * u
  if name.endswith('bias'):
    return f(0.1) * u
  if name == 'embedding.weight':
    return f(0.5) * u
  return u * f(numpy.sqrt(3 / shape[-1]))


def model(config: Config, seed: int) -> Model:
  result = Model(config).eval()
  for name, parameter in result.named_parameters():
    parameter.data = torch.from_numpy(_tensor(name, tuple(parameter.shape), seed))
  return result


def sha256(model: Model) -> str:
  digest = hashlib.sha256()
  for name, parameter in sorted(model.named_parameters()):
    digest.update(name.encode())
    digest.update(parameter.detach().numpy().astype('<f4').tobytes())
  return digest.hexdigest()
