"""The folder that stands before a program's own search path; see `with-terminal`.

It lies inside this package, so that on no ordinary path `import MetaTrader5` finds the stand-in.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""What is put before a program's search path."""
