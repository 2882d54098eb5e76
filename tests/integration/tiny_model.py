"""Writes model directories of any shape, their weights from a seed, in BF16 and without tokenizer."""
import json
import math
import random
import struct

TINY = {"architecture": "tconstformer", "vocab_size": 64, "n_embd": 32, "n_head": 2, "n_block": 1,
        "block_depth": 3, "history_window": 8, "generation_window": 8}
# The papers' 41M model.
PAPER = {"architecture": "tconstformer", "vocab_size": 50257, "n_embd": 432, "n_head": 12,
         "n_block": 2, "block_depth": 4, "history_window": 256, "generation_window": 256}

# High bytes of a BF16: of both signs, 2^-9 to 2^-5.
HIGH_BYTES = bytes((0xBC if byte & 1 else 0x3C) for byte in range(256))


def tensors(config):
    """(name, shape) of every tensor, as published checkpoints name them."""
    d = config["n_embd"]
    f = math.ceil(int(8 / 3 * d) / 256) * 256
    yield "embedding.weight", [config["vocab_size"], d]
    yield "transformer.norm.weight", [d]
    yield "transformer.norm.bias", [d]
    for prefix in _layers(config):
        prefix = "transformer.transformer_layers." + prefix
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "out_proj.bias"):
            yield prefix + name, [d]
        yield prefix + "qkv_proj.weight", [3 * d, d]
        yield prefix + "qkv_proj.bias", [3 * d]
        yield prefix + "out_proj.weight", [d, d]
        yield prefix + "ffn.w1.weight", [f, d]
        yield prefix + "ffn.w3.weight", [f, d]
        yield prefix + "ffn.w2.weight", [d, f]


def _layers(config):
    if config["architecture"] == "transformer":
        for i in range(config["n_layer"]):
            yield f"{i}."
        return
    for block in range(config["n_block"]):
        yield f"{block}.compress_context_layer."
        for i in range(config["block_depth"] - 2):
            yield f"{block}.hidden_layers.{i}."
        yield f"{block}.restore_context_shape_layer."


def safetensors(config, seed=1):
    draw = random.Random(seed)
    header, data = {}, bytearray()
    for name, shape in tensors(config):
        count = math.prod(shape)
        if ".norm" in name and name.endswith(".weight"):
            values = b"\x80\x3f" * count  # 1.0
        else:
            values = bytearray(2 * count)
            values[0::2] = draw.randbytes(count)
            values[1::2] = draw.randbytes(count).translate(HIGH_BYTES)
        header[name] = {"dtype": "BF16", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write(directory, config=TINY, seed=1):
    """Returns the directory, which it makes."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "model.safetensors").write_bytes(safetensors(config, seed))
    return directory
