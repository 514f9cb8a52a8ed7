"""What a connector in Python needs: the handshake, the Control stream, and the
bridge's services as methods. It needs Debian's python3-grpcio, python3-protobuf
and python3-cryptography, and connector_pb2.py, which protoc makes of
connector.proto. A connector is a class with

    describe()               returns a connector_pb2.Description; no I/O
    open(settings, host)     connects; deliver may be called when it returns
    deliver(delivery)        hands over one connector_pb2.Delivery and returns a
                             connector_pb2.Receipt; several threads call it
    find(delivery, first)    optional: a Receipt if it was sent, None if it
                             certainly was not, an exception if unknown
    close()                  leaves the network

and a program ends with parley.serve(ThatClass()). From deliver raise Permanent,
Refused or Retry where you know; any other exception means that the message may
have been sent, and the bridge repeats it.
"""

import base64, datetime, itertools, json, os, queue, signal, socketserver, sys, threading
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import connector_pb2 as pb

MAX_FRAME = 1 << 20
MAX_CHUNK = 64 << 10
MAX_INLINE = 256 << 10
PATIENCE = 2  # seconds to leave the network in when the host is gone


class Failure(Exception):
    """An error with a code of the contract."""

    code = pb.Error.OTHER

    def encode(self):
        return pb.Error(code=self.code, text=clip(str(self)))


class Permanent(Failure):
    """Trying again cannot help."""

    code = pb.Error.PERMANENT


class Refused(Failure):
    """Of deliver: the recipient said no. Of Host.put: it will never be taken."""

    code = pb.Error.REFUSED


class Retry(Failure):
    """It was certainly not sent. scope is pb.Error.MESSAGE, TARGET or
    CONNECTOR; after is in seconds, and 0 leaves the wait to the bridge."""

    code = pb.Error.RETRY

    def __init__(self, text, scope=pb.Error.CONNECTOR, after=0):
        super().__init__(text)
        self.scope, self.after = scope, after

    def encode(self):
        wait = int(min(max(self.after, 0), 365 * 24 * 3600) * 1000)
        return pb.Error(code=self.code, text=clip(str(self)), scope=self.scope, after_ms=wait)


class Conflict(Failure):
    """Of the state store: another revision is there."""

    code = pb.Error.CONFLICT


class NotFound(Failure):
    code = pb.Error.NOT_FOUND


class Busy(Failure):
    """Of Host.put: tell the network to try again."""

    code = pb.Error.BUSY


class Closed(Failure):
    code = pb.Error.CLOSED


FAILURES = {f.code: f for f in (Permanent, Refused, Conflict, NotFound, Busy, Closed)}


def clip(text):
    """text within the 1 KiB that an error may have."""
    return text.encode("utf-8", "replace")[:1000].decode("utf-8", "ignore")


def log(level, message, **attributes):
    """Writes into the bridge's log. Never write message bodies or secrets."""
    line = {"@level": level, "@message": message, **attributes}
    os.write(2, (json.dumps(line, default=str) + "\n").encode("utf-8", "replace"))


