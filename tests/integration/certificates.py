"""What tests of encryption and credentials share: certificates, made by the openssl program so that
nothing secret is kept in the tree, and daemons and channels with them.
"""
import os
import pathlib
import shutil
import subprocess
import unittest

import tiny_model
from tlind_process import *


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates; its own is .certificate."""

    def __init__(self, directory, name):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key = self.directory / f"{name}.key"
        self.certificate = self.directory / f"{name}.crt"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}", "-days", "2")

    def sign(self, name, serial=1):
        """(certificate, key) of `name`, which is also this machine."""
        key = self.directory / f"{name}-{serial}.key"
        request = self.directory / f"{name}-{serial}.csr"
        certificate = self.directory / f"{name}-{serial}.crt"
        extension = self.directory / f"{name}-{serial}.ext"
        extension.write_text(f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                 "-set_serial", str(serial), "-days", "2", "-extfile", extension,
                 "-out", certificate)
        return certificate, key


def bearer(token):
    return [("authorization", f"Bearer {token}")]


def replace(path, source):
    """As mounted secrets and certificate renewals do: in one rename."""
    beside = path.with_suffix(".new")
    shutil.copyfile(source, beside)
    os.replace(beside, path)


class SecurityCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = tiny_model.write(scratch_path("model"))
        cls.directory = scratch_path("certificates")
        cls.authority = Authority(cls.directory, "authority")
        cls.stranger = Authority(cls.directory, "stranger")
        cls.certificate, cls.key = cls.authority.sign("tlind")

    def daemon(self, *flags):
        return self.enterContext(Tlind(self.model, *flags))

    def encrypted(self, *flags):
        return self.daemon(f"--tls_cert={self.certificate}", f"--tls_key={self.key}", *flags)

    def write(self, name, text):
        path = scratch_path("") / name
        path.write_text(text)
        return path

    def secure_channel(self, daemon, authority=None, client=None):
        files = [(authority or self.authority).certificate, *(client or ())]
        root, certificate, key = ([path.read_bytes() for path in files] + [None, None])[:3]
        channel = grpc.secure_channel(
            f"localhost:{daemon.port}",
            grpc.ssl_channel_credentials(root, key, certificate),
            options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def serves(self, channel, **how):
        stub = generation_pb2_grpc.GenerationStub(channel)
        return list(stub.Generate(request(ids=[1], max_new_tokens=3), timeout=PATIENCE, **how))

    def refused(self, code, call):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual(raised.exception.code(), code, raised.exception)
        return raised.exception.details()
