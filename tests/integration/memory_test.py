#!/usr/bin/python3
"""Memory is arithmetic: the 41M tconstformer in bf16 with 16 slots. Run by ctest."""
import threading
import unittest

import tiny_model
from tlind_process import *

# What a process may take beside weights, slots and workspace: code, gRPC, heaps, threads.
ALLOWANCE = 80_000_000


class MemoryTest(unittest.TestCase):
    def test_the_papers_model_takes_what_the_metrics_say_and_80_mb(self):
        model = tiny_model.write(scratch_path("model"), tiny_model.PAPER)
        with Tlind(model, "--dtype=bf16", "--max_sessions=16") as daemon:
            scrape = daemon.scrape()
            pools = scrape.total("tlin_memory_bytes")
            parameters = daemon.stub().GetModel(pb.GetModelRequest()).parameters
            weights = scrape["tlin_memory_bytes", "pool=weights"]
            self.assertGreater(parameters, 40e6)
            self.assertLess(weights, 2.1 * parameters, "bf16, once")
            self.assertEqual(scrape["tlin_memory_bytes", "pool=session_cache"],
                             16 * scrape["tlin_session_cache_bytes"])
            self.assertLess(daemon.resident_bytes(), pools + ALLOWANCE)

            all_have_slots = threading.Barrier(16)

            def serve(i):
                stream = daemon.stub().Generate(
                    request(ids=random_tokens(i, 300, 50257), seed=i, max_new_tokens=2000,
                            ignore_eos=True, logprobs=5), timeout=PATIENCE)
                next(event for event in stream if event.WhichOneof("event") == "chunk")
                all_have_slots.wait(PATIENCE)
                stream.cancel()

            threads = [threading.Thread(target=serve, args=(i,)) for i in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            daemon.wait_until_idle()
            resident = daemon.resident_bytes()
            scrape = daemon.scrape()
            kept = scrape["tlin_memory_bytes", "pool=prefix_cache"]
            print(f"weights {weights / 1e6:.1f} MB, slots "
                  f"{scrape['tlin_memory_bytes', 'pool=session_cache'] / 1e6:.1f} MB, workspace "
                  f"{scrape['tlin_memory_bytes', 'pool=workspace'] / 1e6:.1f} MB, states kept "
                  f"for others {kept / 1e6:.1f} MB, resident {resident / 1e6:.1f} MB: "
                  f"{(resident - pools - kept) / 1e6:.1f} MB beside them")
            self.assertEqual(scrape["tlin_slots_high_water"], 16)
            self.assertGreater(kept, 0, "states after syncs")
            self.assertEqual(scrape.total("tlin_memory_bytes"), pools + kept)
            self.assertLess(resident, pools + kept + ALLOWANCE)
            self.assertGreater(resident, pools / 2, "the pools are what is resident")

    def test_history_takes_memory_as_it_is_used(self):
        # 800 MB are set aside for it, and none of them touched at the start.
        with Tlind(MODELS / "transformer-demo") as daemon:
            scrape = daemon.scrape()
            history = scrape["tlin_memory_bytes", "pool=history"]
            self.assertGreater(history, 500e6)
            self.assertLess(daemon.resident_bytes(),
                            scrape.total("tlin_memory_bytes") - history + ALLOWANCE)


if __name__ == "__main__":
    unittest.main()
