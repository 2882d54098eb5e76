#!/usr/bin/python3
"""The happy path of every demo model over a real daemon. Run by ctest."""
import random
import threading
import unittest

import tiny_model
from tlind_process import *

PROMPTS = ["The people of the United States", "In the beginning", "Call me", "né à Paris, 5 €"]
END_OF_TEXT = 0
METRICS = {
    **dict.fromkeys((
        "tlin_requests_total", "tlin_prompt_tokens_total", "tlin_generated_tokens_total",
        "tlin_cached_tokens_total", "tlin_synced_tokens_total", "tlin_wasted_tokens_total",
        "tlin_cache_hits_total", "tlin_cache_misses_total", "tlin_preemptions_total",
        "tlin_session_store_errors_total", "tlin_prefix_cache_queries_total",
        "tlin_prefix_cache_hits_total"), "counter"),
    **dict.fromkeys((
        "tlin_time_to_first_token_seconds", "tlin_inter_token_latency_seconds",
        "tlin_request_duration_seconds", "tlin_queue_time_seconds", "tlin_sync_duration_seconds",
        "tlin_step_duration_seconds", "tlin_batch_rows", "tlin_session_store_seconds"), "histogram"),
    **dict.fromkeys((
        "tlin_requests_running", "tlin_requests_waiting", "tlin_oldest_waiting_seconds",
        "tlin_seconds_since_last_step", "tlin_sessions", "tlin_slots", "tlin_slots_used", "tlin_slots_high_water",
        "tlin_session_cache_bytes", "tlin_cache_usage_ratio", "tlin_memory_bytes",
        "tlin_device_memory_bytes", "process_resident_memory_bytes", "tlin_draining",
        "tlin_build_info", "tlin_step_cost_seconds"), "gauge")}
PROCESS_WIDE = {"tlin_device_memory_bytes", "process_resident_memory_bytes", "tlin_draining",
                "tlin_build_info"}
DEMOS = {"tlin-demo": "tlinformer", "tconst-demo": "tconstformer",
         "transformer-demo": "transformer"}


