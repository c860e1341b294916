"""One line on stderr for what went wrong: what, which address or file, errno or status text, first line of the body."""

import os
import ssl

from harness import Program, Server, case
from peers import RawServer, WebSocketServer, certificates, echo, free_port


@case("refused connection")
def message_for_refused_connection():
    port = free_port()
    client = Program(f"ws://127.0.0.1:{port}/")
    client.expect(14)
    client.expect_message(f"127.0.0.1:{port}", "refused")
    assert client.stdout.all() == b""


@case("unknown host", timeout=60)
def message_for_unknown_host():
    client = Program("ws://no-such-host.invalid/")
    client.expect(21, seconds=45)
    client.expect_message("no-such-host.invalid")


@case("HTTP 402 with a body")
def message_for_http_status():
    body = b"Please pay first\nThen we talk\n"
    head = b"HTTP/1.1 402 Payment Required\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
    server = RawServer(lambda peer: (peer.read_head(), peer.sock.sendall(head + body), peer.close()), websocket=False)
    client = Program(server.url)
    client.expect(5)
    client.expect_message("402", "Payment Required", "Please pay first", f"127.0.0.1:{server.port}")
    assert b"Then we talk" not in client.stderr.all()


@case("wrong subprotocol")
def message_for_wrong_subprotocol():
    server = RawServer(lambda peer: peer.accept(headers=[("Sec-WebSocket-Protocol", "other")]), websocket=False)
    client = Program("--protocol", "wanted", server.url)
    client.expect(6)
    client.expect_message("protocol", "other", f"127.0.0.1:{server.port}")


@case("bad certificate")
def message_for_bad_certificate():
    folder = certificates(".")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    server = WebSocketServer(echo, ssl=context)
    client = Program(server.url)
    client.expect(8)
    client.expect_message("127.0.0.1", "certificate")


@case("full disk as standard output")
def message_for_full_stdout():
    server = WebSocketServer(lambda ws: (ws.send("text"), list(ws)))
    client = Program(server.url, stdout=os.open("/dev/full", os.O_WRONLY))
    client.expect(25)
    client.expect_message("standard output", "no space left")


@case("full disk below writefile:")
def message_for_full_disk():
    program = Program("-b", "literal:text", "writefile:/dev/full")
    program.expect(25)
    program.expect_message("/dev/full", "no space left")


@case("taken port")
def message_for_taken_port():
    first = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    second = Program("-b", f"ws-l:127.0.0.1:{first.port()}", "mirror:")
    second.expect(24)
    second.expect_message(f"127.0.0.1:{first.port()}", "in use")


@case("child that does not start")
def message_for_child():
    program = Program("-b", "empty:", "exec:/no/such/program")
    program.expect(26)
    program.expect_message("/no/such/program", "no such file")
