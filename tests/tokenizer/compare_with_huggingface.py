"""Compares tokens of random texts live, where `tokenizers` is installed:

    python compare_with_huggingface.py build/bin/tlin_encode_lines [SEED]

Exits 1 at the first variant of goldens.json that differs, and shows the text.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

import golden_texts
import make_fixtures


def main():
    program, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    texts = list(golden_texts.random_texts(seed, 20000, golden_texts.PIECES, 40))
    texts += golden_texts.scalar_texts(seed, 10000, 60)
    texts += golden_texts.byte_texts(seed, 10000, 200)
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    goldens = json.loads((make_fixtures.HERE / "goldens.json").read_text(encoding="ascii"))
    bases = {"gpt2": make_fixtures.gpt2(goldens["gpt2_frame"]), "small": goldens["small"]}
    for name, variant in goldens["variants"].items():
        contents = json.dumps(make_fixtures.merge_patch(bases[variant["base"]], variant["patch"]))
        oracle = Tokenizer.from_str(contents)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tokenizer.json"
            path.write_text(contents, encoding="utf-8")
            output = subprocess.run([program, path], input=lines, capture_output=True, text=True, check=True).stdout
        rows = output.splitlines()
        assert len(rows) == len(texts), (len(rows), len(texts))
        for text, row in zip(texts, rows):
            want = oracle.encode(text).ids
            if json.loads(row) != want:
                sys.exit(f"{name}: {json.dumps(text)}\n  want {want}\n  got  {row}")
        print(f"{name}: {len(texts)} texts, no difference")


if __name__ == "__main__":
    main()
