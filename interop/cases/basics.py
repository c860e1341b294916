"""The main job: client, server and bridge, with a Python peer on the other side."""

import pathlib

import websockets.sync.client as library

import wire
from harness import Program, Server, TERM, case
from peers import IdleBackend, RawServer, WebSocketServer, echo


@case("`websocat ws://HOST/` talks to a server")
def client_of_a_library_server():
    server = WebSocketServer(echo)
    client = Program(server.url)
    client.send(b"one\n")
    client.stdout.wait(rb"^one\n$")
    client.send(b"two\n")
    client.stdout.wait(rb"^one\ntwo\n$")
    client.close_stdin()
    client.expect(0)
    server.result()


@case("`websocat -s PORT` is a server")
def server_of_a_library_client():
    server = Server("-s", "0")
    with library.connect(server.url) as client:
        client.send("from the client")
        server.stdout.wait(rb"from the client\n")
        server.send(b"from the server\n")
        assert client.recv(8) == "from the server"


@case("`websocat -s` goes on after a client has closed")
def server_takes_the_next_client():
    server = Server("-s", "0")
    for text in ("first", "second"):
        with library.connect(server.url) as client:
            client.send(text)
            server.stdout.wait(text.encode() + rb"\n")
    assert server.running()


@case("TCP is bridged to WebSocket")
def tcp_to_websocket():
    remote = WebSocketServer(echo)
    bridge = Server("-b", "tcp-l:127.0.0.1:0", remote.url)
    client = wire.connect(bridge.port())
    for part in (b"binary\0\xff", b"x" * 100_000):
        client.sock.sendall(part)
        assert client.read_exactly(len(part)) == part


@case("WebSocket is bridged to TCP")
def websocket_to_tcp():
    backend = IdleBackend()
    bridge = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    with library.connect(bridge.url) as client:
        other = backend.accept()
        client.send(b"binary\0\xff")
        assert other.read_exactly(8) == b"binary\0\xff"
        other.sock.sendall(b"back\0\xfe")
        assert client.recv(8) == b"back\0\xfe"


@case("ws-l: serves many at the same time")
def many_clients_at_once():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    clients = [wire.connect_websocket(server.port()) for _ in range(50)]
    for number, client in enumerate(clients):
        client.send(wire.BINARY, b"%d" % number)
    for number, client in enumerate(clients):
        assert client.read_message() == b"%d" % number


@case("client to server of our own, both kinds of message and a Close with code 1000")
def client_and_server_of_our_own():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    client = Program(server.url, stdin=b"through both\n")
    client.expect(0)
    assert client.stdout.all() == b"through both\n"


@case("the script of --dump-spec does the same through -x")
def dumped_script_does_the_same():
    server = WebSocketServer(echo)
    planned = Program("--dump-spec", server.url, stdin="null")
    planned.expect(0)
    pathlib.Path("scenario.rhai").write_bytes(planned.stdout.all())
    client = Program("-x", "scenario.rhai", stdin=b"by script\n")
    client.expect(0)
    assert client.stdout.all() == b"by script\n"
    assert client.stderr.all() == b""


@case("a name with addresses of both families connects to the one that listens")
def host_name_with_a_server_on_ipv4_only():
    server = WebSocketServer(echo)
    client = Program(f"ws://localhost:{server.port}/", stdin=b"by name\n")
    client.expect(0)
    assert client.stdout.all() == b"by name\n"


@case("a bare port to listen binds loopback, both families")
def bare_port_listens_on_loopback():
    server = Server("-b", "ws-l:0", "mirror:")
    try:
        wire.socket.socket(wire.socket.AF_INET6).bind(("::1", 0))
        families = ["127.0.0.1", "::1"]
    except OSError:
        families = ["127.0.0.1"]
    # One line, as for other listeners: both families have the same port.
    (announced, port), = server.ports(1)
    assert announced == "127.0.0.1", announced
    for ip in families:
        client = wire.connect(port, ip)
        client.upgrade()
        client.send(wire.BINARY, b"hello")
        assert client.read_message() == b"hello"


@case("-n: no Close ever leaves, neither at the end of input nor as a reply")
def no_close_option():
    def serve(peer):
        assert peer.read_message() == b"last"
        try:
            peer.expect_end()
        except ConnectionResetError:
            pass

    server = RawServer(serve)
    Program("-n", server.url, stdin=b"last\n").status()
    server.result()


@case("a ping is answered while the program waits for input")
def ping_is_answered():
    def serve(peer):
        peer.send(wire.PING, b"are you there")
        frame = peer.read()
        assert (frame.opcode, frame.payload, frame.masked) == (wire.PONG, b"are you there", True), frame

    server = RawServer(serve)
    Program(server.url)
    server.result()


@case("a server is stopped by SIGTERM and ends with 0, also when it never had a client")
def idle_server_stops():
    server = Server("-s", "0")
    server.port()
    server.signal(TERM)
    server.expect(0)
