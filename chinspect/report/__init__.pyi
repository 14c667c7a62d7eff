from .documents import json_text, plain, write_json
from .result import Result
from .tables import cell, print_table, records, write_table

__all__ = ["Result", "cell", "json_text", "plain", "print_table", "records", "write_json", "write_table"]
