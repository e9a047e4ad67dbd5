"""Reports: run folders in, one HTML page out. Reads files only."""

from genkit.report.page import write_report

__all__ = ["write_report"]
