"""Who gets in: origins, paths, versions, subprotocols, limits; and what is said to those who do not."""

import os

import websockets.exceptions
import websockets.sync.client as library

import wire
from harness import Program, Server, case, eventually
from peers import RawServer, WebSocketServer, echo
from programs import Nginx, Node

FOREIGN = "https://foreign.example"


def ask(port, *lines, first="GET / HTTP/1.1", host="Host: 127.0.0.1"):
    """Sends a good request but for what is given; returns status, fields and body of a refusal (None after a 101)."""
    client = wire.connect(port)
    good = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    names = {line.partition(":")[0] for line in lines}
    head = [first, host, *[line for line in good if line.partition(":")[0] not in names],
            *[line for line in lines if line.partition(":")[2]]]
    client.sock.sendall(("\r\n".join(line for line in head if line) + "\r\n\r\n").encode("latin-1"))
    answer, fields = client.read_head()
    status = int(answer.split()[1])
    body = None if status == 101 else client.read_exactly(int(dict(fields).get("content-length", 0))).decode()
    return status, dict(fields), body


def refused(url, **options):
    """The status by which a library's client is refused."""
    try:
        library.connect(url, **options).close()
    except websockets.exceptions.InvalidStatus as error:
        return error.response.status_code
    raise AssertionError("it is accepted")


# -- Refusals --------------------------------------------------------------------
@case("each refusal has its status and one line that says why; the server goes on")
def refusals():
    server = Server("-b", "--restrict-uri", "/here", "ws-l:127.0.0.1:0", "mirror:")
    port = server.port()
    here = "GET /here HTTP/1.1"
    for status, lines, options in (
        (405, (), {"first": "POST /here HTTP/1.1"}),
        (404, (), {"first": "GET /there HTTP/1.1"}),
        (400, (), {"first": "GET /here HTTP/1.0"}),
        (400, (), {"host": ""}),
        (400, ("Host: twice",), {}),
        (400, ("Connection: close",), {}),
        (400, ("Sec-WebSocket-Key: short",), {}),
        (400, ("Content-Length: 1",), {}),
        (426, ("Upgrade:",), {}),
        (426, ("Sec-WebSocket-Version: 8",), {}),
    ):
        got, fields, body = ask(port, *lines, **{"first": here, **options})
        assert got == status, (got, status, lines, options)
        assert len(body.splitlines()) == 1 and body.endswith("\n"), body
        assert (fields.get("sec-websocket-version") == "13") == (status == 426), fields
    assert ask(port, first=here)[0] == 101
    assert ask(port, first="GET /here?more=1 HTTP/1.1")[0] == 101
    assert ask(port, first=here, host="Host:")[0] == 101


@case("a request without Host is refused, unless headers are not looked at")
def no_host():
    assert ask(Server("-b", "ws-l:127.0.0.1:0", "mirror:").port(), host="")[0] == 400
    lax = Server("-b", "--ws-dont-check-headers", "ws-l:127.0.0.1:0", "mirror:").port()
    assert ask(lax, host="")[0] == 101
    assert ask(lax, "Sec-WebSocket-Key:", "Sec-WebSocket-Version:", "Connection:", host="")[0] == 101


@case("heads of requests: at the limit and one over it")
def head_limits():
    port = Server("-b", "--max-headers", "6", "--max-header-bytes", "1k", "ws-l:127.0.0.1:0", "mirror:").port()
    assert ask(port, "A: 1")[0] == 101
    assert ask(port, "A: 1", "B: 2")[0] == 431
    size = len("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nA: \r\n\r\n")
    assert ask(port, "A: " + "x" * (1024 - size))[0] == 101
    assert ask(port, "A: " + "x" * (1025 - size))[0] == 431


@case("a client that sends its head byte by byte is cut off at the handshake's end, whatever it asked before")
def slow_head():
    server = Server("-b", "--handshake-timeout", "1s", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect(server.port())
    client.sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + b"GET / HTTP/1.1\r\nX: ")
    first, _ = client.read_head()
    assert " 426 " in first

    def cut():
        try:
            client.sock.sendall(b"x")
            return False
        except (ConnectionResetError, BrokenPipeError):
            return True

    eventually(cut, "the connection is closed")


