"""Text for training: reading, splitting into documents, held-out part, byte-level BPE."""

import lzma
import pathlib
from typing import List, Tuple

import numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

END_OF_TEXT = '<|endoftext|>'
# One document in this many is held out. The rule is by position, so it never depends on a seed.
HELD_OUT_EVERY = 50


def read_documents(path: pathlib.Path) -> List[str]:
  """Documents of a text file (plain or .xz), in order.

  Documents stand three newlines apart; in a file that has none such, two apart (a Bible chapter).
  """
  opener = lzma.open if path.suffix == '.xz' else open
  try:
    with opener(path, 'rt', encoding='utf-8', newline='') as f:
      text = f.read()
  except (OSError, lzma.LZMAError, UnicodeDecodeError) as e:
    raise ValueError(f'cannot read text from {path}: {e}') from e
  separator = '\n\n\n' if '\n\n\n' in text else '\n\n'
  return [d.strip('\n') for d in text.split(separator) if d.strip('\n')]


def split(paths: List[pathlib.Path]) -> Tuple[List[str], List[str]]:
  """Documents for training, and held-out ones: the middle one of every 50 of each file."""
  train, held_out = [], []
  for path in paths:
    documents = read_documents(path)
    for i, document in enumerate(documents):
      (held_out if i % HELD_OUT_EVERY == HELD_OUT_EVERY // 2 else train).append(document)
  if not train or not held_out:
    raise ValueError(f'too few documents: {len(train)} for training, {len(held_out)} held out')
  return train, held_out


def train_tokenizer(documents: List[str], vocab_size: int) -> tokenizers.Tokenizer:
  """Byte-level BPE as GPT-2's: every byte is in the vocabulary, so any text can be encoded."""
  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
      vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False,
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
  tokenizer.train_from_iterator(documents, trainer)
  return tokenizer


def encode(tokenizer: tokenizers.Tokenizer, documents: List[str]) -> numpy.ndarray:
  """One stream of token ids; each document is followed by END_OF_TEXT."""
  end = tokenizer.token_to_id(END_OF_TEXT)
  ids = []
  for encoding in tokenizer.encode_batch(documents):
    ids.extend(encoding.ids)
    ids.append(end)
  return numpy.array(ids, dtype=numpy.int32)


def sequences(stream: numpy.ndarray, length: int) -> numpy.ndarray:
  """Held-out sequences [n, length + 1]: each token but a sequence's first is predicted."""
  n = (len(stream) - 1) // length
  if n == 0:
    raise ValueError(f'the held-out text has {len(stream)} tokens, fewer than a sequence of {length} and one more')
  return numpy.stack([stream[i * length:i * length + length + 1] for i in range(n)])


class Batches:
  """Batches as a pure function of (seed, step): a resumed run sees what an unbroken one sees.

  An epoch cuts the stream, from a random offset, into sequences and takes them in random order.
  """

  def __init__(self, stream: numpy.ndarray, length: int, batch: int, seed: int):
    self._stream, self._length, self._batch, self._seed = stream, length, batch, seed
    self._per_epoch = (len(stream) - 1 - length) // length // batch  # batches
    if self._per_epoch == 0:
      raise ValueError(f'the training text has {len(stream)} tokens, too few for a batch of {batch} x {length}')
    self._epoch = -1

  def __getitem__(self, step: int) -> numpy.ndarray:
    """[batch, length + 1] token ids of step 0, 1, ..."""
    epoch, index = divmod(step, self._per_epoch)
    if epoch != self._epoch:
      rng = numpy.random.default_rng([self._seed, epoch])
      self._offset = int(rng.integers(self._length))
      self._order = rng.permutation(self._per_epoch * self._batch)
      self._epoch = epoch
    picked = self._order[index * self._batch:(index + 1) * self._batch]
    starts = self._offset + picked * self._length
    return numpy.stack([self._stream[s:s + self._length + 1] for s in starts])
