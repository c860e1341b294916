"""Between TCP and WebSocket: half-closes, browsers that leave, descriptors that must not stay."""

import threading
import time

import websockets.sync.client as library

import wire
from harness import Server, case, eventually
from peers import IdleBackend, RawServer

# More than the kernel's socket buffers take: a reply that is cut shows.
LARGE = bytes(range(256)) * 16384


def tunnel(backend):
    """tcp → ws → tcp through two of our processes; returns the port to connect to."""
    far = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    near = Server("-b", "tcp-l:127.0.0.1:0", far.url)
    return near.port()


@case("tcp→ws→tcp: a reply 3 s after the client's EOF arrives whole")
def half_close_by_the_client():
    def serve(peer):
        assert peer.read_to_end() == b"request"
        time.sleep(3)
        peer.sock.sendall(LARGE)
        peer.close()

    backend = RawServer(serve, websocket=False)
    client = wire.connect(tunnel(backend))
    client.sock.sendall(b"request")
    client.finish()
    assert client.read_to_end() == LARGE
    backend.result()


@case("tcp→ws→tcp: what the client says 3 s after the back end's EOF arrives whole")
def half_close_by_the_backend():
    def serve(peer):
        peer.sock.sendall(b"greeting")
        peer.finish()
        return peer.read_to_end()

    backend = RawServer(serve, websocket=False)
    client = wire.connect(tunnel(backend))
    assert client.read_to_end() == b"greeting"
    time.sleep(3)
    client.sock.sendall(LARGE)
    client.close()
    assert backend.result() == LARGE


@case("tcp→ws→tcp: a reset becomes a reset")
def reset_through_a_tunnel():
    backend = IdleBackend()
    client = wire.connect(tunnel(backend))
    client.sock.sendall(b"x")
    other = backend.accept()
    other.read_exactly(1)
    client.reset()
    try:
        other.expect_end()
    except ConnectionResetError:
        pass


@case("tcp→tcp: half-close, and a reset becomes a reset")
def tcp_to_tcp():
    backend = IdleBackend()
    relay = Server("-b", "tcp-l:127.0.0.1:0", backend.tcp)
    client = wire.connect(relay.port())
    other = backend.accept()
    sender = threading.Thread(target=lambda: (client.sock.sendall(LARGE), client.finish()))
    sender.start()
    assert other.read_to_end() == LARGE
    other.sock.sendall(b"late reply")
    other.close()
    assert client.read_to_end() == b"late reply"

    client = wire.connect(relay.port())
    other = backend.accept()
    client.sock.sendall(b"x")
    other.read_exactly(1)
    client.reset()
    try:
        other.expect_end()
        raise RuntimeError("FIN instead of RST")
    except ConnectionResetError:
        pass


@case("the header of the private half-close is not shown to other servers' clients")
def browsers_do_not_see_half_close():
    relay = Server("-b", "ws-l:127.0.0.1:0", IdleBackend().tcp)
    client = wire.connect(relay.port())
    _, fields = client.upgrade()
    assert not [name for name, _ in fields if "half-close" in name], fields


# -- a browser or Node client closes -----------------------------------------
def idle_relay():
    backend = IdleBackend()
    relay = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    client = wire.connect_websocket(relay.port())
    return relay, client, backend.accept()


@case("a client closes with a code while the back end is idle: answered at once with a code, then FIN")
def browser_closes_with_a_code():
    _, client, backend = idle_relay()
    client.send(wire.CLOSE, wire.close_body(1000, "tab closed"))
    client.expect_close(1000)
    client.expect_end()
    backend.expect_end()


@case("codes of applications are answered, too")
def browser_closes_with_its_own_code():
    _, client, backend = idle_relay()
    client.send(wire.CLOSE, wire.close_body(4001))
    client.expect_close(4001)
    client.expect_end()
    backend.expect_end()


@case("a client closes without a code while the back end is idle: answered within the linger time, then FIN")
def browser_closes_without_a_code():
    _, client, backend = idle_relay()
    client.send(wire.CLOSE)
    client.sock.settimeout(5)
    client.expect_close()
    client.expect_end()
    backend.expect_end()


