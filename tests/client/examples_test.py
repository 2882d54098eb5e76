#!/usr/bin/python3
"""Runs the example clients in Python and C++ against a server of a few lines. Run by ctest:

  examples_test.py CPP_EXAMPLE
  examples_test.py EMULATOR ARGUMENT... CPP_EXAMPLE
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import grpc

CPP_EXAMPLE, sys.argv = sys.argv[1:], sys.argv[:1]
PYTHON = pathlib.Path(__file__).resolve().parents[2] / "client" / "python"
STUBS = tempfile.TemporaryDirectory()
subprocess.run([PYTHON / "make_stubs.sh", STUBS.name], check=True)
sys.path.insert(0, STUBS.name)
from tlin.v1 import generation_pb2, generation_pb2_grpc


class FakeGeneration(generation_pb2_grpc.GenerationServicer):
    def Generate(self, request, context):
        if request.text == "refuse":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full")
        response = generation_pb2.GenerateResponse
        yield response(started=generation_pb2.Started(prompt_tokens=1))
        for text in (request.text, " and ", str(request.stopping.max_new_tokens)):
            yield response(chunk=generation_pb2.Chunk(text=text))
        yield response(finished=generation_pb2.Finished(reason=generation_pb2.Finished.EOS))


class ExamplesTest(unittest.TestCase):
    def setUp(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
        generation_pb2_grpc.add_GenerationServicer_to_server(FakeGeneration(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def tearDown(self):
        self.server.stop(None).wait()

    def run_python(self, *arguments):
        return self.run_program(sys.executable, PYTHON / "generate.py",
                                f"--address=127.0.0.1:{self.port}", *arguments)

    def run_cpp(self, text):
        return self.run_program(*CPP_EXAMPLE, f"127.0.0.1:{self.port}", text)

    def run_program(self, *command):
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": STUBS.name},
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def test_python_streams_text(self):
        self.assertEqual(self.run_python("tea", "--max_new_tokens=2", "--deadline=30"),
                         (0, "tea and 2\n", ""))

    def test_python_says_why_it_failed(self):
        self.assertEqual(self.run_python("refuse"),
                         (1, "", "RESOURCE_EXHAUSTED: queue full\n"))

    def test_cpp_streams_text(self):
        self.assertEqual(self.run_cpp("tea"), (0, "tea and 64\n", ""))

    def test_cpp_says_why_it_failed(self):
        self.assertEqual(self.run_cpp("refuse"),
                         (1, "\n", "RESOURCE_EXHAUSTED: queue full\n"))


if __name__ == "__main__":
    unittest.main()
