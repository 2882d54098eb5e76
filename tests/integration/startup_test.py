#!/usr/bin/python3
"""How tlind starts, and what it says where it cannot. Run by ctest."""
import concurrent.futures
import json
import re
import shutil
import socket
import unittest

import tiny_model
from tlind_process import *

DEMO = MODELS / "tconst-demo"
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def fails(*arguments, code):
    """Runs tlind, which has to end by itself with `code` and nothing on stdout; its stderr."""
    done = run("tlind", *arguments)
    assert done.returncode == code, (arguments, done)
    assert done.stdout == "", done
    return done.stderr


class ReadyTest(unittest.TestCase):
    def test_one_line_on_stdout_and_json_on_stderr(self):
        with Tlind(DEMO) as daemon:
            stub = daemon.stub()
            ids = [generate(stub, request("Call me")).started.request_id for _ in range(3)]
            self.assertEqual(status_of(stub.Generate, request(ids=[-1]))[0], Code.INVALID_ARGUMENT)
            daemon.wait_until_idle()
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)
            lines = daemon.stdout().splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertRegex(lines[0], r"^tlind \S+ serves tconst-demo \(tconstformer, cpu, \w+, "
                                       r"16 slots\) on " + re.escape(daemon.address) +
                                       ", metrics on " + re.escape(daemon.metrics_address) + "$")
            self.assertTrue(daemon.stderr().endswith("\n"))
            log = daemon.log_lines()
            for line in log:
                self.assertLessEqual({"time", "severity", "message"}, set(line))
            # A call ends in the log when its client may already have begun the next one.
            ended = {line["request_id"]: line["status"] for line in log
                     if line["message"] == "request ended"}
            self.assertEqual([ended.pop(request_id) for request_id in ids], ["OK"] * 3)
            self.assertEqual(list(ended.values()), ["INVALID_ARGUMENT"])

    def test_help_and_version(self):
        for flag, text in (("--help", "--max_queued_requests=N"), ("--version", "tlind ")):
            done = run("tlind", flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(text, done.stdout)


class BadFlagsTest(unittest.TestCase):
    def test_each_fault_has_its_line_and_status_is_2(self):
        self.assertEqual(fails(code=2), "tlind: --model: a model directory is required; see --help\n")
        said = fails("--model=m", "--frobnicate", "--threads=x", "--listen=nowhere", code=2)
        self.assertEqual(len(said.splitlines()), 3)
        for flag in ("--frobnicate", "--threads=x", "--listen=nowhere"):
            self.assertIn(flag, said)

    def test_what_cannot_be_had_is_one_line_and_status_1(self):
        with Tlind(DEMO) as daemon:
            for flag in (f"--listen={daemon.address}", f"--metrics_listen={daemon.metrics_address}",
                         "--listen=203.0.113.1:0", "--device=cuda:0",
                         "--port_file=/no/such/folder/ports"):
                flags = {"--listen": "127.0.0.1:0", "--metrics_listen": "127.0.0.1:0"}
                name, _, value = flag.partition("=")
                flags[name] = value
                said = fails(f"--model={DEMO}", "--insecure",
                             *(f"{k}={v}" for k, v in flags.items()), code=1)
                last = said.splitlines()[-1]
                self.assertTrue(last.startswith("tlind: "), last)
                self.assertIn(flag, last)
            answer = generate(daemon.stub(), request("x", ignore_eos=True))
            self.assertEqual(len(answer.token_ids), 8)


def broken_models():
    """(what is done to a copy of the demo model, the name that the fault has to tell)."""
    def replace(name, data):
        return lambda model: (model / name).write_bytes(data)

    def folder(name):
        return lambda model: ((model / name).unlink(), (model / name).mkdir())

    yield shutil.rmtree, "config.json"
    for name in ("config.json", "model.safetensors"):
        yield lambda model, name=name: (model / name).unlink(), name
    for name in FILES:
        good = (DEMO / name).read_bytes()
        noise = random.Random(name).randbytes(4096)
        for bad in (b"", good[:7], good[:len(good) // 2], good[:-2], noise, noise + good,
                    b"[" * 100_000, b"{}", b"\xff" * 8 + good[8:]):
            yield replace(name, bad), name
        yield folder(name), name
    for name, other in (("model.safetensors", "transformer-demo/model.safetensors"),
                        ("model.safetensors", "tconst-demo/tokenizer.json"),
                        ("tokenizer.json", "tconst-demo/config.json"),
                        ("config.json", "tconst-demo/tokenizer.json")):
        yield replace(name, (MODELS / other).read_bytes()), name
    # Sound, but the weights do not fit it.
    yield replace("config.json", (MODELS / "transformer-demo/config.json").read_bytes()), \
        "model.safetensors"
    good = json.loads((DEMO / "config.json").read_text())
    for field, value in (("architecture", "gpt"), ("n_head", 5), ("vocab_size", 2**31),
                         ("n_embd", 10**12), ("block_depth", 1), ("generation_window", 0),
                         ("eos_token_id", 2048), ("n_embd", "x")):
        yield replace("config.json", json.dumps({**good, field: value}).encode()), field


class UnusableModelTest(unittest.TestCase):
    def refusal(self, spoil):
        model = scratch_path("model")
        shutil.copytree(DEMO, model)
        spoil(model)
        said = fails(f"--model={model}", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                     code=1)
        lines = [line for line in said.splitlines() if not line.startswith("{")]
        self.assertEqual(len(lines), 1, said)
        self.assertTrue(lines[0].startswith(f"tlind: {model}"), lines[0])
        shutil.rmtree(model, ignore_errors=True)
        return lines[0]

    def test_every_fault_of_a_directory_is_one_line_that_names_it(self):
        # Each takes its time to close ports, and no processor: so, several at once.
        cases = list(broken_models())
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            lines = list(pool.map(lambda case: self.refusal(case[0]), cases))
        for (_, name), line in zip(cases, lines):
            self.assertIn(name, line)

    def test_the_tokenizer_is_optional(self):
        model = scratch_path("model")
        shutil.copytree(DEMO, model)
        (model / "tokenizer.json").unlink()
        with Tlind(model) as daemon:
            answer = generate(daemon.stub(), request(ids=[5], ignore_eos=True))
            self.assertEqual(len(answer.token_ids), 8)

    def test_more_slots_than_there_is_memory(self):
        # Terabytes; and what the kernel would promise, as it promises what is in use already.
        # A slot has five blocks of keys and values, each of window * n_embd in BF16.
        total = int(re.search(r"MemTotal: +(\d+)",
                              pathlib.Path("/proc/meminfo").read_text())[1]) * 1024
        window_bytes = 5 * 2 * tiny_model.TINY["n_embd"] * 2
        for window, sessions in ((1 << 20, 4096), (total * 999 // 1000 // window_bytes // 1000, 1000)):
            config = {**tiny_model.TINY, "history_window": window, "generation_window": window}
            model = tiny_model.write(scratch_path("model"), config)
            said = fails(f"--model={model}", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                         f"--slots={sessions}", "--dtype=bf16", code=1)
            self.assertIn(f"{sessions} slots", said)
            self.assertIn("--slots", said)
            self.assertIn("free", said)


if __name__ == "__main__":
    unittest.main()
