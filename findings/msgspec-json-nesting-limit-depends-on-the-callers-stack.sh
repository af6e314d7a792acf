#!/usr/bin/env bash
# msgspec 0.23.0 on CPython 3.11: how deep an array may be nested for msgspec.json.decode is Python's recursion limit
# less the depth of the stack that it is called from. The same valid text is read by one function and refused, with
# RecursionError, by another that stands deeper, such as a web framework's handler. A lone surrogate, "\ud800", which
# JSON's grammar allows and JavaScript writes, is refused as "Input data was truncated".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m venv venv
venv/bin/pip install -q 'msgspec==0.23.0'
cat >deep.py <<'END'
import msgspec

TEXT = b"[" * 900 + b"]" * 900


def read(deeper):
    if deeper:
        return read(deeper - 1)
    try:
        msgspec.json.decode(TEXT)
        return "read"
    except RecursionError:
        return "RecursionError"


print(f"from a shallow stack: {read(0)}; from one 200 calls deeper: {read(200)}", end="; ")
try:
    msgspec.json.decode(b'"\\ud800"')
except msgspec.DecodeError as fault:
    print(fault)
END
seen=$(venv/bin/python deep.py)
echo "$seen"
expected="from a shallow stack: read; from one 200 calls deeper: RecursionError; Input data was truncated"
[ "$seen" = "$expected" ] || { echo "That has changed; it was: $expected"; exit 1; }
