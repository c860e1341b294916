"""permessage-deflate with peers by others in both roles, and on the wire with frames by hand."""

import zlib

import websockets.sync.client as library
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory as Offer,
    ServerPerMessageDeflateFactory as Answer,
)

import wire
from harness import Program, Server, case
from peers import RawServer, WebSocketServer, echo
from programs import Node

TEXT = "".join(f'{{"id": {n}, "name": "ünïcödé {n % 7}"}}, ' for n in range(3000))
BYTES = bytes(range(256)) * 782
# As few bytes as a window of 512 can make of it, and repeats far beyond that.
FAR = bytes((n * n >> 5) & 0x3F for n in range(30_000)) * 2
ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def parameters(connection):
    """What Python websockets agreed on: contexts and windows of both sides, as it sees them."""
    (extension,) = connection.protocol.extensions
    return (
        extension.remote_no_context_takeover,
        extension.local_no_context_takeover,
        extension.remote_max_window_bits,
        extension.local_max_window_bits,
    )


def talk(client):
    for _ in range(2):
        for message in (TEXT, "", "tiny", BYTES, FAR, b"", TEXT[:1000], ["frag", "ments ", TEXT, ""]):
            client.send(message)
            assert client.recv(8) == ("".join(message) if isinstance(message, list) else message)
    client.close()
    assert client.close_code == 1000, client.close_code


# -- Python --------------------------------------------------------------------
@case("a Python client with each set of parameters talks to ws-l:, which lets no message refer to another")
def python_client():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    for offer, agreed in (
        ({}, (True, True, 15, 15)),
        ({"server_max_window_bits": 9, "client_max_window_bits": 10}, (True, True, 9, 10)),
        ({"server_no_context_takeover": True, "client_no_context_takeover": True}, (True, True, 15, 15)),
        ({"client_max_window_bits": True}, (True, True, 15, 15)),
    ):
        client = library.connect(server.url, max_size=None, extensions=[Offer(**offer)])
        assert parameters(client) == agreed, (offer, parameters(client))
        talk(client)


@case("a Python client with each set of parameters talks to ws-l: with --compress-context")
def python_client_with_context():
    server = Server("-b", "--compress-context", "ws-l:127.0.0.1:0", "mirror:")
    tight = Server("-b", "--compress-context", "--compress-window-bits", "10", "ws-l:127.0.0.1:0", "mirror:")
    for where, offer, agreed in (
        (server, {"client_max_window_bits": True}, (False, False, 15, 15)),
        (server, {"server_no_context_takeover": True}, (True, False, 15, 15)),
        (server, {"client_no_context_takeover": True, "server_max_window_bits": 12}, (False, True, 12, 15)),
        (tight, {"client_max_window_bits": True}, (False, False, 10, 10)),
        (tight, {"client_max_window_bits": None}, (False, False, 10, 15)),
    ):
        client = library.connect(where.url, max_size=None, extensions=[Offer(**offer)])
        assert parameters(client) == agreed, (offer, parameters(client))
        talk(client)


@case("a Python client gets no compression from a server with --no-compress, or for windows of 8 bits")
def python_client_is_declined():
    for options, offer in ((("--no-compress",), {}), ((), {"server_max_window_bits": 8})):
        server = Server("-b", *options, "ws-l:127.0.0.1:0", "mirror:")
        client = library.connect(server.url, max_size=None, extensions=[Offer(**offer)])
        assert client.protocol.extensions == [], client.protocol.extensions
        talk(client)


def send_all(ws):
    agreed = [parameters(ws)] if ws.protocol.extensions else []
    echo(ws)
    return agreed


