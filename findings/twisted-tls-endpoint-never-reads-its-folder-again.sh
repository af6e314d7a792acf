#!/usr/bin/env bash
# Twisted 26.10.0, server endpoint "tls:FOLDER:PORT": the folder of PEM files is read once, when the endpoint string is
# parsed. Its code has a function "autoReloadingDirectoryOfPEMs", which is documented to read the folder again when a
# name is asked for that it does not know; the endpoint never gets there. A client that asks for a name whose
# certificate was added later gets the first certificate of the folder, as one does who asks for a name that was never
# there, and the log says "no server certificate for name". A file that has changed is not read again, either.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q 'Twisted[tls]==26.10.0' 'pyOpenSSL==26.4.0' 'cryptography==50.0.2'
certificate() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj "/CN=$1" -addext "subjectAltName=DNS:$1" 2>/dev/null
    cat key cert >"pems/$1.pem"
}
mkdir pems
certificate first.example
cat >server.py <<'END'
import sys

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

endpoint = serverFromString(reactor, r"tls:pems:0:interface=127.0.0.1")
input()  # What is added now comes after parsing, and before anybody connects.
endpoint.listen(Factory.forProtocol(Protocol)).addCallback(lambda port: print(port.getHost().port, flush=True))
reactor.callLater(60, reactor.stop)
reactor.run()
END
mkfifo go
venv/bin/python server.py <go >port &
server=$!
exec 3>go
sleep 3
certificate second.example
echo >&3
until [ -s port ]; do sleep 0.1; done
asked() {
    openssl s_client -connect "127.0.0.1:$(cat port)" -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -subject
}
seen="first: $(asked first.example); second, added before the first client: $(asked second.example)"
certificate third.example
seen="$seen; third, added later: $(asked third.example) and $(asked third.example)"
kill "$server"
echo "$seen"
expected="first: subject=CN = first.example; second, added before the first client: subject=CN = first.example"
expected="$expected; third, added later: subject=CN = first.example and subject=CN = first.example"
[ "$seen" = "$expected" ] || { echo "That has changed; it was: $expected"; exit 1; }
# Seen on Python 3.11.7, OpenSSL 3.0:
# first: subject=CN = first.example; second, added before the first client: subject=CN = first.example; third, added
# later: subject=CN = first.example and subject=CN = first.example
