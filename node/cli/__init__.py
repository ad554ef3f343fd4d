"""The ``entrepot`` command.

A command parses its arguments, asks the node that serves the data directory over its control socket, and prints; those
about principals and peers ask another one with ``--endpoint``. Only
``init``, ``join``, ``serve`` and ``restore`` work on the directory itself, and ``invite``, ``trust``, ``authority``,
``backup``, ``check``, ``audit`` and ``doctor`` where no node runs. Each has ``--help`` with examples, ``--json``, and
the exit codes of ``failures``.

* ``main``         the entry point and the table of commands, which imports only what the one given needs
* ``options``      ``--data``, ``--json``, examples in the help
* ``failures``     exit codes and messages
* ``control``      HTTP over ``DIR/control.sock``
* ``remote``       HTTP to a node elsewhere, signed with an access key
* ``target``       which of both
* ``output``       tables, tab-separated lines, JSON
* ``serve``        start a node
* ``identity``     init, invite, join, authority
* ``trust``        accounts that this one trusts
* ``directory``    what these do where no node runs
* ``images``       repo, tag, image, du
* ``backup``       back up a node; list and verify backups
* ``nodesource``   a running node as the source of a backup
* ``restore``      a data directory made of a backup
* ``progress``     how far a long command is, on a terminal
* ``doctor``       what is wrong, and what to do about it
* ``top``          what the node does at the moment
* ``picture``      what ``top`` shows, worked out from two looks
* ``check``        whether a store is as it has to be, of a node that runs or not
* ``scrub``        all that is stored is read and compared
* ``replication``  replication rules and what they have done
* ``pullthrough``  pull-through rules
* ``events``       what happened
* ``reload``       take over a changed configuration
* ``readonly``     read-only mode, on and off
* ``webhooks``     who is told of it
* ``users``        who may come in
* ``groups``       users who have policies in common
* ``roles``        rights that others take on for a while
* ``issuers``     ``entrepot issuer``: whose tokens open sessions of roles
* ``granting``     policies of all three
* ``keys``         access keys
* ``kms``          KMS keys, and the master key
* ``policies``     managed policies
* ``audit``        who did what, and whether that was changed
* ``policy``       policy documents, without a node
* ``peers``        the other nodes
* ``config``       check and show the configuration, print its schema
* ``version``      what is installed
"""
