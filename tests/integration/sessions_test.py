#!/usr/bin/python3
"""Sessions of every demo model over a real daemon, by stubs and by tlin. Run by ctest."""
import json
import threading
import unittest

from tlind_process import *
from tlin.v1 import sessions_pb2 as sessions_pb
from tlin.v1 import sessions_pb2_grpc

TURNS = ["The people of the United States", " and the President", " In the beginning" * 30, "."]
STATES = ("active", "idle", "stored")
# Past several windows of 128; sanitizers make each token dear.
NEW_TOKENS = 40 if SANITIZED else 150
DEMOS = ("tlin-demo", "tconst-demo", "transformer-demo")
FEW_DEMOS = ("tconst-demo",) if SANITIZED else DEMOS


class SessionsTest(unittest.TestCase):
    def start(self, model, *flags):
        daemon = Tlind(MODELS / model, "--dtype=f32", *flags)
        self.addCleanup(daemon.__exit__, None, None, None)
        self.daemon, self.stub = daemon, daemon.stub()
        self.sessions = sessions_pb2_grpc.SessionsStub(daemon.channel())

    def create(self, name):
        return self.sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=name))

    def turn(self, session, text, max_new_tokens=NEW_TOKENS):
        return generate(self.stub, request(text, max_new_tokens=max_new_tokens, seed=5,
                                           ignore_eos=True, session_id=session))

    def tokens_of(self, text):
        return list(self.stub.Tokenize(pb.TokenizeRequest(text=text)).token_ids)

    def check_conversations(self, model, *flags):
        """Three conversations in turns say what one request with all the tokens says."""
        self.start(model, *flags)
        tokens = {name: [] for name in "abc"}
        for name in tokens:
            self.assertEqual(self.create(name).state, sessions_pb.Session.STORED)
        for text in TURNS:
            for name, so_far in tokens.items():
                before = len(so_far)
                so_far += self.tokens_of(text + name)
                cold = generate(self.stub, request(ids=so_far, max_new_tokens=NEW_TOKENS,
                                                   seed=5, ignore_eos=True,
                                                   bypass_prefix_cache=True))
                warm = self.turn(name, text + name)
                self.assertEqual(warm.token_ids, cold.token_ids, (model, name, text))
                self.assertEqual(warm.started.session_id, name)
                self.assertEqual(warm.finished.usage.prompt_tokens, len(so_far))
                # All but the last token, which was not read yet.
                self.assertEqual(warm.finished.usage.cached_tokens, max(before - 1, 0))
                so_far += warm.token_ids
        listed = self.sessions.ListSessions(sessions_pb.ListSessionsRequest()).sessions
        self.assertEqual({session.session_id: session.tokens for session in listed},
                         {name: len(so_far) for name, so_far in tokens.items()})
        scrape = self.daemon.scrape()
        self.assertEqual([scrape["tlin_sessions", f"state={state}"] for state in STATES],
                         [0, scrape["tlin_slots_used"], 3 - scrape["tlin_slots_used"]])
        self.assertEqual(scrape["tlin_preemptions_total"], 0)
        return scrape

    def test_conversations_go_on_where_they_were(self):
        for model in FEW_DEMOS:
            with self.subTest(model):
                scrape = self.check_conversations(model)
                self.assertEqual(scrape["tlin_sessions", "state=idle"], 3)

    def test_conversations_that_share_one_slot(self):
        for model in FEW_DEMOS:
            with self.subTest(model):
                scrape = self.check_conversations(model, "--slots=1")
                # The last request without a session had the slot before the last turn.
                self.assertEqual(scrape["tlin_sessions", "state=stored"], 2)
                self.assertGreater(scrape["tlin_memory_bytes", "pool=host_states"], 0)

    def test_a_cancelled_turn_is_part_of_the_session(self):
        self.start("tconst-demo")
        self.create("a")
        call = self.stub.Generate(request("The people", max_new_tokens=100_000, session_id="a",
                                          ignore_eos=True))
        read = []
        for event in call:
            read += event.chunk.token_ids
            if len(read) > 300:
                break
        call.cancel()

        def idle():
            session = self.sessions.GetSession(sessions_pb.GetSessionRequest(session_id="a"))
            return session if session.state == sessions_pb.Session.IDLE else None
        session = wait_until(idle, "the cancelled turn's end")
        self.assertGreaterEqual(session.tokens, len(read))
        answer = self.turn("a", "more", 10)
        # The last one, too, where the cancel came while it was read.
        self.assertIn(answer.finished.usage.cached_tokens, (session.tokens - 1, session.tokens))

    def test_forks_and_refusals(self):
        self.start("tconst-demo", "--slots=2", "--max_sessions=4")
        self.create("a")
        self.turn("a", "The people")
        fork = self.sessions.ForkSession
        for name in "bc":
            fork(sessions_pb.ForkSessionRequest(session_id="a", new_session_id=name))
        texts = [self.turn(name, " and so").text for name in "abc"]
        self.assertEqual(len(set(texts)), 1, texts)
        self.create("d")
        code, why, trailers = status_of(self.sessions.CreateSession,
                                        sessions_pb.CreateSessionRequest())
        self.assertEqual(code, Code.RESOURCE_EXHAUSTED, why)
        self.assertIsNotNone(retry_delay(trailers))
        code, why, _ = status_of(self.stub.Generate, request("x", session_id="nobody"))
        self.assertEqual(code, Code.NOT_FOUND, why)
        self.assertIn("nobody", why)

        # Two requests at once on one session: one of them is refused, whichever.
        codes = []

        def ask():
            codes.append(status_of(self.stub.Generate,
                                   request("x", max_new_tokens=2000, session_id="a",
                                           ignore_eos=True))[0])
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertIn(Code.OK, codes)
        self.assertIn(codes.count(Code.OK) + codes.count(Code.FAILED_PRECONDITION), (2,))
        scrape = self.daemon.scrape()
        self.assertEqual(scrape["tlin_requests_total", "outcome=invalid"],
                         1 + codes.count(Code.FAILED_PRECONDITION))

    def test_equal_prompts_sync_once(self):
        for model in ("tlin-demo", "tconst-demo"):
            with self.subTest(model):
                self.start(model)
                ids = random_tokens(3, 700, 2048)
                history = 5 * 128  # windows of the demo models
                answers = []

                def ask(**more):
                    answers.append(generate(self.stub, request(ids=ids, max_new_tokens=20, seed=5,
                                                               ignore_eos=True, **more)))
                threads = [threading.Thread(target=ask) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                scrape = self.daemon.scrape()
                self.assertEqual(scrape["tlin_synced_tokens_total"], history)
                self.assertEqual(scrape["tlin_prefix_cache_queries_total"], 8)
                self.assertEqual(scrape["tlin_prefix_cache_hits_total"], 7)
                self.assertEqual(sorted(answer.finished.usage.cached_tokens
                                        for answer in answers), [0] + 7 * [history])
                self.assertGreater(scrape["tlin_memory_bytes", "pool=prefix_cache"], 0)
                ask(bypass_prefix_cache=True)
                self.assertEqual(answers[-1].finished.usage.cached_tokens, 0)
                self.assertEqual(len({tuple(answer.token_ids) for answer in answers}), 1)
                self.assertEqual(self.daemon.scrape()["tlin_prefix_cache_queries_total"], 8)

    def tlin(self, *arguments, stdin="", code=0):
        done = run("tlin", arguments[0], f"--address={self.daemon.address}", *arguments[1:],
                   stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    def test_tlin_sessions(self):
        self.start("tconst-demo")
        self.assertIn("fork ID [NEW]", self.tlin("sessions", "--help"))
        self.assertIn("state                stored", self.tlin("sessions", "create", "a"))
        times = self.sessions.GetSession(sessions_pb.GetSessionRequest(session_id="a"))
        for told in (times.created, times.last_used):
            self.assertLess(abs(time.time() - told.seconds), 3600)
        self.tlin("generate", "The people", "--session_id=a", "--max_new_tokens=5")
        made = json.loads(self.tlin("sessions", "fork", "a", "--json"))
        self.assertTrue(made["session_id"].startswith("session-"))
        listed = [json.loads(line)
                  for line in self.tlin("sessions", "list", "--json").splitlines()]
        self.assertEqual([session["session_id"] for session in listed], ["a", made["session_id"]])
        self.assertEqual(listed[0]["tokens"], listed[1]["tokens"])
        self.assertEqual(listed[0]["state"], "idle")
        table = self.tlin("sessions", "list").splitlines()
        self.assertEqual(len(table), 3)
        self.assertEqual(self.tlin("sessions", "delete", "a"), "")
        self.tlin("sessions", "show", "a", code=5)
        self.tlin("sessions", "forget", "a", code=2)
        self.tlin("sessions", code=2)

    def test_a_conversation_over_one_stream(self):
        self.start("tconst-demo", "--prefix_cache_bytes=0")  # it is had twice

        def commands():
            yield pb.ConverseRequest(open=pb.ConverseOpen(
                session_id="talk", sampling=pb.Sampling(seed=5),
                stopping=pb.Stopping(max_new_tokens=NEW_TOKENS, ignore_eos=True)))
            for text in TURNS:
                yield pb.ConverseRequest(input=pb.ConverseInput(text=text))
        texts, finished = [""], []
        for event in self.stub.Converse(commands(), timeout=PATIENCE):
            texts[-1] += event.chunk.text
            if event.WhichOneof("event") == "finished":
                finished.append(event.finished)
                texts.append("")
        self.create("same")
        answers = [self.turn("same", text) for text in TURNS]
        self.assertEqual(texts[:-1], [answer.text for answer in answers])
        self.assertEqual([end.usage.cached_tokens for end in finished],
                         [answer.finished.usage.cached_tokens for answer in answers])

    def test_a_session_moves_to_another_daemon(self):
        for model in DEMOS:
            with self.subTest(model):
                self.start(model)
                self.create("a")
                self.turn("a", "The people")
                path = scratch_path("snapshot")
                self.tlin("sessions", "export", "a", str(path))
                stayed = self.turn("a", " and")
                self.start(model, "--slots=2", "--threads=1")
                self.tlin("sessions", "import", str(path), "b")
                moved = self.turn("b", " and")
                self.assertEqual(moved.token_ids, stayed.token_ids)
                self.assertEqual(moved.finished.usage.cached_tokens,
                                 stayed.finished.usage.cached_tokens)
                again = self.tlin("sessions", "import", "-", "--json",
                                  stdin="no snapshot at all" * 100, code=6)
                self.assertIn("DATA_LOSS", again)
        # Of another model: the last file into the first kind of daemon.
        self.start("tconst-demo")
        self.assertIn("FAILED_PRECONDITION",
                      self.tlin("sessions", "import", str(path), "--json", code=5))
        # Of another dtype.
        daemon = Tlind(MODELS / "transformer-demo", "--dtype=bf16")
        self.addCleanup(daemon.__exit__, None, None, None)
        refused = run("tlin", "sessions", "import", str(path), f"--address={daemon.address}")
        self.assertEqual(refused.returncode, 5, refused.stderr)
        self.assertIn("--dtype", refused.stderr)

    def test_a_chat_that_the_server_keeps(self):
        self.start("tconst-demo")
        flags = ("--session=talk", "--temperature=0", "--max_new_tokens=20")
        self.tlin("chat", *flags, stdin="Hello\nAnd then?\n")
        tokens = json.loads(self.tlin("sessions", "show", "talk", "--json"))["tokens"]
        self.assertGreater(tokens, 20)
        verbose = run("tlin", "chat", f"--address={self.daemon.address}", *flags, "--verbose",
                      stdin="Once more\n")
        self.assertEqual(verbose.returncode, 0, verbose.stderr)
        self.assertIn(f"({tokens - 1} cached)", verbose.stderr)


if __name__ == "__main__":
    unittest.main()