class Host:
    """The bridge. Its methods may be called from several threads; each waits
    for the answer. put, signal and accepts may take long while it starts, so
    that open leaves them to another thread."""

    def __init__(self):
        self.http_socket, self.instance, self.places = "", "", []
        self._frames, self._ids = queue.Queue(512), itertools.count(1)
        self._lock, self._waiting, self._bodies, self._closed = threading.Lock(), {}, {}, False

    def put(self, inbound):
        """Hands over what came in and returns its event id once it is stored:
        only then tell the network that it was taken."""
        if len(inbound.content.data) > MAX_INLINE:
            inbound.content.CopyFrom(self.store(inbound.content.media_type, inbound.content.data))
        return self._ask(put=inbound).event_id

    def signal(self, typing):
        """Tells that somebody is composing. Best effort."""
        self._ask(signal=typing)

    def report(self, report):
        """Tells what the network said later about a delivery."""
        self._ask(report=report)

    def accepts(self, sender="", recipient="", thread=""):
        """Raises Refused when put would not take such a message."""
        self._ask(accepts=pb.Accepts(sender=sender, recipient=recipient, thread=thread))

    def get(self, key):
        """Returns the value and the revision of a key, or raises NotFound."""
        entry = self._ask(state_get=pb.StateGet(key=key)).entries.entries[0]
        return entry.value, entry.revision

    def set(self, key, value, revision=0):
        """Stores a value if the key has the revision (0: does not exist) and
        returns the new one, or raises Conflict."""
        return self._ask(state_put=pb.StatePut(key=key, value=value, revision=revision)).revision

    def delete(self, key, revision):
        """Removes a key if it has the revision, or raises Conflict."""
        self._ask(state_delete=pb.StateDelete(key=key, revision=revision))

    def list(self, prefix="", after="", limit=100):
        """Returns up to limit entries in key order, perhaps fewer: ask again
        after the last key until there are none."""
        return list(self._ask(state_list=pb.StateList(prefix=prefix, after=after, limit=limit)).entries.entries)

    def store(self, media_type, data):
        """Keeps a large body and returns a Content for it."""
        def send(_):
            for at in range(0, len(data), MAX_CHUNK):
                yield pb.Chunk(data=data[at:at + MAX_CHUNK])
            yield pb.Chunk(last=True)
        return self._ask(send, media_store=pb.MediaStore(media_type=media_type)).content

    def read(self, content):
        """Returns a body, whether it is in the message or in the media store."""
        if not content.ref:
            return content.data
        body = Future()
        def receive(chunks):
            data = bytearray()
            for chunk in chunks:
                if chunk.HasField("error"):
                    body.set_exception(failure(chunk.error))
                    return iter(())
                data += chunk.data
                if chunk.last:
                    body.set_result(bytes(data))
                    return iter(())
            body.set_exception(Closed("the body broke off"))
            return iter(())
        ask = pb.Content(media_type=content.media_type, ref=content.ref, sha256=content.sha256, size=content.size)
        self._ask(receive, media_open=pb.MediaOpen(content=ask))
        return body.result()

    def serve_http(self, handler):
        """Serves an http.server.BaseHTTPRequestHandler class behind the
        bridge's HTTP door, under /c/<instance>/, until the program ends."""
        server = _Unix(self.http_socket, handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _ask(self, _carry=None, **request):
        """Sends one request and waits for the answer. _carry moves the body of
        a request for the media store."""
        number, answer = next(self._ids), Future()
        with self._lock:
            if self._closed:
                raise Closed("the host is gone")
            self._waiting[number] = answer
            if _carry:
                self._bodies[number] = _carry
        self._frames.put(pb.ConnectorFrame(id=number, **request))
        try:
            return answer.result()
        except Failure:
            self._body(number)
            raise

    def _answered(self, number, answer):
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        if answer.HasField("error"):
            waiting.set_exception(failure(answer.error))
        else:
            waiting.set_result(answer)

    def _body(self, number):
        with self._lock:
            return self._bodies.pop(number, None)

    def _close(self):
        with self._lock:
            self._closed, waiting, self._waiting = True, self._waiting, {}
        for answer in waiting.values():
            answer.set_exception(Closed("the host is gone"))


def failure(error):
    return FAILURES.get(error.code, Failure)(error.text)


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """A request handler that knows no address and does not log."""

    timeout = 60

    def address_string(self):
        return self.headers.get("X-Forwarded-For", "")

    def log_message(self, *_):
        pass


class _Service:
    """The gRPC services of a connector, over what the author wrote."""

    def __init__(self, connector):
        self.connector, self.host = connector, Host()
        self.workers = ThreadPoolExecutor(64)
        self.is_open = False

    def describe(self, _request, _context):
        d = self.connector.describe()
        d.find = hasattr(self.connector, "find")
        return d

    def control(self, frames, _context):
        """Yields what is said to the host while another thread listens."""
        threading.Thread(target=self._listen, args=(frames,), daemon=True).start()
        return iter(self.host._frames.get, None)

    def _listen(self, frames):
        try:
            for frame in frames:
                self._handle(frame)
        except grpc.RpcError:
            pass
        self.leave()

    def _handle(self, frame):
        kind = frame.WhichOneof("body")
        if kind == "answer":
            self.host._answered(frame.id, frame.answer)
        elif kind == "ping":
            self._say(frame.id, pb.Answer())
        elif kind != "cancel":  # nobody waits for it, but it may as well be finished
            self.workers.submit(self._work, kind, frame)

    def _say(self, number, answer):
        self.host._frames.put(pb.ConnectorFrame(id=number, answer=answer))

    def _work(self, kind, frame):
        try:
            answer = getattr(self, "_" + (kind or "unknown"), self._unknown)(frame)
        except Failure as f:
            answer = pb.Answer(error=f.encode())
        except Exception as e:
            log("error", "connector failed", request=kind, err=type(e).__name__)
            answer = pb.Answer(error=pb.Error(text=clip(f"{type(e).__name__}: {e}")))
        self._say(frame.id, answer)

    def _open(self, frame):
        self.host.http_socket, self.host.instance = frame.open.http_socket, frame.open.instance
        self.host.places = list(frame.open.places)
        self.connector.open(json.loads(frame.open.settings), self.host)
        self.is_open = True
        return pb.Answer()

    def _deliver(self, frame):
        if not self.is_open:
            raise Retry("the connector is not open")
        if frame.deliver.kind not in self.connector.describe().kinds:
            raise Permanent("this connector does not take the kind " + frame.deliver.kind)
        return pb.Answer(receipt=self.connector.deliver(frame.deliver))

    def _find(self, frame):
        if not self.is_open:
            raise Retry("the connector is not open")
        receipt = self.connector.find(frame.find.delivery, frame.find.first.ToDatetime())
        return pb.Answer(receipt=receipt) if receipt else pb.Answer(not_sent=True)

    def _close(self, _frame):
        self.is_open = False
        self.connector.close()
        return pb.Answer()

    def _unknown(self, _frame):
        raise Failure("this connector does not know the request")

    def media(self, chunks, context):
        """Carries one large body."""
        carry = self.host._body(next(chunks).id)
        if carry is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "nobody waits for this body")
        return carry(chunks)

    def leave(self, *_):
        """The host is gone, or wants it so: leave the network and end."""
        self.host._close()
        if self.is_open:
            self.is_open = False
            leaving = threading.Thread(target=self.connector.close, daemon=True)
            leaving.start()
            leaving.join(PATIENCE)
        os._exit(0)


