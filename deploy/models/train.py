#!/usr/bin/env python3
"""Trains a small model and writes a directory that `tlind --model=DIR` serves.

  train.py --architecture tlinformer --steps 2000 --checkpoint tlin.ckpt --out tlin-demo

The same command again goes on from the checkpoint; a larger --steps trains longer. SIGTERM and
SIGINT save a checkpoint first. The learning rate warms up, stays, and falls to zero over the last
part of --steps, so raising or lowering --steps before the fall begins changes nothing of the past.
"""

import argparse
import contextlib
import math
import os
import pathlib
import signal
import sys
import time

import numpy
import tokenizers
import torch

import corpus
import model_dir
from tlin_model import ARCHITECTURES, Config, Model

_HERE = pathlib.Path(__file__).resolve().parent


def parse_args(argv=None) -> argparse.Namespace:
  p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--architecture', required=True, choices=ARCHITECTURES)
  p.add_argument('--out', type=pathlib.Path, required=True, help='model directory to write')
  p.add_argument('--checkpoint', type=pathlib.Path, help='training state; resumed from where it exists')
  p.add_argument('--corpus', type=pathlib.Path, nargs='+', help='text files, .xz or plain (default: corpus/*.xz)')
  p.add_argument('--tokenizer', type=pathlib.Path, help='use this tokenizer.json, train none')
  p.add_argument('--vocab-size', type=int, default=2048)
  p.add_argument('--n-embd', type=int, default=192)
  p.add_argument('--n-head', type=int, default=6)
  p.add_argument('--n-block', type=int, default=1)
  p.add_argument('--block-depth', type=int, default=8)
  p.add_argument('--n-layer', type=int, default=8, help='of the baseline')
  p.add_argument('--history-window', type=int, default=128)
  p.add_argument('--generation-window', type=int, default=128)
  p.add_argument('--length', type=int, default=1024, help='tokens a sequence')
  p.add_argument('--batch', type=int, default=2, help='sequences a step')
  p.add_argument('--steps', type=int, default=2000)
  p.add_argument('--minutes', type=float, help='stop this run, resumably, after so many minutes')
  p.add_argument('--optimizer', choices=('muon', 'adamw'), default='muon',
                 help='muon: for matrices inside layers, AdamW for the rest (torch >= 2.9)')
  p.add_argument('--learning-rate', type=float, default=3e-3)
  p.add_argument('--warmup', type=int, default=40, help='steps')
  p.add_argument('--decay', type=float, default=0.35, help='last part of --steps in which the rate falls')
  p.add_argument('--weight-decay', type=float, default=0.1)
  p.add_argument('--seed', type=int, default=1)
  p.add_argument('--device', default='cpu')
  p.add_argument('--bf16', action='store_true', help='bf16 autocast (slower than float32 on CPUs without AMX)')
  p.add_argument('--threads', type=int, default=0, help='CPU threads; 0 = all')
  p.add_argument('--save-every', type=int, default=100, help='steps between checkpoints')
  p.add_argument('--eval-only', action='store_true', help='measure the model in --out and stop')
  args = p.parse_args(argv)
  for name in ('length', 'batch', 'steps', 'vocab_size', 'save_every'):
    if getattr(args, name) < 1:
      p.error(f'--{name.replace("_", "-")} must be at least 1')
  if args.vocab_size < 257:
    p.error('--vocab-size must be at least 257: 256 bytes and the end of text')
  if args.minutes is not None and args.minutes <= 0:
    p.error('--minutes must be positive')
  if not 0 < args.decay <= 1 or args.learning_rate <= 0 or args.warmup < 0 or args.threads < 0:
    p.error('--decay must be in (0, 1], --learning-rate positive, --warmup and --threads not negative')
  if args.optimizer == 'muon' and not hasattr(torch.optim, 'Muon'):
    p.error('this torch has no Muon: use --optimizer adamw')
  if args.device.startswith('cuda') and not torch.cuda.is_available():
    p.error(f'--device {args.device}: torch sees no CUDA device')
  args.corpus = args.corpus or sorted((_HERE / 'corpus').glob('*.xz'))
  missing = [str(path) for path in [*args.corpus, *([args.tokenizer] if args.tokenizer else [])] if not path.is_file()]
  if missing or not args.corpus:
    p.error(f'no such file: {", ".join(missing) or "corpus/*.xz"}')
  return args