class DemoModel:
    """The tests of one demo model; one daemon serves them all."""
    name = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Tlind(MODELS / cls.name)
        cls.stub = cls.daemon.stub()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        code = cls.daemon.exit_code()
        lines = cls.daemon.log_lines()
        cls.daemon.__exit__(None, None, None)
        assert code == 0, code
        assert any(line.get("request_id") for line in lines)

    def text_of(self, token_ids):
        """Without the end of text, which Generate never shows."""
        shown = [token for token in token_ids if token != END_OF_TEXT]
        return self.stub.Detokenize(pb.DetokenizeRequest(token_ids=shown)).text

    def test_streams_text_with_usage_and_timing(self):
        before = self.daemon.wait_until_idle()
        # Past several windows of 128, so that there are syncs.
        answer = generate(self.stub, request("The people", max_new_tokens=400, seed=3,
                                             ignore_eos=True))
        prompt = self.stub.Tokenize(pb.TokenizeRequest(text="The people")).token_ids
        usage, timing = answer.finished.usage, answer.finished.timing
        self.assertEqual(answer.finished.reason, pb.Finished.LENGTH)
        self.assertEqual(usage.generated_tokens, 400)
        self.assertEqual(len(answer.token_ids), 400)
        self.assertEqual(usage.prompt_tokens, len(prompt))
        self.assertEqual(answer.started.prompt_tokens, len(prompt))
        self.assertEqual(answer.started.seed, 3)
        self.assertGreater(len(answer.chunks), 3, "it streams")
        self.assertEqual(usage.syncs, 0 if self.name == "transformer-demo" else
                         (len(prompt) + 399 - 1) // 128)
        self.assertGreater(timing.first_token_seconds, 0)
        self.assertGreaterEqual(timing.total_seconds,
                                timing.first_token_seconds + timing.sync_seconds)
        self.assertLessEqual(timing.queue_seconds, timing.first_token_seconds)
        self.assertEqual(answer.text, self.text_of(answer.token_ids))
        after = self.daemon.wait_until_idle()
        for metric, expected in (("tlin_generated_tokens_total", 400),
                                 ("tlin_prompt_tokens_total", len(prompt)),
                                 ("tlin_cache_misses_total", usage.syncs)):
            self.assertEqual(after[metric] - before[metric], expected, metric)

    def test_every_chunk_is_whole_utf8(self):
        # Protobuf refuses text that is not UTF-8; a hot model makes bytes of every kind. What is
        # left open at a border comes with a later chunk, so the chunks join to the whole text.
        for seed in range(8):
            answer = generate(self.stub, request("né à", max_new_tokens=120, seed=seed,
                                                 temperature=60.0, ignore_eos=True))
            self.assertEqual(answer.text, self.text_of(answer.token_ids))

    def test_a_seed_gives_the_same_text_alone_and_in_company(self):
        wanted = [request(PROMPTS[i % len(PROMPTS)], max_new_tokens=90 + 20 * i, seed=i)
                  for i in range(10)]
        alone = [generate(self.stub, message).token_ids for message in wanted]
        together = [None] * len(wanted)

        def run(i):
            together[i] = generate(self.stub, wanted[i]).token_ids

        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(wanted))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(together, alone)
        self.assertGreater(len({tuple(tokens[:8]) for tokens in alone}), 5, "seeds differ")

    def test_stop_strings_and_logprobs(self):
        free = generate(self.stub, request(PROMPTS[0], max_new_tokens=60, temperature=0.0))
        at = len(free.text) // 2
        stop = free.text[at:at + 4]
        stopped = generate(self.stub, request(PROMPTS[0], max_new_tokens=60, temperature=0.0,
                                              stop=[stop], logprobs=3))
        self.assertEqual(stopped.finished.reason, pb.Finished.STOP)
        self.assertEqual(stopped.finished.stop_match, stop)
        self.assertEqual(stopped.text, free.text[:free.text.index(stop)])
        for chunk in stopped.chunks:
            self.assertEqual([entry.token_id for entry in chunk.logprobs], list(chunk.token_ids))
            for entry in chunk.logprobs:
                self.assertEqual(entry.rank, 1, "greedy takes the likeliest")
                self.assertEqual(entry.top[0].token_id, entry.token_id)
                self.assertLessEqual(entry.logprob, 0)

    def test_score_agrees_with_what_was_generated(self):
        prompt = list(self.stub.Tokenize(pb.TokenizeRequest(text=PROMPTS[0])).token_ids)
        answer = generate(self.stub, request(ids=prompt, max_new_tokens=40, temperature=0.0,
                                             ignore_eos=True, logprobs=1))
        message = pb.ScoreRequest()
        message.token_ids.ids.extend(prompt + answer.token_ids)
        score = self.stub.Score(message)
        self.assertEqual([entry.token_id for entry in score.tokens],
                         (prompt + answer.token_ids)[1:])
        made = [entry.logprob for chunk in answer.chunks for entry in chunk.logprobs]
        for scored, generated in zip(score.tokens[-40:], made):
            self.assertAlmostEqual(scored.logprob, generated, delta=0.1)
        self.assertAlmostEqual(score.negative_log_likelihood,
                               -sum(entry.logprob for entry in score.tokens), delta=1e-3)

    def test_tokenize_and_detokenize_round_trip(self):
        draw = random.Random(5)
        texts = PROMPTS + ["", "  \n\t x", "日本語 🎉 مرحبا", "if (a[i] == 0) {\r\n}",
                           "".join(chr(draw.randrange(1, 0xD800)) for _ in range(300))]
        for text in texts:
            tokens = self.stub.Tokenize(pb.TokenizeRequest(text=text))
            self.assertEqual(len(tokens.token_ids), len(tokens.pieces))
            answer = self.stub.Detokenize(pb.DetokenizeRequest(token_ids=tokens.token_ids))
            self.assertEqual(answer.text, text)

    def test_the_model_describes_itself(self):
        model = self.stub.GetModel(pb.GetModelRequest())
        self.assertEqual((model.name, model.architecture), (self.name, DEMOS[self.name]))
        self.assertEqual((model.vocab_size, model.n_embd, model.n_head), (2048, 192, 6))
        self.assertTrue(model.has_tokenizer)
        self.assertEqual((model.slots, model.max_sessions), (16, 4096))
        scrape = self.daemon.scrape()
        self.assertEqual(model.session_cache_bytes, scrape["tlin_session_cache_bytes"])
        self.assertEqual(scrape["tlin_build_info", f"architecture={model.architecture}",
                                f"dtype={model.dtype}", f"device={model.device}"], 1)
        code, message, _ = status_of(self.stub.GetModel, pb.GetModelRequest(model="gpt"))
        self.assertEqual(code, Code.NOT_FOUND, message)

    def test_every_promised_metric_is_in_a_real_scrape(self):
        generate(self.stub, request(PROMPTS[0]))
        scrape = self.daemon.wait_until_idle()
        for name, kind in METRICS.items():
            self.assertEqual(scrape.types.get(name), kind, name)
            for labels in scrape.series[name] or scrape.series[name + "_bucket"]:
                if name not in PROCESS_WIDE:
                    self.assertIn(("model", self.name), labels, name)
        others = set(scrape.types) - set(METRICS)
        self.assertEqual(others, set())
        bounds = sorted(float(dict(labels)["le"].replace("+Inf", "inf")) for labels in
                        scrape.series["tlin_inter_token_latency_seconds_bucket"])
        self.assertEqual(bounds[0], 50e-6)
        self.assertGreaterEqual(bounds[-2], 120)
        self.assertGreaterEqual(sum(bound < 0.1 for bound in bounds), 12)
        used, free, total = (scrape["tlin_device_memory_bytes", f"kind={kind}"]
                             for kind in ("used", "free", "total"))
        self.assertEqual(used + free, total)
        self.assertGreater(total, scrape["process_resident_memory_bytes"])

    def test_health_and_reflection(self):
        channel = self.daemon.channel()
        for service in ("", "tlin.v1.Generation"):
            self.assertEqual(health(channel, service), SERVING)
            watch = watch_health(channel, service)
            self.assertEqual(next(watch), SERVING)
            watch.cancel()
        self.assertEqual(status_of(lambda timeout: health(channel, "no.such", timeout))[0],
                         Code.NOT_FOUND)
        reflection = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        symbol = b"tlin.v1.Generation"
        # list_services is field 7 of the request, file_containing_symbol field 4.
        services, described = reflection(iter([b"\x3a\x01*", b"\x22" + bytes([len(symbol)]) + symbol]))
        self.assertIn(symbol, services)
        self.assertIn(b"grpc.health.v1.Health", services)
        for name in (b"GenerateRequest", b"repetition_penalty", b"Detokenize"):
            self.assertIn(name, described)


