"""Other nodes: who they are, sessions with them, and the drivers that give the machines of ``protocol`` a network.

What a peer says goes through ``protocol.wire`` first. A peer's fault ends the session with it, is logged by both
sides, and nothing else. Clocks and randomness are read here and handed to ``protocol`` as arguments.

* ``files``         small files of secrets: modes, atomic replacement, a lock between processes
* ``certificates``  authorities and node certificates: making and checking them
* ``trust``         the authorities of other accounts
* ``identity``      what makes this node this node: the folder ``identity`` of the data directory
* ``invitations``   tokens that this node's authority gave out, each good for one node
* ``nodes``         the nodes that are known, by their descriptors
* ``vouching``      whose signatures are on a backup
* ``tls``           contexts for both sides of the peer port, and a fast TLS stream for the dialling one
* ``frames``        HTTP/2 frames of the dialling side
* ``stream``        one request of the dialling side, and its response
* ``connection``    the dialling side of HTTP/2
* ``joining``       a new node gets its identity
* ``calls``         requests and replies of a session, alike on both of its sides
* ``session``       one control stream: hello, pings, descriptors; and calls
* ``home``          what a session needs of the node that it belongs to
* ``dial``          a session that we opened: its connections, and bulk beside them
* ``listen``        what the peer port answers: sessions that others opened, and joiners
* ``keep``          dials whom we know, again and again
* ``mesh``          all sessions of this node: what the daemon runs
* ``fetch``         a blob from the nodes of another registry, once for all who want it
* ``images``        a whole image: its manifests, and all their blobs
* ``exchange``      what this node answers to the calls of others
* ``announcer``     tells each destination what it should have, until it says that it does
* ``healing``       what is damaged here is asked of others
* ``pullthrough``   what is not here comes from another registry, and is kept
"""
