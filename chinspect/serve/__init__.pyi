from .application import build_application
from .opening import open_run
from .run import Run
from .server import serve

__all__ = [
    "Run",
    "build_application",
    "open_run",
    "serve",
]
