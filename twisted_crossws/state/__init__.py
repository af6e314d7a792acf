"""
What this process remembers: tables and decisions, without a transport or a reactor.

Time is a clock that is given; what is to be sent is returned, or handed to a
L{Channel<twisted_crossws.state.seams.Channel>}.
"""
