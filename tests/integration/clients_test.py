#!/usr/bin/python3
"""tlin and tlin-load as processes against a real daemon. Run by ctest."""
import json
import socket
import unittest

import tiny_model
from tlind_process import *

OK, USAGE, UNAVAILABLE, REFUSED, INVALID, INTERRUPTED = 0, 2, 3, 4, 5, 130
PROMPT = "The people of the United States"


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def free_port():
    """Nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class TlinTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Tlind(MODELS / "tlin-demo")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        code = cls.daemon.exit_code()
        cls.daemon.__exit__(None, None, None)
        assert code == 0, code

    def tlin(self, *arguments, stdin="", code=OK):
        done = run("tlin", arguments[0], f"--address={self.daemon.address}", *arguments[1:],
                   stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_generate_streams_the_same_text_in_every_form(self):
        wanted = generate(self.daemon.stub(), request(PROMPT, max_new_tokens=40, seed=4,
                                                       ignore_eos=True))
        flags = ("--max_new_tokens=40", "--seed=4", "--ignore_eos")
        self.assertEqual(self.tlin("generate", PROMPT, *flags).stdout, wanted.text)
        self.assertEqual(self.tlin("generate", *flags, stdin=PROMPT).stdout, wanted.text)
        verbose = self.tlin("generate", PROMPT, *flags, "--verbose")
        self.assertEqual(verbose.stdout, wanted.text)
        self.assertIn("40 generated", verbose.stderr)
        ids = self.tlin("generate", PROMPT, *flags, "--token_ids_only").stdout.split()
        self.assertEqual([int(number) for number in ids], wanted.token_ids)
        events = json_lines(self.tlin("generate", PROMPT, *flags, "--json", "--logprobs=2").stdout)
        self.assertEqual([event["event"] for event in (events[0], events[-1])],
                         ["started", "finished"])
        chunks = [event for event in events if event["event"] == "chunk"]
        self.assertEqual("".join(chunk["text"] for chunk in chunks), wanted.text)
        self.assertEqual(len(chunks[0]["logprobs"][0]["top"]), 2)
        self.assertEqual(events[-1]["usage"]["generated_tokens"], 40)
        self.assertEqual(events[-1]["reason"], "LENGTH")

    def test_plan_tells_what_work_takes_on_the_servers_machine(self):
        self.tlin("generate", "The people" * 300, "--max_new_tokens=200", "--ignore_eos")
        costs = self.daemon.scrape()
        plan = json.loads(self.tlin("plan", f"--model={MODELS / 'tlin-demo'}", "--json",
                                    "--contexts=1024,100000").stdout)
        short, long = plan["contexts"]
        self.assertGreater(short["token_seconds"],
                           costs["tlin_step_cost_seconds", "part=decode_step"] / 2)
        self.assertGreater(long["token_seconds"], short["token_seconds"])
        self.assertGreater(long["sync_seconds"], 10 * short["sync_seconds"])
        other = run("tlin", "plan", f"--model={MODELS / 'tconst-demo'}",
                    f"--address={self.daemon.address}")
        self.assertEqual(other.returncode, USAGE, other.stderr)
        self.assertIn("another model", other.stderr)

    def test_the_other_commands(self):
        ids = self.tlin("tokenize", PROMPT, "--json").stdout
        self.assertEqual(json.loads(ids)["token_ids"], list(self.daemon.stub().Tokenize(
            pb.TokenizeRequest(text=PROMPT)).token_ids))
        score = json.loads(self.tlin("score", PROMPT, "--json").stdout)
        self.assertAlmostEqual(score["negative_log_likelihood"], self.daemon.stub().Score(
            pb.ScoreRequest(text=PROMPT)).negative_log_likelihood, delta=1e-3)
        model = json.loads(self.tlin("model", "--json").stdout)
        self.assertEqual((model["name"], model["vocab_size"]), ("tlin-demo", 2048))
        self.assertIn("SERVING", self.tlin("health").stdout)
        self.assertEqual(json.loads(self.tlin("health", "--service=tlin.v1.Generation",
                                              "--json").stdout), {"status": "SERVING"})
        plan = run("tlin", "plan", f"--model={MODELS / 'tlin-demo'}", "--json")
        self.assertEqual(plan.returncode, OK, plan.stderr)
        chat = self.tlin("chat", "--max_new_tokens=5", "--seed=1", stdin="Hello\nAgain\n")
        self.assertGreater(len(chat.stdout), 5)

    def test_exit_codes_tell_kinds_of_failure_apart(self):
        for arguments in (("generate", "x", "--frobnicate"), ("no_such_command",), (),
                          ("generate", "x", "--token_ids=1,2"), ("generate", "x", "--seed=me")):
            done = run("tlin", *arguments)
            self.assertEqual((done.returncode, done.stdout), (USAGE, ""), done)
        nobody = run("tlin", "generate", "x", f"--address=127.0.0.1:{free_port()}", "--deadline=20s")
        self.assertEqual(nobody.returncode, UNAVAILABLE, nobody)
        self.assertEqual(len(nobody.stderr.splitlines()), 1)
        for arguments in (("generate", "x", "--model=gpt"), ("generate", "x", "--top_p=7"),
                          ("generate", "--token_ids=1,99999"), ("score", "x"),
                          ("tokenize", "x", "--model=gpt")):
            said = self.tlin(*arguments, code=INVALID).stderr
            self.assertEqual(len(said.splitlines()), 1, said)
        late = self.tlin("generate", "x", "--max_new_tokens=100000", "--ignore_eos",
                         "--deadline=300ms", "--json", code=UNAVAILABLE)
        last = json_lines(late.stdout)[-1]
        # Where the machine is slow, gRPC's own end of the call comes first.
        self.assertIn((last["event"], last.get("reason") or last.get("code")),
                      (("finished", "DEADLINE"), ("error", "DEADLINE_EXCEEDED")))
        error = json_lines(self.tlin("generate", "x", "--top_p=7", "--json", code=INVALID).stdout)
        self.assertEqual((error[-1]["event"], error[-1]["code"]), ("error", "INVALID_ARGUMENT"))

    def test_ctrl_c_cancels_the_request(self):
        before = self.daemon.wait_until_idle()["tlin_requests_total", "outcome=cancelled"]
        process = subprocess.Popen(
            command("tlin", "generate", PROMPT, f"--address={self.daemon.address}",
                    "--max_new_tokens=100000", "--ignore_eos"), stdout=subprocess.PIPE)
        self.assertTrue(process.stdout.read(20))
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE), INTERRUPTED)
        after = self.daemon.wait_until_idle()["tlin_requests_total", "outcome=cancelled"]
        self.assertEqual(after - before, 1)

    def load(self, *arguments, code=OK):
        done = run("tlin-load", f"--address={self.daemon.address}", "--json=-", *arguments)
        self.assertEqual(done.returncode, code, done)
        figures = json.loads(done.stdout)
        self.assertEqual(sum(figures["outcomes"].values()), figures["requests_started"])
        self.assertEqual(sum(figures["finish_reasons"].values()), figures["requests_ok"])
        for name in ("first_token", "total"):
            latency = figures["latency_seconds"][name]
            self.assertEqual(latency["count"], figures["requests_ok"])
            self.assertLessEqual(latency["p50"], latency["p90"])
            self.assertLessEqual(latency["p99"], latency["max"] * 1.05)
        return figures

    def test_load_sends_what_was_asked_and_the_server_counts_the_same(self):
        for arguments in (("--concurrency=5", "--requests=40"), ("--rate=80", "--requests=40")):
            before = self.daemon.wait_until_idle()
            figures = self.load(*arguments, "--prompt_tokens=5:60", "--max_new_tokens=10:20",
                                "--ignore_eos", "--seed=3")
            after = self.daemon.wait_until_idle()
            self.assertEqual(figures["requests_started"], 40)
            self.assertEqual(figures["outcomes"], {"OK": 40})
            self.assertEqual(figures["finish_reasons"], {"LENGTH": 40})
            self.assertTrue(400 <= figures["generated_tokens"] <= 800)
            for metric, expected in (("tlin_generated_tokens_total", figures["generated_tokens"]),
                                     ("tlin_prompt_tokens_total", figures["prompt_tokens"])):
                self.assertEqual(after[metric] - before[metric], expected, metric)
            self.assertEqual(after.total("tlin_requests_total") -
                             before.total("tlin_requests_total"), 40)

    def test_load_ends_by_itself(self):
        figures = self.load("--concurrency=2", "--duration=1s", "--max_new_tokens=10")
        self.assertGreater(figures["requests_ok"], 0)
        prompts = scratch_path("prompts")
        prompts.write_text("Call me\nIn the beginning\n")
        figures = self.load("--concurrency=1", "--requests=4", f"--prompts={prompts}",
                            "--max_new_tokens=3")
        self.assertEqual(figures["requests_ok"], 4)

    def test_load_tells_kinds_of_failure_apart(self):
        for arguments in ((), ("--requests=1", "--concurrency=0"), ("--requests=1", "--rate=nan")):
            done = run("tlin-load", f"--address={self.daemon.address}", *arguments)
            self.assertEqual((done.returncode, done.stdout), (USAGE, ""), done)
        nobody = run("tlin-load", f"--address=127.0.0.1:{free_port()}", "--requests=1",
                     "--deadline=20s")
        self.assertEqual(nobody.returncode, UNAVAILABLE, nobody)
        self.assertEqual(run("tlin-load", f"--address={self.daemon.address}", "--requests=1",
                             "--model=gpt").returncode, INVALID)


class FullServerTest(unittest.TestCase):
    def test_a_full_server_is_told_apart(self):
        model = tiny_model.write(scratch_path("model"))
        with Tlind(model, "--max_sessions=1", "--max_queued_requests=1") as daemon:
            endless = request(ids=[1], max_new_tokens=1_000_000, ignore_eos=True)
            streams = [daemon.stub().Generate(endless)]
            next(streams[0])
            streams.append(daemon.stub().Generate(endless))
            wait_until(lambda: daemon.scrape()["tlin_requests_waiting"] == 1, "a full queue")
            done = run("tlin", "generate", "--token_ids=1", f"--address={daemon.address}")
            self.assertEqual(done.returncode, REFUSED, done)
            self.assertIn("try again in", done.stderr)
            done = run("tlin-load", f"--address={daemon.address}", "--requests=5", "--json=-")
            self.assertEqual(done.returncode, REFUSED, done)
            self.assertEqual(json.loads(done.stdout)["outcomes"], {"RESOURCE_EXHAUSTED": 5})
            for stream in streams:
                stream.cancel()


class QuickstartTest(unittest.TestCase):
    def test_wrong_arguments_are_told(self):
        script = ROOT / "deploy" / "quickstart.sh"
        for argument, code, said in (("--twice", 2, "no such option: --twice"),
                                     ("/no/such/model", 1, "/no/such/model is not a model directory")):
            done = subprocess.run([script, argument], capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done)
            self.assertIn(said, done.stderr)
        done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--once", done.stdout)


if __name__ == "__main__":
    unittest.main()
