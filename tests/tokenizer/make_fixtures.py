"""Writes goldens.json: what Hugging Face's `tokenizers` makes of the texts in golden_texts.py.

Run where `tokenizers` is installed, with the folder of the corpus (*.txt.xz):

    python make_fixtures.py ../../deploy/models/corpus
"""

import copy
import json
import lzma
import pathlib
import struct
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import golden_texts

HERE = pathlib.Path(__file__).resolve().parent
BLOCK = 4096  # code points in a piece of the test of classes


def fnv1a(hash_, integers):
    """FNV-1a-64 over little-endian int32s."""
    for byte in struct.pack(f"<{len(integers)}i", *integers):
        hash_ = (hash_ ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hash_


FNV_START = 0xCBF29CE484222325


def merge_patch(target, patch):
    """RFC 7396, which the tests apply too."""
    if not isinstance(patch, dict):
        return patch
    target = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def added_tokens(base, tokens):
    """The field added_tokens of `base` with `tokens` in it, under the ids that the oracle gives them."""
    tokenizer = Tokenizer.from_str(json.dumps(base))
    for content, normalized, special in tokens:
        token = AddedToken(content, normalized=normalized, special=special)
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
    return json.loads(tokenizer.to_str())["added_tokens"]


def gpt2_frame():
    """GPT-2's tokenizer.json without its vocab and merges, with the fields of its time."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "added_tokens": [
            {"id": 50256, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": True, "special": True}],
        "pre_tokenizer": byte_level, "post_processor": {**byte_level, "trim_offsets": False},
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"dropout": None, "unk_token": "", "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "fuse_unk": False},
    }


def gpt2(frame):
    merges = (HERE / "gpt2/merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    vocab = json.loads((HERE / "gpt2/vocab.json").read_text(encoding="utf-8"))
    return merge_patch(frame, {"model": {"vocab": vocab, "merges": merges}})


def small():
    """A vocabulary of 300, as `tokenizers` of today writes it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    tokenizer.train_from_iterator(golden_texts.WRITTEN, trainer)
    return json.loads(tokenizer.to_str())


def variants(small_json):
    """name -> (base, patch)"""
    size = len(small_json["model"]["vocab"])
    # (content, normalized, special); "ab" is a token of the vocabulary already.
    overlapping = added_tokens(small_json, [
        ("<a>", False, True), ("<a><b>", False, False), ("b><", False, True), ("ab", True, False),
        ("abc", True, False), (" x", True, True), ("中", True, True), ("<sp>", False, True)])
    legacy = [" ".join(pair) for pair in small_json["model"]["merges"]]
    unreachable = {"hello": size, "Ġhello": size + 1, "lowest": size + 2, "Ġ'": size + 3}
    return {
        "gpt2": ("gpt2", {}),
        "gpt2-prefix": ("gpt2", {"pre_tokenizer": {"add_prefix_space": True}}),
        "small": ("small", {}),
        "small-string-merges": ("small", {"model": {"merges": legacy}}),
        "small-added": ("small", {"added_tokens": overlapping}),
        "small-added-prefix": ("small", {"added_tokens": overlapping, "pre_tokenizer": {"add_prefix_space": True}}),
        "small-whole": ("small", {"pre_tokenizer": {"use_regex": False}}),
        "small-ignore-merges": ("small", {"model": {"vocab": unreachable, "ignore_merges": True}}),
        "small-unreachable": ("small", {"model": {"vocab": unreachable}}),
    }


def class_words():
    """A hash of the lengths of all words in texts that show each code point's class."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hash_, count = FNV_START, 0
    for first in range(0, 0x110000, BLOCK):
        points = [chr(c) for c in range(first, first + BLOCK) if not 0xD800 <= c < 0xE000]
        text = "".join(f"a{c}1{c}{c}" for c in points)
        if text:
            # Spelled in the byte alphabet, a character is a byte.
            lengths = [len(word) for word, _ in byte_level.pre_tokenize_str(text)]
            hash_, count = fnv1a(hash_, lengths), count + len(lengths)
    return {"words": count, "fnv1a": f"{hash_:016x}"}


def main():
    corpus_folder = pathlib.Path(sys.argv[1])
    frame, small_json = gpt2_frame(), small()
    bases = {"gpt2": gpt2(frame), "small": small_json}
    texts = golden_texts.all_texts()
    out = {"tokenizers": tokenizers.__version__, "gpt2_frame": frame, "small": small_json,
           "texts": texts, "variants": {}, "class_words": class_words(), "corpus": {}}
    for name, (base, patch) in variants(small_json).items():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(bases[base], patch)))
        ids = [tokenizer.encode(text).ids for text in texts]
        out["variants"][name] = {"base": base, "patch": patch, "ids": ids}
    tokenizer = Tokenizer.from_str(json.dumps(bases["gpt2"]))
    for path in sorted(corpus_folder.glob("*.txt.xz")):
        ids = tokenizer.encode(lzma.open(path).read().decode("utf-8")).ids
        out["corpus"][path.name] = {"tokens": len(ids), "fnv1a": f"{fnv1a(FNV_START, ids):016x}"}
    with open(HERE / "goldens.json", "w", encoding="ascii") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
