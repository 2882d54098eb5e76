#!/usr/bin/python3
"""Encryption and credentials, over real connections. Run by ctest."""
import base64
import shutil
import socket
import ssl
import unittest
import urllib.error
import urllib.request
import warnings

from certificates import *
from tlin.v1 import sessions_pb2, sessions_pb2_grpc


class SecurityTest(SecurityCase):
    def test_who_trusts_the_authority_is_served_and_nobody_else(self):
        daemon = self.encrypted()
        self.assertTrue(self.serves(self.secure_channel(daemon)))
        self.refused(Code.UNAVAILABLE, lambda: self.serves(
            self.secure_channel(daemon, authority=self.stranger)))
        self.refused(Code.UNAVAILABLE, lambda: self.serves(daemon.channel()))
        self.assertEqual(health(self.secure_channel(daemon)), SERVING)

    def handshake(self, port, newest):
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the old ones
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
        # Debian's library would not even offer the old ones.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
                return encrypted.version()

    def test_tls_is_1_2_at_least(self):
        daemon = self.daemon(f"--tls_cert={self.certificate}", f"--tls_key={self.key}",
                             "--metrics_listen=https://127.0.0.1:0")
        for port in (daemon.port, daemon.metrics_port):
            self.assertEqual(self.handshake(port, ssl.TLSVersion.TLSv1_2), "TLSv1.2")
            for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    self.handshake(port, old)

    def serial(self, port):
        """Of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
                return int(encrypted.getpeercert()["serialNumber"], 16)

    def test_a_new_certificate_is_taken_without_a_restart(self):
        files = scratch_path("")
        certificate, key = files / "tls.crt", files / "tls.key"
        for path, source in ((certificate, self.certificate), (key, self.key)):
            shutil.copyfile(source, path)
        daemon = self.daemon(f"--tls_cert={certificate}", f"--tls_key={key}",
                             "--metrics_listen=https://127.0.0.1:0")
        open_before = self.secure_channel(daemon)
        self.assertTrue(self.serves(open_before))
        ports = (daemon.port, daemon.metrics_port)
        self.assertEqual([self.serial(port) for port in ports], [1, 1])
        new_certificate, new_key = self.authority.sign("tlind", serial=7)
        replace(certificate, new_certificate)
        replace(key, new_key)
        wait_until(lambda: [self.serial(port) for port in ports] == [7, 7], "the new certificate")
        self.assertTrue(self.serves(open_before), "what was connected stays so")
        # Rubbish closes the door to who is new until it is mended, and the log says so.
        replace(certificate, self.write("rubbish", "no certificate"))
        wait_until(lambda: "Invalid cert chain" in daemon.stderr(), "the log to tell of it")
        self.refused(Code.UNAVAILABLE, lambda: self.serves(self.secure_channel(daemon)))
        self.assertTrue(self.serves(open_before))
        replace(certificate, new_certificate)

        def is_open():
            try:
                return self.serves(self.secure_channel(daemon))
            except grpc.RpcError:
                return False
        wait_until(is_open, "the mended certificate")

    def test_mutual_tls_and_whose_session_it_is(self):
        daemon = self.encrypted(f"--tls_client_ca={self.authority.certificate}")
        alice = self.secure_channel(daemon, client=self.authority.sign("alice"))
        bob = self.secure_channel(daemon, client=self.authority.sign("bob"))
        self.assertTrue(self.serves(alice))
        self.refused(Code.UNAVAILABLE, lambda: self.serves(self.secure_channel(daemon)))
        self.refused(Code.UNAVAILABLE, lambda: self.serves(
            self.secure_channel(daemon, client=self.stranger.sign("alice"))))
        self.check_sessions(alice, bob, [], [])
        # A renewed certificate is the same person's.
        again = self.secure_channel(daemon, client=self.authority.sign("alice", serial=9))
        listed = sessions_pb2_grpc.SessionsStub(again).ListSessions(sessions_pb2.ListSessionsRequest())
        self.assertEqual({session.session_id for session in listed.sessions}, {"s", "t"})
        self.assertIn("alice", {line.get("client") for line in daemon.log_lines()})

    def test_tokens_and_whose_session_it_is(self):
        tokens = self.write("tokens", "alice first-token\nbob second-token\n")
        daemon = self.daemon(f"--token_file={tokens}")
        channel = daemon.channel()
        said = self.refused(Code.UNAUTHENTICATED, lambda: self.serves(channel))
        self.assertIn("authorization: is missing", said)
        for wrong in ("first-toke", "first-token2", "alice", ""):
            said = self.refused(Code.UNAUTHENTICATED,
                                lambda: self.serves(channel, metadata=bearer(wrong)))
            self.assertTrue(said.startswith("authorization: "), said)
            self.assertNotIn("first-token", said)
        self.assertEqual(daemon.scrape()["tlin_requests_total", "outcome=invalid"], 5)
        # Probes have no token.
        self.assertEqual(health(channel), SERVING)
        self.check_sessions(channel, channel, bearer("first-token"), bearer("second-token"))
        for line in daemon.log_lines():
            self.assertNotIn("first-token", str(line))
        self.assertIn("alice", {line.get("client") for line in daemon.log_lines()})

    def check_every_method_asks(self, channel):
        generation = generation_pb2_grpc.GenerationStub(channel)
        sessions = sessions_pb2_grpc.SessionsStub(channel)
        named = {"session_id": "s"}
        for call in (
                lambda: list(generation.Generate(request(ids=[1]))),
                lambda: list(generation.Converse(iter([pb.ConverseRequest(open={})]))),
                lambda: generation.Score(pb.ScoreRequest(token_ids=pb.TokenIds(ids=[1, 2]))),
                lambda: generation.Tokenize(pb.TokenizeRequest(text="a")),
                lambda: generation.Detokenize(pb.DetokenizeRequest()),
                lambda: generation.GetModel(pb.GetModelRequest()),
                lambda: sessions.CreateSession(sessions_pb2.CreateSessionRequest(**named)),
                lambda: sessions.GetSession(sessions_pb2.GetSessionRequest(**named)),
                lambda: sessions.ListSessions(sessions_pb2.ListSessionsRequest()),
                lambda: sessions.DeleteSession(sessions_pb2.DeleteSessionRequest(**named)),
                lambda: sessions.ForkSession(sessions_pb2.ForkSessionRequest(**named)),
                lambda: list(sessions.ExportSession(sessions_pb2.ExportSessionRequest(**named))),
                lambda: sessions.ImportSession(iter([sessions_pb2.SessionChunk(**named)])),
        ):
            self.refused(Code.UNAUTHENTICATED, call)

    def test_every_method_asks_for_a_token(self):
        daemon = self.daemon(f"--token_file={self.write('tokens', 'alice token')}")
        self.check_every_method_asks(daemon.channel())

    def check_sessions(self, alice, bob, as_alice, as_bob):
        """Each sees their own sessions, by their own names, and no trace of the other's."""
        mine = sessions_pb2_grpc.SessionsStub(alice)
        theirs = sessions_pb2_grpc.SessionsStub(bob)
        names = sessions_pb2
        made = mine.CreateSession(names.CreateSessionRequest(session_id="s"), metadata=as_alice)
        self.assertEqual(made.session_id, "s")
        generation = generation_pb2_grpc.GenerationStub(alice)
        turn = request(ids=[1, 2], max_new_tokens=3, session_id="s")
        events = list(generation.Generate(turn, metadata=as_alice))
        self.assertEqual(events[0].started.session_id, "s")

        other = generation_pb2_grpc.GenerationStub(bob)
        for call in (
                lambda: list(other.Generate(turn, metadata=as_bob)),
                lambda: theirs.GetSession(names.GetSessionRequest(session_id="s"), metadata=as_bob),
                lambda: theirs.DeleteSession(names.DeleteSessionRequest(session_id="s"),
                                             metadata=as_bob),
                lambda: theirs.ForkSession(names.ForkSessionRequest(session_id="s"),
                                           metadata=as_bob),
                lambda: list(theirs.ExportSession(names.ExportSessionRequest(session_id="s"),
                                                  metadata=as_bob)),
                lambda: theirs.GetSession(names.GetSessionRequest(session_id="alice~s"),
                                          metadata=as_bob)):
            said = self.refused(Code.NOT_FOUND, call)
            self.assertNotIn("bob~", said)
        listed = theirs.ListSessions(names.ListSessionsRequest(), metadata=as_bob)
        self.assertEqual(len(listed.sessions), 0)
        # The name is free for others, and stays what it was for its owner.
        opening = iter([pb.ConverseRequest(open={"session_id": "s"})])
        opened = [event.opened for event in other.Converse(opening, metadata=as_bob)]
        self.assertEqual([(each.session_id, each.tokens) for each in opened], [("s", 0)])
        theirs.DeleteSession(names.DeleteSessionRequest(session_id="s"), metadata=as_bob)
        found = mine.GetSession(names.GetSessionRequest(session_id="s"), metadata=as_alice)
        self.assertEqual(found.tokens, 5)

        fork = mine.ForkSession(
            names.ForkSessionRequest(session_id="s", new_session_id="t"), metadata=as_alice)
        self.assertEqual(fork.session_id, "t")
        chunks = list(mine.ExportSession(names.ExportSessionRequest(session_id="t"),
                                         metadata=as_alice))
        # What is handed over on purpose goes over.
        chunks[0].session_id = "from-alice"
        taken = theirs.ImportSession(iter(chunks), metadata=as_bob)
        self.assertEqual((taken.session_id, taken.tokens), ("from-alice", 5))
        listed = mine.ListSessions(names.ListSessionsRequest(), metadata=as_alice)
        self.assertEqual({session.session_id for session in listed.sessions}, {"s", "t"})
        opened = next(generation.Converse(iter([pb.ConverseRequest(open={"session_id": "t"})]),
                                          metadata=as_alice)).opened
        self.assertEqual((opened.session_id, opened.tokens), ("t", 5))

    def test_sessions_on_disk_stay_their_owners(self):
        tokens = self.write("tokens", "alice one\nbob two\n")
        store = scratch_path("sessions")
        flags = (f"--token_file={tokens}", f"--session_dir={store}")
        with Tlind(self.model, *flags) as daemon:
            stub = sessions_pb2_grpc.SessionsStub(daemon.channel())
            stub.CreateSession(sessions_pb2.CreateSessionRequest(session_id="s"),
                               metadata=bearer("one"))
            list(daemon.stub().Generate(request(ids=[1], session_id="s"), metadata=bearer("one")))
            daemon.terminate()
            self.assertEqual(daemon.exit_code(), 0)
        daemon = self.daemon(*flags)
        stub = sessions_pb2_grpc.SessionsStub(daemon.channel())
        wanted = sessions_pb2.GetSessionRequest(session_id="s")
        self.assertGreater(stub.GetSession(wanted, metadata=bearer("one")).tokens, 0)
        self.refused(Code.NOT_FOUND, lambda: stub.GetSession(wanted, metadata=bearer("two")))

    def test_tokens_change_without_a_restart(self):
        tokens = self.write("tokens", "alice old\n")
        daemon = self.daemon(f"--token_file={tokens}")
        channel = daemon.channel()
        self.assertTrue(self.serves(channel, metadata=bearer("old")))
        replace(tokens, self.write("new", "alice new\n"))

        def is_refused():
            try:
                self.serves(channel, metadata=bearer("old"))
                return False
            except grpc.RpcError as error:
                return error.code() == Code.UNAUTHENTICATED
        wait_until(is_refused, "the old token to be refused")
        self.assertTrue(self.serves(channel, metadata=bearer("new")))

    def fetch(self, daemon, scheme, user=None):
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        wanted = urllib.request.Request(f"{scheme}://localhost:{daemon.metrics_port}/metrics")
        if user:
            wanted.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        where = {"context": context} if scheme == "https" else {}
        with urllib.request.urlopen(wanted, timeout=PATIENCE, **where) as answer:
            return answer.read().decode()

    def test_metrics_ask_for_a_password_and_are_encrypted(self):
        passwords = self.write("passwords", "prometheus pass:word\n")
        daemon = self.encrypted("--metrics_listen=https://127.0.0.1:0",
                                f"--metrics_password_file={passwords}")
        self.assertIn("tlin_build_info", self.fetch(daemon, "https", "prometheus:pass:word"))
        for user in (None, "prometheus:wrong", "other:pass:word", "prometheus", ":"):
            with self.assertRaises(urllib.error.HTTPError) as raised:
                self.fetch(daemon, "https", user)
            self.assertEqual(raised.exception.code, 401)
            self.assertIn("Basic", raised.exception.headers["WWW-Authenticate"])
            raised.exception.close()
        with self.assertRaises((OSError, ValueError)):
            self.fetch(daemon, "http", "prometheus:pass:word")

    def fails(self, *flags):
        done = run("tlind", f"--model={self.model}", *flags)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_nobody_is_served_in_the_open_by_accident(self):
        for flag in ("--listen=0.0.0.0:0", "--listen=[::]:0"):
            self.assertIn("others can reach it: want --token_file", self.fails(flag))
        self.assertIn("--metrics_password_file", self.fails("--metrics_listen=0.0.0.0:0"))
        with Tlind(self.model, "--listen=0.0.0.0:0", "--insecure") as daemon:
            self.assertTrue(self.serves(daemon.channel()))

    def test_what_is_wrong_with_a_file_is_told_with_its_flag(self):
        rubbish = self.write("rubbish", "no PEM\n")
        _, other_key = self.authority.sign("other")
        good = (f"--tls_cert={self.certificate}", f"--tls_key={self.key}")
        for flags, said in (
                ((f"--tls_cert={rubbish}", good[1]), f"--tls_cert={rubbish}: there is no cert"),
                ((good[0], f"--tls_key={rubbish}"), f"--tls_key={rubbish}: there is no private"),
                ((good[0], f"--tls_key={other_key}"), "is not the key of --tls_cert="),
                ((good[0], "--tls_key=/no/such"), "--tls_key: /no/such: No such file"),
                ((*good, f"--tls_client_ca={rubbish}"), f"--tls_client_ca={rubbish}: there is"),
                ((f"--token_file={self.write('bad', 'alone')}",), "bad: line 1: want NAME SECRET"),
                (("--token_file=/no/such",), "--token_file: /no/such: No such file"),
                (("--metrics_password_file=/",), "--metrics_password_file: /: is not a file")):
            self.assertIn(said, self.fails("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                                           *flags))


if __name__ == "__main__":
    unittest.main()
