#!/usr/bin/python3
"""What users of other servers complain about under load, shown not to happen here. Run by ctest.

README.md beside this file says which complaint each test answers.
"""
import threading
import unittest

import tiny_model
from tlind_process import *

ENDLESS = 1_000_000  # tokens; more than any test waits for
LONG_PROMPT = random_tokens(1, 100_000, 64)


class OverloadTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = tiny_model.write(scratch_path("model"))
        # For long answers: it syncs seldom.
        cls.wide_model = tiny_model.write(scratch_path("model"),
                                          {**tiny_model.TINY, "generation_window": 1024})

    def daemon(self, *flags, model=None):
        daemon = self.enterContext(Tlind(model or self.model, *flags))
        self.addCleanup(self.check_the_end, daemon)
        return daemon

    def check_the_end(self, daemon):
        """Whatever happened: all is given back, nothing was preempted, and it ends well."""
        scrape = daemon.wait_until_idle()
        self.assertEqual(scrape["tlin_preemptions_total"], 0)
        self.assertEqual(scrape["tlin_memory_bytes", "pool=host_tokens"], 0)
        daemon.terminate()
        self.assertEqual(daemon.exit_code(), 0)

    def start(self, daemon, prompt=(1, 2, 3), **fields):
        """A stream on a connection of its own."""
        fields = {"max_new_tokens": ENDLESS, **fields}
        stream = daemon.stub().Generate(request(ids=prompt, ignore_eos=True, **fields))
        self.addCleanup(stream.cancel)
        return stream

    def wait_for(self, daemon, metric, value):
        wait_until(lambda: daemon.scrape()[metric] == value, f"{metric} {value}")

    def test_the_queue_is_bounded_and_refusals_cost_no_memory(self):
        daemon = self.daemon("--max_sessions=1", "--max_queued_requests=4", "--log_requests=false")
        running = self.start(daemon)
        next(running)
        waiting = [self.start(daemon) for _ in range(4)]
        self.wait_for(daemon, "tlin_requests_waiting", 4)
        stub, refused = daemon.stub(), request(ids=[1] * 2000)
        resident = None
        for i in range(1500):
            code, why, trailers = status_of(stub.Generate, refused)
            self.assertEqual(code, Code.RESOURCE_EXHAUSTED, why)
            self.assertTrue(0.1 <= retry_delay(trailers) <= 30, trailers)
            if i == 300:
                resident = daemon.resident_bytes()
        if not SANITIZED:
            self.assertLess(daemon.resident_bytes() - resident, 8 << 20)
        # Full is neither dead nor unready.
        channel = daemon.channel()
        self.assertEqual(health(channel), SERVING)
        self.assertEqual(health(channel, "tlin.v1.Generation"), SERVING)
        scrape = daemon.scrape()
        self.assertEqual(scrape["tlin_requests_total", "outcome=rejected"], 1500)
        self.assertEqual((scrape["tlin_slots_used"], scrape["tlin_requests_waiting"]), (1, 4))
        self.assertGreater(scrape["tlin_oldest_waiting_seconds"], 0)
        for stream in (running, *waiting):
            stream.cancel()
        scrape = daemon.wait_until_idle()
        self.assertEqual(scrape["tlin_requests_total", "outcome=cancelled"], 5)
        self.assertEqual(scrape.total("tlin_requests_total"), 1505)

    def expect_cancelled(self, daemon, count):
        scrape = daemon.wait_until_idle()
        self.assertEqual(scrape["tlin_requests_total", "outcome=cancelled"], count)
        # A step makes one token a sequence: what is made after the cancel is one at most.
        self.assertLessEqual(scrape["tlin_wasted_tokens_total"], count)

    def test_who_leaves_while_decoding_frees_the_slot(self):
        daemon = self.daemon()
        streams = [self.start(daemon) for _ in range(6)]
        for stream in streams:
            next(stream), next(stream)
            stream.cancel()
        self.expect_cancelled(daemon, 6)

    def test_who_leaves_the_queue_frees_the_place(self):
        daemon = self.daemon("--max_sessions=1")
        running = self.start(daemon)
        next(running)
        queued = [self.start(daemon) for _ in range(3)]
        self.wait_for(daemon, "tlin_requests_waiting", 3)
        for stream in queued:
            stream.cancel()
        self.wait_for(daemon, "tlin_requests_waiting", 0)
        next(running)
        self.assertEqual(daemon.scrape()["tlin_slots_used"], 1)
        running.cancel()
        self.expect_cancelled(daemon, 4)

    def test_who_leaves_while_the_prompt_is_read_frees_the_slot(self):
        daemon = self.daemon("--target_step_ms=0.1")
        # So long that nobody leaves too late.
        prompt = random_tokens(1, 1_000_000, 64)
        streams = [self.start(daemon, prompt, max_new_tokens=10) for _ in range(2)]
        for stream in streams:
            self.assertTrue(next(stream).HasField("started"))
            stream.cancel()
        self.expect_cancelled(daemon, 2)
        scrape = daemon.scrape()
        self.assertEqual(scrape["tlin_generated_tokens_total"], 0)
        self.assertEqual(scrape["tlin_synced_tokens_total"], 0, "they were in mid-sync")

    def test_who_leaves_without_reading_or_a_word_frees_the_slot(self):
        daemon = self.daemon()
        channel = daemon.channel()
        stub = generation_pb2_grpc.GenerationStub(channel)
        deaf = [stub.Generate(request(ids=[1], max_new_tokens=ENDLESS, ignore_eos=True))
                for _ in range(3)]
        self.wait_for(daemon, "tlin_slots_used", 3)
        wait_until(lambda: daemon.scrape()["tlin_generated_tokens_total"] > 9000,
                   "more tokens than the transport takes")
        deaf[0].cancel()
        self.wait_for(daemon, "tlin_slots_used", 2)
        channel.close()
        self.expect_cancelled(daemon, 3)

    def test_a_reader_who_stalls_gets_it_all_later_and_holds_no_slot(self):
        daemon = self.daemon("--max_sessions=1", model=self.wide_model)
        resident = daemon.resident_bytes()
        stalled = self.start(daemon, max_new_tokens=30_000, seed=7)
        self.wait_for(daemon, "tlin_generated_tokens_total", 30_000)
        daemon.wait_until_idle()
        generate(daemon.stub(), request(ids=[1]))  # the only slot is free again
        if not SANITIZED:
            self.assertLess(daemon.resident_bytes() - resident, 24 << 20)
        tokens = [token for event in stalled for token in event.chunk.token_ids]
        self.assertEqual(tokens, generate(daemon.stub(), request(
            ids=[1, 2, 3], max_new_tokens=30_000, ignore_eos=True, seed=7)).token_ids)

    def test_long_prompts_hang_nobody(self):
        daemon = self.daemon("--target_step_ms=0.1")
        made = [0] * 6

        def read(i, stream):
            try:
                for event in stream:
                    made[i] += len(event.chunk.token_ids)
            except grpc.RpcError as error:
                assert error.code() == Code.CANCELLED, error

        streams = [self.start(daemon) for _ in made]
        threads = [threading.Thread(target=read, args=pair) for pair in enumerate(streams)]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(made) > 0, "tokens of all")
        prompts = [self.start(daemon, LONG_PROMPT, max_new_tokens=1, bypass_prefix_cache=True)
                   for _ in range(3)]
        for stream in prompts:
            self.assertTrue(next(stream).HasField("started"))
        before, at_start = daemon.scrape(), list(made)
        for stream in prompts:
            self.assertEqual(len(next(stream).chunk.token_ids), 1)
        after, gained = daemon.scrape(), [now - then for now, then in zip(made, at_start)]
        for stream in streams:
            stream.cancel()
        for thread in threads:
            thread.join()
        # The prompts took hundreds of steps, and each gave everybody a token.
        tokens = after["tlin_generated_tokens_total"] - before["tlin_generated_tokens_total"]
        self.assertGreater(tokens, 100 * len(made))
        self.assertGreater(min(gained), 0, gained)

    def test_priority_holds_at_admission(self):
        daemon = self.daemon("--max_sessions=1")
        running = self.start(daemon)
        next(running)
        order = []

        def run(priority):  # notes the token while it holds the only slot, then lets it go
            stream = self.start(daemon, priority=priority)
            next(event for event in stream if event.HasField("chunk"))
            order.append(priority)
            stream.cancel()

        threads = []
        for waiting, priority in enumerate((0, -3, 5, 1, 9), 1):
            threads.append(threading.Thread(target=run, args=(priority,)))
            threads[-1].start()
            self.wait_for(daemon, "tlin_requests_waiting", waiting)
        running.cancel()
        for thread in threads:
            thread.join()
        self.assertEqual(order, [9, 5, 1, 0, -3])

    def test_deadlines_hold_in_the_queue_and_between_steps(self):
        daemon = self.daemon("--max_sessions=1")
        running = daemon.stub().Generate(request(ids=[1], max_new_tokens=ENDLESS, ignore_eos=True),
                                         timeout=4)
        next(running)
        code, why, _ = status_of(daemon.stub().Generate, request(ids=[1]), timeout=0.3)
        self.assertEqual(code, Code.DEADLINE_EXCEEDED, why)
        self.assertEqual(daemon.scrape()["tlin_slots_used"], 1)
        *_, last = running
        self.assertEqual(last.finished.reason, pb.Finished.DEADLINE)
        self.assertGreater(last.finished.usage.generated_tokens, 0)
        self.assertEqual(daemon.wait_until_idle()["tlin_requests_total", "outcome=deadline"], 2)


if __name__ == "__main__":
    unittest.main()
