"""socat at either end and in between: TCP, child processes, TLS; half-closes that stay half-closes."""

import websockets.sync.client as library

from harness import SETTINGS, Program, Server, case
from peers import IdleBackend, RawServer, WebSocketServer, certificates, echo
from programs import Socat, path, start

NEEDS = ("socat",)
TLS = ("socat", "openssl")
LARGE = bytes(range(256)) * 8192
LISTEN = "TCP-LISTEN:0,bind=127.0.0.1,fork"


def client(port, data, wait=8):
    """socat as a TCP client: says `data`, half-closes, and waits for the reply."""
    return start("socat", f"-t{wait}", "-", f"TCP:127.0.0.1:{port}", stdin=data)


def tunnel(backend):
    far = Server("-b", "ws-l:127.0.0.1:0", f"tcp:127.0.0.1:{backend.port}")
    near = Server("-b", "tcp-l:127.0.0.1:0", far.url)
    return near.port()


def child(*args):
    """The address of socat that starts the program under test; colons and commas mean something there."""
    words = " ".join([SETTINGS["binary"], *args])
    return "EXEC:" + words.replace(":", r"\:").replace(",", r"\,")


@case("socat → tcp-l: → ws:// → ws-l: → tcp: → socat: the reply that starts at EOF arrives whole", needs=NEEDS)
def socat_half_closes_through_a_tunnel():
    # `sort` says nothing before its input has ended.
    backend = Socat("-t8", LISTEN, "EXEC:sort")
    lines = b"".join(b"%06d\n" % (number * 7919 % 100_000) for number in range(100_000))
    program = client(tunnel(backend), lines)
    program.expect(0)
    assert program.stdout.all() == b"".join(sorted(lines.splitlines(True)))


@case("the same with a back end that ends first", needs=NEEDS)
def socat_backend_half_closes_through_a_tunnel():
    backend = Socat("-u", "TCP-LISTEN:0,bind=127.0.0.1", "CREATE:taken")
    program = client(tunnel(backend), LARGE)
    program.expect(0)
    assert program.stdout.all() == b""
    backend.program.expect(0)
    assert open("taken", "rb").read() == LARGE


@case("socat's EXEC of cat behind ws-l: tcp:, a library's client", needs=NEEDS)
def socat_behind_a_websocket():
    backend = Socat(LISTEN, "EXEC:cat")
    server = Server("-b", "ws-l:127.0.0.1:0", f"tcp:127.0.0.1:{backend.port}")
    ws = library.connect(server.url)
    ws.send(LARGE[:200_000])
    taken = b""
    while len(taken) < 200_000:
        taken += ws.recv(8)
    assert taken == LARGE[:200_000]
    ws.close(1000)
    assert ws.close_code == 1000


@case("the child of socat ends: the WebSocket client sees 1000", needs=NEEDS)
def socat_ends_behind_a_websocket():
    backend = Socat(LISTEN, "EXEC:echo greeting")
    server = Server("-b", "ws-l:127.0.0.1:0", f"tcp:127.0.0.1:{backend.port}")
    ws = library.connect(server.url)
    assert b"".join(ws) == b"greeting\n"
    assert ws.close_code == 1000, ws.close_code


@case("socat starts the program as its child: EXEC:websocat is a pipe to a server", needs=NEEDS)
def socat_starts_the_client():
    server = WebSocketServer(echo)
    program = start("socat", "-t8", "-", child("-b", server.url), stdin=b"through a child\n")
    program.expect(0)
    assert program.stdout.all() == b"through a child\n"
    server.result()


@case("socat starts ws-u: for each TCP connection: EXEC makes a server of it", needs=NEEDS)
def socat_starts_a_server():
    listener = Socat(LISTEN, child("-b", "ws-u:stdio:", "mirror:"))
    for number in range(2):
        with library.connect(f"ws://127.0.0.1:{listener.port}/") as ws:
            ws.send(b"\0number %d" % number)
            assert ws.recv(8) == b"\0number %d" % number


