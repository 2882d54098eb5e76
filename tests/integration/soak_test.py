#!/usr/bin/python3
"""Storms: requests that end in every way, for a while. Counts add up, memory is flat. Run by ctest."""
import threading
import unittest

from tlind_process import *

WORDS = ["The people", "In the beginning", "Call me Ishmael", "And it came to pass", "né à Paris"]
OUTCOMES = ("eos", "stop", "length", "deadline", "interrupted", "cancelled", "rejected", "invalid",
            "error")
READY = "tlin.v1.Generation"


class Storm:
    """Clients that each send one request after the other, of random kinds."""

    def __init__(self, daemon, clients=8):
        self.daemon = daemon
        self.clients = clients
        self.lock = threading.Lock()
        # Requests that have certainly been received, and those that may have been: a client that
        # gives up early does not know.
        self.received = 0
        self.perhaps = 0
        self.faults = []

    def run(self, requests=None, seconds=None):
        """Each client sends `requests`, or goes on for `seconds`."""
        self.end = None if seconds is None else time.monotonic() + seconds
        threads = [threading.Thread(target=self.client, args=(i, requests))
                   for i in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def client(self, number, requests):
        draw = random.Random(number)
        stub = self.daemon.stub()
        sent = 0
        while sent != requests and (self.end is None or time.monotonic() < self.end):
            try:
                certain = self.one(stub, draw)
            except Exception as fault:  # the test fails with it, below
                self.faults.append(repr(fault))
                return
            sent += 1
            with self.lock:
                self.received += certain
                self.perhaps += not certain

    def one(self, stub, draw):
        """One request. True: it was received for certain."""
        text = draw.choice(WORDS)
        kind = draw.choice(("plain", "plain", "stop", "cancel", "early", "deadline", "invalid",
                            "unknown", "long", "score", "eos", "leave"))
        length = draw.randrange(5, 150)
        allowed = {Code.OK, Code.RESOURCE_EXHAUSTED}
        if kind == "invalid":
            assert status_of(stub.Generate, request(text, top_p=7.0))[0] == Code.INVALID_ARGUMENT
            return True
        if kind == "unknown":
            assert status_of(stub.Generate, request(text, model="gpt"))[0] == Code.NOT_FOUND
            return True
        if kind == "score":
            code = status_of(stub.Score, pb.ScoreRequest(text=text * 20))[0]
            assert code in allowed, code
            return True
        if kind in ("cancel", "early", "leave"):
            return self.give_up(stub, draw, kind, text)
        if kind == "deadline":
            timeout = draw.uniform(0.02, 0.4)
            code = status_of(stub.Generate, request(text, max_new_tokens=5000, ignore_eos=True),
                             timeout=timeout)[0]
            assert code in allowed | {Code.DEADLINE_EXCEEDED}, code
            return code != Code.DEADLINE_EXCEEDED
        fields = {"stop": {"stop": ["e", "the"]},
                  "long": {"ids": random_tokens(length, 2000, 2048), "text": None},
                  "eos": {"temperature": 20.0, "max_new_tokens": 300}}.get(kind, {})
        message = request(**{"text": text, "max_new_tokens": length, "seed": length, **fields})
        code, why, trailers = status_of(stub.Generate, message)
        assert code in allowed, (code, why)
        assert code == Code.OK or retry_delay(trailers) > 0
        return True

    def give_up(self, stub, draw, kind, text):
        stream = stub.Generate(request(text, max_new_tokens=20_000, ignore_eos=True))
        seen = 0
        try:
            if kind != "early":
                for _ in range(draw.randrange(1, 30)):
                    next(stream)
                    seen += 1
        except grpc.RpcError as error:
            assert error.code() == Code.RESOURCE_EXHAUSTED, error
            return True
        stream.cancel()
        return seen > 0


class StormTest(unittest.TestCase):
    def check_counts(self, daemon, storm):
        self.assertEqual(storm.faults, [])
        scrape = daemon.wait_until_idle()
        counts = {outcome: scrape["tlin_requests_total", f"outcome={outcome}"]
                  for outcome in OUTCOMES}
        total = sum(counts.values())
        self.assertEqual(total, scrape.total("tlin_requests_total"), "no other outcomes")
        self.assertGreaterEqual(total, storm.received)
        self.assertLessEqual(total, storm.received + storm.perhaps)
        self.assertEqual(counts["error"], 0)
        # Every RPC ends once: with one line in the log, and an id of its own.
        def ended():
            lines = [line for line in daemon.log_lines() if line["message"] == "request ended"]
            return lines if len(lines) >= total else None
        lines = wait_until(ended, "the last line of the log")
        self.assertEqual(len(lines), total)
        self.assertEqual(len({line["request_id"] for line in lines}), total)
        self.assertEqual(scrape["tlin_request_duration_seconds_count"],
                         total - counts["rejected"] - counts["invalid"]
                         - self.refused_by_deadline(lines))
        self.assertEqual(scrape["tlin_preemptions_total"], 0)
        self.assertEqual(scrape["tlin_slots_used"], 0)
        self.assertLessEqual(scrape["tlin_slots_high_water"], scrape["tlin_slots"])
        return counts

    def refused_by_deadline(self, lines):
        """Requests whose time was over when they came: they never were the engine's."""
        return sum(line["status"] == "DEADLINE_EXCEEDED" and "already" in line["detail"]
                   for line in lines)

    def test_outcomes_add_up_after_a_storm(self):
        with Tlind(MODELS / "tlin-demo", "--max_sessions=3", "--max_queued_requests=3") as daemon:
            storm = Storm(daemon)
            storm.run(requests=40)
            counts = self.check_counts(daemon, storm)
            for outcome in ("eos", "stop", "length", "deadline", "cancelled", "rejected", "invalid"):
                self.assertGreater(counts[outcome], 0, f"the storm has no {outcome}: {counts}")
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)

    def test_memory_is_flat_in_a_soak(self):
        with Tlind(MODELS / "tconst-demo", "--max_sessions=4", "--max_queued_requests=4",
                   "--prefix_cache_bytes=4000000") as daemon:
            storm = Storm(daemon)
            storm.run(seconds=8)  # caches, heaps and connections come to their size
            resident = daemon.resident_bytes()
            storm.run(seconds=16)
            grown = daemon.resident_bytes() - resident
            self.check_counts(daemon, storm)
            self.assertEqual(health(daemon.channel(), READY), SERVING)
            if not SANITIZED:
                self.assertLess(grown, 12 << 20)
                pools = daemon.scrape().total("tlin_memory_bytes")
                self.assertLess(daemon.resident_bytes(), pools + (80 << 20))
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)


if __name__ == "__main__":
    unittest.main()
