#!/usr/bin/python3
"""How tlind ends. Run by ctest."""
import concurrent.futures
import subprocess
import threading
import unittest

import tiny_model
from tlind_process import *

READY = "tlin.v1.Generation"
ENDLESS = 1_000_000  # tokens; more than any test waits for


class Stream:
    """A request that runs until it is told to end."""

    def __init__(self, daemon, max_new_tokens=ENDLESS):
        self.events = daemon.stub().Generate(
            request(ids=[1, 2, 3], max_new_tokens=max_new_tokens, ignore_eos=True))
        while not next(self.events).HasField("chunk"):
            pass

    def end(self):
        """Reads on; (code, trailers, the last event)."""
        event = None
        try:
            for event in self.events:
                pass
        except grpc.RpcError as error:
            return error.code(), dict(error.trailing_metadata()), event
        return self.events.code(), {}, event


class DrainTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = tiny_model.write(scratch_path("model"))

    def test_refuses_at_once_finishes_the_rest_and_ends_with_0(self):
        with Tlind(self.model, "--drain_seconds=300") as daemon:
            watch = watch_health(daemon.channel(), READY)
            self.assertEqual(next(watch), SERVING)
            running = Stream(daemon, max_new_tokens=20_000)
            stub, channel = daemon.stub(), daemon.channel()
            stub.GetModel(pb.GetModelRequest())  # connected before the port closes
            health(channel)
            daemon.terminate()
            self.assertEqual(next(watch), NOT_SERVING)
            self.assertEqual(health(channel, READY), NOT_SERVING)
            self.assertEqual(health(channel), SERVING, "it is alive")
            wait_until(lambda: daemon.scrape()["tlin_draining"] == 1, "tlin_draining")
            for call, message in ((stub.Generate, request(ids=[1])),
                                  (stub.Score, pb.ScoreRequest(
                                      token_ids=pb.TokenIds(ids=[1, 2])))):
                code, why, trailers = status_of(call, message)
                self.assertEqual(code, Code.UNAVAILABLE, why)
                self.assertGreater(retry_delay(trailers), 0)
            self.assertIsNone(daemon.process.poll(), "it waits for the running one")
            code, _, last = running.end()
            self.assertEqual(code, Code.OK)
            self.assertEqual(last.finished.usage.generated_tokens, 20_000)
            self.assertEqual(daemon.exit_code(), 0)
            self.assertEqual(daemon.log_lines()[-1]["message"], "drained")
            self.assertTrue(daemon.log_lines()[-1]["all_ended"])

    def test_goes_in_a_pause_between_calls(self):
        """Who calls on is refused by the daemon, and not cut off by gRPC's shutdown."""
        with Tlind(self.model, "--drain_seconds=300") as daemon:
            enough = threading.Event()

            def call_on(stub):
                found = set()
                while not enough.is_set():
                    code, why, trailers = status_of(stub.Generate, request(ids=[1]))
                    found.add((code, why, retry_delay(trailers)))
                return found
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                callers = [pool.submit(call_on, daemon.stub()) for _ in range(4)]
                try:
                    wait_until(lambda: daemon.scrape().total("tlin_requests_total") > 10, "calls")
                    daemon.terminate()
                    # The pause is of 1 s, and the farewell of 5 s at most.
                    with self.assertRaises(subprocess.TimeoutExpired):
                        daemon.process.wait(timeout=2.5)
                finally:
                    enough.set()
                found = set().union(*(caller.result() for caller in callers))
            self.assertEqual(found, {
                (Code.OK, "", None),
                (Code.UNAVAILABLE, "draining: no new requests are taken", 1)})
            self.assertEqual(daemon.exit_code(), 0)

    def test_drain_seconds_0_cuts_what_runs_and_waits(self):
        with Tlind(self.model, "--drain_seconds=0", "--max_sessions=1") as daemon:
            running = Stream(daemon)
            waiting = daemon.stub().Generate(request(ids=[1]))
            wait_until(lambda: daemon.scrape()["tlin_requests_waiting"] == 1, "one that waits")
            daemon.terminate()
            code, trailers, last = running.end()
            self.assertEqual(code, Code.UNAVAILABLE)
            self.assertGreater(retry_delay(trailers), 0)
            self.assertTrue(last.HasField("chunk"), "what was made has arrived")
            with self.assertRaises(grpc.RpcError) as raised:
                next(waiting)
            self.assertEqual(raised.exception.code(), Code.UNAVAILABLE)
            self.assertEqual(daemon.exit_code(), 0)
            self.assertFalse(daemon.log_lines()[-1]["all_ended"])

    def test_a_reader_who_reads_no_more_does_not_hold_it(self):
        with Tlind(self.model, "--drain_seconds=0.2") as daemon:
            Stream(daemon)  # and nobody reads on
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)

    def test_idle_connections_and_watches_do_not_hold_it(self):
        with Tlind(self.model, "--drain_seconds=300") as daemon:
            watches = [watch_health(daemon.channel()) for _ in range(3)]
            self.assertEqual([next(watch) for watch in watches], [SERVING] * 3)
            daemon.process.send_signal(signal.SIGINT)
            self.assertEqual(daemon.exit_code(), 0)

    def test_a_second_signal_ends_it_at_once(self):
        with Tlind(self.model, "--drain_seconds=300") as daemon:
            running = Stream(daemon)
            daemon.terminate()
            wait_until(lambda: daemon.scrape()["tlin_draining"] == 1, "tlin_draining")
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 128 + signal.SIGTERM)
            self.assertEqual(running.end()[0], Code.UNAVAILABLE)


class HangingEngineTest(unittest.TestCase):
    """The daemon over a model whose first step never ends."""

    def test_is_not_ready_but_alive_and_leaves_with_status_3(self):
        with Tlind("none", "--stall_seconds=0.2", "--drain_seconds=0.1",
                   program="hanging_tlind") as daemon:
            watch = watch_health(daemon.channel(), READY)
            self.assertEqual(next(watch), SERVING)
            stuck = daemon.stub().Generate(request(ids=[1]))
            self.assertEqual(next(watch), NOT_SERVING)
            self.assertEqual(health(daemon.channel()), SERVING)
            self.assertGreater(daemon.scrape()["tlin_seconds_since_last_step"], 0)
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 3)
            self.assertIn("hangs", daemon.log_lines()[-1]["message"])
            code, _, _ = status_of(lambda timeout: stuck)
            self.assertEqual(code, Code.UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()
