"""WebSockets by hand: frames and handshakes over a plain socket, right or deliberately wrong.

For what a proper library refuses to do: leave without Close, stay silent, send bad frames, answer with a bad handshake.
"""

import base64
import dataclasses
import hashlib
import os
import socket
import struct

from harness import SOON

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclasses.dataclass
class Frame:
    fin: bool
    opcode: int
    masked: bool
    payload: bytes

    @property
    def code(self):
        """Status code of a Close, None if it has none."""
        assert self.opcode == CLOSE, f"not a Close: {self}"
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self):
        return self.payload[2:].decode()


def close_body(code, reason=""):
    return struct.pack(">H", code) + reason.encode()


def encode(opcode, payload=b"", fin=True, mask=False, first_byte=None):
    first = first_byte if first_byte is not None else (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)
    if not mask:
        return bytes([first]) + length + payload
    key = os.urandom(4)
    return bytes([first, length[0] | 0x80]) + length[1:] + key + apply_mask(payload, key)


def apply_mask(payload, key):
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


class Wire:
    """One side of a connection. Each read has an upper bound, after which it fails."""

    def __init__(self, sock, client):
        self.sock = sock
        self.client = client
        self.unread = b""
        sock.settimeout(SOON)

    # -- bytes -----------------------------------------------------------
    def read_exactly(self, count):
        while len(self.unread) < count:
            part = self.sock.recv(1 << 16)
            if not part:
                raise EOFError(f"the peer closed TCP; {len(self.unread)} bytes are unused")
            self.unread += part
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def read_head(self):
        """Reads an HTTP head; returns its first line and the list of (lower-case name, value)."""
        while b"\r\n\r\n" not in self.unread:
            part = self.sock.recv(1 << 16)
            if not part:
                raise EOFError(f"the peer closed TCP within the head: {self.unread!r}")
            self.unread += part
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = [line.partition(":") for line in lines]
        return first, [(name.lower(), value.strip()) for name, _, value in fields]

    def read_to_end(self):
        """Everything up to FIN."""
        data, self.unread = self.unread, b""
        while part := self.sock.recv(1 << 16):
            data += part
        return data

    def expect_end(self):
        """Nothing more comes, and then FIN."""
        rest = self.read_to_end()
        assert not rest, f"unexpected before the end of TCP: {rest[:200]!r}"

    def expect_silence(self, seconds):
        """Nothing, not even FIN, arrives within the time."""
        assert not self.unread, f"unexpected: {self.unread[:200]!r}"
        self.sock.settimeout(seconds)
        try:
            part = self.sock.recv(1 << 16)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(SOON)
        raise AssertionError(f"unexpected: {part[:200]!r}" if part else "unexpected end of TCP")

    # -- frames ----------------------------------------------------------
    def send(self, opcode, payload=b"", **options):
        self.sock.sendall(encode(opcode, payload, **{"mask": self.client, **options}))

    def read(self):
        """The next frame."""
        first, second = self.read_exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.read_exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.read_exactly(8))
        key = self.read_exactly(4) if second & 0x80 else None
        payload = self.read_exactly(size)
        return Frame(bool(first & 0x80), first & 0x7F, bool(key), apply_mask(payload, key) if key else payload)

    def read_message(self):
        """The payload of the next message, its fragments joined."""
        frame = self.read()
        assert frame.opcode in (TEXT, BINARY), f"not a message: {frame}"
        data = frame.payload
        while not frame.fin:
            frame = self.read()
            assert frame.opcode == CONTINUATION, f"not a continuation: {frame}"
            data += frame.payload
        return data

    def expect_close(self, code=...):
        """The next frame is a Close, with this code if one is given (None: without a code). Returns it."""
        frame = self.read()
        assert frame.opcode == CLOSE, f"not a Close: {frame}"
        assert code is ... or frame.code == code, f"Close {frame.code} instead of {code}"
        return frame

    # -- ends ------------------------------------------------------------
    def finish(self):
        """FIN, and nothing else."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # -- handshakes ------------------------------------------------------
    def accept(self, headers=(), accept_key=None, upgrade="websocket"):
        """The server's part. Returns the request's first line and headers."""
        first, fields = self.read_head()
        key = dict(fields).get("sec-websocket-key", "")
        proof = accept_key or base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Sec-WebSocket-Accept: {proof}"]
        lines += [f"Upgrade: {upgrade}"] if upgrade else []
        lines += [f"{name}: {value}" for name, value in headers]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return first, fields

    def upgrade(self, path="/", headers=()):
        """The client's part. Returns the reply's first line and headers."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        first, fields = self.read_head()
        assert first.startswith("HTTP/1.1 101 "), f"refused: {first}"
        return first, fields


def connect(port, host="127.0.0.1"):
    """A TCP connection, from the client's side."""
    return Wire(socket.create_connection((host, port), timeout=SOON), client=True)


def connect_websocket(port, **options):
    """A WebSocket, from the client's side."""
    wire = connect(port)
    wire.upgrade(**options)
    return wire
