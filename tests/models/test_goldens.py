"""The PyTorch model against every file of tests/goldens."""

import json
import pathlib
import unittest

import numpy
import torch
from safetensors.torch import load_file

import generator
from tlin_model import Config

_GOLDENS = pathlib.Path(__file__).resolve().parents[1] / 'goldens'
# Largest difference, as a part of the largest golden logit. Float32 sums in another order give less.
_TOLERANCE = 2e-5
_STORED = {'tlin-2x4': 'tlin-2x4', 'tconst-2x4': 'tlin-2x4', 'transformer-4': 'transformer-4'}


class GoldensTest(unittest.TestCase):

  def check_file(self, path: pathlib.Path):
    golden = json.loads(path.read_text())
    config = Config.from_dict(golden['config'])
    model = generator.model(config, golden['weights']['seed'])
    self.assertEqual(generator.sha256(model), golden['weights']['sha256'])
    if golden['name'] in _STORED:
      model.load_state_dict(load_file(str(_GOLDENS / _STORED[golden['name']] / 'model.safetensors')))
    for case in golden['cases']:
      tokens = generator.tokens(case['token_seed'], case['n'], config.vocab_size)
      got = model.last_logits(tokens)[0].double()
      if 'logsumexp' in case:
        self.assertAlmostEqual(float(got.logsumexp(0)), case['logsumexp'], delta=1e-3)
        got = got[case['indices']]
      self.assert_near(got, case['logits'], f'n = {case["n"]}')
    for case in golden.get('greedy', []):
      self.check_greedy(model, case)
    if 'teacher_forced' in golden:
      tokens = torch.tensor(golden['teacher_forced']['tokens'])[None]
      got = -torch.log_softmax(model(tokens[:, :-1])[0].double(), -1).gather(1, tokens[0, 1:, None])[:, 0]
      expected = golden['teacher_forced']['negative_log_likelihood']
      self.assert_near(got, expected, 'teacher forced')
      total = sum(float(loss) for loss in model.losses(tokens[:, :-1], tokens[:, 1:]))
      self.assertAlmostEqual(total, sum(expected), delta=1e-4 * abs(sum(expected)))

  def check_greedy(self, model, case):
    tokens = list(case['prompt'])
    for expected in case['tokens']:
      got = int(model.last_logits(torch.tensor(tokens)[None])[0].argmax())
      self.assertEqual(got, expected, f'after {len(tokens)} tokens')
      tokens.append(got)

  def assert_near(self, got: torch.Tensor, expected, what: str):
    expected = numpy.array(expected)
    error = numpy.abs(got.numpy() - expected).max() / numpy.abs(expected).max()
    self.assertLess(error, _TOLERANCE, what)

  @torch.no_grad()
  def test_every_golden(self):
    paths = sorted(_GOLDENS.glob('*.json'))
    self.assertGreaterEqual(len(paths), 15)
    for path in paths:
      with self.subTest(path.stem):
        self.check_file(path)


if __name__ == '__main__':
  unittest.main()
