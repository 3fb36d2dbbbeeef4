"""Files as a source: CSV, Parquet and JSON lines, one file or a folder of them."""
