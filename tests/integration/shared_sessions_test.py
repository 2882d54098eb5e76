#!/usr/bin/python3
"""Two daemons behind one Redis: a session goes on at either, never at both at once. Run by ctest.

redis-server is the distribution's; it listens at a port of its own and keeps nothing.
"""
import concurrent.futures
import signal
import socket
import unittest

from tlind_process import *
from tlin.v1 import sessions_pb2 as sessions_pb
from tlin.v1 import sessions_pb2_grpc

TURNS = ("The people of the United States", " and the President", " In the beginning" * 30, ".")
NEW_TOKENS = 30
# Long enough that a busy machine renews it in time.
LEASE_SECONDS = 6 if SANITIZED else 2


class Redis:
    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--logfile", "/dev/null"])

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        wait_until(answers, "redis-server")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Server:
    def __init__(self, test, redis, model, *flags):
        self.daemon = Tlind(MODELS / model, "--dtype=f32",
                            f"--session_redis=redis://127.0.0.1:{redis.port}", *flags)
        test.addCleanup(self.daemon.__exit__, None, None, None)
        self.stub = self.daemon.stub()
        self.sessions = sessions_pb2_grpc.SessionsStub(self.daemon.channel())

    def create(self, name):
        return self.sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=name))

    def get(self, name):
        return self.sessions.GetSession(sessions_pb.GetSessionRequest(session_id=name))

    def names(self):
        listed = self.sessions.ListSessions(sessions_pb.ListSessionsRequest()).sessions
        return sorted(session.session_id for session in listed)

    def turn_request(self, session, text, max_new_tokens=NEW_TOKENS):
        return request(text, max_new_tokens=max_new_tokens, seed=5, ignore_eos=True,
                       session_id=session)

    def turn(self, session, text, max_new_tokens=NEW_TOKENS):
        return generate(self.stub, self.turn_request(session, text, max_new_tokens))

    def status(self, session, text, **more):
        return status_of(self.stub.Generate, self.turn_request(session, text, **more))

    def tokens_of(self, text):
        return list(self.stub.Tokenize(pb.TokenizeRequest(text=text)).token_ids)

    def cold(self, ids):
        return generate(self.stub, request(ids=ids, max_new_tokens=NEW_TOKENS, seed=5,
                                           ignore_eos=True, bypass_prefix_cache=True))


