// Echo server on the Node package `ws`, as its documentation has it, with message compression: `node echo.js PORT`.
"use strict";
const { WebSocketServer } = require("ws");

// One KiB, where it begins to compress by default, is included.
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: true });
server.on("connection", (ws) => ws.on("message", (data, binary) => ws.send(data, { binary })));
