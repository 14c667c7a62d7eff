from .documents import json_text, plain, write_json
from .result import Result, TableResult
from .tables import cell, print_table, records, write_table

__all__ = ["Result", "TableResult", "cell", "json_text", "plain", "print_table", "records", "write_json", "write_table"]