@case("who sends more than the server wants to read still gets the answer, not a reset")
def answers_arrive():
    port = Server("-b", "ws-l:127.0.0.1:0", "mirror:").port()
    for head, status in ((b"GET / HTTP/1.1\r\nX: " + b"x" * 500_000, 431), (b"GET / HTTP/1.1\r\nX : y\r\n" + b"x" * 500_000, 400),
                         (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000, 405)):
        client = wire.connect(port)
        client.sock.sendall(head)
        client.finish()
        assert f"HTTP/1.1 {status} ".encode() in client.read_to_end()


# -- Origins ---------------------------------------------------------------------
@case("a foreign origin reaches no command, file or prompt; the same one, and who has none, does")
def foreign_origins():
    for right in (["cmd:cat"], ["exec:cat"], ["writefile:written"], ["stdio:"]):
        server = Server("-b", "ws-l:127.0.0.1:0", *right)
        port = server.port()
        host = f"127.0.0.1:{port}"
        status, _, body = ask(port, f"Origin: {FOREIGN}", host=f"Host: {host}")
        assert status == 403 and "--allow-origin" in body, (right, status, body)
        server.stderr.wait(rb"127\.0\.0\.1.*403.*foreign\.example")
        assert refused(server.url, origin=FOREIGN) == 403
        assert ask(port, "Origin: null", host=f"Host: {host}")[0] == 403
        assert ask(port, f"Origin: http://{host}", host=f"Host: {host}")[0] == 101
        assert ask(port, host=f"Host: {host}")[0] == 101


@case("--allow-origin: exactly these pass, on any server")
def allowed_origins():
    for right in ("cmd:cat", "mirror:"):
        server = Server("-b", "--allow-origin", FOREIGN, "--allow-origin", "null", "ws-l:127.0.0.1:0", right)
        port = server.port()
        for origin, status in ((FOREIGN, 101), ("null", 101), (f"http://127.0.0.1:{port}", 403), (FOREIGN + ":1", 403)):
            assert ask(port, f"Origin: {origin}", host=f"Host: 127.0.0.1:{port}")[0] == status, origin
        client = library.connect(server.url, origin=FOREIGN)
        client.send("in")
        assert client.recv(8) in (b"in", "in")
    assert ask(Server("-b", "ws-l:127.0.0.1:0", "mirror:").port(), f"Origin: {FOREIGN}")[0] == 101


@case("no command is started for a page that is refused")
def nothing_is_started():
    server = Server("-b", "ws-l:127.0.0.1:0", "cmd:touch started")
    assert refused(server.url, origin=FOREIGN) == 403
    library.connect(server.url).close()
    eventually(lambda: os.path.exists("started"), "the command of the client that is no page")
    os.remove("started")
    assert refused(server.url, origin=FOREIGN) == 403
    server.signal(15)
    server.expect(0)
    assert not os.path.exists("started")


@case("behind nginx: the proxy's own pages pass if it keeps Host, and else with their name", needs=("nginx",))
def origins_behind_a_proxy():
    server = Server("-b", "ws-l:127.0.0.1:0", "cmd:cat")
    proxy = Nginx("http", server.port(), host="$http_host")
    library.connect(proxy.url, origin=f"http://127.0.0.1:{proxy.port}").close()
    assert refused(proxy.url, origin=FOREIGN) == 403

    proxy = Nginx("http", server.port(), host="$proxy_host")
    origin = f"http://127.0.0.1:{proxy.port}"
    assert refused(proxy.url, origin=origin) == 403
    named = Server("-b", "--allow-origin", origin, "ws-l:127.0.0.1:0", "cmd:cat")
    library.connect(Nginx("http", named.port(), host="$proxy_host").url, origin=origin).close()


@case("--origin is what a library's server checks")
def our_origin():
    server = WebSocketServer(echo, origins=["https://good.example"])
    client = Program("--origin", "https://good.example", server.url, stdin=b"in\n")
    client.expect(0)
    assert client.stdout.all() == b"in\n"
    client = Program("--origin", "https://bad.example", server.url)
    client.expect(5)
    client.expect_message("403", "--origin")


# -- Subprotocols ----------------------------------------------------------------
@case("subprotocols with a library's client: chosen, refused, lax, first")
def subprotocols_of_clients():
    def server(*options):
        return Server("-b", *options, "ws-l:127.0.0.1:0", "mirror:").url

    for options, offered, answer in (
        ((), ["a", "b"], None),
        (("--server-protocol", "b"), ["a", "b"], "b"),
        (("--server-protocol", "b", "--server-protocol-lax"), ["a"], None),
        (("--server-protocol-choose-first",), ["a", "b"], "a"),
        (("--server-protocol", "c", "--server-protocol-choose-first"), ["a", "b"], "a"),
    ):
        client = library.connect(server(*options), subprotocols=offered)
        assert client.subprotocol == answer, (options, client.subprotocol)
        client.close()
    assert refused(server("--server-protocol", "b"), subprotocols=["a"]) == 400
    assert refused(server("--server-protocol", "b")) == 400


