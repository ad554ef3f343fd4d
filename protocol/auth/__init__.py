"""Who is who, and who may.

* ``caller``      who asks: what every use case is told
* ``names``       accounts, regions, registries, nodes, and the URI in a certificate
* ``arn``         repositories as ARNs
* ``public``      what public repositories are called, inside and by clients
* ``principals``  users, groups, roles and keys: their ids, names and ARNs
* ``managed``     policies that everyone has
* ``secret``      bytes that nothing prints, and how they are kept
* ``policy``      policy documents of IAM, read strictly
* ``conditions``  what their conditions compare, and how
* ``variables``   text in them that depends on the request
* ``patterns``    their wildcards
* ``context``     what they may ask of a request
* ``decision``    whether a request is allowed, and by which statement
* ``audit``       who did what, in a chain of hashes
* ``denial``      what who is refused is told
* ``sigv4``       signatures of AWS, as the one who verifies
* ``percent``     percent-encoding, as signatures want it
* ``token``       bearer tokens, in the one form that is issued here
* ``jwks``        the keys of an OpenID provider
* ``idtoken``     identity tokens of others
* ``openid``      where a provider is, and how a person logs in there
* ``trust``       who may assume a role by an identity token
* ``challenge``   how an OCI client is told to log in, and what it asks a token for
* ``passwords``   passwords of people, as they are kept
* ``keyuse``      how an access key was used last
* ``envelope``    secrets at rest
* ``invitation``  the token with which a node joins, and the proof that it holds it
"""
