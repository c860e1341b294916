"""A headless Chromium: a page that it loads over HTTP opens WebSockets to the program."""

import os
import re

from harness import Server, TERM, case
from peers import IdleBackend
from programs import Chromium

NEEDS = ("chromium", "chromedriver")
LIMIT = 90.0  # starting a browser on a busy machine


def closes(server_url, arguments):
    return f"await open({server_url!r}); socket.close({arguments}); return await socket.closed;"


@case("a page echoes text, binary and 200,000 bytes through ws-l: and closes with a code: clean", LIMIT, NEEDS)
def chromium_echoes():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    browser = Chromium()
    browser.run(f"await open({server.url!r});")
    got = browser.run("""
        const sent = Uint8Array.from({ length: 200000 }, (_, i) => i * 7 % 251), long = "ü".repeat(100000);
        const same = (left, right) => left.every((byte, i) => byte === right[i]);
        const result = [];
        for (const data of ["hello", "", "ünïcödé", new Uint8Array([0, 255]).buffer, sent.buffer, long]) {
          socket.send(data);
          const back = await message();
          result.push(typeof data === "string" ? back === data
            : back.byteLength === data.byteLength && same(new Uint8Array(back), new Uint8Array(data)));
        }
        socket.close(4000, "page is done");
        return [result, await socket.closed];
    """)
    assert got[0] == [True] * 6, got
    assert got[1]["code"] == 4000 and got[1]["clean"], got
    # The same in what the page shows.
    assert browser.text("#state").startswith("closed 4000 ") and browser.text("#state").endswith(" clean")
    assert "binary 200000" in browser.text("#log")


@case("a page and `websocat -s PORT`: lines go both ways; the next page load is served, too", LIMIT, NEEDS)
def chromium_and_prompt():
    server = Server("-s", "0", "--allow-origin", "*")
    browser = Chromium()
    for number in (b"first", b"second"):
        text = f"{number.decode()} from the page"
        browser.run(f"await open({server.url!r}); socket.send({text!r});")
        server.stdout.wait(text.encode() + rb"\n")
        server.send(number + b" from the prompt\n")
        assert browser.run("return await message();") == f"{number.decode()} from the prompt"
        end = browser.run("socket.close(1000, 'bye'); return await socket.closed;")
        assert (end["code"], end["clean"]) == (1000, True), end
    assert server.running()


@case("each way for a page to close gives a clean close event, with an idle back end", LIMIT, NEEDS)
def chromium_closes():
    server = Server("-b", "ws-l:127.0.0.1:0", IdleBackend().tcp)
    browser = Chromium()
    for arguments, code in (("", 1005), ("1000", 1000), ("4999, 'last'", 4999)):
        end = browser.run(closes(server.url, arguments))
        assert end["code"] == code and end["clean"], (arguments, end)


@case("a page without a code closes `-s` and mirror: with 1005, clean", LIMIT, NEEDS)
def chromium_closes_without_a_code():
    servers = Server("-s", "0", "--allow-origin", "*"), Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    browser = Chromium()
    for server in servers:
        end = browser.run(closes(server.url, ""))
        assert end["code"] == 1005 and end["clean"], end


@case("ends from our side: 1000 from an ended back end, 1001 from a stopped server, each clean", LIMIT, NEEDS)
def chromium_sees_the_end():
    backend = IdleBackend()
    server = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    browser = Chromium()
    browser.run(f"await open({server.url!r});")
    other = backend.accept()
    other.sock.sendall(b"last words")
    other.close()
    end = browser.run("const last = await message(); return [last.byteLength, await socket.closed];")
    assert end[0] == 10 and (end[1]["code"], end[1]["clean"]) == (1000, True), end

    browser.run(f"await open({server.url!r});")
    server.signal(TERM)
    end = browser.run("return await socket.closed;")
    assert (end["code"], end["clean"]) == (1001, True), end
    server.expect(0)


