"""Validation of requests: the contract's rules as data (`rules`), compiled once (`compile`) into one walk of a message.

A value that fails its quick test in the compiled code goes to `explain`, which decides and says what is wrong.
"""

from lockstitch_server.validation.validator import Validator
from lockstitch_server.validation.violation import Violation

__all__ = ["Validator", "Violation"]
