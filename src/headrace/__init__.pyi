from headrace.library import Session as Session
from headrace.model.authoring import Context as Context
from headrace.model.authoring import asset as asset

__version__: str
__all__ = ["Context", "Session", "__version__", "asset"]
