"""Reading price files as vendors and terminals write them, into UTC bars and ticks.

`recognise` tells the format, `import_file` and `import_pair` read, `read_source` serves the daemon's
`--source`, `write_canonical` writes the daemon's own format.
"""

from market_data.importers.canonical import write_canonical
from market_data.importers.files import import_file, import_pair
from market_data.importers.recognition import recognise
from market_data.importers.records import TICK_DTYPE, DamagedRow, Format, ImportReport
from market_data.importers.source import read_market, read_source
from market_data.importers.zones import histdata_zone

__all__ = [
    "TICK_DTYPE",
    "DamagedRow",
    "Format",
    "ImportReport",
    "histdata_zone",
    "import_file",
    "import_pair",
    "read_market",
    "read_source",
    "recognise",
    "write_canonical",
]
