"""What the command line asks of the node, under ``/admin/v1/`` on its control socket; some of it also from afar.

JSON both ways. A refusal is ``{"error": {"code": name of its class, "message": ...}}`` with its status. Who can open
the socket (mode 0600) is the user that the node runs as, so every call there is made as the account's root. What ECR
has no operation for (principals, keys, policies, peers) is on the client port too, under ``/api/v1/``, for callers who
say who they are; nothing else of this door is.

* ``routes``       the table of all that the control socket has
* ``resources``    the table of what ``/api/v1`` has as well
* ``client``       serves that on the client port
* ``openapi``      and describes it
* ``answer``       runs a handler and turns a ``Refusal`` into JSON
* ``control``      what is handed in for peers
* ``images``       repositories, tags, images, how much is stored
* ``replication``  replication rules and status, pull-through rules
* ``events``       what happened, from any position
* ``check``        checking the store while it is in use
* ``backup``       what a backup of a running node is made of
* ``webhooks``     who is told of events
* ``principals``   users, groups and roles
* ``issuers``      who is trusted to say who somebody is
* ``grants``       policies, and whose they are
* ``keys``         access keys
* ``kms``          keys under which repositories are encrypted, and the rotation of the master key
* ``peers``        invitations, the authority, trust, other nodes
* ``activity``     what the node does at the moment
* ``operation``    alarms, read-only mode, and what the node does at the moment
* ``scrub``        reading all that is stored, and what is damaged
* ``audit``        who did what
* ``simulation``   what policies would decide
* ``status``       is it up, and which version
"""
