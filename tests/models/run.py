#!/usr/bin/env python3
"""Runs the tests of deploy/models where PyTorch is installed; elsewhere says so and succeeds."""

import importlib.util
import pathlib
import sys
import unittest

_HERE = pathlib.Path(__file__).resolve().parent
_NEEDED = ('torch', 'numpy', 'safetensors', 'tokenizers')

if __name__ == '__main__':
  missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
  if missing:
    print(f'tests/models: left out, {sys.executable} has no {", ".join(missing)}')
    sys.exit(0)
  sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / 'deploy' / 'models')]
  suite = unittest.defaultTestLoader.discover(str(_HERE), pattern='test_*.py')
  sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