@case("what the back end still says after a Close without a code is forwarded")
def backend_talks_after_close_without_code():
    _, client, backend = idle_relay()
    client.send(wire.CLOSE)
    backend.expect_end()
    backend.sock.sendall(b"last words")
    backend.close()
    assert client.read_message() == b"last words"
    client.expect_close()
    client.expect_end()


@case("the closing handshake of the library is complete, the close event clean")
def library_client_closes():
    backend = IdleBackend()
    relay = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    client = library.connect(relay.url, close_timeout=5)
    backend.accept()
    client.close(1000, "done")
    assert client.protocol.close_rcvd is not None, "no Close came back"
    assert client.close_code == 1000


@case("clients of -s that close with and without a code get an answer")
def clients_of_a_prompt_close():
    server = Server("-s", "0")
    for body in (wire.close_body(1000), b""):
        client = wire.connect_websocket(server.port())
        client.send(wire.CLOSE, body)
        client.expect_close()
        client.expect_end()


@case("the back end ends: Close with code 1000, then FIN")
def backend_ends():
    _, client, backend = idle_relay()
    backend.sock.sendall(b"bye")
    backend.close()
    assert client.read_message() == b"bye"
    client.expect_close(1000)
    client.send(wire.CLOSE, wire.close_body(1000))
    client.expect_end()


# -- 200 clients of `ws-l: tcp:` and an idle back end --------------------------
def two_hundred(leave, seconds):
    backend = IdleBackend()
    relay = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    port = relay.port()
    idle = relay.sockets() + 2  # two for what is opened once, at the first connection
    wire.connect_websocket(port).close()
    backend.accept().read_to_end()
    eventually(lambda: relay.sockets() <= idle, "the first client's sockets are closed")
    before = len(relay.descriptors())
    clients = [(wire.connect_websocket(port), backend.accept()) for _ in range(200)]
    assert relay.sockets() >= 400, f"{relay.sockets()} sockets with 200 clients"
    deadline = time.monotonic() + seconds
    for client, _ in clients:
        leave(client)
    rest = max(0.1, deadline - time.monotonic())
    eventually(lambda: relay.sockets() <= idle, "all sockets of clients are closed", rest)
    # Pipes that wait for their next use may stay; what a client brought may not.
    assert len(relay.descriptors()) <= before + 40, relay.descriptors()
    for _, other in clients:
        try:
            other.expect_end()
        except ConnectionResetError:
            pass


@case("200 clients leave by FIN without Close: both descriptors gone within 5 s", timeout=60)
def descriptors_after_fin():
    two_hundred(wire.Wire.close, 5)


@case("200 clients leave by RST: both descriptors gone within 5 s", timeout=60)
def descriptors_after_reset():
    two_hundred(wire.Wire.reset, 5)


@case("200 clients half-close TCP without Close and stay: both descriptors gone within 5 s", timeout=60)
def descriptors_after_half_close():
    two_hundred(wire.Wire.finish, 5)


@case("200 clients send Close with a code: all gone within the linger time", timeout=60)
def descriptors_after_close_with_a_code():
    two_hundred(lambda client: (client.send(wire.CLOSE, wire.close_body(1000)), client.finish()), 5)


@case("200 clients send Close without a code: all gone within the linger time", timeout=60)
def descriptors_after_close_without_a_code():
    two_hundred(lambda client: client.send(wire.CLOSE), 5)


@case("a client that never reads does not make the relay grow", timeout=60)
def slow_reader_bounds_memory():
    backend = IdleBackend()
    relay = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    silent = wire.connect_websocket(relay.port())
    source = backend.accept().sock
    source.settimeout(1)
    sent = 0
    try:
        while sent < 1 << 28:
            sent += source.send(LARGE)
    except TimeoutError:
        pass
    assert sent < 1 << 28, "everything was taken although nobody reads"
    with open(f"/proc/{relay.pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident < 64 * 1024, f"{resident} KiB resident"
    silent.close()
