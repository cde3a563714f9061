"""A receiver of webhooks: verifies with the package `standardwebhooks`, writes down what came, then
answers as its path says. Arguments: port, log file, secrets."""

import http.server
import json
import sys
import threading
import time

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, log, secrets = int(sys.argv[1]), open(sys.argv[2], "a"), sys.argv[3:]
lock = threading.Lock()


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {
            "path": self.path,
            "id": headers.get("webhook-id"),
            "verified": [verifies(secret, body, headers) for secret in secrets],
            "body": json.loads(body),
        }
        with lock:
            log.write(json.dumps(line) + "\n")
            log.flush()
        if self.path == "/slow":
            time.sleep(600)
        status = {"/gone": 410, "/fails": 500}.get(self.path, 200)
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        # The server was killed, or did not wait: tests do that.
        pass


Server(("127.0.0.1", port), Receiver).serve_forever()
