"""The audit: who did what to what, from where, with which result.

What changes the registry is written down in the transaction that changes it; what reads it, and what was refused,
within a second. Entries are chained by hashes and signed for at checkpoints (``protocol.auth.audit``).

* ``notes``    what is to be written down at the next second, alike with alike
* ``writing``  entries and checkpoints are written, old ones removed
* ``reading``  entries are shown, and the chain verified
"""