@case("a Python server with each set of parameters and our client at a prompt and in a tunnel")
def python_server():
    line = TEXT.replace("\n", "")
    for answer, options, agreed in (
        ({}, (), [(False, False, 15, 15)]),
        ({}, ("--compress-window-bits", "10"), [(False, False, 10, 10)]),
        ({"server_no_context_takeover": True, "client_no_context_takeover": True}, (), [(True, True, 15, 15)]),
        ({"server_max_window_bits": 9, "client_max_window_bits": 9}, (), [(False, False, 9, 9)]),
        ({}, ("--no-compress",), []),
    ):
        server = WebSocketServer(send_all, max_size=None, compression=None, extensions=[Answer(**answer)])
        client = Program(*options, server.url, stdin=(line + "\n").encode() * 3)
        client.expect(0)
        assert client.stdout.all() == (line + "\n").encode() * 3
        # It counts the other way round, from the server's side.
        found = [(local, remote, theirs, ours) for remote, local, ours, theirs in server.result()]
        assert found == agreed, (answer, found)
    server = WebSocketServer(send_all, max_size=None, compression=None, extensions=[Answer()])
    client = Program("-b", "--compress", server.url, stdin=FAR)
    client.expect(0)
    assert client.stdout.all() == FAR


# -- Node ----------------------------------------------------------------------
NODE = ("node", "ws")


@case("a Node client and ws-l:, with and without contexts", needs=NODE)
def node_client_compresses():
    for options in (), ("--compress-context",):
        node = Node("client", Server("-b", *options, "ws-l:127.0.0.1:0", "mirror:").url)
        assert node.event("open")["extensions"] == "permessage-deflate"
        for _ in range(3):
            node.do("send", text=TEXT)
            assert node.event("message")["length"] == len(TEXT.encode())


@case("a Node server and our client: lines are compressed, both ways", needs=NODE)
def node_server_compresses():
    for options in ((), ("--compress-level", "1"), ("-b", "--compress")):
        node = Node("server", "echo", "deflate")
        sent = TEXT.encode() + b"\n"
        client = Program(*options, node.url, stdin=sent * 2)
        client.expect(0)
        assert client.stdout.all() == sent * 2
        assert node.event("open")["extensions"].startswith("permessage-deflate")


# -- by hand -------------------------------------------------------------------
@case("what leaves a server is marked, raw DEFLATE, and small")
def frames_of_a_server():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect(server.port())
    _, fields = client.upgrade(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    assert dict(fields)["sec-websocket-extensions"] == ALONE
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (raw.compress(TEXT.encode()) + raw.flush(zlib.Z_SYNC_FLUSH))[:-4]
    for _ in range(2):
        # In two fragments, with a ping between them.
        client.send(wire.TEXT, payload[:1000], first_byte=0x41)
        client.send(wire.PING, b"?")
        client.send(wire.CONTINUATION, payload[1000:])
        back, first = b"", True
        while True:
            head = client.read()
            if head.opcode == wire.PONG:
                continue
            assert head.opcode == ((0x40 | wire.TEXT) if first else wire.CONTINUATION), head.opcode
            back, first = back + head.payload, False
            if head.fin:
                break
        assert len(back) < len(TEXT) / 4, len(back)
        assert zlib.decompressobj(-15).decompress(back + b"\0\0\xff\xff") == TEXT.encode()


@case("a compressed bomb is refused with 1009 and costs no memory; broken data with 1007")
def bombs():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (raw.compress(bytes(1 << 30)) + raw.flush(zlib.Z_SYNC_FLUSH))[:-4]
    for payload, code in ((bomb, 1009), (b"\xff\xff\xff", 1007)):
        client = wire.connect(server.port())
        client.upgrade(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        client.send(wire.BINARY, payload, first_byte=0xC2)
        frame = client.read()
        while frame.opcode != wire.CLOSE:
            frame = client.read()
        assert frame.code == code, frame.code
    with open(f"/proc/{server.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 100_000, f"{peak} KiB"
    assert server.running()


@case("a server that answers what was not asked for: exit status 6")
def wrong_answers():
    for options, answer in (
        ((), "permessage-deflate; client_max_window_bits=8"),
        ((), "permessage-deflate; x"),
        ((), "permessage-deflate, permessage-deflate"),
        (("-b",), "permessage-deflate"),
        (("--no-compress",), "permessage-deflate"),
    ):
        server = RawServer(
            lambda peer, answer=answer: peer.accept([("Sec-WebSocket-Extensions", answer)]), websocket=False
        )
        client = Program(*options, server.url)
        client.expect(6)
        client.expect_message("permessage-deflate")
