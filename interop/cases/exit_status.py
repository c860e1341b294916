"""One case for each exit status of the table in README.md."""

import os
import pathlib
import socket
import ssl

import wire
from harness import INT, TERM, Program, Server, Skip, case, option_exists
from peers import BlackHole, RawServer, WebSocketServer, certificates, echo, free_port


def closing(code=None, reason=""):
    """A server that sends Close at once and takes the answer."""

    def serve(peer):
        peer.send(wire.CLOSE, wire.close_body(code, reason) if code else b"")
        peer.expect_close()

    return RawServer(serve)


def script(text):
    pathlib.Path("scenario.rhai").write_text(text)
    return Program("-x", "scenario.rhai")


# -- 0 -------------------------------------------------------------------
@case("0: our own input ended")
def own_input_ended():
    client = Program(WebSocketServer(echo).url, stdin=b"text\n")
    client.expect(0)


@case("0: Close 1000")
def close_1000():
    Program(closing(1000).url).expect(0)


@case("0: Close 1001")
def close_1001():
    Program(closing(1001).url).expect(0)


@case("0: Close without a code")
def close_without_code():
    Program(closing().url, stdin="null").expect(0)


@case("0: stdout is a closed pipe")
def closed_stdout_pipe():
    reader, writer = os.pipe()
    client = Program(WebSocketServer(lambda ws: [ws.send("line") for _ in range(10_000)]).url, stdout=writer)
    os.close(writer)
    os.close(reader)
    client.expect(0)


@case("0: --global-timeout-ms without force-exit")
def global_timeout():
    Program("--global-timeout-ms", "300", WebSocketServer(echo).url).expect(0)


# -- kept from Websocat 4 ------------------------------------------------
@case("1: --global-timeout-ms with force-exit")
def forced_global_timeout():
    Program("--global-timeout-ms", "300", "--global-timeout-force-exit", WebSocketServer(echo).url).expect(1)


@case("1: start failure, a script without a task")
def start_failure():
    script("1 + 1").expect(1)


@case("2: wrong usage")
def wrong_usage():
    Program("--no-such-option-zz", "ws://127.0.0.1:1/").expect(2)


def bad_frame(**frame):
    server = RawServer(lambda peer: (peer.send(**frame), peer.expect_close(1002)))
    Program(server.url).expect(3)
    server.result()


@case("3: reserved opcode")
def reserved_opcode():
    bad_frame(opcode=3)


@case("3: reserved bit")
def reserved_bit():
    bad_frame(opcode=wire.TEXT, first_byte=0xC1, payload=b"x")


@case("3: fragmented ping")
def fragmented_ping():
    bad_frame(opcode=wire.PING, fin=False)


@case("3: a server that masks")
def masked_by_the_server():
    bad_frame(opcode=wire.TEXT, mask=True, payload=b"x")


@case("3: ping over 125 bytes")
def long_ping():
    bad_frame(opcode=wire.PING, payload=b"x" * 126)


def refusing(reply):
    return RawServer(lambda peer: (peer.read_head(), peer.sock.sendall(reply), peer.close()), websocket=False)