def make_config(args, tokenizer) -> Config:
  fields = dict(architecture=args.architecture, vocab_size=tokenizer.get_vocab_size(), n_embd=args.n_embd,
                n_head=args.n_head, eos_token_id=tokenizer.token_to_id(corpus.END_OF_TEXT))
  if args.architecture == 'transformer':
    return Config(n_layer=args.n_layer, **fields)
  return Config(n_block=args.n_block, block_depth=args.block_depth, history_window=args.history_window,
                generation_window=args.generation_window, **fields)


def make_optimizers(args, model: Model) -> list:
  matrices, vectors, embedding = [], [], []
  for name, parameter in model.named_parameters():
    kind = embedding if name == 'embedding.weight' else matrices if parameter.ndim == 2 else vectors
    kind.append(parameter)
  groups = [dict(params=vectors, weight_decay=0.0), dict(params=embedding)]
  if args.optimizer == 'adamw':
    groups.append(dict(params=matrices))
  optimizers = [torch.optim.AdamW(groups, lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=args.weight_decay)]
  if args.optimizer == 'muon':
    optimizers.append(torch.optim.Muon(matrices, lr=args.learning_rate, weight_decay=args.weight_decay,
                                       adjust_lr_fn='match_rms_adamw'))
  return optimizers


def rate(args, step: int) -> float:
  """The part of --learning-rate for step 0, 1, ...: warm-up, constant, linear fall."""
  falling = (args.steps - step) / max(1.0, args.decay * args.steps)
  return min(1.0, (step + 1) / (args.warmup + 1), falling)


def autocast(args):
  return torch.autocast(args.device.split(':')[0], dtype=torch.bfloat16) if args.bf16 else contextlib.nullcontext()


def to_tensors(args, batch: numpy.ndarray):
  tokens = torch.from_numpy(batch.astype(numpy.int64)).to(args.device)
  return tokens[:, :-1], tokens[:, 1:]


@torch.no_grad()
def evaluate(args, model: Model, tokenizer, stream: numpy.ndarray) -> dict:
  """Teacher-forced over the held-out stream, in sequences of --length."""
  model.eval()
  rows = corpus.sequences(stream, args.length)
  nats = 0.0
  for i in range(0, len(rows), args.batch):
    with autocast(args):
      nats += sum(float(loss) for loss in model.losses(*to_tensors(args, rows[i:i + args.batch])))
  predicted = rows[:, 1:]
  text = tokenizer.decode_batch([row.tolist() for row in predicted], skip_special_tokens=True)
  # A token can end inside a character, so bytes are counted over the joined stream, not by row.
  size = len(tokenizer.decode(predicted.flatten().tolist(), skip_special_tokens=True).encode()) if text else 0
  return dict(tokens=predicted.size, bytes=size, perplexity=math.exp(nats / predicted.size),
              bits_per_byte=nats / math.log(2) / size)


def report(result: dict) -> None:
  print('held out: perplexity {perplexity:.2f} a token, {bits_per_byte:.3f} bits per byte '
        '({tokens} tokens, {bytes} bytes)'.format(**result), flush=True)


class Progress:
  """A bar on a terminal; a line every 20 seconds elsewhere."""

  def __init__(self, steps: int, done: int, tokens_a_step: int):
    self._steps, self._first, self._tokens = steps, done, tokens_a_step
    self._start, self._shown, self._loss = time.monotonic(), 0.0, None

  def show(self, step: int, loss: float) -> None:
    self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
    now = time.monotonic()
    terminal = sys.stderr.isatty()
    if step < self._steps and now - self._shown < (0.5 if terminal else 20):
      return
    self._shown = now
    speed = (step - self._first) * self._tokens / max(now - self._start, 1e-9)
    left = (self._steps - step) * self._tokens / max(speed, 1e-9)
    filled = 24 * step // self._steps
    line = (f'[{"#" * filled}{"." * (24 - filled)}] {step}/{self._steps}  loss {self._loss:.3f}  '
            f'{speed:.0f} tok/s  {left / 60:.1f} min left')
    print(('\r' if terminal else '') + line, end='' if terminal and step < self._steps else '\n',
          file=sys.stderr, flush=True)


def save_checkpoint(args, config, model, optimizers, tokenizer, step: int, seconds: float) -> None:
  if args.checkpoint is None:
    return
  args.checkpoint.parent.mkdir(parents=True, exist_ok=True)
  state = dict(config=config.to_dict(), seed=args.seed, length=args.length, batch=args.batch, step=step,
               seconds=seconds, optimizer=args.optimizer, tokenizer=tokenizer.to_str(),
               model=model.state_dict(), optimizers=[o.state_dict() for o in optimizers])
  model_dir.write_atomically(args.checkpoint, lambda path: torch.save(state, path))


