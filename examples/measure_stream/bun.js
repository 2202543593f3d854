// Bun's own publish/subscribe, as a server to compare with. Like the others, it reads frames from standard input, each
// with its length in front, and sends each one to all clients.

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    if (!server.upgrade(request)) {
      return new Response("expected a WebSocket", { status: 426 });
    }
  },
  websocket: {
    idleTimeout: 0,
    open(socket) {
      socket.subscribe("all");
    },
    message() {},
  },
});
console.log(`bun/127.0.0.1:${server.port}`);

let input = Buffer.alloc(0);
for await (const chunk of Bun.stdin.stream()) {
  input = Buffer.concat([input, chunk]);
  while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
    const end = 2 + input.readUInt16BE(0);
    const frame = input.subarray(2, end);
    // The frames include their WebSocket header; Bun writes its own.
    server.publish("all", frame.toString("utf8", frame.indexOf("{")));
    input = input.subarray(end);
  }
}
process.exit(0);