@case("subprotocols with servers by others: what they choose is taken, what was not asked for is refused", needs=("node", "ws"))
def subprotocols_of_servers():
    server = WebSocketServer(lambda ws: ws.subprotocol, subprotocols=["b", "c"])
    Program("--protocol", "a, b", server.url, stdin=b"").expect(0)
    assert server.result() == "b"
    node = Node("server", "echo")
    client = Program("--protocol", "x,y", node.url, stdin=b"in\n")
    client.expect(0)
    assert client.stdout.all() == b"in\n"
    raw = RawServer(lambda peer: peer.accept(headers=[("Sec-WebSocket-Protocol", "z")]), websocket=False)
    client = Program("--protocol", "x,y", raw.url)
    client.expect(6)
    client.expect_message("z", "not asked for")


# -- Limits ----------------------------------------------------------------------
@case("--conncap and --max-conns-per-ip: one too many gets 503, and gets in when another has left")
def client_limits():
    for option in ("--conncap", "--max-conns-per-ip"):
        server = Server("-b", option, "2", "ws-l:127.0.0.1:0", "mirror:")
        first, second = (library.connect(server.url) for _ in range(2))
        assert refused(server.url) == 503
        server.stderr.wait(option.encode())
        client = Program(server.url)
        client.expect(5)
        client.expect_message("503", "Retry-After")
        first.close()

        def gets_in():
            try:
                library.connect(server.url).close()
                return True
            except websockets.exceptions.InvalidStatus:
                return False

        eventually(gets_in, "a seat is free")
        second.send("still here")
        assert second.recv(8) == "still here"


@case("--conncap without HTTP: one too many is closed at once")
def client_limit_of_streams():
    server = Server("-b", "--conncap", "1", "tcp-l:127.0.0.1:0", "mirror:")
    first = wire.connect(server.port())
    first.sock.sendall(b"x")
    assert first.read_exactly(1) == b"x"
    wire.connect(server.port()).expect_end()


# -- Odd handshakes ----------------------------------------------------------------
@case("ws-c: without a URI sends an empty Host")
def empty_host():
    server = RawServer(lambda peer: peer.accept(), websocket=False)
    Program("-b", "-n", f"ws-c:{server.tcp}", "literal:x").status()
    _, fields = server.result()
    assert [value for name, value in fields if name == "host"] == [""], fields


@case("--ws-omit-headers with --ws-dont-check-headers at both ends")
def omitted_headers():
    options = ("--ws-omit-headers", "--ws-dont-check-headers")
    server = Server("-b", *options, "ws-l:127.0.0.1:0", "mirror:")
    client = Program(*options, server.url, stdin=b"bare\n")
    client.expect(0)
    assert client.stdout.all() == b"bare\n"
    peer = RawServer(lambda peer: peer.read_head(), websocket=False)
    Program(*options, peer.url).status()
    _, fields = peer.result()
    assert [name for name, _ in fields] == ["host"], fields


@case("--websocket-version: another version is refused by 426, with the one that is spoken")
def another_version():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    client = Program("--websocket-version", "8", server.url)
    client.expect(5)
    client.expect_message("426", "version 13")


@case("TLS where there is none, and none where it is: both are named")
def mixed_up_tls():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    Program("-k", f"wss://127.0.0.1:{server.port()}/").expect(8)
    server.stderr.wait(rb"this is TLS")
    alert = RawServer(lambda peer: peer.sock.sendall(bytes([0x15, 3, 3, 0, 2, 2, 40])), websocket=False)
    client = Program(alert.url)
    client.expect(6)
    client.expect_message("wss://")


@case("--just-generate-key and --just-generate-accept")
def generated_keys():
    key, other = Program("--just-generate-key"), Program("--just-generate-key")
    key.expect(0)
    other.expect(0)
    assert len(key.stdout.all()) == 25 and key.stdout.all() != other.stdout.all()
    accept = Program("--just-generate-accept", "dGhlIHNhbXBsZSBub25jZQ==")
    accept.expect(0)
    assert accept.stdout.all() == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"
