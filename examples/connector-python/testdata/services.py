#!/usr/bin/python3 -B
"""Uses all that the bridge lends to a connector. The text of a delivery names
what is to be tried; the receipt has the outcome as its remote ids."""

import os, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import connector_pb2 as pb
import parley


class Services:
    def describe(self):
        return pb.Description(
            network="services", version="1", schemes=["s"], kinds=["message"], types=["*/*"],
            settings_schema='{"type": "object", "additionalProperties": false}')

    def open(self, settings, host):
        self.host = host

    def close(self):
        pass

    def find(self, d, first):
        if d.id == "unsure":
            raise ValueError("cannot tell")
        return pb.Receipt(state="delivered", remote_ids=[first.isoformat()]) if d.id == "sent" else None

    def deliver(self, d):
        text = self.host.read(d.content)
        name, _, rest = text.decode().partition(" ")
        return pb.Receipt(state="delivered", remote_ids=[str(r) for r in getattr(self, "try_" + name)(d, rest)])

    def try_state(self, _d, _rest):
        host = self.host
        first = host.set("a/1", b"one")
        second = host.set("a/1", b"uno", first)
        host.set("a/2", b"two")
        yield second > first
        yield host.get("a/1") == (b"uno", second)
        yield [e.key for e in host.list("a/", "a/1")]
        try:
            host.delete("a/1", first)
        except parley.Conflict:
            yield "conflict"
        host.delete("a/1", second)
        try:
            host.get("a/1")
        except parley.NotFound:
            yield "not found"

    def try_length(self, _d, rest):
        yield len(rest)

    def try_keep(self, _d, _rest):
        kept = self.host.store("text/plain", b"x" * 700000)
        yield kept.size
        yield self.host.read(kept) == b"x" * 700000
        try:
            self.host.read(pb.Content(ref="nothing"))
        except parley.NotFound:
            yield "not found"

    def try_put(self, _d, rest):
        body = pb.Content(media_type="text/plain", data=b"y" * int(rest))
        yield self.host.put(pb.Inbound(native_id="n" + rest, sender="s:bob", recipient="s:room", content=body))

    def try_refused(self, _d, _rest):
        for ask in (lambda: self.host.accepts("s:bob", "s:nobody"),
                    lambda: self.host.put(pb.Inbound(native_id="r", sender="s:bob", recipient="s:nobody")),
                    lambda: self.host.put(pb.Inbound(native_id="r", sender="sip:eve@example.com", recipient="s:room"))):
            try:
                ask()
            except parley.Refused:
                yield "refused"
        self.host.accepts("s:bob", "s:room")
        yield "accepted"

    def try_tell(self, d, _rest):
        self.host.signal(pb.Typing(sender="s:bob", recipient="s:room", active=True))
        self.host.report(pb.Report(outbound=d.id, state="displayed"))
        yield "told"

    def try_later(self, _d, _rest):
        raise parley.Retry("later", pb.Error.TARGET, 1.5)

    def try_never(self, _d, _rest):
        raise parley.Permanent("never")

    def try_no(self, _d, _rest):
        raise parley.Refused("no")

    def try_stumble(self, _d, _rest):
        raise KeyError("stumbled")


parley.serve(Services())
