"""Servers that this node asks because a rule names them: one way out, with its rules in one place.

Whoever writes a rule must not reach through it what only this machine reaches. So all of these connections are dialled
here, to addresses that were checked (``protocol.rules.outbound``), and nothing else decides where they go: no
redirect is followed, no proxy of the environment is used.

* ``dial``    from a URL to a connection: resolve once, check, connect to what was checked, TLS
* ``client``  requests over such connections, which are kept for the next one
"""
