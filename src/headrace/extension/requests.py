"""What sources of other packages use to send requests over HTTP."""

from headrace.connect.destinations import AddressRefused, check_connections
from headrace.connect.raw_files import UnpackLimits
from headrace.connect.read_deadlines import ReadDeadline, deadline_of
from headrace.store.lease import this_process

__all__ = [
    "AddressRefused",
    "ReadDeadline",
    "UnpackLimits",
    "check_connections",
    "deadline_of",
    "this_process",
]
