"""Data and diagnostics: data only on stdout, and silence when all went well."""

import json
import os
import socket

import websockets.sync.client as library

import wire
from harness import SOON, Program, Server, TERM, case
from peers import RawServer, WebSocketServer, echo, free_port


@case("a session that ended well prints nothing but data")
def session_is_silent():
    client = Program(WebSocketServer(echo).url, stdin=b"text\n")
    client.expect(0)
    assert client.stdout.all() == b"text\n"
    assert client.stderr.all() == b""


@case("a server whose clients came and went, and which was stopped, prints nothing but data")
def server_is_silent():
    server = Server("-s", "0")
    with library.connect(server.url) as client:
        client.send("data")
        server.stdout.wait(rb"data\n")
    server.signal(TERM)
    server.expect(0)
    assert server.stderr.all() == b""
    announced, data = server.stdout.all().splitlines()
    assert announced.startswith(b"LISTEN ") and data == b"data"


@case("errors go to stderr, nothing to stdout")
def errors_on_stderr():
    client = Program("-v", f"ws://127.0.0.1:{free_port()}/")
    client.expect(14)
    assert client.stdout.all() == b""
    assert client.stderr.all()


@case('-v: "Listening on" and the address on stderr')
def listening_note_when_verbose():
    server = Server("-v", "-s", "0")
    port = server.port()
    server.stderr.wait(rb"(?i)listening on\b.*127\.0\.0\.1:%d" % port)


@case('-s at a terminal: "Listening on"')
def listening_note_at_a_terminal():
    server = Server("-s", "0", stdin="tty", stderr="tty")
    port = server.port()
    server.terminal.wait(rb"(?i)listening on\b.*127\.0\.0\.1:%d" % port)


@case("one URL at a terminal: the close note")
def close_note_at_a_terminal():
    server = RawServer(lambda peer: (peer.send(wire.CLOSE, wire.close_body(1000, "so long")), peer.expect_close()))
    client = Program(server.url, stdin="tty", stderr="tty")
    client.expect(0)
    client.terminal.wait(rb"1000.*so long")
    assert client.stdout.all() == b""


@case("in a script's pipeline, only stderr a terminal: nothing is said when all goes well")
def no_notes_in_a_pipeline():
    client = Program(WebSocketServer(echo).url, stdin=b"text\n", stderr="tty")
    client.expect(0)
    assert client.stdout.all() == b"text\n"
    assert client.terminal.all() == b""


@case("-q: not even errors")
def quiet():
    client = Program("-qq", f"ws://127.0.0.1:{free_port()}/")
    client.expect(14)
    assert client.stderr.all() == b""


@case("--log-format json: each line on stderr is an object")
def json_log():
    client = Program("-v", "--log-format", "json", WebSocketServer(echo).url, stdin=b"text\n")
    client.expect(0)
    lines = client.stderr.all().splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines), lines
    assert client.stdout.all() == b"text\n"


@case("--dump-spec: the script and nothing else, on stdout")
def dump_spec():
    program = Program("--dump-spec", "ws://127.0.0.1:1/path")
    program.expect(0)
    text = program.stdout.all()
    assert b"ws_upgrade" in text and b"exchange_packets" in text and b"/path" in text, text
    assert program.stderr.all() == b""


@case("-V: name and version, on stdout")
def version():
    program = Program("-V")
    program.expect(0)
    assert program.stdout.all().startswith(b"websocat 5.")


@case("--help: on stdout, status 0")
def help_text():
    program = Program("--help")
    program.expect(0)
    assert b"--dump-spec" in program.stdout.all()
    assert program.stderr.all() == b""


@case("nobody can read stderr: that changes neither the data nor the status")
def unwritable_stderr():
    server = RawServer(lambda peer: (peer.send(wire.CLOSE, wire.close_body(1008, "no")), peer.expect_close()))
    with open("/dev/full", "wb") as full:
        Program(server.url, stderr=full.fileno()).expect(31)
    reader, writer = os.pipe()
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:", stderr=writer)
    os.close(reader)
    os.close(writer)
    for _ in range(3):
        # Gone in the middle of a handshake: worth a warning that nobody gets.
        with socket.create_connection(("127.0.0.1", server.port())) as visitor:
            visitor.sendall(b"GET / HT")
        with library.connect(server.url) as client:
            client.send(b"data")
            assert client.recv(SOON) == b"data"
    server.signal(TERM)
    server.expect(0)


@case("a warning about a client names it once")
def client_is_named_once():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    visitor = wire.connect_websocket(server.port())
    name = "127.0.0.1:%d" % visitor.sock.getsockname()[1]
    visitor.close()
    server.stderr.wait(rb"without a WebSocket Close\n")
    assert server.stderr.data.decode().count(name) == 1, server.stderr.data
