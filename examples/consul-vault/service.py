#!/usr/bin/python3
"""A service of this example: says its name and port, and which key it was shown.

  service.py NAME PORT
"""

import http.server
import sys

name, port = sys.argv[1], int(sys.argv[2])


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{name} at port {port}, shown the key {self.headers.get('x-api-key', '(none)')}\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("127.0.0.1", port), Service).serve_forever()
