#!/usr/bin/python3
"""tlind with the CUDA backend: on the emulated GPU of tests/cuda_emulation, and the real library
on a machine without one. Run by ctest, which says where the emulated library is (TLIN_EMULATED).
"""
import json
import os
import re
import threading
import unittest

import tiny_model
from tlind_process import *
from tlin.v1 import sessions_pb2 as sessions_pb
from tlin.v1 import sessions_pb2_grpc

EMULATED = pathlib.Path(os.environ["TLIN_EMULATED"])
TEXTS = pathlib.Path(__file__).with_name("greedy_texts.json")
KINDS = {"tconstformer": {}, "tlinformer": {"n_block": 2},
         "transformer": {"n_layer": 3}}
# What passes for a driver.
os.environ["LD_LIBRARY_PATH"] = str(EMULATED)


def emulated_tlind():
    """tlind looks for the library beside itself: here it has another neighbour."""
    program = EMULATED / "tlind"
    program.unlink(missing_ok=True)
    os.link(BIN / "tlind", program)
    return program


class EmulatedGpuTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = emulated_tlind()

    def gpu(self, model, *flags):
        return Tlind(model, "--device=cuda:0", "--slots=16", *flags, program=self.program)

    def tiny(self, architecture):
        directory = scratch_path(architecture)
        tiny_model.write(directory, {**tiny_model.TINY, "architecture": architecture,
                                     **KINDS[architecture]})
        return directory

    def answers(self, daemon, prompts):
        """All at once."""
        stub = daemon.stub()
        answers = [None] * len(prompts)

        def ask(i):
            answers[i] = generate(stub, request(ids=prompts[i], temperature=0, ignore_eos=True,
                                                max_new_tokens=20)).token_ids
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_the_tokens_of_the_cpu(self):
        prompts = [random_tokens(i, 5 + 13 * i, 64) for i in range(4)]
        for architecture in KINDS:
            with self.subTest(architecture):
                model = self.tiny(architecture)
                with Tlind(model, "--device=cpu", "--dtype=f32") as daemon:
                    expected = self.answers(daemon, prompts)
                with self.gpu(model, "--dtype=f32") as daemon:
                    self.assertIn("cuda:0", daemon.stdout())
                    self.assertEqual(self.answers(daemon, prompts), expected)
                    # Alone as in company.
                    self.assertEqual(self.answers(daemon, prompts[1:2]), expected[1:2])
                    daemon.terminate()
                    self.assertEqual(daemon.exit_code(), 0)

    def turn(self, daemon, i):
        return generate(daemon.stub(), request(ids=random_tokens(i, 11, 64), session_id="s",
                                               temperature=0, ignore_eos=True))

    def create(self, daemon):
        stub = sessions_pb2_grpc.SessionsStub(daemon.channel())
        stub.CreateSession(sessions_pb.CreateSessionRequest(session_id="s"))

    def test_a_session_goes_on_after_a_restart(self):
        model = self.tiny("tlinformer")
        with self.gpu(model) as daemon:
            self.create(daemon)
            self.turn(daemon, 0)
            stayed = self.turn(daemon, 1)
        store = f"--session_dir={scratch_path('sessions')}"
        with self.gpu(model, store) as daemon:
            self.create(daemon)
            self.turn(daemon, 0)
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)
        with self.gpu(model, store) as daemon:
            moved = self.turn(daemon, 1)
            self.assertEqual(moved.token_ids, stayed.token_ids)
            self.assertEqual(moved.finished.usage.cached_tokens,
                             stayed.finished.usage.cached_tokens)

    def test_real_text_of_a_demo_model(self):
        model = "tconst-demo"
        prompt, text = next(iter(json.loads(TEXTS.read_text(encoding="utf-8"))[model].items()))
        with self.gpu(MODELS / model, "--dtype=f32", "--derived_history=off") as daemon:
            done = run("tlin", "generate", prompt, f"--address={daemon.address}",
                       "--temperature=0", "--max_new_tokens=20", "--ignore_eos")
            self.assertEqual(done.returncode, 0, done)
            self.assertGreater(len(done.stdout.strip()), 20)
            self.assertTrue(text.startswith(done.stdout.rstrip("\n")), (done.stdout, text))

    def test_too_little_memory_is_told_by_its_arithmetic(self):
        model = tiny_model.write(scratch_path("wide"), {**tiny_model.TINY, "history_window": 8192,
                                                        "generation_window": 8192})
        done = run(self.program, f"--model={model}", "--device=cuda:0", "--slots=4000")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"--slots.*weights \d+.* \+ 4000 slots of (\d+).* \+ "
                                      r"workspace \d+ = \d+ bytes, more than the (\d+) bytes")

    def test_slots_are_what_fits_where_they_are_not_given(self):
        model = tiny_model.write(scratch_path("wide"), {**tiny_model.TINY, "history_window": 8192,
                                                        "generation_window": 8192})
        os.environ["TLIN_EMULATED_GPU_BYTES"] = str(800 << 20)
        self.addCleanup(os.environ.pop, "TLIN_EMULATED_GPU_BYTES")
        arguments = (model, "--device=cuda:0", "--max_context_tokens=100000")
        with Tlind(*arguments, program=self.program) as daemon:
            slots = int(re.search(r"(\d+) slots", daemon.stdout())[1])
            self.assertGreater(slots, 2)
        # One more has no room.
        done = run(self.program, *(f"--model={a}" if a == model else a for a in arguments),
                   f"--slots={slots + 1}")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"{slots + 1} slots of", done.stderr)
        with Tlind(*arguments, "--max_sessions=2", program=self.program) as daemon:
            self.assertIn("2 slots", daemon.stdout())


class NoGpuTest(unittest.TestCase):
    def starts(self, device, library_path):
        os.environ["LD_LIBRARY_PATH"] = library_path
        try:
            return run("tlind", f"--model={MODELS / 'tconst-demo'}", f"--device={device}",
                       "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0")
        finally:
            os.environ["LD_LIBRARY_PATH"] = str(EMULATED)

    def test_without_a_driver(self):
        done = self.starts("cuda:0", "")
        if done.returncode == 0:
            self.skipTest("there is a GPU")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("--device=cuda:0: there is no NVIDIA driver: libcuda.so.1", done.stderr)

    def test_the_real_library_says_what_is_missing(self):
        if not (BIN / "libtlin_cuda.so").exists():
            self.skipTest("built without nvcc")
        done = self.starts("cuda:0", str(EMULATED))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertRegex(done.stderr, "--device=cuda:0: CUDA: .*driver")


if __name__ == "__main__":
    unittest.main()
