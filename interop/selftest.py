"""The harness checked against itself: raw peers against the websockets library, Program against small commands."""

import os
import ssl
import sys

import websockets.exceptions
import websockets.sync.client as library

import harness
import programs
import wire
from harness import Program, case, eventually
from peers import BlackHole, IdleBackend, RawServer, WebSocketServer, certificates, collect, echo, free_port


def shell(script, **options):
    return Program("-c", script, binary="/bin/sh", **options)


@case("raw client, library server: messages of all lengths and Close")
def raw_client_and_library_server():
    server = WebSocketServer(echo, max_size=None)
    client = wire.connect_websocket(server.port)
    for size in (0, 1, 125, 126, 65535, 65536, 200_000):
        client.send(wire.BINARY, b"x" * size)
        assert client.read_message() == b"x" * size
    client.send(wire.CLOSE, wire.close_body(1000, "done"))
    client.expect_close(1000)
    client.expect_end()
    client.close()
    server.result()


@case("library client, raw server: messages and Close")
def library_client_and_raw_server():
    def serve(peer):
        message = peer.read_message()
        peer.send(wire.TEXT, message)
        return message, peer.expect_close(1001).reason

    server = RawServer(serve)
    client = library.connect(server.url, compression=None)
    client.send("hallo")
    assert client.recv() == "hallo"
    client.close_timeout = 0.1
    client.close(1001, "going")
    assert server.result() == (b"hallo", "going")


@case("a connection that is cut shows as such")
def ends_without_close():
    for end in (wire.Wire.close, wire.Wire.reset):
        client = library.connect(RawServer(end).url, compression=None)
        try:
            client.recv()
            raise AssertionError("a message")
        except websockets.exceptions.ConnectionClosedError:
            pass


@case("TLS: the certificate is good for one who trusts the authority")
def certificate_is_good():
    folder = certificates(".")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    server = WebSocketServer(collect, ssl=context)
    trust = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    with library.connect(server.url, ssl=trust) as client:
        client.send("over TLS")
    assert server.result() == ["over TLS"]


@case("a full queue lets connecting hang, a free port refuses")
def connecting_fails_as_wanted():
    hole = BlackHole()
    try:
        wire.socket.create_connection(("127.0.0.1", hole.port), timeout=0.3)
        raise AssertionError("connected")
    except TimeoutError:
        pass
    try:
        wire.connect(free_port())
        raise AssertionError("connected")
    except ConnectionRefusedError:
        pass


@case("silence is told from data and from the end")
def silence():
    backend = IdleBackend()
    client = wire.connect(backend.port)
    other = backend.accept()
    client.expect_silence(0.05)
    other.sock.sendall(b"x")
    try:
        client.expect_silence(5)
        raise RuntimeError("silent")
    except AssertionError:
        pass
    other.finish()
    client.expect_end()


@case("exit status, output and message of a program")
def program_results():
    program = shell("read x; echo got $x; echo 'it went Wrong' >&2; exit 7", stdin=b"data\n")
    program.expect(7)
    assert program.stdout.all() == b"got data\n"
    program.expect_message("wrong", "it")


@case("a signal gives 128 + n, also through unshare")
def program_signals():
    program = shell("echo ready; read x")
    program.stdout.wait(rb"ready\n")
    program.signal(harness.TERM)
    program.expect(143)
    program = shell("trap 'exit 143' TERM; echo ready $$; while :; do read x; done", pid1=True)
    if program.stderr.ended or not program.stdout.wait(rb"ready (\d+)\n"):
        raise harness.Skip("no PID namespaces here")
    assert program.stdout.wait(rb"ready (\d+)\n")[1] == b"1"
    assert program.pid != program.process.pid


@case("terminal, closed stdin, null stdin")
def program_streams():
    program = shell("test -t 0 && test -t 1 && test -t 2 && echo yes", stdin="tty", stdout="tty", stderr="tty")
    program.expect(0)
    assert b"yes" in program.terminal.all()
    program = shell("test -e /proc/self/fd/0 || echo gone", stdin="closed")
    program.expect(0)
    assert program.stdout.all() == b"gone\n"
    program = shell("read x || echo empty", stdin="null")
    program.expect(0)
    assert program.stdout.all() == b"empty\n"


@case("announced ports and descriptors")
def program_facts():
    program = shell("echo LISTEN proto=tcp,ip=127.0.0.1,port=17; echo LISTEN proto=tcp,ip=::1,port=18; read x")
    assert program.ports(2) == [("127.0.0.1", 17), ("::1", 18)]
    assert program.port() == 17
    eventually(lambda: len(program.descriptors()) >= 3, "three descriptors")
    assert program.sockets() == 0


@case("a failing server handler fails the case")
def handler_errors():
    server = RawServer(lambda peer: peer.expect_close())
    client = wire.connect_websocket(server.port)
    client.send(wire.TEXT, b"not a Close")
    try:
        server.result()
        raise RuntimeError("no error")
    except AssertionError as error:
        assert "not a Close" in str(error)


@case("a case without its program fails, and is skipped only where that is allowed")
def missing_programs():
    programs.PROGRAMS["absent"] = (["no-such-program", "--version"], ".*")
    for allowed, expected in (("0", AssertionError), ("1", harness.Skip)):
        os.environ["WEBSOCAT_ALLOW_SKIP"] = allowed
        try:
            programs.require(("absent",))
        except expected as error:
            assert "absent" in str(error)
        else:
            raise RuntimeError("nothing was missing")


@case("the port of a program that does not announce it")
def port_from_proc():
    script = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); s.accept()"
    program = Program("-u", "-c", script, binary=sys.executable)
    assert programs.listening_port(program) == int(program.stdout.wait(rb"(\d+)\n")[1])
