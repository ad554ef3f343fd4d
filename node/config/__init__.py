"""The configuration: one TOML file, the environment and flags, as typed values.

Of a key that is set in several places, the flag wins over the environment, and that over the file. What is wrong is
named by its dotted key, as ``listen.address``, and by where it was set, all of it at once.

* ``settings``   every key, its type, default and meaning: the one list
* ``addresses``  ``host:port`` and host names
* ``rules``      what no single value can be wrong about
* ``places``     the line of a file where a key is set
* ``load``       from file, environment and flags to ``Config``
* ``live``       what takes effect without a restart
* ``show``       ``Config`` as TOML, and its JSON schema
"""