@case("the subprotocol a page asks for is answered, and Chromium's offer of compression accepted", LIMIT, NEEDS)
def chromium_subprotocol():
    server = Server("-b", "--server-protocol", "chat", "ws-l:127.0.0.1:0", "mirror:")
    browser = Chromium()
    got = browser.run(f"return [await open({server.url!r}, ['other', 'chat']), socket.extensions];")
    assert got[0] == "chat" and got[1].startswith("permessage-deflate"), got
    refused = browser.run(f"return await open({server.url!r}, ['other']).then(() => 'open', () => 'refused');")
    assert refused == "refused", refused


@case("a page is reloaded without closing: the back end sees the end", LIMIT, NEEDS)
def chromium_reloads():
    backend = IdleBackend()
    server = Server("-b", "ws-l:127.0.0.1:0", backend.tcp)
    browser = Chromium()
    browser.run(f"await open({server.url!r}); socket.send('x');")
    other = backend.accept()
    assert other.read_exactly(1) == b"x"
    browser.run("location.reload();")
    other.expect_end()


@case("50 WebSockets of one page at a time", LIMIT, NEEDS)
def chromium_many():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    browser = Chromium()
    got = browser.run(f"""
        const echo = (text) => new Promise((done, fail) => {{
          const ws = new WebSocket({server.url!r});
          ws.onopen = () => ws.send(text);
          ws.onmessage = ({{ data }}) => {{ ws.close(1000); ws.text = data; }};
          ws.onclose = ({{ wasClean, code }}) => done(wasClean && code === 1000 && ws.text === text);
        }});
        return await Promise.all(Array.from({{ length: 50 }}, (_, i) => echo(`number ${{i}}`)));
    """)
    assert got == [True] * 50, got


@case("a page that asks over HTTP instead gets a refusal with a reason", LIMIT, NEEDS)
def chromium_visits_by_http():
    server = Server("-b", "ws-l:127.0.0.1:0", "mirror:")
    browser = Chromium()
    browser.visit(f"http://127.0.0.1:{server.port()}/")
    assert "websocket" in browser.text("body").lower()


@case("a page talks to a command behind ws-l:; the end of the command is 1000, clean", LIMIT, NEEDS)
def chromium_runs_a_command():
    browser = Chromium()
    server = Server("-b", "ws-l:127.0.0.1:0", "cmd:head -c 5 | tr a-z A-Z", "--allow-origin", browser.origin)
    got = browser.run(f"""
        await open({server.url!r});
        socket.send("hello");
        const data = await message();
        return [new TextDecoder().decode(data), await socket.closed];
    """)
    assert got[0] == "HELLO" and got[1]["code"] == 1000 and got[1]["clean"], got


OPENS = "return await open(URL).then(() => 'open', () => 'refused');"


@case("a page of another origin does not reach a command, a file or the prompt, and the server says why", LIMIT, NEEDS)
def chromium_page_is_foreign():
    servers = [
        Server("-b", "ws-l:127.0.0.1:0", "cmd:echo reached; touch reached"),
        Server("-b", "ws-l:127.0.0.1:0", "appendfile:reached"),
        Server("-s", "0"),
        Server("-b", "ws-l:127.0.0.1:0", "mirror:", "--allow-origin", "https://example.org"),
    ]
    browser = Chromium()
    for server in servers:
        assert browser.run(OPENS.replace("URL", repr(server.url))) == "refused"
        server.stderr.wait(rb"403 .*--allow-origin.*" + re.escape(browser.origin.encode()))
    assert not os.path.exists("reached")


@case("the origin of a page is allowed by name, by `*`, and everywhere by default where nothing is exposed", LIMIT, NEEDS)
def chromium_page_is_allowed():
    browser = Chromium()
    for arguments in (
        ["cmd:cat", "--allow-origin", browser.origin],
        ["cmd:cat", "--allow-origin", "https://example.org", "--allow-origin", browser.origin],
        ["cmd:cat", "--allow-origin", "*"],
        ["mirror:"],
    ):
        server = Server("-b", "ws-l:127.0.0.1:0", *arguments)
        assert browser.run(OPENS.replace("URL", repr(server.url))) == "open", arguments
