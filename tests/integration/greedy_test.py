#!/usr/bin/python3
"""The likeliest tokens of the demo models in f32 are the same text on every processor: what was
written down on one is what `tlin` gets from tlind on another. Run by ctest.

  greedy_test.py --write    writes it down, in greedy_texts.json: after the models have changed
"""
import json
import sys
import unittest

from tlind_process import *

TEXTS = pathlib.Path(__file__).with_name("greedy_texts.json")
PROMPTS = ("The people of the United States", "né à Paris, 5 €")
DEMOS = ("tlin-demo", "tconst-demo", "transformer-demo")


def greedy_texts(model, derived_history="off"):
    """prompt -> what follows; past two windows of 128 tokens, so with syncs."""
    with Tlind(MODELS / model, "--dtype=f32", f"--derived_history={derived_history}") as daemon:
        table = daemon.scrape()["tlin_memory_bytes", "pool=vocabulary_table"]
        assert (table > 0) == (derived_history == "on"), table
        texts = {}
        for prompt in PROMPTS:
            done = run("tlin", "generate", prompt, f"--address={daemon.address}",
                       "--temperature=0", "--max_new_tokens=300", "--ignore_eos")
            assert done.returncode == 0, done
            texts[prompt] = done.stdout
        return texts


class GreedyTest(unittest.TestCase):
    def test_the_same_text_on_every_processor(self):
        written = json.loads(TEXTS.read_text(encoding="utf-8"))
        for model in DEMOS:
            with self.subTest(model):
                self.assertEqual(greedy_texts(model), written[model])

    def test_and_where_the_first_blocks_history_is_derived(self):
        written = json.loads(TEXTS.read_text(encoding="utf-8"))
        for model in ("tlin-demo", "tconst-demo"):
            with self.subTest(model):
                self.assertEqual(greedy_texts(model, "on"), written[model])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        TEXTS.write_text(json.dumps({model: greedy_texts(model) for model in DEMOS},
                                    ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        unittest.main()
