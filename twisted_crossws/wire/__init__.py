"""
What the bytes are: pure functions and values, without a socket, a clock or a reactor.

L{frames<twisted_crossws.wire.frames>} is what clients and servers say to each other,
L{packets<twisted_crossws.wire.packets>} what servers say to each other over a bus, on the channels that
L{topics<twisted_crossws.wire.topics>} names. L{http<twisted_crossws.wire.http>} and
L{origin<twisted_crossws.wire.origin>} read the request that opens a connection, and
L{rfc6455<twisted_crossws.wire.rfc6455>} puts a finished text into one WebSocket frame.
"""
