"""Several sockets as one, between real peers: joined, filtered, shared, handed on by name."""

import queue
import tempfile

import wire
from harness import Program, Server, case
from peers import IdleBackend, RawServer, WebSocketServer


class Chat:
    """A WebSocket server whose messages the case gives and takes one by one."""

    def __init__(self):
        self.got, self.say = queue.Queue(), queue.Queue()
        self.server = WebSocketServer(self._serve)
        self.url = self.server.url

    def _serve(self, ws):
        while True:
            text = self.say.get(timeout=60)
            if text is None:
                return  # closes with code 1000
            if text:
                ws.send(text)
            else:
                self.got.put(ws.recv(timeout=60))

    def hears(self, text):
        self.say.put("")
        assert self.got.get(timeout=60) == text


@case("tee: two WebSocket servers get the same text, and both are heard")
def tee_of_two_websockets():
    one, two = Chat(), Chat()
    program = Program("-t", "-", one.url, "--tee", two.url)
    program.send(b"hello both\n")
    one.hears("hello both")
    two.hears("hello both")
    two.say.put("from two")
    program.stdout.wait(rb"from two\n")
    one.say.put("from one")
    program.stdout.wait(rb"from two\nfrom one\n")
    # One that leaves is left out.
    two.say.put(None)
    two.server.result()
    program.send(b"still there\n")
    one.hears("still there")
    one.say.put(None)
    program.expect(0)


@case("tee: a peer that reads nothing does not keep the others from what was said before, nor us from reading")
def tee_with_a_stuck_peer():
    block = bytes(range(256)) * 4096
    got = queue.Queue()

    def serve(peer):
        for _ in range(16):
            assert peer.read_exactly(len(block)) == block
            got.put(True)
        return peer.read_to_end()

    stuck, backend = IdleBackend(), RawServer(serve, websocket=False)
    program = Program("-b", "--tee-slow", "drop-oldest", "--tee-backlog", "2m", "-", backend.tcp, "--tee", stuck.tcp)
    peer = stuck.accept()
    for _ in range(16):
        program.send(block)
        got.get(timeout=60)
    peer.sock.sendall(b"I still talk")
    program.stdout.wait(rb"I still talk")
    program.close_stdin()
    peer.close()
    assert backend.result() == b""


@case("filters: what comes and what is typed pass through programs")
def filters_of_programs():
    chat = Chat()
    program = Program("--filter", "cmd:sed -u s/^/in-/", "--filter-reverse", "cmd:sed -u s/^/out-/", "-t", chat.url)
    program.send(b"one\n")
    chat.hears("out-one")
    chat.say.put("two")
    program.stdout.wait(rb"^in-two\n$")
    program.close_stdin()
    chat.say.put("late")
    program.stdout.wait(rb"in-late\n")
    chat.say.put(None)
    program.expect(0)


@case("filters: the server closes, what the filter still has comes out")
def filter_that_sorts():
    server = WebSocketServer(lambda ws: [ws.send(text) for text in ("c", "a", "b")])
    program = Program("--filter", "cmd:sort", "-t", server.url)
    assert program.stdout.all() == b"a\nb\nc\n"
    program.expect(0)


@case("filters: one that never answers Close is not waited for as if it were silent")
def filter_that_ignores_close():
    def serve(peer):
        frame = peer.read()
        assert (frame.opcode, frame.payload) == (0x1, b"said"), frame
        peer.send(0x1, b"filtered")
        peer.expect_close(1000)
        return peer.expect_end()

    chat, deaf = Chat(), RawServer(serve)
    program = Program("--filter", deaf.url, "-t", "--ping-timeout", "inf", chat.url)
    chat.say.put("said")
    program.stdout.wait(rb"^filtered\n$")
    chat.say.put(None)
    program.expect(0)
    deaf.result()


@case("write-splitoff: a WebSocket that is only read from stays open, and its pings are answered")
def write_splitoff_of_a_websocket():
    def serve(peer):
        peer.send(0x1, b"before")
        peer.send(0x9, b"ping")
        frame = peer.read()
        assert (frame.opcode, frame.payload) == (0xA, b"ping"), frame
        peer.send(0x1, b"after")
        peer.send(0x8, wire.close_body(1000))
        peer.expect_close(1000)

    server = RawServer(serve)
    with tempfile.NamedTemporaryFile() as file:
        program = Program("-t", "-", server.url, "--write-splitoff", f"appendfile:{file.name}")
        program.send(b"for the file\n")
        program.stdout.wait(rb"^before\nafter\n$")
        server.result()
        program.close_stdin()
        program.expect(0)
        assert file.read() == b"for the file\n"


@case("shared standard output: clients that leave midway, with and without leave to tear")
def torn_messages_of_clients():
    for option in ([], ["--reuser-tolerate-torn-msgs"]):
        server = Server("-t", *option, "ws-l:127.0.0.1:0")
        first = wire.connect_websocket(server.port())
        first.send(0x1, b"half", fin=False)
        # It is on its way when the answer to the ping has come.
        first.send(0x9, b"?")
        assert first.read().opcode == 0xA
        first.reset()
        second = wire.connect_websocket(server.port())
        second.send(0x1, b"whole")
        if option:
            server.stdout.wait(rb"half\nwhole\n")
        else:
            server.stderr.wait(rb"--reuser-tolerate-torn-msgs")
            second.expect_close(1011)
            assert b"whole" not in server.stdout.data


@case("registry: TCP clients reach a part of the same program by name")
def registry_between_parts():
    script = """
    parallel([
      listen_registry_stream(#{addr: "echo", autospawn: true}, |s| exchange_bytes(#{}, s, bytemirror_socket(#{max_buf_size: 100}))),
      listen_tcp(#{addr: "127.0.0.1:0", autospawn: true}, |addr| {
        print_stdout("LISTEN proto=tcp,ip=" + addr.get_ip() + ",port=" + str(addr.get_port()) + "\\n");
        dummy_task()
      }, |tcp, from| connect_registry_stream(#{addr: "echo", max_buf_size: 1000}, |s| exchange_bytes(#{}, tcp, s))),
    ])"""
    with tempfile.NamedTemporaryFile("w", suffix=".rhai") as file:
        file.write(script)
        file.flush()
        program = Program("-x", file.name)
        clients = [wire.connect(program.port()) for _ in range(20)]
        for i, client in enumerate(clients):
            client.sock.sendall(b"client %d" % i)
            client.finish()
        for i, client in enumerate(clients):
            assert client.read_to_end() == b"client %d" % i
        program.process.terminate()
        program.expect(0)


@case("registry: with -v it is said that nobody listens")
def registry_without_a_listener():
    program = Program("-v", "-b", "registry-stream-connect:nobody", "mirror:")
    program.stderr.wait(rb"registry-stream-connect:nobody: nobody listens")
    assert program.running()
    program.process.terminate()
    program.expect(143)
