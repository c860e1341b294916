"""UNIX sockets with socat and curl at the other end: by path, by abstract name, SEQPACKET, inherited listeners."""

import os
import signal
import socket

import websockets.sync.client as library

from harness import Program, Server, case, eventually
from programs import start

NEEDS = ("socat",)
LARGE = bytes(range(256)) * 8192


def socat(*addresses, data=b"", **options):
    return start("socat", "-t8", *addresses, stdin=data, **options)


def serve(address, *right):
    """Serves `address` in the current folder; its announcement says that it is ready."""
    server = Program("-b", address, *right, "--stdout-announce-listening-ports")
    server.stdout.wait(rb"\n")
    return server


def backend(path, kind=socket.SOCK_STREAM):
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(path)
    listener.listen()
    listener.settimeout(8)
    return listener


@case("socat UNIX-CONNECT to unix-l:, half-closed: everything comes back", needs=NEEDS)
def socat_connects_to_unix():
    serve("unix-l:here", "mirror:")
    program = socat("-", "UNIX-CONNECT:here", data=LARGE)
    program.expect(0)
    assert program.stdout.all() == LARGE


@case("socat ABSTRACT-CONNECT to abstract-l:, and abstract: to ABSTRACT-LISTEN", needs=NEEDS)
def socat_and_abstract_names():
    name = f"interop-{os.getpid()}"
    serve(f"abstract-l:{name}", "mirror:")
    program = socat("-", f"ABSTRACT-CONNECT:{name}", data=LARGE)
    program.expect(0)
    assert program.stdout.all() == LARGE
    other = socat("-d", "-d", f"ABSTRACT-LISTEN:{name}-2", "EXEC:sort")
    other.stderr.wait(rb"listening on")
    program = Program("-b", "-", f"abstract:{name}-2", stdin=b"b\na\n")
    program.expect(0)
    assert program.stdout.all() == b"a\nb\n"


@case("unix: to socat UNIX-LISTEN: the reply that starts at the end arrives whole", needs=NEEDS)
def unix_to_socat():
    other = socat("-d", "-d", "UNIX-LISTEN:there", "EXEC:sort")
    other.stderr.wait(rb"listening on")
    lines = b"".join(b"%06d\n" % (number * 7919 % 100_000) for number in range(50_000))
    program = Program("-b", "-", "unix:there", stdin=lines)
    program.expect(0)
    assert program.stdout.all() == b"".join(sorted(lines.splitlines(True)))


@case("SEQPACKET with socat as client", needs=NEEDS)
def socat_and_seqpacket():
    serve("seqpacket-l:packets", "mirror:")
    program = socat("-", "UNIX-CONNECT:packets,type=5", data=b"one message")
    program.expect(0)
    assert program.stdout.all() == b"one message"


@case("curl --unix-socket through unix-l: to an HTTP server on TCP", needs=("curl",))
def curl_over_unix():
    listener = socket.create_server(("127.0.0.1", 0))
    serve("unix-l:web", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
    program = start("curl", "--silent", "--show-error", "--max-time", 8, "--unix-socket", "web", "http://h/path")
    listener.settimeout(8)
    connection, _ = listener.accept()
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += connection.recv(4096)
    assert asked.startswith(b"GET /path HTTP/1.1\r\nHost: h\r\n"), asked
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    program.expect(0)
    assert program.stdout.all() == b"hello"


@case("curl --unix-socket asks a WebSocket server on a UNIX socket: a refusal with a status", needs=("curl",))
def curl_asks_a_websocket_server_over_unix():
    serve("ws-u:unix-l:web", "mirror:")
    program = start("curl", "--silent", "--include", "--max-time", 8, "--unix-socket", "web", "http://h/")
    program.expect(0)
    assert program.stdout.all().split()[1] in (b"400", b"426")


@case("a library's WebSocket over a UNIX socket, as client and behind ws-l:")
def library_over_unix():
    serve("ws-u:unix-l:ws", "mirror:")
    with library.unix_connect("ws", uri="ws://h/") as ws:
        ws.send("text")
        assert ws.recv(8) == "text"
        ws.send(LARGE[:100_000])
        assert ws.recv(8) == LARGE[:100_000]
    listener = backend("packets", socket.SOCK_SEQPACKET)
    server = Server("-t", "ws-l:127.0.0.1:0", "seqpacket:packets")
    with library.connect(server.url) as ws:
        ws.send("to the packets")
        peer, _ = listener.accept()
        assert peer.recv(1000) == b"to the packets"
        for message in (b"one", b"", b"three"):
            peer.send(message)
        assert [ws.recv(8) for _ in range(3)] == ["one", "", "three"]


@case("ten that start at once with --unlink over a dead socket file: one serves, the others say that it does", 60)
def starts_at_once_with_unlink():
    os.mkdir("place")
    backend("place/here").close()
    programs = [Program("-b", "unix-l:place/here", "mirror:", "--unlink", "--stdout-announce-listening-ports")
                for _ in range(10)]
    eventually(lambda: sum(program.running() for program in programs) == 1, "all but one have ended", 30)
    (winner,) = [program for program in programs if program.running()]
    for program in programs:
        if program is not winner:
            program.expect(24)
            assert b"somebody serves it already" in program.stderr.all()
    winner.stdout.wait(rb"LISTEN")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(8)
        client.connect("place/here")
        client.sendall(b"there?")
        assert client.recv(6) == b"there?"
    winner.signal(signal.SIGTERM)
    eventually(lambda: not os.listdir("place"), "its file is removed, and nothing else is left")