def load_checkpoint(args) -> dict:
  try:
    state = torch.load(args.checkpoint, map_location='cpu', weights_only=True)
    same = {name: state[name] for name in ('seed', 'length', 'batch', 'optimizer')}
  except Exception as e:
    raise ValueError(f'cannot resume from {args.checkpoint}: {e}') from e
  for name, value in same.items():
    if getattr(args, name) != value:
      raise ValueError(f'{args.checkpoint} was trained with --{name} {value}, not {getattr(args, name)}')
  return state


def train(args, config, model, optimizers, tokenizer, batches, step: int, seconds: float):
  """Steps until --steps, --minutes or a signal; returns (step reached, seconds trained in all)."""
  stop = []
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.append(True))
  start = time.monotonic()
  progress = Progress(args.steps, step, args.batch * args.length)
  model.train()
  while step < args.steps and not stop:
    if args.minutes is not None and time.monotonic() - start > 60 * args.minutes:
      break
    for optimizer in optimizers:
      for group in optimizer.param_groups:
        group['lr'] = args.learning_rate * rate(args, step)
    tokens, targets = to_tensors(args, batches[step])
    with autocast(args):
      loss = sum(model.losses(tokens, targets)) / tokens.numel()
    if not torch.isfinite(loss):
      raise ValueError(f'the loss is {float(loss)} at step {step}: lower --learning-rate')
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
      optimizer.step()
      optimizer.zero_grad()
    step += 1
    progress.show(step, float(loss.detach()))
    if step % args.save_every == 0:
      save_checkpoint(args, config, model, optimizers, tokenizer, step, seconds + time.monotonic() - start)
  seconds += time.monotonic() - start
  save_checkpoint(args, config, model, optimizers, tokenizer, step, seconds)
  return step, seconds


def main(args) -> None:
  if args.threads:
    torch.set_num_threads(args.threads)
  torch.manual_seed(args.seed)
  state = load_checkpoint(args) if args.checkpoint and args.checkpoint.exists() and not args.eval_only else None
  documents, held_out = corpus.split(args.corpus)
  if args.eval_only:
    tokenizer = tokenizers.Tokenizer.from_file(str(args.out / 'tokenizer.json'))
    report(evaluate(args, model_dir.load_model(args.out).to(args.device), tokenizer, corpus.encode(tokenizer, held_out)))
    return
  if state is not None:
    tokenizer = tokenizers.Tokenizer.from_str(state['tokenizer'])
  elif args.tokenizer:
    tokenizer = tokenizers.Tokenizer.from_file(str(args.tokenizer))
    if tokenizer.token_to_id(corpus.END_OF_TEXT) is None:
      raise ValueError(f'{args.tokenizer} has no {corpus.END_OF_TEXT}')
  else:
    tokenizer = corpus.train_tokenizer(documents, args.vocab_size)
  config = make_config(args, tokenizer)
  batches = corpus.Batches(corpus.encode(tokenizer, documents), args.length, args.batch, args.seed)
  model = Model(config).to(args.device)
  optimizers = make_optimizers(args, model)
  step, seconds = 0, 0.0
  if state is not None:
    if state['config'] != config.to_dict():
      raise ValueError(f'{args.checkpoint} holds another shape: {state["config"]}')
    model.load_state_dict(state['model'])
    for optimizer, saved in zip(optimizers, state['optimizers']):
      optimizer.load_state_dict(saved)
    step, seconds = state['step'], state['seconds']
  print(f'{config.architecture}: {sum(p.numel() for p in model.parameters())} parameters, from step {step} of '
        f'{args.steps}, {args.batch * args.length} tokens a step', flush=True)
  step, seconds = train(args, config, model, optimizers, tokenizer, batches, step, seconds)
  model_dir.save(args.out, config, model.state_dict(), 'bf16', tokenizer.to_str(pretty=True))
  print(f'{args.out}: {step} steps, {step * args.batch * args.length} tokens, {seconds / 60:.1f} min of training')
  if step >= args.steps:  # of the weights as they are served, rounded to bf16
    report(evaluate(args, model_dir.load_model(args.out).to(args.device), tokenizer, corpus.encode(tokenizer, held_out)))


if __name__ == '__main__':
  try:
    main(parse_args())
  except ValueError as e:
    sys.exit(f'train.py: {e}')