@case("the program starts socat: exec: and cmd: as a way to a TCP server", needs=NEEDS)
def program_starts_socat():
    backend = Socat("-t8", LISTEN, "EXEC:rev")
    for words in ([f"cmd:socat -t8 - TCP:127.0.0.1:{backend.port}"],
                  [f"exec:{path('socat')}", "--exec-args", "-t8", "-", f"TCP:127.0.0.1:{backend.port}"]):
        program = Program("-b", "stdio:", *words, stdin=b"stressed\n")
        program.expect(0)
        assert program.stdout.all() == b"desserts\n"


@case("ws-c:cmd:socat: a WebSocket over a child's pipes", needs=NEEDS)
def websocket_over_socat():
    server = WebSocketServer(echo)
    program = Program(f"ws-c:cmd:socat - TCP:127.0.0.1:{server.port}", stdin=b"over a child\n")
    program.expect(0)
    assert program.stdout.all() == b"over a child\n"
    assert server.result() is None


@case("tcp-l: tcp: between two socats, 2 MiB each way with half-closes", needs=NEEDS)
def socat_on_both_sides_of_a_relay():
    backend = Socat("-t8", LISTEN, "EXEC:cat")
    relay = Server("-b", "tcp-l:127.0.0.1:0", f"tcp:127.0.0.1:{backend.port}")
    for _ in range(3):
        program = client(relay.port(), LARGE)
        program.expect(0)
        assert program.stdout.all() == LARGE


@case("socat cuts the connection after 1 s of silence (-T): nothing stays open in a tunnel", needs=NEEDS)
def socat_gives_up():
    backend = IdleBackend()
    program = start("socat", "-T1", "-", f"TCP:127.0.0.1:{tunnel(backend)}")
    other = backend.accept()
    program.send(b"x")
    assert other.read_exactly(1) == b"x"
    program.expect(0)
    try:
        other.expect_end()
    except ConnectionResetError:
        pass


# -- TLS -------------------------------------------------------------------------
def secured(port):
    """socat as the TLS side of a server on plain TCP."""
    certificates(".")
    return Socat("OPENSSL-LISTEN:0,bind=127.0.0.1,fork,reuseaddr,cert=cert.pem,key=key.pem,verify=0",
                 f"TCP:127.0.0.1:{port}")


@case("wss:// → OPENSSL-LISTEN → ws-l: with the test authority", needs=TLS)
def socat_tls_in_front_of_our_server():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    front = secured(server.port())
    program = Program(f"wss://localhost:{front.port}/", stdin=b"secret\n", env={"SSL_CERT_FILE": "ca.pem"})
    program.expect(0)
    assert program.stdout.all() == b"secret\n"
    program = Program("-b", f"wss://127.0.0.1:{front.port}/", stdin=LARGE, env={"SSL_CERT_FILE": "ca.pem"})
    program.expect(0)
    assert program.stdout.all() == LARGE


@case("tls:tcp: → OPENSSL-LISTEN → EXEC", needs=TLS)
def socat_tls_without_websocket():
    certificates(".")
    front = Socat("-t8", "OPENSSL-LISTEN:0,bind=127.0.0.1,cert=cert.pem,key=key.pem,verify=0", "EXEC:rev")
    program = Program("-b", "--tls-domain", "localhost", "stdio:", f"tls:tcp:127.0.0.1:{front.port}",
                      stdin=b"stressed\n", env={"SSL_CERT_FILE": "ca.pem"})
    program.stdout.wait(rb"^desserts\n")
    program.expect(0)


@case("a tunnel over TLS that socat ends: tcp-l: → wss:// → OPENSSL-LISTEN → ws-l: → tcp:, half-close kept", needs=TLS)
def socat_tls_in_a_tunnel():
    # Plain TCP → our bridge → wss:// → socat's TLS → our server → the back end.
    backend = RawServer(lambda peer: peer.sock.sendall(peer.read_to_end()[::-1]), websocket=False)
    far = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    front = secured(far.port())
    near = Server("-b", "tcp-l:127.0.0.1:0", f"wss://localhost:{front.port}/", env={"SSL_CERT_FILE": "ca.pem"})
    program = client(near.port(), b"stressed")
    program.expect(0)
    assert program.stdout.all() == b"desserts"
