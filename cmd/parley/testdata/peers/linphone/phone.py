"""A softphone without a face: liblinphone, of which Linphone is made, driven by
lines through its C interface, as linphone-daemon has no words for typing, for
what was read, and for files.

    phone.py CONFIG

It takes "say URI TEXT", "send URI PATH" for a picture, "compose URI", "read URI"
and "fetch URI PATH", which gets the last file from there, and tells, after "phone: ", "registered", "got URI
TEXT" with the text in JSON, "file URI NAME", "composing URI", "idle URI", and
what became of what was said or fetched: "state STATE TEXT". Its SIP trace comes
between.
"""

import ctypes
import json
import os
import select
import sys

lib = ctypes.CDLL("liblinphone.so.10")
RESULTS = {
    "account_get_state": ctypes.c_int,
    "address_as_string_uri_only": ctypes.c_char_p,
    "chat_message_get_state": ctypes.c_int,
    "chat_message_get_utf8_text": ctypes.c_char_p,
    "chat_room_is_remote_composing": ctypes.c_bool,
    "content_get_name": ctypes.c_char_p,
}
MESSAGES = 4  # the log level that has the SIP trace
REGISTERED = 2
STATES = {2: "sent", 3: "failed", 5: "fetched", 6: "delivered", 7: "displayed"}


def call(name, *args):
    """Calls a function of the library, whose results are pointers unless said."""
    f = getattr(lib, "linphone_" + name)
    f.restype = RESULTS.get(name, ctypes.c_void_p)
    return f(*[passed(a) for a in args])


def passed(arg):
    """Returns an argument as C takes it: of numbers, only the pointers are large."""
    if isinstance(arg, str):
        return arg.encode()
    return ctypes.c_void_p(arg) if isinstance(arg, int) and arg > 1 << 16 else arg


def tell(*words):
    print("phone:", *words, flush=True)


class Phone:
    """One account, with its conversations."""

    def __init__(self, config):
        self.rooms, self.files, self.watched, self.told = {}, {}, [], {}
        call("logging_service_set_log_level", call("logging_service_get"), MESSAGES)
        self.core = call("factory_create_core_3", call("factory_get"), config, None, None)
        self.received = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(self.receive)
        callbacks = call("factory_create_core_cbs", call("factory_get"))
        call("core_cbs_set_message_received", callbacks, self.received)
        call("core_add_callbacks", self.core, callbacks)
        call("core_start", self.core)

    def room(self, uri):
        """Returns the conversation with somebody, in CPIM as in Linphone's own apps."""
        if uri not in self.rooms:
            self.rooms[uri] = call("core_get_chat_room_from_uri", self.core, uri)
            call("chat_room_allow_cpim", self.rooms[uri], 1)
        return self.rooms[uri]

    def receive(self, _core, _room, message):
        """Is called by the library for each message that has come."""
        uri = call("address_as_string_uri_only", call("chat_message_get_from_address", message)).decode()
        self.room(uri)
        file = call("chat_message_get_file_transfer_information", message)
        if file:
            self.files[uri] = call("chat_message_ref", message)
            tell("file", uri, call("content_get_name", file).decode())
        else:
            tell("got", uri, json.dumps((call("chat_message_get_utf8_text", message) or b"").decode(), ensure_ascii=False))

    def news(self, about, line):
        """Tells a line about something when it is not the last one."""
        if line and self.told.get(about) != line:
            self.told[about] = line
            tell(line)

    def look(self):
        """Tells what has changed."""
        account = call("core_get_default_account", self.core)
        if account and call("account_get_state", account) == REGISTERED:
            self.news("account", "registered")
        for uri, room in self.rooms.items():
            composing = call("chat_room_is_remote_composing", room)
            self.news(uri, ("composing " if composing else "idle ") + uri)
        for name, message in self.watched:
            state = STATES.get(call("chat_message_get_state", message))
            self.news(message, state and "state %s %s" % (state, name))

    def obey(self, verb, uri, rest):
        room = self.room(uri)
        if verb == "say":
            message = call("chat_room_create_message_from_utf8", room, rest)
            self.watched.append((rest, message))
            call("chat_message_send", message)
        elif verb == "send":
            file = call("core_create_content", self.core)
            for what, value in (("type", "image"), ("subtype", "png"), ("name", os.path.basename(rest)), ("file_path", rest)):
                call("content_set_" + what, file, value)
            message = call("chat_room_create_file_transfer_message", room, file)
            self.watched.append((rest, message))
            call("chat_message_send", message)
        elif verb == "compose":
            call("chat_room_compose", room)
        elif verb == "read":
            call("chat_room_mark_as_read", room)
        elif verb == "fetch":
            message = self.files[uri]
            self.watched.append((uri, message))
            file = call("chat_message_get_file_transfer_information", message)
            call("content_set_file_path", file, rest)
            call("chat_message_download_content", message, file)

    def run(self):
        """Works until the end of the input."""
        pending = ""
        while True:
            call("core_iterate", self.core)
            self.look()
            if select.select([0], [], [], 0.02)[0]:
                read = os.read(0, 65536).decode()
                if not read:
                    return
                *lines, pending = (pending + read).split("\n")
                for line in lines:
                    self.obey(*(line.split(" ", 2) + [""])[:3])


Phone(sys.argv[1]).run()
