"""
How clients talk: from the first byte of a connection to whole messages, and back.

The way of a connection: L{front<twisted_crossws.ws.front>} reads its request head under limits;
L{handshake<twisted_crossws.ws.handshake>} decides who comes in; L{server<twisted_crossws.ws.server>} is Autobahn's
protocol with all its limits set, which hands whole messages to the node's
L{Gateway<twisted_crossws.state.seams.Gateway>}. L{site<twisted_crossws.ws.site>} answers what is plain HTTP, and
L{resource<twisted_crossws.ws.resource>} lets the same clients in through an existing web site.
"""
