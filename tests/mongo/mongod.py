"""Stands in for a mongod that a drill starts: takes its options, and leads from its socket to a server that is there.

usage: mongod.py PORT MODE --dbpath DIR --bind_ip SOCKET [OPTIONS]

MODE is "faithful"; "lossy" for one that stores some texts in other words; "forgetful" for one that has nothing of its databases in
the end but what is its own; or "broken" for one that ends at once.
"""

import argparse
import socket
import struct
import sys
import threading

# Of the same length, so that messages are whole.
LOSSES = {
    "lossy": [(b"to be changed", b"was altered!!"), (b"absent", b"arrive")],
    # What is in "local" is the server's own.
    "forgetful": [(b"trade\0", b"local\0")],
}


def exactly(source, size):
    data = b""
    while len(data) < size:
        piece = source.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def messages(source):
    """Each begins with its length."""
    while True:
        length = exactly(source, 4)
        yield length + exactly(source, struct.unpack("<i", length)[0] - 4)


def pass_on(source, target, losses):
    try:
        for message in messages(source):
            for before, after in losses:
                message = message.replace(before, after)
            target.sendall(message)
    except (EOFError, OSError):
        pass
    for end in [source, target]:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    port, mode = int(sys.argv[1]), sys.argv[2]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ["--dbpath", "--bind_ip", "--unixSocketPrefix", "--port", "--wiredTigerCacheSizeGB"]:
        parser.add_argument(name, required=True)
    parser.add_argument("--setParameter", action="append")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(sys.argv[3:])
    if mode == "broken":
        print("its data is of another version")
        sys.exit(62)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.bind_ip)
    listener.listen(64)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        losses = LOSSES.get(mode, [])
        for ends in [(client, server, losses), (server, client, [])]:
            threading.Thread(target=pass_on, args=ends, daemon=True).start()


if __name__ == "__main__":
    main()
