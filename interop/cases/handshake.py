"""Requests: headers, addresses, TLS."""

import os
import pathlib
import ssl
import subprocess

import wire
from harness import Program, Server, case
from peers import RawServer, WebSocketServer, certificates, echo


def request(*args):
    """First line and headers of the request that these arguments make; {} stands for the server's host and port."""

    def serve(peer):
        head = peer.accept()
        peer.send(wire.CLOSE, wire.close_body(1000))
        peer.expect_close()
        return head

    server = RawServer(serve, websocket=False)
    Program(*[arg.replace("{}", f"127.0.0.1:{server.port}") for arg in args]).expect(0)
    first, fields = server.result()
    return first, fields, f"127.0.0.1:{server.port}"


def values(fields, name):
    return [value for key, value in fields if key == name]


@case("-H before the URL")
def header_before_the_url():
    _, fields, _ = request("-H", "X: y", "ws://{}/")
    assert values(fields, "x") == ["y"]


@case("the same header twice")
def header_given_twice():
    _, fields, _ = request("-H", "X: one", "--header", "X: two", "ws://{}/")
    assert values(fields, "x") in (["one", "two"], ["one, two"]), fields


@case("one Host header, as written in the URL")
def one_host_header():
    first, fields, authority = request("ws://{}/path?q=1#fragment")
    assert first == "GET /path?q=1 HTTP/1.1", first
    assert values(fields, "host") == [authority]


@case("one Host header, the one of -H if there is one")
def host_header_replaced():
    _, fields, _ = request("-H", "Host: other.example", "ws://{}/")
    assert values(fields, "host") == ["other.example"], fields


@case("percent-encoding instead of failing")
def path_is_encoded():
    first, _, _ = request("ws://{}/a b/ü?x=ä")
    assert first == "GET /a%20b/%C3%BC?x=%C3%A4 HTTP/1.1", first


@case("user info becomes Basic authentication")
def user_info():
    _, fields, authority = request("ws://user:p%40ss@{}/")
    assert values(fields, "authorization") == ["Basic dXNlcjpwQHNz"], fields
    assert values(fields, "host") == [authority]


@case("the subprotocol asked for is taken")
def subprotocol():
    server = WebSocketServer(lambda ws: ws.send(ws.subprotocol), subprotocols=["chat"])
    client = Program("--protocol", "chat", server.url)
    client.expect(0)
    assert client.stdout.all() == b"chat\n"


@case("a server does not switch to an extension nobody offered, nor to one it does not know")
def no_extension():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    client = wire.connect(server.port())
    _, fields = client.upgrade(headers=[("Sec-WebSocket-Extensions", "permessage-deflate, x-unknown")])
    assert "x-unknown" not in str(values(fields, "sec-websocket-extensions"))


def secure_server():
    folder = certificates(".")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    return WebSocketServer(echo, ssl=context)


def echoes(*args, **options):
    client = Program(*args, stdin=b"over TLS\n", **options)
    client.expect(0)
    assert client.stdout.all() == b"over TLS\n"


@case("wss:// with the authority of SSL_CERT_FILE")
def authority_from_file():
    server = secure_server()
    echoes(server.url, env={"SSL_CERT_FILE": os.path.abspath("ca.pem")})
    echoes(f"wss://localhost:{server.port}/", env={"SSL_CERT_FILE": os.path.abspath("ca.pem")})


@case("wss:// with the authorities of SSL_CERT_DIR")
def authorities_from_folder():
    server = secure_server()
    pathlib.Path("authorities").mkdir()
    pathlib.Path("ca.pem").rename("authorities/ca.pem")
    subprocess.run(["openssl", "rehash", "authorities"], check=True)
    echoes(server.url, env={"SSL_CERT_DIR": os.path.abspath("authorities")})


@case("-k: the certificate is not checked")
def unchecked_certificate():
    echoes("-k", secure_server().url)


@case("--tls-domain is the name that is checked")
def checked_name():
    server = secure_server()
    trust = {"SSL_CERT_FILE": os.path.abspath("ca.pem")}
    echoes("--tls-domain", "localhost", server.url, env=trust)
    Program("--tls-domain", "other.example", server.url, env=trust).expect(8)


@case("the tls: overlay on TCP")
def tls_overlay():
    server = secure_server()
    trust = {"SSL_CERT_FILE": os.path.abspath("ca.pem")}
    echoes("-t", "--tls-domain", "localhost", f"ws-c:tls:tcp:127.0.0.1:{server.port}", "stdio:", env=trust)
