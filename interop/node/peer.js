// A WebSocket of the package `ws`: `node peer.js client URL [PROTOCOL]` or `node peer.js server [echo] [PROTOCOL]`.
//
// Commands come as lines of JSON on standard input, {"do": "send", "text": …}; events go out the same way on standard
// output, {"event": "close", "code": …}. Large messages are reported by length and hash.
"use strict";
const crypto = require("crypto");
const readline = require("readline");
const WebSocket = require("ws");

const say = (event, details) => process.stdout.write(JSON.stringify({ event, ...details }) + "\n");
const [role, ...rest] = process.argv.slice(2);
let current = null;

function watch(ws, echo) {
  current = ws;
  ws.on("message", (data, binary) => {
    const hash = crypto.createHash("sha256").update(data).digest("hex");
    const short = data.length <= 1000;
    say("message", { binary, length: data.length, hash, ...(short && { hex: data.toString("hex") }) });
    if (echo) ws.send(data, { binary });
  });
  ws.on("ping", (data) => say("ping", { hex: data.toString("hex") }));
  ws.on("pong", (data) => say("pong", { hex: data.toString("hex") }));
  ws.on("error", (error) => say("error", { text: error.message }));
  ws.on("unexpected-response", (_, response) => say("refused", { status: response.statusCode }));
  // The interface that browsers have; it also says whether the closing handshake was complete.
  ws.addEventListener("close", ({ code, reason, wasClean }) => say("close", { code, reason, clean: wasClean }));
}

if (role === "client") {
  const ws = new WebSocket(rest[0], rest.slice(1));
  watch(ws, false);
  ws.on("open", () => say("open", { protocol: ws.protocol, extensions: ws.extensions }));
} else {
  const echo = rest[0] === "echo";
  const server = new WebSocket.Server({ host: "127.0.0.1", port: 0, perMessageDeflate: rest.includes("deflate") });
  server.on("listening", () => say("listening", { port: server.address().port }));
  server.on("connection", (ws, request) => {
    watch(ws, echo);
    say("open", { protocol: ws.protocol, extensions: ws.extensions, path: request.url });
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.do === "send") {
    const fill = command.repeat && Buffer.alloc(command.repeat, Buffer.from(command.hex, "hex"));
    current.send(fill || (command.text ?? Buffer.from(command.hex, "hex")), { binary: command.text === undefined });
  } else if (command.do === "ping") current.ping(command.data);
  else if (command.do === "close") command.code ? current.close(command.code, command.reason) : current.close();
  else if (command.do === "terminate") current.terminate();
});
