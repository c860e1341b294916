"""Servers that the program under test talks to: raw ones, Python websockets, and idle back ends.

Each listens on a free port of 127.0.0.1 and runs its handler in a thread per connection. An error in a handler belongs
to the case: `check` and `result` raise it there.
"""

import queue
import socket
import subprocess
import threading

import websockets.sync.server

from harness import KEPT, SOON
from wire import Wire


class Peer:
    """What all servers share: results and errors of handlers."""

    def __init__(self):
        KEPT.append(self)
        self.errors = []
        self.results = queue.Queue()

    def run(self, handler, connection):
        try:
            self.results.put(handler(connection))
        except Exception as error:  # handed to the case by `check` and `result`
            self.errors.append(error)
            self.results.put(None)

    def result(self, seconds=SOON):
        """What the handler of the next connection to finish returned."""
        try:
            value = self.results.get(timeout=seconds)
        except queue.Empty:
            self.check()
            raise AssertionError("the server's handler has not finished") from None
        self.check()
        return value

    def check(self):
        if self.errors:
            raise AssertionError(f"in the server: {self.errors[0]!r}") from self.errors[0]


class RawServer(Peer):
    """A TCP server; `handler` gets a Wire, and when it returns the connection is closed.

    With `websocket` the handshake is done already; `tls` is a context to use.
    """

    def __init__(self, handler, websocket=True, tls=None, family=socket.AF_INET):
        super().__init__()
        self.handler, self.websocket, self.tls = handler, websocket, tls
        self.listener = socket.socket(family)
        self.listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"ws{'s' if self.tls else ''}://127.0.0.1:{self.port}/"

    @property
    def tcp(self):
        return f"tcp:127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            self.accepted += 1
            threading.Thread(target=self.run, args=(self._serve, sock), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(SOON)
        if self.tls:
            sock = self.tls.wrap_socket(sock, server_side=True)
        with sock:
            wire = Wire(sock, client=False)
            if self.websocket:
                wire.accept()
            return self.handler(wire)


class WebSocketServer(Peer):
    """A server of the Python websockets library; `handler` gets its connection object."""

    def __init__(self, handler, host="127.0.0.1", **options):
        super().__init__()
        self.server = websockets.sync.server.serve(lambda ws: self.run(handler, ws), host, 0, **options)
        self.port = self.server.socket.getsockname()[1]
        self.secure = "ssl" in options
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"ws{'s' if self.secure else ''}://127.0.0.1:{self.port}/"


def echo(ws):
    """Handler: sends each message back."""
    for message in ws:
        ws.send(message)


def collect(ws):
    """Handler: returns all messages up to the end."""
    return list(ws)


class IdleBackend:
    """A TCP server that accepts and then neither says nor closes anything, until it is asked to."""

    def __init__(self):
        KEPT.append(self)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]

    @property
    def tcp(self):
        return f"tcp:127.0.0.1:{self.port}"

    def accept(self):
        self.listener.settimeout(SOON)
        sock, _ = self.listener.accept()
        return Wire(sock, client=False)


class BlackHole:
    """A port where connecting neither succeeds nor fails: its queue of connections is full."""

    def __init__(self):
        KEPT.append(self)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.filling = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self.filling.append(sock)


def free_port():
    """A port of 127.0.0.1 that nothing listens on, and that nobody else can get meanwhile."""
    sock = socket.socket()
    KEPT.append(sock)
    sock.bind(("127.0.0.1", 0))
    return sock.getsockname()[1]


def certificates(folder):
    """Makes an authority (ca.pem) and a certificate of localhost and 127.0.0.1 signed by it (cert.pem, key.pem)."""

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Interop CA",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    with open(f"{folder}/extensions", "w") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", "cert.pem", "-extfile", "extensions")
    return folder
