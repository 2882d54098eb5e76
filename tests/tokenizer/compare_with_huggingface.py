"""Compares tokens with Hugging Face's `tokenizers` itself, where that is installed (pip install tokenizers):

    python compare_with_huggingface.py [build/bin/tlin_encode_lines [SEED]]

With GPT-2's byte pairs: the whole corpus and every source file of this project. With every variant of
goldens.json: the written texts (many scripts, emoji, code), random mixtures of what words begin and end with, random
code points of all planes, random bytes. Exits 1 at the first difference and shows the text; 77, which ctest counts as
skipped, where `tokenizers` is not there.
"""

import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

try:
    from tokenizers import Tokenizer
except ImportError:
    print("left out: `tokenizers` is not installed for", sys.executable, "(pip install tokenizers)")
    sys.exit(77)

import golden_texts
import make_fixtures

ROOT = make_fixtures.HERE.parents[1]
SOURCES = ("*.cc", "*.h", "*.py", "*.sh", "*.md", "*.proto", "CMakeLists.txt")


def long_texts():
    """(where it is from, text)"""
    for path in sorted((ROOT / "deploy/models/corpus").glob("*.txt.xz")):
        yield path.name, lzma.open(path).read().decode("utf-8")
    for folder in ("client", "deploy", "engine", "proto", "server", "tests"):
        for pattern in SOURCES:
            for path in sorted((ROOT / folder).rglob(pattern)):
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def short_texts(seed):
    texts = golden_texts.WRITTEN + list(golden_texts.random_texts(seed, 20000, golden_texts.PIECES, 40))
    texts += golden_texts.scalar_texts(seed, 10000, 60)
    texts += golden_texts.byte_texts(seed, 10000, 200)
    return [(json.dumps(text), text) for text in texts]


def compare(program, name, contents, texts):
    oracle = Tokenizer.from_str(contents)
    lines = "".join(json.dumps(text) + "\n" for _, text in texts)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        path.write_text(contents, encoding="utf-8")
        output = subprocess.run([program, path], input=lines, capture_output=True, text=True, check=True).stdout
    rows = output.splitlines()
    assert len(rows) == len(texts), (len(rows), len(texts))
    tokens = 0
    for (source, text), row in zip(texts, rows):
        got, want = json.loads(row), oracle.encode(text).ids
        if got != want:
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            sys.exit(f"{name}: {source}: token {at}\n  want {want[at:at + 20]}\n  got  {got[at:at + 20]}")
        tokens += len(want)
    size = sum(len(text.encode("utf-8")) for _, text in texts)
    print(f"{name}: {len(texts)} texts, {size} bytes, {tokens} tokens, no difference", flush=True)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/bin/tlin_encode_lines")
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    goldens = json.loads((make_fixtures.HERE / "goldens.json").read_text(encoding="ascii"))
    bases = {"gpt2": make_fixtures.gpt2(goldens["gpt2_frame"]), "small": goldens["small"]}
    compare(program, "gpt2, corpus and sources", json.dumps(bases["gpt2"]), list(long_texts()))
    texts = short_texts(seed)
    for name, variant in goldens["variants"].items():
        compare(program, name, json.dumps(make_fixtures.merge_patch(bases[variant["base"]], variant["patch"])), texts)


if __name__ == "__main__":
    main()
