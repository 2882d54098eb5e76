#!/usr/bin/env python3
"""Converts published .pt checkpoints to model directories, and back.

  convert.py to-dir model.pt DIR [--dtype bf16] [--tokenizer tokenizer.json] [--eos-token-id 50256]
  convert.py to-pt DIR model.pt [--dtype f32]

Only tensors and plain values are read from a .pt file: it cannot run code.
"""

import argparse
import pathlib
import sys

import torch

import model_dir
from tlin_model import Config

_CLASSES = {'TLinLLM': 'tlinformer', 'TConstLLM': 'tconstformer', 'BaseLLM': 'transformer'}
# Ours -> theirs, the misspelling included. The baseline's block count is its layer count.
_WINDOWED = {'n_block': 'n_transformer_block', 'block_depth': 'block_inner_depth',
             'history_window': 'history_windown_size', 'generation_window': 'generate_window_size'}
_BASELINE = {'n_layer': 'n_transformer_block'}
_COMMON = {'vocab_size': 'vocab_size', 'n_embd': 'n_embd', 'n_head': 'n_head'}


def _names(architecture: str) -> dict:
  return {**_COMMON, **(_BASELINE if architecture == 'transformer' else _WINDOWED)}


def read_config(published: dict) -> Config:
  """Config from the training configuration of a published checkpoint."""
  try:
    model = published['model']
    class_name, args = model['class'], model['model_args']
  except (KeyError, TypeError) as e:
    raise ValueError(f'the checkpoint has no config.model.class and config.model.model_args ({e})') from e
  architecture = _CLASSES.get(str(class_name).rsplit('.', 1)[-1])
  if architecture is None:
    raise ValueError(f'unknown model class {class_name!r}; known: {", ".join(_CLASSES)}')
  fields = {}
  for ours, theirs in _names(architecture).items():
    # Some baselines count their layers under our own name.
    key = ours if theirs not in args and ours in args else theirs
    if key not in args:
      raise ValueError(f'config.model.model_args lacks {theirs}')
    fields[ours] = args[key]
  return Config(architecture=architecture, **fields)


def to_dir(args) -> None:
  try:
    checkpoint = torch.load(args.source, map_location='cpu', weights_only=True)
  except Exception as e:  # truncated, not a checkpoint, or holding objects that would run code
    raise ValueError(f'cannot read {args.source} safely: {e}') from e
  if not isinstance(checkpoint, dict) or 'model_state_dict' not in checkpoint or 'config' not in checkpoint:
    raise ValueError(f'{args.source} has no model_state_dict and config')
  config = read_config(checkpoint['config'])
  config.eos_token_id = args.eos_token_id
  tokenizer_json = args.tokenizer.read_text(encoding='utf-8') if args.tokenizer else None
  model_dir.save(args.target, config, checkpoint['model_state_dict'], args.dtype, tokenizer_json)


def to_pt(args) -> None:
  config, tensors = model_dir.load(args.source)
  tensors = {name: t.to(model_dir.DTYPES[args.dtype]) for name, t in tensors.items()}
  tensors['transformer.lm_head.weight'] = tensors['embedding.weight']
  class_name = next(name for name, architecture in _CLASSES.items() if architecture == config.architecture)
  model_args = {theirs: getattr(config, ours) for ours, theirs in _names(config.architecture).items()}
  checkpoint = {'model_state_dict': tensors, 'config': {'model': {'class': class_name, 'model_args': model_args}}}
  model_dir.write_atomically(args.target, lambda path: torch.save(checkpoint, path))


def parse_args(argv=None) -> argparse.Namespace:
  p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = p.add_subparsers(dest='command', required=True)
  for name, run, default in (('to-dir', to_dir, 'bf16'), ('to-pt', to_pt, 'f32')):
    c = commands.add_parser(name)
    c.add_argument('source', type=pathlib.Path)
    c.add_argument('target', type=pathlib.Path)
    c.add_argument('--dtype', choices=sorted(model_dir.DTYPES), default=default)
    c.set_defaults(run=run)
    if run is to_dir:
      c.add_argument('--tokenizer', type=pathlib.Path, help='tokenizer.json to put beside the weights')
      c.add_argument('--eos-token-id', type=int)
  return p.parse_args(argv)


if __name__ == '__main__':
  arguments = parse_args()
  try:
    arguments.run(arguments)
  except (OSError, ValueError) as e:
    sys.exit(f'convert.py: {e}')
