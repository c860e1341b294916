"""Node's WebSocket library `ws` on the other side, as client and as server."""

import hashlib

from harness import INT, Program, Server, TERM, case
from peers import IdleBackend
from programs import Node

NEEDS = ("node", "ws")
LARGE = bytes(range(256)) * 782  # 200,192 bytes: a 64-bit length, several reads
PATTERN = LARGE[:256].hex()


def same(event, data, binary):
    assert (event["binary"], event["length"]) == (binary, len(data)), event
    assert event["hash"] == hashlib.sha256(data).hexdigest(), event


def clean(event, code, reason=""):
    assert (event["code"], event["reason"], event["clean"]) == (code, reason, True), event


def client_of(server):
    node = Node("client", server.url)
    node.event("open")
    return node


@case("Node client: text and binary of all lengths come back as what they were", needs=NEEDS)
def node_client_is_echoed():
    node = client_of(Server("-b", "ws-l:127.0.0.1:0", "mirror:"))
    for data in (b"", b"\0\xff", b"x" * 125, b"y" * 126, LARGE[:65535], LARGE[:65536]):
        node.do("send", hex=data.hex())
        same(node.event("message"), data, True)
    node.do("send", hex=PATTERN, repeat=200_000)
    same(node.event("message"), (bytes.fromhex(PATTERN) * 800)[:200_000], True)
    for text in ("", "ünïcödé", "z" * 200_000):
        node.do("send", text=text)
        same(node.event("message"), text.encode(), False)


@case("Node client: many messages in one go come back in order", needs=NEEDS)
def node_client_sends_many():
    node = client_of(Server("-b", "ws-l:127.0.0.1:0", "mirror:"))
    for number in range(300):
        node.do("send", text=f"message {number}")
    for number in range(300):
        same(node.event("message"), f"message {number}".encode(), False)


@case("Node client closes with code and reason: answered with the code, clean", needs=NEEDS)
def node_client_closes():
    for code in (1000, 4001):
        node = client_of(Server("-b", "ws-l:127.0.0.1:0", IdleBackend().tcp))
        node.do("close", code=code, reason="tab closed")
        clean(node.event("close"), code)


@case("Node client closes without a code: the event is 1005 and clean", needs=NEEDS)
def node_client_closes_without_a_code():
    for other in ("mirror:", IdleBackend().tcp):
        node = client_of(Server("-b", "ws-l:127.0.0.1:0", other))
        node.do("close")
        clean(node.event("close"), 1005)


@case("the back end ends: the Node client sees 1000, clean", needs=NEEDS)
def node_client_sees_the_end():
    backend = IdleBackend()
    node = client_of(Server("-b", "ws-l:127.0.0.1:0", backend.tcp))
    other = backend.accept()
    other.sock.sendall(b"bye")
    other.close()
    same(node.event("message"), b"bye", True)
    clean(node.event("close"), 1000)


@case("the server is stopped: the Node client sees 1001, clean", needs=NEEDS)
def node_client_sees_a_stop():
    server = Server("-b", "ws-l:127.0.0.1:0", IdleBackend().tcp)
    node = client_of(server)
    server.signal(TERM)
    clean(node.event("close"), 1001)
    server.expect(0)


@case("a ping of a Node client is answered with its payload, at a time without other traffic", needs=NEEDS)
def node_client_pings():
    node = client_of(Server("-s", "0"))
    node.do("ping", data="are you there")
    assert bytes.fromhex(node.event("pong")["hex"]) == b"are you there"


@case("a Node client and `-s`: lines go both ways", needs=NEEDS)
def node_client_and_prompt():
    server = Server("-s", "0")
    node = client_of(server)
    node.do("send", text="from Node")
    server.stdout.wait(rb"from Node\n")
    server.send(b"from the prompt\n")
    same(node.event("message"), b"from the prompt", False)


@case("the subprotocol of --server-protocol is what the Node client gets", needs=NEEDS)
def node_client_subprotocol():
    server = Server("-b", "--server-protocol", "chat", "ws-l:127.0.0.1:0", "mirror:")
    node = Node("client", server.url, "other", "chat")
    assert node.event("open")["protocol"] == "chat"


@case("a Node client that does not offer the wanted subprotocol is refused by an HTTP status", needs=NEEDS)
def node_client_is_refused():
    server = Server("-b", "--server-protocol", "chat", "ws-l:127.0.0.1:0", "mirror:")
    node = Node("client", server.url, "other")
    assert 400 <= node.event("refused")["status"] < 500


# -- Node as the server --------------------------------------------------------
@case("Node server: lines go out as text and come back", needs=NEEDS)
def node_server_gets_text():
    node = Node("server", "echo")
    client = Program(node.url, stdin="ünïcödé\nsecond\n".encode())
    client.expect(0)
    assert client.stdout.all() == "ünïcödé\nsecond\n".encode()
    node.event("open")
    same(node.event("message"), "ünïcödé".encode(), False)
    same(node.event("message"), b"second", False)
    clean(node.event("close"), 1000)


@case("Node server: 200,000 bytes arrive whole, both ways", needs=NEEDS)
def node_server_gets_bytes():
    node = Node("server", "echo")
    client = Program("-b", "-B", "262144", node.url, stdin=LARGE)
    client.expect(0)
    assert client.stdout.all() == LARGE
    total = 0
    node.event("open")
    while total < len(LARGE):
        message = node.event("message")
        assert message["binary"], message
        total += message["length"]
    clean(node.event("close"), 1000)


@case("Node server: one line of 200,000 bytes is one message", needs=NEEDS)
def node_server_gets_a_long_line():
    node = Node("server", "echo")
    line = b"x" * 200_000
    client = Program(node.url, stdin=line + b"\n")
    client.expect(0)
    assert client.stdout.all() == line + b"\n"
    node.event("open")
    same(node.event("message"), line, False)


@case("Node server: its large messages are one line each", needs=NEEDS)
def node_server_sends_large():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    node.do("send", text="x" * 200_000)
    node.do("send", text="end")
    client.stdout.wait(rb"^x{200000}\nend\n$")


@case("Node server closes with 1000 and a reason: exit status 0, answered with the code", needs=NEEDS)
def node_server_closes():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    node.do("close", code=1000, reason="that is all")
    client.expect(0)
    clean(node.event("close"), 1000)


@case("Node server closes with a code of its own: exit status 31, code and reason in the message", needs=NEEDS)
def node_server_closes_with_its_own_code():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    node.do("close", code=4321, reason="no more tea")
    client.expect(31)
    client.expect_message("4321", "no more tea")
    clean(node.event("close"), 4321)


@case("Node server closes without a code: exit status 0, clean for Node", needs=NEEDS)
def node_server_closes_without_a_code():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    node.do("close")
    client.expect(0)
    clean(node.event("close"), 1005)


@case("Node server vanishes: exit status 30", needs=NEEDS)
def node_server_vanishes():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    node.do("terminate")
    client.expect(30)


@case("a ping of a Node server is answered while the client waits for input", needs=NEEDS)
def node_server_pings():
    node = Node("server")
    Program(node.url)
    node.event("open")
    node.do("ping", data="still there")
    assert bytes.fromhex(node.event("pong")["hex"]) == b"still there"


@case("the user interrupts the client: the Node server sees a clean Close", needs=NEEDS)
def node_server_sees_an_interrupt():
    node = Node("server")
    client = Program(node.url)
    node.event("open")
    client.signal(INT)
    clean(node.event("close"), 1001)
    client.expect(130)
