"""Conversion, training, resuming and their error messages, on made-up data."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import generator
import model_dir
from tlin_model import Config

_TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'deploy' / 'models'
_SHAPE = dict(vocab_size=64, n_embd=16, n_head=2)
_WINDOWED = dict(_SHAPE, n_block=2, block_depth=3, history_window='auto', generation_window=8)


class Unsafe:
  """Not a tensor and not a plain value: a checkpoint that holds one must be refused."""


class ToolsTest(unittest.TestCase):

  def setUp(self):
    temporary = tempfile.TemporaryDirectory()
    self.addCleanup(temporary.cleanup)
    self.dir = pathlib.Path(temporary.name)

  def tool(self, name, *args):
    return subprocess.run([sys.executable, '-B', str(_TOOLS / name), *map(str, args)], capture_output=True, text=True)

  def succeeds(self, name, *args):
    done = self.tool(name, *args)
    self.assertEqual(done.returncode, 0, done.stderr)
    return done.stdout

  def fails(self, message, name, *args):
    done = self.tool(name, *args)
    self.assertNotEqual(done.returncode, 0)
    self.assertIn(message, done.stderr)
    self.assertNotIn('Traceback', done.stderr)

  def published(self, class_name, config, model_args, extra=None):
    """A checkpoint as the papers' authors publish them."""
    tensors = dict(generator.model(config, 5).state_dict())
    tensors['transformer.lm_head.weight'] = tensors['embedding.weight']
    tensors['transformer.transformer_layers.0.rope.inv_freq'] = torch.ones(config.head_size // 2)
    path = self.dir / 'published.pt'
    torch.save(dict(model_state_dict=tensors, config=dict(model={'class': class_name, 'model_args': model_args}),
                    **(extra or {})), path)
    return path, tensors

  def round_trip(self, class_name, config, model_args):
    path, tensors = self.published(class_name, config, model_args)
    self.succeeds('convert.py', 'to-dir', path, self.dir / 'm', '--dtype', 'f32')
    self.assertEqual(json.loads((self.dir / 'm/config.json').read_text()), config.to_dict())
    stored = load_file(str(self.dir / 'm/model.safetensors'))
    self.assertFalse([name for name in stored if 'lm_head' in name or 'inv_freq' in name])
    self.succeeds('convert.py', 'to-pt', self.dir / 'm', self.dir / 'back.pt')
    back = torch.load(self.dir / 'back.pt', weights_only=True)
    self.assertEqual(back['config']['model'], {'class': class_name, 'model_args': model_args})
    self.assertEqual(set(back['model_state_dict']), {name for name in tensors if 'inv_freq' not in name})
    for name, tensor in back['model_state_dict'].items():
      self.assertTrue(torch.equal(tensor, tensors[name]), name)

  def test_round_trip(self):
    windowed = dict(_SHAPE, n_transformer_block=2, block_inner_depth=3, history_windown_size='auto',
                    generate_window_size=8)
    self.round_trip('TLinLLM', Config('tlinformer', **_WINDOWED), windowed)
    self.round_trip('TConstLLM', Config('tconstformer', **_WINDOWED), windowed)
    self.round_trip('BaseLLM', Config('transformer', n_layer=3, **_SHAPE), dict(_SHAPE, n_transformer_block=3))

  def test_dtypes(self):
    path, tensors = self.published('BaseLLM', Config('transformer', n_layer=1, **_SHAPE),
                                   dict(_SHAPE, n_transformer_block=1))
    for name, dtype in model_dir.DTYPES.items():
      self.succeeds('convert.py', 'to-dir', path, self.dir / name, '--dtype', name)
      stored = load_file(str(self.dir / name / 'model.safetensors'))['embedding.weight']
      self.assertTrue(torch.equal(stored, tensors['embedding.weight'].to(dtype)))

  def test_convert_refuses(self):
    config = Config('transformer', n_layer=1, **_SHAPE)
    path, _ = self.published('BaseLLM', config, dict(_SHAPE, n_transformer_block=1), dict(extra=Unsafe()))
    self.fails('safely', 'convert.py', 'to-dir', path, self.dir / 'm')
    path, _ = self.published('OtherLLM', config, {})
    self.fails('unknown model class', 'convert.py', 'to-dir', path, self.dir / 'm')
    path, _ = self.published('BaseLLM', config, dict(_SHAPE, n_transformer_block=2))
    self.fails('transformer_layers.1.norm1.weight is missing', 'convert.py', 'to-dir', path, self.dir / 'm')
    self.assertFalse((self.dir / 'm').exists())

  def test_train_resume_and_errors(self):
    text = self.dir / 'text.txt'
    text.write_text('\n\n\n'.join(f'Chapter {i}. The sea was calm — and it was day {i * i}.' * 9 for i in range(120)))
    common = ['--architecture', 'tlinformer', '--corpus', text, '--vocab-size', 300, '--n-embd', 16, '--n-head', 2,
              '--block-depth', 3, '--history-window', 8, '--generation-window', 8, '--length', 32, '--threads', 1,
              '--optimizer', 'adamw', '--seed', 3]
    whole, parts = self.dir / 'whole', self.dir / 'parts'
    first = ['--checkpoint', self.dir / 'c', '--out', parts]
    out = self.succeeds('train.py', *common, '--steps', 6, '--decay', 0.3, '--warmup', 0, '--out', whole)
    self.assertIn('bits per byte', out)
    self.succeeds('train.py', *common, '--steps', 4, '--decay', 0.01, '--warmup', 0, *first)
    self.succeeds('train.py', *common, '--steps', 6, '--decay', 0.3, '--warmup', 0, *first)
    a, b = (load_file(str(d / 'model.safetensors')) for d in (whole, parts))
    for name in a:
      self.assertTrue(torch.equal(a[name], b[name]), f'{name}: a resumed run differs from an unbroken one')
    self.assertEqual(a['embedding.weight'].dtype, torch.bfloat16)
    tokenizer = Tokenizer.from_file(str(whole / 'tokenizer.json'))
    sample = 'Née — \t“sea” 🐋\n\n\nx'
    self.assertEqual(tokenizer.decode(tokenizer.encode(sample).ids), sample)
    self.assertEqual(json.loads((whole / 'config.json').read_text())['eos_token_id'],
                     tokenizer.token_to_id('<|endoftext|>'))
    self.fails('--seed 3, not 4', 'train.py', *common[:-1], 4, *first)
    self.fails('another shape', 'train.py', *common, '--n-head', 4, *first)
    self.fails('even head size', 'train.py', *common, '--n-head', 3, '--out', whole)
    self.fails('no such file', 'train.py', '--architecture', 'tlinformer', '--corpus', 'absent', '--out', whole)
    self.fails('--steps must be', 'train.py', *common, '--steps', 0, '--out', whole)


if __name__ == '__main__':
  unittest.main()
