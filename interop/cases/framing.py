"""Messages on byte streams: length prefixes made and taken apart with struct, lines, and what is wrong with them."""

import struct
import threading

import websockets.sync.client as library
from websockets.exceptions import ConnectionClosed

import wire
from harness import Program, Server, case
from peers import RawServer, WebSocketServer, echo

SIZES = (0, 1, 125, 65536, 300_000, 1 << 20)


def content(size):
    """Different for each size, and full of what other framings would take for their own."""
    return (struct.pack(">I", size) + b"\n\0\xff") * (size // 7 + 1)


def messages():
    return [content(size)[:size] for size in SIZES]


def prefixed(message, flags=0):
    return struct.pack(">I", flags | len(message)) + message


def read_prefixed(peer):
    (value,) = struct.unpack(">I", peer.read_exactly(4))
    return value & 0xE0000000, peer.read_exactly(value & 0x1FFFFFFF)


@case("lengthprefixed: → ws → lengthprefixed: messages of any size come back the same, ended by FIN")
def length_prefixes_through_an_echo():
    server = WebSocketServer(echo, max_size=None, compression=None)
    relay = Server("-b", "lengthprefixed:tcp-l:127.0.0.1:0", server.url)
    client = wire.connect(relay.port())
    sent = messages()
    sender = threading.Thread(target=lambda: (client.sock.sendall(b"".join(map(prefixed, sent))), client.finish()))
    sender.start()
    for message in sent:
        assert read_prefixed(client) == (0, message), len(message)
    client.expect_end()


@case("fragments, text and control messages keep their kind in both directions")
def kinds_behind_length_prefixes():
    options = ("continuations", "include-control", "tag-text")
    more, control, text = 1 << 31, 1 << 30, 1 << 29

    def serve(peer):
        frames = [peer.read() for _ in range(4)]
        peer.send(wire.TEXT, b"a", fin=False)
        peer.send(wire.CONTINUATION, b"b")
        peer.send(wire.BINARY, b"c")
        peer.send(wire.CLOSE, wire.close_body(4000, "done"))
        return frames + [peer.expect_close(4000)]

    server = RawServer(serve)
    relay = Server("-b", *(f"--lengthprefixed-{name}" for name in options), "lengthprefixed:tcp-l:127.0.0.1:0", server.url)
    client = wire.connect(relay.port())
    # Each control message has its WebSocket opcode in front: a ping is for the server, it passes.
    parts = [(more | text, b"x"), (control, b"\x09p"), (text, b"y"), (0, b"z")]
    client.sock.sendall(b"".join(prefixed(body, flags) for flags, body in parts))
    got = [read_prefixed(client) for _ in range(3)]
    assert got == [(more | text, b"a"), (text, b"b"), (0, b"c")], got
    assert read_prefixed(client) == (control, b"\x08" + wire.close_body(4000, "done"))
    client.expect_end()
    frames = [(frame.fin, frame.opcode, frame.payload) for frame in server.result()[:4]]
    assert frames == [(False, 1, b"x"), (True, 9, b"p"), (True, 0, b"y"), (True, 2, b"z")], frames


@case("every width and byte order, as struct and int have them")
def widths_of_length_prefixes():
    sent = [b"", b"one", b"x" * 100]
    for nbytes in range(1, 9):
        for order in ("big", "little"):
            data = b"".join(len(message).to_bytes(nbytes, order) + message for message in sent)
            options = [f"--lengthprefixed-nbytes={nbytes}"] + ["--lengthprefixed-little-endian"] * (order == "little")
            program = Program("-b", *options, "lengthprefixed:-", "mirror:", stdin=data)
            program.expect(0)
            assert program.stdout.all() == data, (nbytes, order)


@case("half-close behind length prefixes: what comes after our end arrives whole")
def half_close_behind_length_prefixes():
    def serve(peer):
        assert peer.read_to_end() == prefixed(b"request")
        peer.sock.sendall(prefixed(b"late reply"))

    server = RawServer(serve, websocket=False)
    relay = Server("-b", "lengthprefixed:tcp-l:127.0.0.1:0", f"lengthprefixed:{server.tcp}")
    client = wire.connect(relay.port())
    client.sock.sendall(prefixed(b"request"))
    client.finish()
    assert client.read_to_end() == prefixed(b"late reply")
    server.result()


@case("length prefix over the limit: one line, status 3, both sides closed in order")
def length_prefix_over_the_limit():
    def announce(peer):
        peer.sock.sendall(prefixed(b"fits") + struct.pack(">I", 1001) + b"x" * 10)
        peer.expect_end()

    server = RawServer(announce, websocket=False)
    program = Program("-b", "--lengthprefixed-max-message-size=1000", f"lengthprefixed:{server.tcp}", "-")
    program.expect(3)
    assert program.stdout.all() == b"fits"
    program.expect_message(server.tcp, "1001", "1000", "--lengthprefixed-max-message-size")
    server.result()


@case("length prefix over the limit at a listener: the others are not touched")
def one_bad_client_among_others():
    server = WebSocketServer(echo, max_size=None)
    relay = Server("-b", "--lengthprefixed-max-message-size=1000", "lengthprefixed:tcp-l:127.0.0.1:0", server.url)
    good, bad = wire.connect(relay.port()), wire.connect(relay.port())
    for client in (good, bad):
        client.sock.sendall(prefixed(b"hello"))
        assert read_prefixed(client) == (0, b"hello")
    bad.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    bad.expect_end()
    relay.stderr.wait(rb"(?i)over the limit")
    good.sock.sendall(prefixed(b"still there"))
    assert read_prefixed(good) == (0, b"still there")
    assert relay.stderr.data.count(b"\n") == 1, relay.stderr.data


@case("a message that was cut off is told to the other side as a failure, with one line and status 3")
def torn_length_prefixed_message():
    def serve(peer):
        return peer.read().payload

    server = RawServer(serve)
    program = Program("-b", "lengthprefixed:-", server.url, stdin=struct.pack(">I", 10) + b"half")
    program.expect(3)
    program.expect_message("middle")
    assert server.result() == wire.close_body(1011)


@case("a message that is too long to be written: one line, status 27, Close 1009 to whoever sent it")
def message_too_long_for_length_prefixes():
    def serve(peer):
        peer.sock.settimeout(8)
        return peer.read_to_end()

    backend = RawServer(serve, websocket=False)
    relay = Server("-b", "--oneshot", "--lengthprefixed-nbytes=1", "ws-l:127.0.0.1:0", f"lengthprefixed:{backend.tcp}")
    with library.connect(relay.url) as client:
        client.send(b"x" * 255)
        client.send(b"y" * 256)
        try:
            client.recv()
            raise AssertionError("no Close")
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 1009, closed
    assert backend.result() == b"\xff" + b"x" * 255
    relay.expect(27)
    relay.expect_message("255", "--lengthprefixed-nbytes")


@case("CRLF line ends with --separator-trim-cr, also where CR and LF come apart")
def carriage_returns():
    def serve(peer):
        return [peer.read_message() for _ in range(3)]

    server = RawServer(serve)
    program = Program("-t", "--separator-trim-cr", "-", server.url)
    program.send(b"one\r")
    program.send(b"\ntwo\r\n")
    program.send(b"three\r\r\n")
    assert server.result() == [b"one", b"two", b"three\r"]


@case("-0 together with --separator says what cannot be")
def two_separators():
    program = Program("-0", "--separator", "10", "-", "mirror:")
    program.expect(2)
    text = program.stderr.all().decode()
    assert "--separator" in text and "--null-terminated" in text and "cannot be used" in text, text