@case("5: HTTP status other than 101")
def refused_by_status():
    Program(refusing(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").url).expect(5)


@case("6: wrong Sec-WebSocket-Accept")
def wrong_accept_key():
    server = RawServer(lambda peer: peer.accept(accept_key="AAAAAAAAAAAAAAAAAAAAAAAAAAA="), websocket=False)
    Program(server.url).expect(6)


@case("6: no Upgrade in the reply")
def no_upgrade_header():
    Program(RawServer(lambda peer: peer.accept(upgrade=None), websocket=False).url).expect(6)


@case("8: certificate of an unknown authority")
def untrusted_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = certificates(".")
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    server = WebSocketServer(echo, ssl=context)
    Program(server.url).expect(8)


@case("8: the peer does not speak TLS")
def peer_without_tls():
    def serve(peer):
        peer.sock.recv(1 << 16)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.close()

    server = RawServer(serve, websocket=False)
    Program(f"wss://127.0.0.1:{server.port}/").expect(8)


@case("14: connection refused")
def connection_refused():
    Program(f"ws://127.0.0.1:{free_port()}/").expect(14)


@case("20: a list without addresses")
def no_addresses():
    script("connect_tcp_race(#{race_interval_ms: 20}, [], |s| { dummy_task() })").expect(20)


@case("21: name lookup failed", timeout=60)
def unknown_name():
    Program("ws://no-such-host.invalid/").expect(21, seconds=45)


@case("21: name lookup failed, with --late-resolve", timeout=60)
def unknown_name_looked_up_late():
    Program("--late-resolve", "-b", "empty:", "tcp:no-such-host.invalid:80").expect(21, seconds=45)


@case("101: something else was written than the mock wants")
def mock_mismatch():
    Program("-b", "literal:other", "mock_stream_socket:W wanted").expect(101)


@case("101: the mock was not served to its end")
def mock_unfinished():
    Program("-b", "empty:", "mock_stream_socket:W wanted").expect(101)


# -- new -----------------------------------------------------------------
@case("22: connect timeout")
def connect_timeout():
    hole = BlackHole()
    Program("--connect-timeout", "300ms", f"ws://127.0.0.1:{hole.port}/").expect(22)


@case("23: the server does not answer the request for an upgrade")
def handshake_timeout():
    server = RawServer(lambda peer: peer.read_to_end(), websocket=False)
    Program("--handshake-timeout", "300ms", server.url).expect(23)


@case("23: the server does not answer the TLS hello")
def tls_handshake_timeout():
    server = RawServer(lambda peer: peer.read_to_end(), websocket=False)
    Program("--handshake-timeout", "300ms", f"wss://127.0.0.1:{server.port}/").expect(23)


@case("24: the port is taken")
def port_is_taken():
    listener = socket.create_server(("127.0.0.1", 0))
    Program("-b", f"ws-l:127.0.0.1:{listener.getsockname()[1]}", "mirror:").expect(24)


@case("24: the address is not ours")
def address_is_not_ours():
    Program("-b", "tcp-l:192.0.2.1:0", "mirror:").expect(24)


@case("25: missing file")
def missing_file():
    Program("-b", "readfile:no-such-file", "devnull:").expect(25)


@case("25: stdout is a full disk")
def stdout_is_full():
    server = WebSocketServer(lambda ws: (ws.send("text"), list(ws)))
    Program(server.url, stdout=os.open("/dev/full", os.O_WRONLY)).expect(25)


@case("26: the child does not start")
def child_does_not_start():
    Program("-b", "empty:", "exec:/no/such/program").expect(26)


@case("30: ws://, TCP ended without Close")
def ended_without_close():
    Program(RawServer(wire.Wire.close).url).expect(30)


@case("30: ws-c:, TCP ended without Close")
def ended_without_close_below_an_overlay():
    server = RawServer(wire.Wire.close)
    Program(f"ws-c:{server.tcp}").expect(30)


@case("30: ended in the middle of a message")
def ended_within_a_message():
    server = RawServer(lambda peer: (peer.send(wire.TEXT, b"half", fin=False), peer.close()))
    Program(server.url).expect(30)


@case("30: reset instead of Close")
def reset_without_close():
    server = RawServer(lambda peer: (peer.read_message(), peer.reset()))
    client = Program(server.url)
    client.send(b"hello\n")
    client.expect(30)


@case("0 for ws-ll-client: where the end of TCP is a clean end")
def low_level_end_without_close():
    server = RawServer(lambda peer: (peer.finish(), peer.read_to_end()), websocket=False)
    Program("-t", f"ws-ll-client:{server.tcp}", "stdio:", stdin="null").expect(0)


@case("31: other close codes")
def other_close_codes():
    for code in (1002, 1008, 1011, 3000, 4999):
        Program(closing(code, "because").url).expect(31)


@case("32: keepalive")
def keepalive_failed():
    if not option_exists("--ping-interval"):
        raise Skip("there is no --ping-interval yet; the status is reserved for it")
    silent = RawServer(lambda peer: peer.read_to_end())
    Program("--ping-interval", "1", "--ping-timeout", "1", silent.url).expect(32)


# -- signals, several sessions ---------------------------------------------
@case("128 + n: a client ended by SIGTERM")
def client_ended_by_sigterm():
    client_ended_by(TERM, 143)


@case("128 + n: a client ended by SIGINT")
def client_ended_by_sigint():
    client_ended_by(INT, 130)


def client_ended_by(number, status):
    server = WebSocketServer(echo)
    client = Program(server.url)
    client.send(b"ready\n")
    client.stdout.wait(rb"ready\n")
    client.signal(number)
    client.expect(status)


@case("0: a server that drained, whatever its sessions did")
def sessions_of_a_listener_never_count():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect_websocket(server.port())
    client.send(3)
    client.expect_close(1002)
    client.close()
    wire.connect_websocket(server.port()).reset()
    client = wire.connect_websocket(server.port())
    client.send(wire.CLOSE, wire.close_body(1011, "no"))
    client.expect_close()
    server.signal(TERM)
    server.expect(0)


@case("0: a listener whose back end cannot be reached, after its drain")
def unreachable_backend_of_a_listener():
    server = Server("-b", "ws-l:127.0.0.1:0", f"tcp:127.0.0.1:{free_port()}")
    try:
        client = wire.connect_websocket(server.port())
        client.read_to_end()
    except (AssertionError, EOFError, ConnectionError):
        pass  # refused before or after the handshake: both are answers
    server.signal(TERM)
    server.expect(0)


@case("the highest status among the top-level sessions", timeout=60)
def highest_status():
    refused = f'connect_tcp(#{{addr: "127.0.0.1:{free_port()}"}}, |s| {{ dummy_task() }})'
    unknown = 'lookup_host("no-such-host.invalid:80", |addrs| { dummy_task() })'
    script(f"sequential([{refused}, {unknown}, {refused}])").expect(21, seconds=45)
