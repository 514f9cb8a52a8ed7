"""A softphone without a face: liblinphone, which Linphone is made of, driven by
lines through its C interface. linphone-daemon has no words for typing, for
having read, and for files.

    phone.py CONFIG

It takes "say URI TEXT", "compose URI", "read URI" and "fetch URI PATH" (the
last file), and tells "registered", "got URI TEXT" (in JSON), "file URI NAME",
"fetched URI", "composing URI", "idle URI" and "state TEXT STATE". Its SIP trace
goes to CONFIG.log.
"""

import ctypes
import json
import os
import select
import sys

lib = ctypes.CDLL("liblinphone.so.10")
TEXTS = ("address_as_string_uri_only", "chat_message_get_utf8_text", "content_get_name")
FLAGS = ("chat_room_is_remote_composing",)
NUMBERS = ("account_get_state", "chat_message_get_state")
REGISTERED = 2
STATES = {2: "sent", 3: "failed", 5: "fetched", 6: "delivered", 7: "displayed"}


def call(name, *args):
    """Calls a function of the library, whose results are pointers unless said."""
    f = getattr(lib, "linphone_" + name)
    f.restype = (ctypes.c_char_p if name in TEXTS else ctypes.c_bool if name in FLAGS
                 else ctypes.c_int if name in NUMBERS else ctypes.c_void_p)
    return f(*[a.encode() if isinstance(a, str) else ctypes.c_void_p(a) if isinstance(a, int) and a > 1 << 16 else a for a in args])


class Phone:
    def __init__(self, config):
        call("logging_service_set_log_level", call("logging_service_get"), 4)
        self.trace = open(config + ".log", "w")
        self.core = call("factory_create_core_3", call("factory_get"), config, None, None)
        self.rooms, self.files, self.watched, self.told = {}, {}, [], {}
        self.received = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(self.receive)
        callbacks = call("factory_create_core_cbs", call("factory_get"))
        call("core_cbs_set_message_received", callbacks, self.received)
        call("core_add_callbacks", self.core, callbacks)
        call("core_start", self.core)

    def room(self, uri):
        if uri not in self.rooms:
            self.rooms[uri] = call("core_get_chat_room_from_uri", self.core, uri)
            call("chat_room_allow_cpim", self.rooms[uri], 1)
        return self.rooms[uri]

    def receive(self, _core, room, message):
        uri = call("address_as_string_uri_only", call("chat_message_get_from_address", message)).decode()
        self.room(uri)
        file = call("chat_message_get_file_transfer_information", message)
        if file:
            self.files[uri] = call("chat_message_ref", message)
            print("file", uri, call("content_get_name", file).decode(), flush=True)
        else:
            print("got", uri, json.dumps((call("chat_message_get_utf8_text", message) or b"").decode()), flush=True)

    def tell(self, what, line):
        """Says a line when it is news."""
        if self.told.get(what) != line:
            self.told[what] = line
            if line:
                print(line, flush=True)

    def look(self):
        account = call("core_get_default_account", self.core)
        if account and call("account_get_state", account) == REGISTERED:
            self.tell("account", "registered")
        for uri, room in self.rooms.items():
            composing = call("chat_room_is_remote_composing", room)
            self.tell(uri, ("composing " if composing else "idle ") + uri)
        for name, message in self.watched:
            state = STATES.get(call("chat_message_get_state", message))
            self.tell(message, state and "state %s %s" % (state, name))

    def obey(self, verb, uri, rest):
        room = self.room(uri)
        if verb == "say":
            message = call("chat_room_create_message_from_utf8", room, rest)
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
