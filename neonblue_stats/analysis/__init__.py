"""The JSON format of `neonblue analyze`: comparisons with sums in hand, read, answered and described. No I/O."""

from .document import DocumentError, analyse_document, analyse_one
from .schema import json_schema

__all__ = ["DocumentError", "analyse_document", "analyse_one", "json_schema"]
