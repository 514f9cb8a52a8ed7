#!/usr/bin/python3 -B
"""Joins anything that speaks HTTP to the bridge, both ways."""

import hmac, http.client, json
from urllib.parse import urlsplit

import connector_pb2 as pb
import parley

MAX_TEXT = 64 << 10  # bytes

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["url", "token"],
    "properties": {
        "url": {"type": "string", "pattern": "^https?://", "description": "where messages are posted",
                "examples": ["http://127.0.0.1:9000/"]},
        "token": {"type": "string", "minLength": 16, "writeOnly": True,
                  "description": "a secret of 16 characters or more that both sides send"},
    },
}


class Hook:
    def describe(self):
        return pb.Description(
            network="webhook", version="1", schemes=["hook"], kinds=["message"], types=["text/plain"],
            max_bytes=MAX_TEXT, http=True, public=["/in"], settings_schema=json.dumps(SCHEMA))

    def open(self, settings, host):
        self.url, self.token = urlsplit(settings["url"]), settings["token"]
        hook = self

        class In(parley.Handler):
            def do_POST(self):
                status, words = hook.come_in(host, self)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.end_headers()
                self.wfile.write(words.encode("utf-8", "replace"))

        host.serve_http(In)

    def close(self):
        pass

    def deliver(self, d):
        """Posts a message. The first of a conversation names its thread."""
        if d.content.ref or len(d.content.data) > MAX_TEXT:
            raise parley.Permanent(f"longer than {MAX_TEXT} bytes")
        thread = d.anchor or d.target.partition(":")[2] + "/" + d.conversation
        status, phrase, after = self.post(d.id, {
            "id": d.id, "from": getattr(d, "from"), "name": d.from_name, "to": d.target,
            "thread": thread, "text": d.content.data.decode("utf-8", "replace")})
        words = f"the URL answered {status} {phrase}"
        if 200 <= status < 300:
            return pb.Receipt(state="accepted", remote_ids=[d.id], anchor=thread)
        if status in (429, 503):
            raise parley.Retry(words, after=int(after) if after.isdecimal() else 0)
        if 400 <= status < 500:
            raise parley.Permanent(words)
        raise parley.Failure(words)  # perhaps taken: the host repeats it

    def post(self, key, message):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.url.netloc.rpartition("@")[2], timeout=20)
        try:
            connection.connect()
        except OSError as e:
            raise parley.Retry(f"the URL can't be reached: {e}")  # certainly not sent
        try:
            path = (self.url.path or "/") + ("?" + self.url.query if self.url.query else "")
            connection.request("POST", path, json.dumps(message).encode(), {
                "Content-Type": "application/json", "Authorization": "Bearer " + self.token, "Idempotency-Key": key})
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheader("Retry-After", "")
        finally:
            connection.close()

    def come_in(self, host, request):
        """Takes a message, and says so only when the host has stored it."""
        try:
            size = int(request.headers.get("Content-Length", ""))
            if not 0 <= size <= 1 << 20:
                raise ValueError("at most 1 MiB")
            body = request.rfile.read(size)
            given = request.headers.get("Authorization", "").encode("latin-1", "replace")
            if not hmac.compare_digest(given, ("Bearer " + self.token).encode()):
                return 401, "give the header Authorization: Bearer TOKEN\n"
            m = json.loads(body)
            inbound = pb.Inbound(
                native_id=m["id"], sender=m["from"], sender_name=m.get("name", ""), recipient=m.get("to", ""),
                thread=m.get("thread", ""),
                content=pb.Content(media_type="text/plain;charset=utf-8", data=m["text"].encode("utf-8", "replace")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            return 400, f"this is no message in JSON: {e}\n"
        try:
            host.put(inbound)
        except (parley.Permanent, parley.Refused) as e:
            return 422, f"{e}\n"
        except parley.Failure as e:
            return 503, f"try again: {e}\n"
        return 202, ""


if __name__ == "__main__":
    parley.serve(Hook())
