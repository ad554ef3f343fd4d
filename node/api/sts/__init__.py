"""The few operations of AWS STS that tools of ECR call: the Query API, ``POST /`` with a form on the client port.

* ``door``    the application: which operation, who asks, what comes of it
* ``form``    the parameters of a request
* ``answer``  results and errors as XML

Source: AWS STS API reference; AWS Query protocol (Smithy).
"""