class SharedSessionsTest(unittest.TestCase):
    def setUp(self):
        self.redis = Redis()
        self.addCleanup(self.redis.stop)

    def pair(self, model="tconst-demo", *flags, lease_seconds=LEASE_SECONDS):
        return [Server(self, self.redis, model, f"--session_lease_seconds={lease_seconds}", *flags)
                for _ in range(2)]

    def test_a_session_goes_on_at_the_other_server(self):
        for model in ("tlin-demo", "tconst-demo", "transformer-demo"):
            with self.subTest(model):
                one, two = self.pair(model)
                one.create(model)
                so_far = []
                for turn, text in enumerate(TURNS):
                    server = (one, two)[turn % 2]
                    before = len(so_far)
                    so_far += server.tokens_of(text)
                    cold = server.cold(so_far)
                    warm = server.turn(model, text)
                    self.assertEqual(warm.token_ids, cold.token_ids, text)
                    # The state came along: nothing that was read is read again.
                    self.assertEqual(warm.finished.usage.cached_tokens, max(before - 1, 0))
                    so_far += warm.token_ids
                for server in (one, two):
                    wait_until(lambda: server.get(model).tokens == len(so_far), "the last turn")
                    self.assertEqual(server.names(), [model])

    def test_not_at_two_at_once(self):
        one, two = self.pair()
        one.create("s")
        endless = one.stub.Generate(one.turn_request("s", "The people", 1_000_000))
        next(event for event in endless if event.HasField("chunk"))
        for refused in (lambda: two.status("s", "x"),
                        lambda: status_of(two.sessions.DeleteSession,
                                          sessions_pb.DeleteSessionRequest(session_id="s")),
                        lambda: status_of(two.sessions.ForkSession,
                                          sessions_pb.ForkSessionRequest(session_id="s",
                                                                         new_session_id="t"))):
            code, why, _ = refused()
            self.assertEqual(code, Code.FAILED_PRECONDITION, why)
            self.assertIn("another server", why)
        # Leases are renewed: long past their time it runs on.
        seen = 0
        end = time.monotonic() + 2 * LEASE_SECONDS
        while time.monotonic() < end:
            seen += len(next(endless).chunk.token_ids)
        self.assertGreater(seen, 0)
        self.assertEqual(two.status("s", "x")[0], Code.FAILED_PRECONDITION)
        # An answer, not a fault of the store's.
        scrape = two.daemon.scrape()
        self.assertEqual(scrape.total("tlin_session_store_errors_total"), 0)
        self.assertGreater(scrape["tlin_session_store_seconds_count", "op=acquire"], 3)
        endless.cancel()
        # What it said belongs to the session, and goes on here.
        wait_until(lambda: two.status("s", ".")[0] == Code.OK, "the session to be free")
        self.assertGreater(two.turn("s", ".").finished.usage.cached_tokens, seen)

    def test_one_frozen_past_its_lease_says_nothing_more(self):
        one, two = self.pair()
        one.create("s")
        first = one.turn("s", TURNS[0])
        so_far = one.tokens_of(TURNS[0]) + first.token_ids
        wait_until(lambda: one.get("s").durable, "the first turn to be stored")
        late = one.stub.Generate(one.turn_request("s", " and", 1_000_000))
        next(event for event in late if event.HasField("chunk"))
        one.daemon.process.send_signal(signal.SIGSTOP)
        # The other goes on from what was stored, once the lease is over.
        wait_until(lambda: two.status("s", TURNS[1])[0] == Code.OK, "the lease to run out")
        so_far += two.tokens_of(TURNS[1])
        cold = two.cold(so_far)
        so_far += cold.token_ids
        self.assertEqual(two.get("s").tokens, len(so_far))
        one.daemon.process.send_signal(signal.SIGCONT)
        with self.assertRaises(grpc.RpcError) as ended:
            for _ in late:
                pass
        self.assertEqual(ended.exception.code(), Code.UNAVAILABLE)
        self.assertIn("lease", ended.exception.details())
        # What it made in vain is gone, here and there.
        answer = one.turn("s", TURNS[2])
        so_far += one.tokens_of(TURNS[2])
        self.assertEqual(answer.token_ids, one.cold(so_far).token_ids)
        self.assertEqual(answer.finished.usage.prompt_tokens, len(so_far))

    def test_sessions_of_one_that_was_killed(self):
        one, two = self.pair()
        one.create("s")
        so_far = one.tokens_of(TURNS[0])
        so_far += one.turn("s", TURNS[0]).token_ids
        wait_until(lambda: one.get("s").durable, "the first turn to be stored")
        endless = one.stub.Generate(one.turn_request("s", " and", 1_000_000))
        next(event for event in endless if event.HasField("chunk"))
        one.daemon.process.kill()
        wait_until(lambda: two.status("s", TURNS[1])[0] == Code.OK, "the lease to run out")
        so_far += two.tokens_of(TURNS[1])
        self.assertEqual(two.get("s").tokens, len(so_far) + NEW_TOKENS)

    def test_one_that_is_stopped_leaves_its_sessions_at_once(self):
        # Nobody could wait until such leases are over.
        one, two = self.pair(lease_seconds=3600)
        one.create("s")
        ending = one.stub.Generate(one.turn_request("s", " and", 300))
        next(event for event in ending if event.HasField("chunk"))
        one.daemon.terminate()
        self.assertTrue([event for event in ending][-1].HasField("finished"))
        self.assertEqual(one.daemon.exit_code(), 0)
        self.assertGreaterEqual(two.turn("s", TURNS[1]).finished.usage.cached_tokens, 300)

    def test_a_store_that_is_gone_for_a_while(self):
        one, two = self.pair()
        one.create("s")
        one.turn("s", TURNS[0])
        wait_until(lambda: two.status("s", ".")[0] == Code.OK, "the session to be free")
        self.redis.stop()
        code, why, _ = one.status("s", "x")
        self.assertEqual(code, Code.UNAVAILABLE, why)
        self.assertIn("redis 127.0.0.1", why)
        # What needs no session is served.
        self.assertEqual(len(generate(one.stub, request("x", ignore_eos=True)).token_ids), 8)
        self.redis.start()
        wait_until(lambda: one.status("s", "x")[0] != Code.UNAVAILABLE, "the store")
        # It keeps nothing, this one: the session is gone with it, and may be made anew.
        self.assertEqual(one.status("s", "x")[0], Code.NOT_FOUND)
        two.create("s")
        wait_until(lambda: one.status("s", "x")[0] == Code.OK, "the new session")

    def test_deleted_here_is_gone_there(self):
        one, two = self.pair()
        one.create("s")
        one.turn("s", TURNS[0])
        two.sessions.DeleteSession(sessions_pb.DeleteSessionRequest(session_id="s"))
        wait_until(lambda: one.status("s", "x")[0] == Code.NOT_FOUND, "the delete")
        self.assertEqual(one.names(), [])

    def test_many_clients_at_two_servers(self):
        # Each turn says its number; a session's tokens are all turns that were answered, once.
        servers = self.pair("tconst-demo", "--slots=2")
        names = [f"s{i}" for i in range(6)]
        for name in names:
            servers[0].create(name)

        def talk(name):
            rng = random.Random(name)
            tokens = 0
            for _ in range(12):
                server = rng.choice(servers)
                ids = random_tokens(rng.randrange(1000), rng.randrange(1, 60), 2048)
                message = request(ids=ids, max_new_tokens=5, seed=1, ignore_eos=True,
                                  session_id=name)
                answer = generate(server.stub, message)
                tokens += len(ids) + 5
                self.assertEqual(answer.finished.usage.prompt_tokens, tokens - 5, name)
            return tokens
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            tokens = dict(zip(names, pool.map(talk, names)))
        for server in servers:
            for name in names:
                wait_until(lambda: server.get(name).tokens == tokens[name], name)
            self.assertEqual(server.daemon.scrape()["tlin_preemptions_total"], 0)
            server.daemon.terminate()
            self.assertEqual(server.daemon.exit_code(), 0)

    def test_an_address_that_does_not_do(self):
        # The file holds the URL, as a line: what is wrong is told without what it holds.
        url = scratch_path("") / "url"
        url.write_text("redis://:hush@127.0.0.1:1\n")
        for address, told in (("localhost", "--session_redis: does not begin with redis://"),
                              (f"file:{url}", "--session_redis: redis 127.0.0.1:1: "),
                              ("file:/no/such", "--session_redis: /no/such: No such file"),
                              ("redis://127.0.0.1:1", "--session_redis: redis 127.0.0.1:1: ")):
            done = run("tlind", f"--model={MODELS / 'tconst-demo'}", "--listen=127.0.0.1:0",
                       "--metrics_listen=127.0.0.1:0", f"--session_redis={address}")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(told, done.stderr.splitlines()[-1])
            self.assertNotIn("hush", done.stderr)


if __name__ == "__main__":
    unittest.main()
