"""What becomes of messages on their way: bytes, kinds, sizes."""

import websockets.sync.client as library

import wire
from harness import Program, Server, case
from peers import IdleBackend, RawServer, WebSocketServer, collect

ODD = b"\x41\x0a\x42\xff\x0a"


def sending(*messages):
    return WebSocketServer(lambda ws: [ws.send(message) for message in messages])


@case("binary message, stdout not a terminal: bytes unchanged, one separator")
def binary_message_in_text_mode():
    client = Program(sending(ODD, b"next").url)
    client.expect(0)
    assert client.stdout.all() == ODD + b"\nnext\n"


@case("binary message with -b: bytes unchanged, nothing else")
def binary_message_in_binary_mode():
    client = Program("-b", sending(ODD, b"next").url)
    client.expect(0)
    assert client.stdout.all() == ODD + b"next"


@case("binary message at a terminal: escapes")
def binary_message_at_a_terminal():
    client = Program(sending(ODD).url, stdout="tty")
    client.expect(0)
    text = client.terminal.all()
    assert b"\xff" not in text and b"\\xff" in text.lower(), text


@case("text with control characters at a terminal: escapes")
def control_characters_at_a_terminal():
    client = Program(sending("a\x1b[2Jb\tc").url, stdout="tty")
    client.expect(0)
    text = client.terminal.all()
    assert b"\x1b" not in text and b"\\x1b" in text.lower() and b"\tc" in text, text


@case("text message with a newline inside: the newline becomes a space, as `lines:` has it")
def newline_within_a_text_message():
    client = Program(sending("two\nparts").url)
    client.expect(0)
    assert client.stdout.all() == b"two parts\n"


@case("`lines:` elsewhere than at a real stdio keeps its rules for binary messages")
def binary_message_over_tcp_in_text_mode():
    backend = IdleBackend()
    Program("-t", sending(ODD).url, backend.tcp)
    assert backend.accept().read_exactly(6) == b"A B\xff \n"


@case("a line of 200,000 bytes is one message")
def long_line():
    server = WebSocketServer(collect, max_size=None)
    Program(server.url, stdin=b"x" * 200_000 + b"\nend\n").expect(0)
    assert server.result() == ["x" * 200_000, "end"]


@case("a line of 200,000 bytes is one frame or the fragments of one message, all masked")
def long_line_on_the_wire():
    def serve(peer):
        data, fin = b"", False
        while not fin:
            frame = peer.read()
            assert frame.masked and frame.opcode == (wire.CONTINUATION if data else wire.TEXT), frame.opcode
            data, fin = data + frame.payload, frame.fin
        return len(data)

    server = RawServer(serve)
    Program(server.url).send(b"x" * 200_000 + b"\n")
    assert server.result() == 200_000


@case("a message of 200,000 bytes is one line")
def long_message():
    client = Program(sending("y" * 200_000, "end").url)
    client.expect(0)
    assert client.stdout.all() == b"y" * 200_000 + b"\nend\n"


@case("a message of 200,000 bytes goes through a mirror as one")
def long_message_through_a_mirror():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    with library.connect(server.url, max_size=None, compression=None) as client:
        client.send(b"z" * 200_000)
        assert client.recv(8) == b"z" * 200_000
        client.send("text stays text")
        assert client.recv(8) == "text stays text"


@case("a fragmented message is one line")
def fragmented_message():
    def serve(peer):
        peer.send(wire.TEXT, b"one ", fin=False)
        peer.send(wire.PING, b"between")
        peer.send(wire.CONTINUATION, b"line")
        peer.send(wire.CLOSE, wire.close_body(1000))
        assert peer.read().opcode == wire.PONG
        peer.expect_close(1000)

    server = RawServer(serve)
    client = Program(server.url)
    client.expect(0)
    assert client.stdout.all() == b"one line\n"
    server.result()


@case("an empty message is an empty line, and the other way round")
def empty_messages():
    client = Program(sending("", "after").url)
    client.expect(0)
    assert client.stdout.all() == b"\nafter\n"
    server = WebSocketServer(collect)
    Program(server.url, stdin=b"\nafter\n").expect(0)
    assert server.result() == ["", "after"]


@case("no control payload reaches a byte stream")
def control_payloads_are_no_data():
    def serve(peer):
        peer.send(wire.PONG, b"unasked")
        peer.send(wire.TEXT, b"data")
        peer.send(wire.CLOSE, wire.close_body(1000, "bye"))
        peer.expect_close()

    client = Program(RawServer(serve).url)
    client.expect(0)
    assert client.stdout.all() == b"data\n"
