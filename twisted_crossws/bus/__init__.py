"""
How servers talk: each module is one kind of L{IBus<twisted_crossws.interfaces.IBus>}.
"""
