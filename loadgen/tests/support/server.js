// Node's own HTTP server for the tests: `node server.js PORT FILE`. It counts requests and the
// bytes of its sockets, and on SIGTERM writes them to FILE when the last socket is gone.
'use strict';

const fs = require('fs');
const http = require('http');

const [port, file] = process.argv.slice(2);
const counted = { requests: 0, connections: 0, rx_bytes: 0, tx_bytes: 0 };
const body = { '/1k': Buffer.alloc(1024, 'k'), '/1m': Buffer.alloc(1024 * 1024, 'm') };
const part = Buffer.alloc(7000, 'c');

function answer(request, response) {
  counted.requests += 1;
  const found = body[request.url];
  if (found) {
    response.writeHead(200, { 'Content-Length': found.length });
    response.end(request.method === 'HEAD' ? undefined : found);
  } else if (request.url === '/chunked') {
    for (let i = 0; i < 10; i += 1) response.write(part);
    response.end();
  } else if (request.url === '/304') {
    response.writeHead(304, { ETag: '"a"' });
    response.end();
  } else if (request.url === '/echo') {
    // What was sent is not looked at, only awaited.
    request.on('end', () => response.end('read')).resume();
  } else {
    response.writeHead(404, { 'Content-Length': 9 });
    response.end(request.method === 'HEAD' ? undefined : 'not found');
  }
}

const server = http.createServer(answer);
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.on('connection', (socket) => {
  socket.on('close', () => {
    // The test's own look whether somebody listens carries nothing.
    if (socket.bytesRead > 0) counted.connections += 1;
    counted.rx_bytes += socket.bytesRead;
    counted.tx_bytes += socket.bytesWritten;
  });
});
server.listen(Number(port), '127.0.0.1');

process.on('SIGTERM', () => {
  // The server is closed a moment before its last socket says so.
  const write = () => fs.writeFileSync(file, JSON.stringify(counted));
  server.close(() => setTimeout(write, 50));
  server.closeIdleConnections();
});
