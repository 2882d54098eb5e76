#!/usr/bin/python3
"""Sessions outlive the daemon: SIGTERM, kill -9 at any moment, damaged files. Run by ctest.

  durability_test.py [--kills=200]
"""
import array
import random
import struct
import sys
import threading
import unittest

import tiny_model
from tlind_process import *
from tlin.v1 import sessions_pb2 as sessions_pb
from tlin.v1 import sessions_pb2_grpc

KILLS = 200
HEADER = 112  # bytes of a snapshot before its token ids


class DurabilityTest(unittest.TestCase):
    def setUp(self):
        self.directory = scratch_path("sessions")

    def start(self, model, *flags):
        daemon = Tlind(model, f"--session_dir={self.directory}", *flags)
        self.addCleanup(daemon.__exit__, None, None, None)
        return daemon, daemon.stub(), sessions_pb2_grpc.SessionsStub(daemon.channel())

    def files(self):
        return sorted(path.name for path in self.directory.rglob("*.session"))

    def test_a_restart_resumes_every_session(self):
        for name in ("tlin-demo", "tconst-demo", "transformer-demo"):
            with self.subTest(name):
                model = MODELS / name
                daemon, stub, sessions = self.start(model, "--drain_seconds=1")
                ids = {}
                for session in ("a", "b", f"only-{name}"):
                    sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=session))
                    prompt = [random.randrange(1, 2000) for _ in range(300)]
                    answer = generate(stub, request(ids=prompt, session_id=session,
                                                    max_new_tokens=100, ignore_eos=True))
                    ids[session] = prompt + answer.token_ids
                # Cut off at the end of the drain: what it has by then is kept.
                endless = stub.Generate(request(ids=[5], session_id="b", ignore_eos=True,
                                                max_new_tokens=100_000))
                next(endless)
                daemon.terminate()
                self.assertEqual(daemon.exit_code(), 0)
                self.assertTrue(daemon.log_lines()[-1]["all_stored"])

                daemon, stub, sessions = self.start(model, "--slots=2")
                self.assertEqual(len(sessions.ListSessions(
                    sessions_pb.ListSessionsRequest()).sessions), 3)
                info = sessions.GetSession(sessions_pb.GetSessionRequest(session_id="a"))
                self.assertTrue(info.durable)
                self.assertEqual(info.state, sessions_pb.Session.STORED)
                more = {"max_new_tokens": 50, "seed": 9, "ignore_eos": True}
                for session in ("a", f"only-{name}"):
                    cold = generate(stub, request(ids=ids[session] + [7], **more))
                    warm = generate(stub, request(ids=[7], session_id=session, **more))
                    self.assertEqual(warm.token_ids, cold.token_ids)
                    self.assertEqual(warm.finished.usage.cached_tokens, len(ids[session]) - 1)
                cut_off = sessions.GetSession(sessions_pb.GetSessionRequest(session_id="b"))
                self.assertGreater(cut_off.tokens, len(ids["b"]))
                daemon.terminate()
                self.assertEqual(daemon.exit_code(), 0)

    def test_two_daemons_do_not_share_a_directory(self):
        self.start(MODELS / "tconst-demo")
        second = run("tlind", f"--model={MODELS / 'tconst-demo'}", "--listen=127.0.0.1:0",
                     "--metrics_listen=127.0.0.1:0", f"--session_dir={self.directory}")
        self.assertEqual(second.returncode, 1)
        self.assertIn("another process keeps its sessions there", second.stderr)

    def test_damaged_files_are_set_aside(self):
        model = tiny_model.write(scratch_path("model"))
        daemon, stub, sessions = self.start(model)
        for name in "abc":
            sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=name))
            generate(stub, request(ids=[1, 2, 3], session_id=name))
        daemon.terminate()
        self.assertEqual(daemon.exit_code(), 0)
        self.assertEqual(self.files(), ["a.session", "b.session", "c.session"])
        paths = {path.name: path for path in self.directory.rglob("*.session")}
        paths["a.session"].write_bytes(paths["a.session"].read_bytes()[:100])
        paths["b.session"].write_bytes(b"x" * 5000)
        daemon, stub, sessions = self.start(model)
        listed = sessions.ListSessions(sessions_pb.ListSessionsRequest()).sessions
        self.assertEqual([session.session_id for session in listed], ["c"])
        self.assertEqual(self.files(), ["c.session"])
        self.assertEqual(len(list(self.directory.rglob("*.damaged"))), 2)
        told = [line for line in daemon.log_lines() if "set aside" in line.get("message", "")]
        self.assertEqual(len(told), 2, daemon.stderr())

    def test_states_with_and_without_the_first_blocks_history_are_kept_apart(self):
        model = tiny_model.write(scratch_path("model"),
                                 dict(tiny_model.TINY, architecture="tlinformer"))
        listed = {}
        for flag, session in (("off", "a"), ("on", "b"), ("off", None), ("on", None)):
            daemon, stub, sessions = self.start(model, f"--derived_history={flag}")
            if session is not None:
                sessions.CreateSession(sessions_pb.CreateSessionRequest(session_id=session))
                generate(stub, request(ids=random_tokens(1, 100, 64), session_id=session))
            listed[flag] = [found.session_id for found in sessions.ListSessions(
                sessions_pb.ListSessionsRequest()).sessions]
            self.assertNotIn("set aside", daemon.stderr())
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)
        self.assertEqual(listed, {"off": ["a"], "on": ["b"]})

    def tokens_on_disk(self):
        """Of each session's file; a file is whole or the struct does not fit."""
        tokens = {}
        for path in self.directory.rglob("*.session"):
            data = path.read_bytes()
            count, _, _, state = struct.unpack_from("<4Q", data, 56)
            self.assertEqual(len(data), HEADER + 4 * count + 8 + state + 8, path)
            tokens[path.stem] = array.array("i", data[HEADER:HEADER + 4 * count])
        return tokens

    def test_killed_at_any_moment(self):
        rng = random.Random(7)
        model = tiny_model.write(scratch_path("model"))
        stored = {}  # session -> the tokens that it was said to be stored with
        for kill in range(KILLS):
            daemon, stub, sessions = self.start(model, "--log_requests=false")
            on_disk = self.tokens_on_disk()
            listed = {session.session_id: session for session in sessions.ListSessions(
                sessions_pb.ListSessionsRequest()).sessions}
            self.assertEqual({name: len(tokens) for name, tokens in on_disk.items()},
                             {name: session.tokens for name, session in listed.items()})
            for name, tokens in stored.items():
                self.assertEqual(on_disk[name][:len(tokens)], tokens, f"{name}, kill {kill}")
            if kill % 10 == 0 and on_disk:
                name = rng.choice(sorted(on_disk))
                more = {"max_new_tokens": 5, "seed": 3}
                cold = generate(stub, request(ids=list(on_disk[name]) + [7], **more))
                warm = generate(stub, request(ids=[7], session_id=name, **more))
                self.assertEqual(warm.token_ids, cold.token_ids, name)
                on_disk[name].extend([7] + warm.token_ids)

            def talk(name, seed):
                mine = random.Random(seed)
                tokens = on_disk.get(name, array.array("i"))
                try:
                    if name not in listed:
                        sessions.CreateSession(
                            sessions_pb.CreateSessionRequest(session_id=name))
                    while len(tokens) < 50_000:
                        prompt = [mine.randrange(1, 60) for _ in range(mine.randrange(1, 40))]
                        answer = generate(stub, request(ids=prompt, session_id=name,
                                                        max_new_tokens=mine.randrange(1, 30)))
                        tokens.extend(prompt + answer.token_ids)
                        if sessions.GetSession(sessions_pb.GetSessionRequest(
                                session_id=name)).durable:
                            stored[name] = tokens[:]
                except grpc.RpcError:
                    pass  # killed
            threads = [threading.Thread(target=talk, args=(f"s{i}", rng.random()))
                       for i in range(3)]
            for thread in threads:
                thread.start()
            killer = threading.Event()
            killer.wait(rng.random() * 0.1)  # the moment: not a thing that is waited for
            daemon.process.kill()
            daemon.process.wait()
            for thread in threads:
                thread.join()
            daemon.__exit__(None, None, None)
        self.assertEqual(len(stored), 3)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if argument.startswith("--kills="):
            KILLS = int(argument.partition("=")[2])
            sys.argv.remove(argument)
    unittest.main()
