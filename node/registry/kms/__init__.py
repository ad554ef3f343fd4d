"""KMS keys: keys that an operator makes, turns, disables and deletes, and under which repositories are encrypted.

* ``keys``       all keys as they are now, found by whatever name a repository gives
* ``managing``   making, listing, rotating, disabling, deleting one
"""
