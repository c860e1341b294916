"""Hosts of their own, with links between that lose, delay or narrow what they carry: everything arrives whole.

What the ends see of a connection that one of them ends is in forwarder.py.
"""

import socket
import threading

import hosts
from harness import Server, case, eventually

LARGE = bytes(range(256)) * 16384
HOSTS = ("ip", "nft")


def read_all(sock, count=None):
    """Up to the end, or so many bytes."""
    parts, left = [], count
    while left is None or left > 0:
        part = sock.recv(262144)
        if not part:
            break
        parts.append(part)
        left = left if left is None else left - len(part)
    return b"".join(parts)


class Backend:
    """Takes one connection on a host, says LARGE reversed while it reads up to the end, and ends."""

    def __init__(self, host):
        self.listener = host.listen()
        self.listener.settimeout(60)
        self.address = self.listener.getsockname()
        self.got = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        sock, _ = self.listener.accept()
        sock.settimeout(60)
        sender = threading.Thread(target=sock.sendall, args=(LARGE[::-1],), daemon=True)
        sender.start()
        self.got = read_all(sock)
        sender.join()
        sock.close()

    def check(self):
        self.thread.join(60)
        assert self.got == LARGE, f"{len(self.got or b'')} bytes of {len(LARGE)}, or others"


def exchange(sock):
    """LARGE both ways at once, each with its end."""
    sock.settimeout(60)

    def send():
        sock.sendall(LARGE)
        sock.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    assert read_all(sock) == LARGE[::-1]
    sock.close()


@case("tcp-l: → tcp: between hosts whose links lose 3 % each way: 4 MiB both ways arrive whole", 90, needs=HOSTS)
def forwards_over_lossy_links():
    hosts.enter()
    client, server = hosts.Host(), hosts.Host()
    client.lose(3)
    server.lose(3)
    backend = Backend(server)
    forwarder = Server("-b", f"tcp-l:{client.router}:0", f"tcp:{backend.address[0]}:{backend.address[1]}")
    exchange(client.connect((client.router, forwarder.port())))
    backend.check()


@case("a tunnel tcp → ws → tcp whose link loses 3 % each way: 4 MiB both ways arrive whole", 90, needs=HOSTS)
def tunnels_over_a_lossy_link():
    hosts.enter()
    server = hosts.Host()
    server.lose(3)
    backend = Backend(server)
    far = server(Server, "-b", f"ws-l:{server.address}:0", f"tcp:{backend.address[0]}:{backend.address[1]}")
    near = Server("-b", "tcp-l:127.0.0.1:0", f"ws://{server.address}:{far.port()}/")
    exchange(socket.create_connection(("127.0.0.1", near.port())))
    backend.check()


@case("tcp-l: → tcp: with a back end 150 ms away each way: 4 MiB both ways arrive whole", 60, needs=("ip",))
def forwards_to_a_distant_host():
    hosts.enter()
    client, server = hosts.Host(), hosts.Host()
    backend = Backend(server)
    relay = hosts.Relay(server, backend.address, 0.15)
    forwarder = Server("-b", f"tcp-l:{client.router}:0", f"tcp:{server.address}:{relay.port}")
    exchange(client.connect((client.router, forwarder.port())))
    backend.check()


@case("tcp-l: → tcp: to a client on a line of 20 Mbit/s that drops what is too much: 4 MiB both ways arrive whole", 90,
      needs=("ip", "tc"))
def forwards_over_a_narrow_link():
    hosts.enter()
    client, server = hosts.Host(), hosts.Host()
    client.limit("20mbit")
    hosts.run("tc", *f"qdisc add dev {client.interface} root tbf rate 20mbit burst 16k latency 50ms".split())
    backend = Backend(server)
    forwarder = Server("-b", f"tcp-l:{client.router}:0", f"tcp:{backend.address[0]}:{backend.address[1]}")
    exchange(client.connect((client.router, forwarder.port())))
    backend.check()


@case("a WebSocket peer that vanishes is found by pings: its TCP side gets a reset, nothing stays open", 40,
      needs=("ip",))
def vanished_websocket_peer():
    hosts.enter()
    server = hosts.Host()
    backend = Backend(server)
    far = server(Server, "-b", f"ws-l:{server.address}:0", f"tcp:{backend.address[0]}:{backend.address[1]}")
    near = Server("-b", "tcp-l:127.0.0.1:0", f"ws://{server.address}:{far.port()}/", "--ping-interval", "500ms",
                  "--ping-timeout", "1s")
    port, idle = near.port(), near.sockets()
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(20)
    assert read_all(client, len(LARGE)) == LARGE[::-1]
    server.vanish()
    try:
        end = client.recv(1)
        raise AssertionError(f"{end!r} instead of a reset")
    except ConnectionResetError:
        pass
    client.close()
    eventually(lambda: near.sockets() <= idle, "its sockets are closed")
