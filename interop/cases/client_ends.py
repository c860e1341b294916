"""How a client's session ends: at a prompt, at the end of input, receiving only."""

import os

import wire
from harness import Program, case
from peers import RawServer, WebSocketServer, collect


@case("stdin open, the server closes: exits at once, code and reason on stderr")
def server_closes_while_stdin_is_open():
    server = WebSocketServer(lambda ws: ws.close(1008, "go away"))
    client = Program(server.url)
    client.expect(31)
    client.expect_message("1008", "go away")
    assert client.stdout.all() == b"", "the Close body is no data"


@case("stdin open, the server closes with 1000: silent, and with -v code and reason")
def server_closes_normally_while_stdin_is_open():
    server = WebSocketServer(lambda ws: ws.close(1000, "that is all"))
    client = Program(server.url)
    client.expect(0)
    assert client.stderr.all() == b""
    client = Program("-v", server.url)
    client.expect(0)
    text = client.stderr.all()
    assert b"1000" in text and b"that is all" in text, text


@case("at a prompt, the server closes: exits at once, code and reason on the terminal")
def server_closes_at_a_prompt():
    server = WebSocketServer(lambda ws: (ws.send("welcome"), ws.close(1000, "that is all")))
    client = Program(server.url, stdin="tty", stdout="tty", stderr="tty")
    client.expect(0)
    text = client.terminal.all()
    assert b"welcome" in text and b"1000" in text and b"that is all" in text, text


@case("stdin open, TCP ends without Close: exits at once and says so")
def tcp_ends_while_stdin_is_open():
    client = Program(RawServer(wire.Wire.close).url)
    client.expect(30)
    assert client.message()


@case("stdin open, TCP is reset: exits at once and says so")
def tcp_is_reset_while_stdin_is_open():
    server = RawServer(lambda peer: (peer.read_message(), peer.reset()))
    client = Program(server.url)
    client.send(b"hello\n")
    client.expect(30)
    assert client.message()


@case("the server's Close is answered with its code")
def close_is_answered():
    def serve(peer):
        peer.send(wire.CLOSE, wire.close_body(4321, "mine"))
        peer.expect_close(4321)
        peer.expect_end()

    server = RawServer(serve)
    Program(server.url).expect(31)
    server.result()


@case("what the server sent before its Close is printed")
def data_before_close_is_printed():
    def serve(peer):
        peer.send(wire.TEXT, b"x" * 300_000)
        peer.send(wire.CLOSE, wire.close_body(1000))
        peer.expect_close()

    server = RawServer(serve)
    client = Program(server.url)
    client.expect(0)
    assert client.stdout.all() == b"x" * 300_000 + b"\n"


@case("`printf 'hi\\n' | websocat ws://…`, the reply comes 0.8 s later: printed")
def reply_after_the_end_of_input():
    def serve(peer):
        message = peer.read_message()
        peer.expect_silence(0.8)
        peer.send(wire.TEXT, b"re: " + message)
        peer.expect_close(1000)

    server = RawServer(serve)
    client = Program(server.url, stdin=b"hi\n")
    client.expect(0)
    assert client.stdout.all() == b"re: hi\n"
    assert client.stderr.all() == b""
    server.result()


@case("each message starts the linger time anew")
def several_late_replies():
    def serve(peer):
        peer.read_message()
        for number in range(3):
            peer.expect_silence(0.6)
            peer.send(wire.TEXT, b"%d" % number)
        peer.expect_close(1000)

    server = RawServer(serve)
    client = Program(server.url, stdin=b"hi\n")
    client.expect(0)
    assert client.stdout.all() == b"0\n1\n2\n"
    server.result()


@case("--linger inf waits for the server however long it takes")
def endless_linger():
    def serve(peer):
        peer.read_message()
        peer.expect_silence(3)
        peer.send(wire.TEXT, b"at last")
        peer.send(wire.CLOSE, wire.close_body(1000))
        peer.expect_close(1000)

    server = RawServer(serve)
    client = Program("--linger", "inf", server.url, stdin=b"hi\n")
    client.expect(0)
    assert client.stdout.all() == b"at last\n"
    server.result()


