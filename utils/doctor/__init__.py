"""`doctor`: everything that must be right before money is at stake, each with its remedy."""

from utils.doctor.examination import examine
from utils.doctor.findings import Finding, Grade

__all__ = ["Finding", "Grade", "examine"]
