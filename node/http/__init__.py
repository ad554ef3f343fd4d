"""The server engine: connections in, responses out. It knows nothing of registries.

An application is one function from ``Request`` to ``Response``; ``serve`` calls it for each request of each
connection, whatever the protocol. Every limit on what a stranger may cost is applied here, before a handler is
called, and answered with the protocol's own error. A connection may end in any exception without ending the server.

* ``message``       what a handler is given and what it returns
* ``entrance``      who sends a request: what every application asks first
* ``limits``        every limit, with its reason
* ``serve``         accept, serve, drain
* ``listen``        the sockets to accept on
* ``tls``           TLS settings of the front door
* ``transport``     one accepted socket, for tasks that wait
* ``census``        who is connected, and who has to go first
* ``waiting``       clients of HTTP/1.1 that leave while a handler works
* ``engine``        what all connections of a server share
* ``counts``        what a server counts while it runs
* ``target``        paths, queries and hosts, decoded strictly and once
* ``failures``      what is refused before a handler sees it
* ``http1``         HTTP/1.1 on one connection
* ``h1guard``       its framing, without I/O
* ``h1body``        a request's body, from the socket to the handler
* ``http2``         HTTP/2 on one connection
* ``frameguard``    counts frames before h2 sees them, without I/O
* ``h2admission``   which of its requests are served, and how many may be open
* ``h2stream``      one request of it, and its answer
* ``h2body``        a request's body, from the reader of the connection to the handler
* ``h2flow``        the windows of a connection and its streams
* ``h2data``        DATA frames laid out so that files are read into them
* ``responsehead``  what the head of a response says of its body, and its bytes in HTTP/1.1
* ``outgoing``      bodies in pieces, without copying where that is possible
* ``runs``          many extents at once, in a thread, to clients that are fast
* ``sendqueue``     releases such pieces when the kernel is done with them
* ``router``        which handler answers a method and a path
"""
