#!/usr/bin/python3
"""nginx, as deploy/nginx has it, in front of three replicas. Run by ctest."""
import unittest

from replicas import *


@unittest.skipIf(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None,
                 "there is no nginx: deploy/packages.sh deployment")
class NginxTest(unittest.TestCase):
    def setUp(self):
        self.replicas = Replicas(self)
        self.directory = scratch_path("nginx")
        self.directory.mkdir()
        self.socket = self.directory / "socket"
        config = (DEPLOY / "nginx" / "tlin.conf").read_text().replace(
            "listen 50050 ", f"listen unix:{self.socket} ")
        # A machine that is busy is no replica that is gone.
        patient = config.replace("grpc_connect_timeout 1s;", f"grpc_connect_timeout {PATIENCE}s;")
        self.assertNotEqual(patient, config)
        config = patient
        for number, daemon in enumerate(self.replicas.daemons, 1):
            config = config.replace(f"127.0.0.1:5005{number}", daemon.address)
        (self.directory / "nginx.conf").write_text(
            f"daemon off; user root; pid {self.directory}/pid; error_log {self.directory}/errors;\n"
            f"events {{}}\nhttp {{ access_log off;\n{config}\n}}\n")
        self.nginx = subprocess.Popen(
            ["/usr/sbin/nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"],
            stderr=subprocess.DEVNULL)
        self.addCleanup(self.nginx.wait)
        self.addCleanup(self.nginx.terminate)
        wait_until(self.socket.exists, "nginx")

    def channel(self):
        channel = grpc.insecure_channel(f"unix:{self.socket}",
                                        options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def test_sessions_stay_where_they_are_and_go_on_where_a_replica_dies(self):
        check_a_dying_replica(self, self.replicas, begin(self.channel))


if __name__ == "__main__":
    unittest.main()
