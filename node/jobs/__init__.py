"""Timed work. Each is a task that the daemon starts, and calls use cases alone.

* ``expiry``      drops uploads that nobody feeds any more
* ``collection``  frees what nothing needs any more
* ``tokenkeys``   makes the next key that signs tokens
* ``webhooks``    tells those who asked what happened
* ``scrub``       reads all that is stored, and compares it
* ``keys``        wraps keys anew after a rotation, and destroys those that are to go
* ``repair``      mends what is found damaged
* ``noted``       writes down when images were pulled and keys were used last
* ``audit``       writes down what was read and refused, and signs for it
* ``disk``        room, failures, old readers
"""
