"""What the commands do, as functions that return data: `import galaxymorph as gm`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
