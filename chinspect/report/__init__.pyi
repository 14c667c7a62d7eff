from .result import Result, TableResult
from .tables import plain, print_table, records, write_json, write_table

__all__ = ["Result", "TableResult", "plain", "print_table", "records", "write_json", "write_table"]
