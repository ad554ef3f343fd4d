"""The API of Amazon ECR as data: its operations, the shapes of their input, and what is wrong with an input.

What stands in the two tables is generated from the service models of botocore, which is what every SDK is made of;
``tests/ecr_models.py`` writes them, and a test compares them with the models that are installed.

* ``shapes``   what a value may be, and why one is not that
* ``private``  the 62 operations of ``ecr``
* ``public``   the 23 operations of ``ecr-public``
* ``requestid``  the id of a request, as AWS writes it
"""
