#!/usr/bin/env bash
# CPython 3.11 asyncio: when a coroutine that awaits a future is stepped by hand, with send(), as other event loops step
# theirs, the future is marked as being awaited, and stays so. A second coroutine that awaits the same future, also in a
# proper task, fails with "await wasn't used with future", though it is written as it should be.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >two.py <<'END'
import asyncio


async def wait(future):
    return await future


async def main():
    future = asyncio.get_running_loop().create_future()
    byHand = wait(future)
    byHand.send(None)
    second = asyncio.ensure_future(wait(future))
    await asyncio.sleep(0)
    future.set_result(1)
    try:
        print(await second)
    except RuntimeError as fault:
        print(fault)
    byHand.close()


asyncio.run(main())
END
seen=$(python3.11 two.py)
echo "$seen"
expected="await wasn't used with future"
[ "$seen" = "$expected" ] || { echo "That has changed; it was: $expected"; exit 1; }