def _methods(service):
    """The services by name. Stubs need no more than this."""
    empty = lambda _: b""
    def unary(f, read, write):
        return grpc.unary_unary_rpc_method_handler(f, read, write)
    def stream(f, read):
        return grpc.stream_stream_rpc_method_handler(f, read.FromString, lambda m: m.SerializeToString())
    def shutdown(_request, _context):
        threading.Timer(0.05, service.leave).start()  # after the answer
    return {
        "parley.connector.v1.Connector": {
            "Describe": unary(service.describe, pb.DescribeRequest.FromString, lambda m: m.SerializeToString()),
            "Control": stream(service.control, pb.HostFrame),
            "Media": stream(service.media, pb.Chunk),
        },
        "grpc.health.v1.Health": {"Check": unary(lambda *_: b"\x08\x01", bytes, bytes)},  # status: SERVING
        "plugin.GRPCController": {"Shutdown": unary(shutdown, bytes, empty)},
    }


def _certificate():
    """A key and a certificate for "localhost", for as long as this process
    lives. P-256, because gRPC takes no P-521 from a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem), certificate.public_bytes(serialization.Encoding.DER),
    )


def serve(connector):
    """The whole main of a connector: talks to the host until it is gone."""
    if os.environ.get("PARLEY_CONNECTOR") != "im.parley.connector":
        sys.exit("this program is a Parley connector; name it in bridge.toml and the host starts it")
    if "1" not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(","):
        sys.exit("this connector speaks version 1 of the protocol, and the host does not")
    for s in (signal.SIGINT, signal.SIGTERM):  # the host decides when it ends
        signal.signal(s, signal.SIG_IGN)
    service = _Service(connector)
    server = grpc.server(ThreadPoolExecutor(32), options=[
        ("grpc.max_receive_message_length", MAX_FRAME + (64 << 10)),
        ("grpc.max_send_message_length", MAX_FRAME + (64 << 10)),
    ])
    for name, methods in _methods(service).items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    key, pem, der = _certificate()
    path = os.path.join(os.environ.get("PLUGIN_UNIX_SOCKET_DIR", "/tmp"), f"py{os.getpid()}")
    server.add_secure_port("unix:" + path, grpc.ssl_server_credentials(
        [(key, pem)], root_certificates=os.environ["PLUGIN_CLIENT_CERT"].encode(), require_client_auth=True))
    server.start()
    print("1|1|unix|" + path + "|grpc|" + base64.b64encode(der).decode().rstrip("="), flush=True)
    sys.stdout = sys.stderr  # what is printed later goes to the host's log
    sys.stdin.buffer.read()  # it ends with the host
    service.leave()
