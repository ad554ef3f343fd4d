"""What the command line asks of the node, under ``/admin/v1/``: on its control socket only, never on a client's port.

JSON both ways. A refusal is ``{"error": {"code": name of its class, "message": ...}}`` with its status. Who can open
the socket (mode 0600) is the user that the node runs as, so every call is made as the account's root.

* ``routes``       the table of all of them
* ``answer``       runs a handler and turns a ``Refusal`` into JSON
* ``control``      what is handed in for peers
* ``images``       repositories, tags, images, how much is stored
* ``replication``  replication rules and status, pull-through rules
* ``events``       what happened, from any position
* ``check``        checking the store while it is in use
* ``backup``       what a backup of a running node is made of
* ``webhooks``     who is told of events
* ``peers``        invitations, the authority, trust, other nodes
* ``activity``     what the node does at the moment
* ``operation``    alarms, read-only mode, and what the node does at the moment
* ``scrub``        reading all that is stored, and what is damaged
* ``status``       is it up, and which version
"""
