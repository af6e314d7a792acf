#!/usr/bin/env bash
# Caddy 2.6.2 (Debian 12): when its configuration is reloaded, reverse_proxy ends each proxied WebSocket by writing a close
# frame, 1001, to the client and to the backend alike. The frame to the backend is not masked, as a client's must be
# (RFC 6455, 5.1): a backend that checks takes its own proxy for a faulty client, and one that logs protocol errors logs
# one for every connection at each reload.
set -eu
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq caddy=2.6.2-5 2>/dev/null
dpkg -x caddy_*.deb root
caddy=$work/root/usr/bin/caddy
"$caddy" version | grep -q '2\.6\.2' || { echo "That is another version: $("$caddy" version)"; exit 1; }
export HOME=$work
cat >backend.py <<'END'
"""Agrees to one WebSocket, and prints in hexadecimal what comes after the handshake."""
import base64
import hashlib
import socket

with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    connection, _ = listening.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    (key,) = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        % accept
    )
    frame = b""
    while data := connection.recv(4096):
        frame += data
    print(frame.hex(" "), flush=True)
END
python3 backend.py >said &
until [ -s said ]; do sleep 0.1; done
front=$(python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
admin=$(python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
cat >Caddyfile <<END
{
    admin 127.0.0.1:$admin
    auto_https off
}
http://127.0.0.1:$front {
    reverse_proxy 127.0.0.1:$(head -1 said)
}
END
"$caddy" run --config Caddyfile --adapter caddyfile >log 2>&1 &
cat >client.py <<'END'
import socket
import sys
import time

for _ in range(100):
    try:
        client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        time.sleep(0.1)
client.sendall(
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % sys.argv[1].encode()
)
assert b" 101 " in client.recv(4096)
print("open", flush=True)
while client.recv(4096):
    pass
END
python3 client.py "$front" >client &
until [ -s client ]; do sleep 0.1; done
"$caddy" reload --force --config Caddyfile --adapter caddyfile --address "127.0.0.1:$admin" >>log 2>&1
for _ in $(seq 100); do [ "$(wc -l <said)" -gt 1 ] && break; sleep 0.1; done
seen=$(tail -1 said)
echo "the backend got: $seen"
[ "$seen" = "88 02 03 e9" ] || { echo "That has changed; it was: 88 02 03 e9 (a close frame, 1001, without a mask)"; exit 1; }
