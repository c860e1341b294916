"""UDP against socat: as the client of a server, as a client of one bound socket, and as a relay from TCP."""

import socket
import subprocess
import sys

import websockets.sync.client as library

from harness import SOON, Program, Server, case
from peers import IdleBackend
from programs import Socat, start

NEEDS = ("socat",)
LISTEN = "TCP-LISTEN:0,bind=127.0.0.1,fork"


@case("socat says something to udp-server: and hears its own words", needs=NEEDS)
def udp_server_answers_socat():
    server = Server("-b", "udp-server:127.0.0.1:0", "mirror:")
    clients = [start("socat", "-t1", "-", f"UDP4:127.0.0.1:{server.port()}", stdin=b"words of %d\n" % number)
               for number in range(3)]
    for number, program in enumerate(clients):
        program.expect(0)
        assert program.stdout.all() == b"words of %d\n" % number


@case("what socat sends to udp-l: comes out line by line, and socat hears what is typed", needs=NEEDS)
def udp_listen_talks_to_socat():
    program = Server("udp-l:127.0.0.1:0")
    peer = start("socat", "-t1", "-", f"UDP4:127.0.0.1:{program.port()}", stdin=b"hello")
    program.stdout.wait(rb"hello\n")
    program.send(b"typed\n")
    peer.stdout.wait(rb"typed")


@case("TCP → socat → UDP → udp-server: → UDP → udp-server: and all the way back", needs=NEEDS)
def udp_relays_behind_socat():
    far = Server("-b", "udp-server:127.0.0.1:0", "mirror:")
    near = Server("-b", "udp-server:127.0.0.1:0", f"udp:127.0.0.1:{far.port()}")
    relay = Socat(LISTEN, f"UDP4:127.0.0.1:{near.port()}")
    for number in range(3):
        with socket.create_connection(("127.0.0.1", relay.port), 8) as client:
            client.settimeout(8)
            for size in (1, 1000, 4000):
                data = bytes([number]) * size
                client.sendall(data)
                taken = b""
                while len(taken) < size:
                    taken += client.recv(size)
                assert taken == data


@case("WebSocket messages become datagrams and come back as messages, the long ones too")
def udp_behind_a_websocket():
    far = Server("-b", "udp-server:127.0.0.1:0", "mirror:", "--udp-max-send-datagram-size", "65507")
    server = Server("-b", "ws-l:127.0.0.1:0", f"udp:127.0.0.1:{far.port()}", "--udp-max-send-datagram-size", "65507")
    ws = library.connect(server.url)
    for message in (b"a", b"", b"x" * 1400, b"y" * 65507):
        ws.send(message)
        assert ws.recv(8) == message
    ws.close(1000)
    assert ws.close_code == 1000


@case("nobody hears udp: the second message says so, with the status of a transfer that failed")
def udp_is_refused():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    program = Program("-t", "-", f"udp:127.0.0.1:{port}")
    program.send(b"one\n")
    program.send(b"two\n")
    program.send(b"three\n")
    program.expect(27)
    assert b"refused" in program.stderr.all()


FLOOD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
while True:
    try:
        sock.send(bytes(100))
    except OSError:
        pass
"""


@case("the only client of udp-server: gets on with its session while it sends without pause, and so do others")
def only_client_sends_without_pause():
    backend = IdleBackend()
    server = Server("-b", "--oneshot", "udp-server:127.0.0.1:0", f"chunks:{backend.tcp}")
    flood = [subprocess.Popen([sys.executable, "-c", FLOOD, str(server.port())]) for _ in range(2)]
    try:
        sock = backend.accept().sock
        sock.settimeout(SOON)
        taken = 0
        while taken < 5_000_000:
            taken += len(sock.recv(1 << 20))
    finally:
        for program in flood:
            program.kill()
            program.wait()
