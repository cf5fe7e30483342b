"""What the real servers of the tests have in common: a process on a folder of its own.

SLD_CONSUL and SLD_BAO are the programs (packaging/consul, packaging/openbao put them into the cache).
"""

import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile

import harness
import pki


class Server:
    """Ends with its folder, which is on its command line. Tests that fail show its log."""

    name = "server"

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"sld-e2e-{self.name}-", dir="/tmp"))
        self.log = self.dir / f"{self.name}.log"
        self.proc, self.port, self.context = None, harness.free_port(), None
        harness.live.append(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # For those who inherit

    def argv(self):
        raise NotImplementedError

    def ready(self):
        """Whether it can be used; exceptions of eventually() mean not yet."""
        raise NotImplementedError

    # Life

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([str(a) for a in self.argv()], stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, start_new_session=True,
                                         env={k: v for k, v in os.environ.items()
                                              if not k.startswith(("CONSUL_", "VAULT_", "BAO_"))})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        def there():
            if self.proc.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.proc.returncode}:\n{self.log_text()[-3000:]}")
            return self.ready()
        harness.eventually(there, timeout)

    def kill(self):
        """As a power cut would end it."""
        self.proc.kill()
        self.proc.wait()

    def stop(self, timeout=30):
        self.proc.send_signal(signal.SIGTERM)
        return self.proc.wait(timeout)

    def pause(self):
        """It goes on listening, and says nothing."""
        self.proc.send_signal(signal.SIGSTOP)

    def resume(self):
        self.proc.send_signal(signal.SIGCONT)

    def close(self):
        if self in harness.live:
            harness.live.remove(self)
        if self.proc and self.proc.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # Asking

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def certificates(self, mutual, authority=None):
        """Makes ca.pem, server.pem, server.key and a client's pair in the folder; clients must show theirs if MUTUAL."""
        self.authority = authority or pki.Authority(f"{self.name} authority")
        pairs = {"server": self.authority.issue("localhost", "localhost", "127.0.0.1"),
                 "client": self.authority.issue("solder")}
        (self.dir / "ca.pem").write_text(self.authority.pem)
        for who, (cert, key) in pairs.items():
            (self.dir / f"{who}.pem").write_text(cert)
            (self.dir / f"{who}.key").write_text(key)
        self.context = ssl.create_default_context(cadata=self.authority.pem)
        if mutual:
            self.context.load_cert_chain(self.dir / "client.pem", self.dir / "client.key")

    def http(self, method, path, body=None, headers=(), timeout=30):
        """One request; returns its Answer, whatever its status."""
        return harness.request(self.port, path, tls=self.context, sni="localhost" if self.context else None,
                               timeout=timeout, method=method, host="localhost", headers=headers, body=body)
