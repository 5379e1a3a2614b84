# The five checks, in one command. Without make, run them one by one; CONTRIBUTING.md lists them.
.PHONY: check
check:
	ruff format --check .
	ruff check .
	mypy
	mypy --platform win32
	lint-imports
	python -m pytest -q -n 2 --dist loadfile --cov
