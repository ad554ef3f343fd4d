"""The composition root: builds every part from the configuration, hands each what it needs, and runs them in one tree.

What starts last stops first. On SIGTERM or SIGINT the doors close and requests in flight finish; then jobs and peers
end; then the writers commit what was queued; then the lock on the data directory is let go.

* ``main``       the process: log, identity, the tree of nurseries
* ``doors``      the ports and the control socket
* ``clients``    what the client port serves
* ``access``     who may come in there
* ``observing``  what is counted, logged and traced of each request
* ``certificate``  what clients are shown, and its replacement
* ``signals``    TERM, INT, HUP
* ``leaving``    how a node stops: told first, then drained
* ``reload``     a changed configuration and certificate, taken over whole or not at all
* ``inforce``    what a configuration changes of the parts
* ``peering``    what peers are given of the registry, and the registry of peers
* ``control``    what commands ask of peers
* ``notify``     tells systemd how the node is
* ``masters``    how the master key is rotated
* ``jobs``       the table of what runs beside the doors
* ``issuers``    how trusted issuers are asked
* ``webhooks``   how webhooks reach their receivers
* ``doctor``     looks at all that a node depends on
* ``activity``   what the node does at the moment
* ``watch``      which numbers the metrics read
* ``expiry``     when certificates run out
* ``tracing``    who begins traces, and who sends them away
* ``clock``      whether the wall clock can be right
* ``vitals``     the condition of the node itself, kept in accord with its alarms
* ``holds``      watches who holds up the event loop
* ``heap``       how the C library keeps memory
* ``supervise``  keeps a job running
"""
