"""nginx between client and server: as a relay of TCP (`stream`), and as a reverse proxy of HTTP with Upgrade."""

import websockets.sync.client as library

import wire
from harness import Program, Server, TERM, case
from peers import IdleBackend, RawServer, WebSocketServer, echo
from programs import Nginx

HTTP = ("nginx",)
TCP = ("nginx", "nginx-stream")
LARGE = bytes(range(256)) * 8192


def ours(*right):
    server = Server("-b", "ws-l:127.0.0.1:0", *(right or ["mirror:"]))
    return server, server.port()


@case("nginx's HTTP proxy in front of ws-l:, our client in front of nginx", needs=HTTP)
def http_proxy_between_ours():
    _, port = ours()
    client = Program(Nginx("http", port).url, stdin=b"through nginx\n")
    client.expect(0)
    assert client.stdout.all() == b"through nginx\n"


@case("nginx's HTTP proxy in front of ws-l:, a library's client with 200,000 bytes and a code", needs=HTTP)
def http_proxy_in_front_of_our_server():
    _, port = ours()
    client = library.connect(Nginx("http", port).url, max_size=None)
    for message in (b"\0\xff", "ünïcödé", LARGE[:200_000]):
        client.send(message)
        assert client.recv(8) == message
    client.close(4002, "enough")
    assert client.close_code == 4002, client.close_code


@case("nginx's HTTP proxy in front of a library's server", needs=HTTP)
def http_proxy_in_front_of_a_library():
    server = WebSocketServer(echo)
    client = Program(Nginx("http", server.port).url, stdin=b"one\ntwo\n")
    client.expect(0)
    assert client.stdout.all() == b"one\ntwo\n"
    server.result()


@case("a bridge from TCP through nginx's HTTP proxy to TCP keeps half-closes and all bytes", needs=HTTP)
def http_proxy_in_a_tunnel():
    def serve(peer):
        request = peer.read_to_end()
        peer.sock.sendall(request[::-1])
        peer.close()

    backend = RawServer(serve, websocket=False)
    _, port = ours(backend.tcp)
    near = Server("-b", "tcp-l:127.0.0.1:0", Nginx("http", port).url)
    client = wire.connect(near.port())
    client.sock.sendall(LARGE)
    client.finish()
    assert client.read_to_end() == LARGE[::-1]
    backend.result()


@case("compressed messages pass nginx's HTTP proxy: a library's client and ws-l:", needs=HTTP)
def http_proxy_passes_compression_to_us():
    _, port = ours()
    client = library.connect(Nginx("http", port).url, max_size=None)
    assert [e.name for e in client.protocol.extensions] == ["permessage-deflate"], client.protocol.extensions
    for message in ("compressible " * 20_000, LARGE[:200_000], "", "tiny"):
        client.send(message)
        assert client.recv(8) == message
    client.close(1000)
    assert client.close_code == 1000, client.close_code


@case("compressed messages pass nginx's HTTP proxy: our client and a library's server", needs=HTTP)
def http_proxy_passes_compression_from_us():
    def echo_with_extensions(ws):
        echo(ws)
        return [e.name for e in ws.protocol.extensions]

    server = WebSocketServer(echo_with_extensions, max_size=None)
    sent = b"compressible " * 20_000 + b"\n"
    client = Program("--compress", Nginx("http", server.port).url, stdin=sent)
    client.expect(0)
    assert client.stdout.all() == sent
    assert server.result() == ["permessage-deflate"]


@case("the back end ends: the client behind nginx's HTTP proxy sees 1000", needs=HTTP)
def http_proxy_passes_our_close():
    backend = IdleBackend()
    _, port = ours(backend.tcp)
    client = library.connect(Nginx("http", port).url)
    backend.accept().close()
    assert list(client) == []
    assert client.close_code == 1000, client.close_code


@case("the client behind nginx's HTTP proxy is cut off: the back end sees the end", needs=HTTP)
def http_proxy_passes_a_cut():
    backend = IdleBackend()
    _, port = ours(backend.tcp)
    proxy = Nginx("http", port)
    client = wire.connect(proxy.port)
    client.upgrade(path="/socket")
    other = backend.accept()
    client.reset()
    try:
        other.expect_end()
    except ConnectionResetError:
        pass


@case("nginx answers 404 where no proxy is: exit status 5 with the status", needs=HTTP)
def http_proxy_refuses():
    _, port = ours()
    client = Program(f"ws://127.0.0.1:{Nginx('http', port).port}/elsewhere")
    client.expect(5)
    client.expect_message("404")


@case("nothing behind nginx's HTTP proxy: exit status 5 with 502", needs=HTTP)
def http_proxy_without_backend():
    server, port = ours()
    server.signal(TERM)
    server.expect(0)
    client = Program(Nginx("http", port).url)
    client.expect(5)
    client.expect_message("502")


@case("nginx relays TCP in front of ws-l:, both kinds of message, Close with code", needs=TCP)
def stream_in_front_of_our_server():
    _, port = ours()
    client = library.connect(Nginx("stream", port).url, max_size=None)
    for message in (b"\0\xff", "ünïcödé", LARGE[:200_000]):
        client.send(message)
        assert client.recv(8) == message
    client.close(1000, "enough")
    assert client.close_code == 1000, client.close_code


@case("nginx relays TCP in front of a library's server", needs=TCP)
def stream_in_front_of_a_library():
    server = WebSocketServer(echo)
    client = Program(Nginx("stream", server.port).url, stdin=b"one\ntwo\n")
    client.expect(0)
    assert client.stdout.all() == b"one\ntwo\n"
    server.result()


@case("nginx relays TCP between our two bridges: half-closes and all bytes", needs=TCP)
def stream_in_a_tunnel():
    def serve(peer):
        peer.sock.sendall(LARGE)
        peer.finish()
        return peer.read_to_end()

    backend = RawServer(serve, websocket=False)
    _, port = ours(backend.tcp)
    near = Server("-b", "tcp-l:127.0.0.1:0", Nginx("stream", port).url)
    client = wire.connect(near.port())
    assert client.read_to_end() == LARGE
    client.sock.sendall(LARGE)
    client.close()
    assert backend.result() == LARGE


@case("nginx relays TCP in front of tcp-l: with plain TCP behind, half-close kept", needs=TCP)
def stream_in_front_of_our_relay():
    backend = RawServer(lambda peer: peer.sock.sendall(peer.read_to_end()), websocket=False)
    relay = Server("-b", "tcp-l:127.0.0.1:0", backend.tcp)
    client = wire.connect(Nginx("stream", relay.port()).port)
    client.sock.sendall(b"half")
    client.finish()
    assert client.read_to_end() == b"half"