class TlinDemoTest(DemoModel, unittest.TestCase):
    name = "tlin-demo"


class TconstDemoTest(DemoModel, unittest.TestCase):
    name = "tconst-demo"


class TransformerDemoTest(DemoModel, unittest.TestCase):
    name = "transformer-demo"


class TokenIdsOnlyTest(unittest.TestCase):
    def test_a_model_without_tokenizer_is_served_in_token_ids(self):
        with Tlind(tiny_model.write(scratch_path("model"))) as daemon:
            stub = daemon.stub()
            self.assertFalse(stub.GetModel(pb.GetModelRequest()).has_tokenizer)
            answer = generate(stub, request(ids=[1, 2, 3], max_new_tokens=30))
            self.assertEqual((answer.text, len(answer.token_ids)), ("", 30))
            score = pb.ScoreRequest()
            score.token_ids.ids.extend([1, 2, 3])
            self.assertEqual(len(stub.Score(score).tokens), 2)
            for call, message in (
                    (stub.Generate, request("text")),
                    (stub.Generate, request(ids=[1], stop=["x"])),
                    (stub.Score, pb.ScoreRequest(text="text")),
                    (stub.Tokenize, pb.TokenizeRequest(text="text")),
                    (stub.Detokenize, pb.DetokenizeRequest(token_ids=[1]))):
                code, why, _ = status_of(call, message)
                self.assertEqual(code, Code.FAILED_PRECONDITION, why)
                self.assertIn("tokenizer", why)


if __name__ == "__main__":
    unittest.main()
