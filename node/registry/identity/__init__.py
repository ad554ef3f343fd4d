"""Who there is: users, groups, roles, their policies and their keys.

Everything lies in registers, by unique ids; the directory is what is made of them, in memory, and is what those who
authenticate and decide look at.

* ``directory``   all of it, as it is now
* ``principals``  users, groups and roles come and go
* ``granting``    policies of principals
* ``tags``        what conditions compare of them
* ``managed``     policies that are attached by their ARN
* ``keys``        access keys
* ``uses``        when each was used last
* ``passwords``   passwords of people
* ``first``       the administrator that a new node makes
"""