@case("--linger 0: Close follows the last message, and the reply to it is awaited")
def no_linger():
    def serve(peer):
        peer.read_message()
        peer.expect_close(1000)
        peer.send(wire.CLOSE, wire.close_body(1000))

    server = RawServer(serve)
    Program("--linger", "0", server.url, stdin=b"hi\n").expect(0)
    server.result()


@case("after the end of input a silent server gets a Close with code 1000")
def silent_server():
    server = WebSocketServer(lambda ws: (collect(ws), ws.close_code))
    Program(server.url, stdin=b"hi\n").expect(0)
    assert server.result() == (["hi"], 1000)


@case("last line of input without a newline: sent as a whole message")
def last_line_without_newline():
    server = WebSocketServer(collect)
    Program(server.url, stdin=b"first\nlast").expect(0)
    assert server.result() == ["first", "last"]


@case("input that is only a line without a newline")
def only_line_without_newline():
    server = WebSocketServer(collect)
    Program(server.url, stdin=b"only").expect(0)
    assert server.result() == ["only"]


def receive_only(**streams):
    def serve(peer):
        peer.send(wire.TEXT, b"one")
        peer.expect_silence(0.8)
        peer.send(wire.TEXT, b"two")
        peer.send(wire.CLOSE, wire.close_body(1000))
        peer.expect_close(1000)

    server = RawServer(serve)
    client = Program("-u", server.url, **streams)
    client.expect(0)
    server.result()
    return client


@case("-u with stdin from /dev/null: receives until the server ends, no early Close")
def receive_only_with_null_stdin():
    assert receive_only(stdin="null").stdout.all() == b"one\ntwo\n"


@case("-u with stdin closed: receives until the server ends, no early Close")
def receive_only_with_closed_stdin():
    assert receive_only(stdin="closed").stdout.all() == b"one\ntwo\n"


@case("-u as under a service manager: no terminal, stdin null, output into a file")
def receive_only_into_a_file():
    output = os.open("log", os.O_WRONLY | os.O_CREAT)
    receive_only(stdin="null", stdout=output)
    with open("log", "rb") as file:
        assert file.read() == b"one\ntwo\n"


@case("-U: only sends, and ends with the input")
def send_only():
    server = WebSocketServer(collect)
    client = Program("-U", server.url, stdin=b"one\ntwo\n")
    client.expect(0)
    assert server.result() == ["one", "two"]


@case("stdout is a closed pipe (`| head -1`): ends quietly, status 0")
def stdout_is_a_closed_pipe():
    def serve(ws):
        try:
            while True:
                ws.send("line")
        except Exception as end:  # the client leaves: that is the point
            return str(end)

    server = WebSocketServer(serve)
    reader, writer = os.pipe()
    client = Program(server.url, stdout=writer)
    os.close(writer)
    assert os.read(reader, 5) == b"line\n"
    os.close(reader)
    client.expect(0)
    assert client.stderr.all() == b""
    server.result()


@case("a message right before a reset is printed")
def message_before_a_reset():
    for _ in range(5):
        server = RawServer(lambda peer: (peer.send(wire.TEXT, b"last words"), peer.reset()))
        client = Program(server.url)
        client.expect(30)
        assert client.stdout.all() == b"last words\n", client.stdout.all()


@case("bytes right before a reset are printed")
def bytes_before_a_reset():
    for _ in range(5):
        server = RawServer(lambda peer: (peer.sock.recv(1), peer.sock.sendall(b"yo"), peer.reset()), websocket=False)
        client = Program("-b", server.tcp, "-")
        client.send(b"hello")
        client.expect(27)
        assert client.stdout.all() == b"yo", client.stdout.all()
