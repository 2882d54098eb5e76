#!/usr/bin/python3
"""Sessions for a while: turns, forks, cancels, moves, restarts and kills. Memory stays flat, counts
add up, and every session is what it was told. Run by ctest; tests/soak.sh runs it for longer.

  session_soak_test.py [--seconds=30]
"""
import random
import sys
import threading
import unittest

from tlind_process import *
from tlin.v1 import sessions_pb2 as sessions_pb
from tlin.v1 import sessions_pb2_grpc

SECONDS = 30
WORKERS = 6
SESSIONS = 5  # of each worker
LIVES = 4     # of the daemon, for each model
MOST_TOKENS = 3000
FLAGS = ("--slots=4", "--max_sessions=64", "--max_queued_requests=64", "--session_memory_bytes=8000000",
         "--prefix_cache_bytes=4000000", "--log_requests=false")
# What a process may take beside its pools, and how much of that may come later than in its youth.
ALLOWANCE = 80 << 20
GROWTH = 16 << 20


class Worker:
    """One client with sessions of its own, and one that all workers share."""

    def __init__(self, number):
        self.draw = random.Random(number)
        self.prefix = f"w{number}-"
        self.made = 0
        self.tokens = {}    # of sessions of which all is known
        self.durable = {}   # session -> how many tokens were said to be stored
        self.turns = 0
        self.compared = 0
        self.fault = None

    def attach(self, daemon, killed):
        self.killed = killed  # set before the daemon is
        # Requests that it has certainly received, and those that it may have.
        self.received = 0
        self.perhaps = 0
        self.stub = daemon.stub()
        self.sessions = sessions_pb2_grpc.SessionsStub(daemon.channel())

    def run(self, until):
        try:
            while time.monotonic() < until:
                self.act()
        except Exception as fault:  # the test fails with it, below
            if not self.killed.is_set():
                self.fault = repr(fault)

    def act(self):
        if len(self.tokens) < SESSIONS:
            name = self.fresh()
            self.sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=name))
            self.tokens[name] = []
            return
        name = self.draw.choice(sorted(self.tokens))
        if len(self.tokens[name]) > MOST_TOKENS:
            return self.delete(name)
        kind = self.draw.choice(("turn",) * 6 + ("fork", "move", "cancel", "deadline", "delete",
                                                 "shared", "compare", "stored"))
        getattr(self, kind)(name)

    def fresh(self):
        self.made += 1
        return f"{self.prefix}{self.made}"

    def prompt(self):
        # Few kinds of long prompts, so that some of them share a state.
        if self.draw.random() < 0.3:
            return random_tokens(self.draw.randrange(3), 300, 2000)
        return random_tokens(self.draw.randrange(1000), self.draw.randrange(1, 60), 2000)

    def generate(self, message):
        answer = generate(self.stub, message)
        self.received += 1
        return answer

    def turn(self, name):
        ids = self.prompt()
        tokens = self.tokens.pop(name)
        answer = self.generate(request(ids=ids, session_id=name, ignore_eos=True,
                                       max_new_tokens=self.draw.randrange(1, 150)))
        assert answer.finished.usage.prompt_tokens == len(tokens) + len(ids), name
        self.tokens[name] = tokens + ids + answer.token_ids
        self.turns += 1

    def stored(self, name):
        info = self.sessions.GetSession(sessions_pb.GetSessionRequest(session_id=name))
        assert info.tokens == len(self.tokens[name]), (name, info)
        if info.durable:
            self.durable[name] = info.tokens

    def fork(self, name):
        fork = self.fresh()
        self.sessions.ForkSession(sessions_pb.ForkSessionRequest(session_id=name,
                                                                 new_session_id=fork))
        self.tokens[fork] = list(self.tokens[name])
        self.delete(name)

    def move(self, name):
        chunks = list(self.sessions.ExportSession(sessions_pb.ExportSessionRequest(
            session_id=name)))
        self.delete(name, forget=False)
        chunks[0].session_id = name
        self.sessions.ImportSession(iter(chunks))

    def delete(self, name, forget=True):
        self.durable.pop(name, None)
        tokens = self.tokens.pop(name)
        self.sessions.DeleteSession(sessions_pb.DeleteSessionRequest(session_id=name))
        if not forget:
            self.tokens[name] = tokens

    def cancel(self, name):
        """How far it came is not known: it is forgotten, and deleted once it has ended."""
        del self.tokens[name]
        self.durable.pop(name, None)
        stream = self.stub.Generate(request(ids=self.prompt(), session_id=name, ignore_eos=True,
                                            max_new_tokens=10_000))
        for _ in range(self.draw.randrange(1, 20)):
            next(stream)
        self.received += 1
        stream.cancel()

        def gone():
            code = status_of(self.sessions.DeleteSession,
                             sessions_pb.DeleteSessionRequest(session_id=name))[0]
            assert code in (Code.OK, Code.FAILED_PRECONDITION), code
            return code == Code.OK
        wait_until(gone, "a cancelled turn's end")

    def deadline(self, name):
        code = status_of(self.stub.Generate,
                         request(ids=self.prompt(), max_new_tokens=10_000, ignore_eos=True),
                         timeout=self.draw.uniform(0.01, 0.2))[0]
        assert code in (Code.OK, Code.DEADLINE_EXCEEDED), code
        self.received += code == Code.OK
        self.perhaps += code != Code.OK

    def shared(self, name):
        """All workers at once on one session: one turn at a time, whatever the others do."""
        code = status_of(self.stub.Generate, request(ids=[1, 2, 3], session_id="shared"))[0]
        self.received += 1
        if code == Code.NOT_FOUND:
            code = status_of(self.sessions.CreateSession,
                             sessions_pb.CreateSessionRequest(session_id="shared"))[0]
        assert code in (Code.OK, Code.FAILED_PRECONDITION, Code.ALREADY_EXISTS), code

    def compare(self, name):
        """One request with all the tokens says the same."""
        more = {"max_new_tokens": 8, "seed": 5, "ignore_eos": True}
        tokens = self.tokens.pop(name)
        cold = self.generate(request(ids=tokens + [7], bypass_prefix_cache=True, **more))
        warm = self.generate(request(ids=[7], session_id=name, **more))
        assert warm.token_ids == cold.token_ids, (name, len(tokens))
        self.tokens[name] = tokens + [7] + warm.token_ids
        self.compared += 1

    def look_after_restart(self, killed):
        """What was said to be stored is there; where a turn was lost the session is let go."""
        listed = {session.session_id: session.tokens for session in self.sessions.ListSessions(
            sessions_pb.ListSessionsRequest()).sessions if session.session_id.startswith(self.prefix)}
        for name, tokens in self.durable.items():
            assert listed.get(name, 0) >= tokens, (name, tokens, listed)
        if not killed:
            assert {name: len(tokens) for name, tokens in self.tokens.items()} == listed, listed
        for name, tokens in listed.items():
            if name not in self.tokens or len(self.tokens[name]) != tokens:
                self.tokens.setdefault(name, [])
                self.delete(name)
        for name in set(self.tokens) - set(listed):
            del self.tokens[name]
        self.durable = {}


