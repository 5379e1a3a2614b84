"""What every test shares: property tests draw the same examples in every CI run."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

collect_ignore_glob = ["compat/drive_*.py"]  # programs that run with other people's packages, in other interpreters
