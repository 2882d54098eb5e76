"""Model directories as the daemon reads them: config.json, model.safetensors, tokenizer.json."""

import contextlib
import json
import os
import pathlib
from typing import Dict, Optional, Tuple

import torch
from safetensors.torch import load_file, save_file

from tlin_model import Config, Model

DTYPES = {'f32': torch.float32, 'f16': torch.float16, 'bf16': torch.bfloat16}


def write_atomically(path: pathlib.Path, write) -> None:
  """Calls write(temporary path), then renames: a reader sees the old file or the whole new one."""
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    write(temporary)
    temporary.chmod(0o644)  # a daemon under another user reads it; some writers make it private
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def is_ignored(name: str) -> bool:
  """Tensors of published checkpoints that hold nothing of their own: tied or derived."""
  return name.endswith('rope.inv_freq') or name == 'transformer.lm_head.weight'


def check_tensors(config: Config, tensors: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
  """Drops ignored tensors; raises ValueError unless the rest is exactly what the config implies."""
  # torch 1.13 cannot use a device as a context: there the shapes come from real tensors.
  with torch.device('meta') if hasattr(torch, 'get_default_device') else contextlib.nullcontext():
    expected = {name: tuple(t.shape) for name, t in Model(config).state_dict().items()}
  tensors = {name: t for name, t in tensors.items() if not is_ignored(name)}
  for name, shape in expected.items():
    if name not in tensors:
      raise ValueError(f'tensor {name} is missing')
    if tuple(tensors[name].shape) != shape:
      raise ValueError(f'tensor {name} is {list(tensors[name].shape)}, the config implies {list(shape)}')
  unknown = sorted(set(tensors) - set(expected))
  if unknown:
    raise ValueError(f'{len(unknown)} unknown tensors, the first is {unknown[0]}')
  return tensors


def save(directory: pathlib.Path, config: Config, tensors: Dict[str, torch.Tensor], dtype: str = 'bf16',
         tokenizer_json: Optional[str] = None) -> None:
  """Writes the directory; each file replaces its predecessor atomically."""
  tensors = check_tensors(config, tensors)
  stored = {name: t.detach().to('cpu', DTYPES[dtype]).contiguous() for name, t in sorted(tensors.items())}
  directory.mkdir(parents=True, exist_ok=True)
  text = json.dumps(config.to_dict(), indent=2) + '\n'
  write_atomically(directory / 'config.json', lambda p: p.write_text(text, encoding='utf-8'))
  write_atomically(directory / 'model.safetensors', lambda p: save_file(stored, str(p)))
  if tokenizer_json is not None:
    write_atomically(directory / 'tokenizer.json', lambda p: p.write_text(tokenizer_json, encoding='utf-8'))


def load(directory: pathlib.Path) -> Tuple[Config, Dict[str, torch.Tensor]]:
  """Config and checked tensors, in the dtype that they are stored in."""
  try:
    fields = json.loads((directory / 'config.json').read_text(encoding='utf-8'))
    tensors = load_file(str(directory / 'model.safetensors'))
  except OSError as e:
    raise ValueError(f'{directory} is not a model directory: {e}') from e
  except Exception as e:  # safetensors and json have their own error classes
    raise ValueError(f'{directory}: {e}') from e
  config = Config.from_dict(fields)
  return config, check_tensors(config, tensors)


def load_model(directory: pathlib.Path) -> Model:
  """A float32 model on the CPU."""
  config, tensors = load(directory)
  model = Model(config)
  model.load_state_dict({name: t.float() for name, t in tensors.items()})
  return model
