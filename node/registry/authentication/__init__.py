"""Who sends a request: what a client shows, turned into a caller, and what it is given to show the next time.

Everything that is issued names a *subject*: a principal by its unique id, and its generation. It is looked up with each
request, so what was issued to a user that is gone, disabled or whose key was revoked is over at once. None of it says
what may be done: policies are asked with each request.

* ``subjects``    whom something was issued to, and the caller that it makes now
* ``passwords``   an access key and its secret, or a user and its password
* ``turns``       whose password is hashed next
* ``authorization``  ECR's authorization tokens
* ``sessions``    temporary credentials
* ``roles``       sessions of roles, and who may have one
* ``issuers``     who is trusted to say who somebody is
* ``federation``  identity tokens of those, verified
* ``people``      log-in of people at a trusted issuer
* ``signatures``  Signature Version 4
* ``logins``      counts of all this
* ``tokenkeys``   the keys that sign bearer tokens, and their rotation
* ``bearer``      bearer tokens of OCI clients, and what they may be used for at most
"""
