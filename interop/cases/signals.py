"""SIGTERM and SIGINT, also for process 1: stop accepting, Close 1001, drain, exit; a second signal ends at once."""

import socket
import subprocess

import wire
from harness import INT, TERM, Program, Server, Skip, case, eventually
from peers import BlackHole, IdleBackend, RawServer


def namespaces_or_skip():
    tried = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    if tried.returncode:
        raise Skip(f"PID namespaces are not permitted here: {tried.stderr.strip()}")


def refuses(port):
    try:
        wire.connect(port).close()
        return False
    except ConnectionResetError:  # the listener was being closed at that moment
        return False
    except ConnectionRefusedError:
        return True


def server_drains(number, **options):
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:", **options)
    port = server.port()
    client = wire.connect_websocket(port)
    client.send(wire.BINARY, b"ready")
    assert client.read_message() == b"ready"
    server.signal(number)
    client.expect_close(1001)
    eventually(lambda: refuses(port), "new connections are refused")
    assert server.running(), "it did not wait for the client's Close"
    client.send(wire.CLOSE, wire.close_body(1001))
    client.expect_end()
    server.expect(0)


@case("server, SIGTERM: no new connections, Close 1001, waits for the answers, status 0")
def server_gets_sigterm():
    server_drains(TERM)


@case("server, SIGINT: the same")
def server_gets_sigint():
    server_drains(INT)


@case("server as process 1, SIGTERM: the same")
def first_process_gets_sigterm():
    namespaces_or_skip()
    server_drains(TERM, pid1=True)


@case("server as process 1, SIGINT: the same")
def first_process_gets_sigint():
    namespaces_or_skip()
    server_drains(INT, pid1=True)


@case("idle server as process 1 ends by SIGTERM before its first client")
def first_process_without_clients():
    namespaces_or_skip()
    server = Server("-s", "0", pid1=True)
    server.port()
    server.signal(TERM)
    server.expect(0)


@case("server with a back end: the client gets Close 1001 and the back end its end")
def relay_gets_sigterm():
    backend = IdleBackend()
    server = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    client = wire.connect_websocket(server.port())
    other = backend.accept()
    server.signal(TERM)
    client.expect_close(1001)
    client.send(wire.CLOSE, wire.close_body(1001))
    client.expect_end()
    other.expect_end()
    server.expect(0)


@case("a second signal ends at once")
def second_signal():
    server = Server("-b", "--drain", "inf", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect_websocket(server.port())
    client.send(wire.BINARY, b"ready")
    client.read_message()
    server.signal(TERM)
    client.expect_close(1001)
    server.signal(TERM)
    server.status()


@case("--drain bounds the wait for clients that do not answer")
def bounded_drain():
    server = Server("-b", "--drain", "500ms", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect_websocket(server.port())
    client.send(wire.BINARY, b"ready")
    client.read_message()
    server.signal(TERM)
    client.expect_close(1001)
    server.expect(0)


def client_leaves(number, status, **options):
    def serve(peer):
        peer.send(wire.TEXT, b"ready")
        peer.expect_close(1001)
        peer.send(wire.CLOSE, wire.close_body(1001))
        peer.expect_end()

    server = RawServer(serve)
    client = Program(server.url, **options)
    client.stdout.wait(rb"ready\n")
    client.signal(number)
    client.expect(status)
    server.result()


@case("client, SIGTERM: Close 1001, status 143")
def client_gets_sigterm():
    client_leaves(TERM, 143)


@case("client, SIGINT: Close 1001, status 130")
def client_gets_sigint():
    client_leaves(INT, 130)


@case("client as process 1, SIGTERM: Close 1001, status 143")
def first_process_client_gets_sigterm():
    namespaces_or_skip()
    client_leaves(TERM, 143, pid1=True)


def drains_without(*stack, request=b""):
    server = Server("-b", "--drain", "inf", *stack)
    idle = server.sockets()
    client = wire.connect(server.port())
    client.sock.sendall(request)
    eventually(lambda: server.sockets() != idle, "the connection is accepted")
    server.signal(TERM)
    server.expect(0)


@case("server, SIGTERM: a session that still connects is not waited for")
def connecting_session_is_not_waited_for():
    drains_without("tcp-l:127.0.0.1:0", f"tcp:127.0.0.1:{BlackHole().port}")


@case("server, SIGTERM: a request that does not come to its end is waited for a second")
def unfinished_request_is_not_waited_for():
    drains_without("--handshake-timeout", "inf", "ws-l:127.0.0.1:0", "mirror:", request=b"GET / HTTP/1.1\r\nHo")


@case("client, a signal before the connection is there: ends at once, 128 + its number")
def signal_while_connecting():
    server = RawServer(lambda peer: peer.read_head() and peer.read_to_end(), websocket=False)
    client = Program(server.url)
    while not server.accepted and client.running():
        pass
    client.signal(TERM)
    client.expect(143)


@case("a script that never comes to its end is ended by a signal")
def endless_script():
    with open("endless.rhai", "w") as file:
        file.write('print_stdout("started\\n"); loop {}')
    script = Program("-x", "endless.rhai")
    script.stdout.wait(b"started")
    script.signal(TERM)
    script.expect(143)


def transfer_goes_on(server, port):
    client = wire.connect(port)
    client.sock.sendall(b"before")
    assert client.read_exactly(6) == b"before"
    server.signal(TERM)
    eventually(lambda: refuses(port), "new connections are refused")
    client.sock.sendall(b"after")
    assert client.read_exactly(5) == b"after"
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_end()
    server.expect(0)


@case("server, SIGTERM: a copy that a script makes has the time of --drain")
def copying_session_is_waited_for():
    with open("copy.rhai", "w") as file:
        file.write("""listen_tcp(#{addr: "127.0.0.1:0", autospawn: true},
            |addr| { print_stdout("port " + addr.get_port() + "\\n"); dummy_task() },
            |tcp, from| copy_bytes(100, take_read_part(tcp), take_write_part(tcp)))""")
    server = Program("--drain", "1m", "-x", "copy.rhai")
    found = server.stdout.wait(rb"port (\d+)\n")
    transfer_goes_on(server, int(found[1]))


@case("server, SIGTERM: a child that was given the connection has the time of --drain")
def child_with_the_connection_is_waited_for():
    server = Server("-b", "--drain", "1m", "--exec-dup2", "0,1", "tcp-l:127.0.0.1:0", "cmd:cat")
    transfer_goes_on(server, server.port())