class SessionSoakTest(unittest.TestCase):
    def check_idle(self, daemon):
        scrape = daemon.wait_until_no_request()
        states = {state: scrape["tlin_sessions", f"state={state}"]
                  for state in ("active", "idle", "stored")}
        self.assertEqual(states["active"], 0)
        self.assertEqual(states["idle"], scrape["tlin_slots_used"])
        self.assertEqual(scrape["tlin_preemptions_total"], 0)
        self.assertEqual(scrape["tlin_session_store_errors_total", "op=put"], 0)
        self.assertEqual(scrape["tlin_requests_total", "outcome=error"], 0)
        self.assertLessEqual(scrape["tlin_memory_bytes", "pool=prefix_cache"], 4_000_000)
        received = sum(worker.received for worker in self.workers)
        self.assertGreaterEqual(scrape.total("tlin_requests_total"), received)
        self.assertLessEqual(scrape.total("tlin_requests_total"),
                             received + sum(worker.perhaps for worker in self.workers))
        return scrape

    def beside_pools(self, daemon):
        return daemon.resident_bytes() - daemon.scrape().total("tlin_memory_bytes")

    def run_workers(self, seconds):
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=worker.run, args=(until,)) for worker in self.workers]
        for thread in threads:
            thread.start()
        return threads

    def join(self, threads):
        for thread in threads:
            thread.join()
        self.assertEqual([worker.fault for worker in self.workers if worker.fault], [])

    def live(self, model, directory, seconds, killed):
        with Tlind(model, f"--session_dir={directory}", *FLAGS) as daemon:
            kill = threading.Event()
            for worker in self.workers:
                worker.attach(daemon, kill)
                worker.look_after_restart(self.was_killed)
            self.join(self.run_workers(seconds * 0.4))
            self.check_idle(daemon)
            young = self.beside_pools(daemon)
            threads = self.run_workers(seconds * 0.6)
            if killed:
                # The moment is not a thing that is waited for.
                kill.wait(seconds * 0.6 * self.draw.uniform(0.5, 1))
                kill.set()
                daemon.process.kill()
                self.join(threads)
            else:
                self.join(threads)
                scrape = self.check_idle(daemon)
                old = self.beside_pools(daemon)
                print(f"{model.name}: {scrape['tlin_generated_tokens_total']:.0f} tokens, "
                      f"{scrape['tlin_prefix_cache_hits_total']:.0f} shared states, beside the pools "
                      f"{young / 1e6:.1f} MB, later {old / 1e6:.1f} MB", flush=True)
                if not SANITIZED:
                    self.assertLess(old, ALLOWANCE)
                    # Pages of histories are resident once they have been used.
                    self.assertLess(old - young,
                                    GROWTH + scrape["tlin_memory_bytes", "pool=history"])
                daemon.terminate()
                self.assertEqual(daemon.exit_code(), 0)
            self.was_killed = killed

    def test_sessions_hold_for_a_while(self):
        for name in ("tconst-demo", "tlin-demo"):
            directory = scratch_path("sessions")
            self.workers = [Worker(i) for i in range(WORKERS)]
            self.was_killed = False
            self.draw = random.Random(1)
            for life in range(LIVES):
                self.live(MODELS / name, directory, SECONDS / (2 * LIVES), killed=life % 2 == 1)
            turns = sum(worker.turns for worker in self.workers)
            compared = sum(worker.compared for worker in self.workers)
            print(f"{name}: {turns} turns, {compared} sessions compared with a cold request")
            self.assertGreater(turns, 0)
            self.assertGreater(compared, 0)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if argument.startswith("--seconds="):
            SECONDS = float(argument.partition("=")[2])
            sys.argv.remove(argument)
    unittest.main()
