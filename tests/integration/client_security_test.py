#!/usr/bin/python3
"""The clients on encrypted connections, and what they prove of themselves. Run by ctest."""
import os
import subprocess
import unittest

from certificates import *


class ClientSecurityTest(SecurityCase):
    def client(self, program, *arguments):
        return run(program, *arguments)

    def test_the_programs_prove_who_they_are(self):
        tokens = self.write("tokens", "alice token\n")
        token = self.write("token", "token\n")
        daemon = self.encrypted(f"--tls_client_ca={self.authority.certificate}",
                                f"--token_file={tokens}")
        certificate, key = self.authority.sign("alice")
        # By its number: gRPC's resolver of names leaks ten bytes, which a sanitizer minds.
        reach = [f"--address=127.0.0.1:{daemon.port}", f"--tls_ca={self.authority.certificate}",
                 f"--tls_cert={certificate}", f"--tls_key={key}"]
        proof = [*reach, f"--token_file={token}"]
        for program, *arguments in (
                ("tlin", "generate", "--token_ids=1,2", "--max_new_tokens=2"),
                ("tlin", "score", "--token_ids=1,2,3"),
                ("tlin", "sessions", "create", "s"),
                ("tlin", "sessions", "list"),
                ("tlin", "model"),
                ("tlin", "health"),
                ("tlin-load", "--requests=2", "--max_new_tokens=2", "--prompt_tokens=2")):
            done = self.client(program, *arguments, *proof)
            self.assertEqual(done.returncode, 0, (arguments, done.stderr))
        self.assertIn("UNAUTHENTICATED", self.client("tlin", "model", *reach).stderr)
        self.assertEqual(self.client("tlin", "health", *reach).returncode, 0)
        self.assertNotEqual(
            self.client("tlin", "health", "--deadline=5s", *reach[:2]).returncode, 0)
        self.assertEqual(
            self.client("tlin", "model", *proof, "--tls_server_name=tlind").returncode, 0)
        self.assertNotEqual(self.client("tlin", "model", "--deadline=5s", *proof,
                                        "--tls_server_name=elsewhere").returncode, 0)

    def test_the_python_example_does_as_well(self):
        daemon = self.enterContext(Tlind(
            MODELS / "tconst-demo", f"--tls_cert={self.certificate}", f"--tls_key={self.key}",
            f"--tls_client_ca={self.authority.certificate}",
            f"--token_file={self.write('tokens', 'alice token')}"))
        certificate, key = self.authority.sign("alice")

        def example(token):
            return subprocess.run(
                ["/usr/bin/python3", ROOT / "client" / "python" / "generate.py", "The people",
                 f"--address=localhost:{daemon.port}", "--max_new_tokens=8",
                 f"--tls_ca={self.authority.certificate}", f"--tls_cert={certificate}",
                 f"--tls_key={key}", f"--token_file={self.write('token', token)}"],
                env={**os.environ, "PYTHONPATH": str(STUBS)}, capture_output=True, text=True,
                timeout=PATIENCE)
        done = example("token\n")
        self.assertEqual((done.returncode, len(done.stdout) > 8), (0, True), done.stderr)
        done = example("other\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("UNAUTHENTICATED", done.stderr)

    def test_a_token_is_not_sent_in_the_clear(self):
        token = self.write("token", "token\n")
        for elsewhere in ("192.0.2.1:1", "127.example.com:1"):
            done = self.client("tlin", "model", f"--address={elsewhere}", f"--token_file={token}")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("for all to read: want --tls, or --insecure", done.stderr)

    def test_flags_that_make_no_sense_are_told(self):
        for flag, said in (("--token_file=/no/such", "--token_file=/no/such: cannot be read"),
                           ("--tls_ca=/no/such", "--tls_ca=/no/such: cannot be read"),
                           (f"--tls_cert={self.certificate}", "--tls_cert, --tls_key: want both"),
                           (f"--token_file={self.write('t', 'a b')}", "want one token")):
            done = self.client("tlin", "model", flag)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
