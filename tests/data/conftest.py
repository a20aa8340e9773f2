"""A server on this machine, for tests of downloads."""

from __future__ import annotations

import http.server
import threading

import pytest


@pytest.fixture
def serve(monkeypatch):
    """Answer requests by ``answer(name)``, the bytes of a file; have `url`, count `requests`."""
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests += 1
                content = answer(self.path.lstrip("/"))
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        server.requests, server.url = 0, f"http://127.0.0.1:{server.server_port}/"
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
