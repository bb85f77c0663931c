"""The built-in tools, by name. A module is imported when one of its tools is used."""

from __future__ import annotations

BUILTIN = {
    name: f"llmspell.tools.{module}:{name}"
    for module, names in {
        "files": ("delete_file", "file_info", "list_files", "read_file", "write_file"),
        "search": ("search_files",),
        "http": ("http_request",),
        "programs": ("run_program",),
        "time": ("add_time", "format_time", "now", "parse_time", "time_between"),
        "data": ("csv_format", "csv_parse", "json_query"),
        "text": ("count_text", "diff_text", "regex_find", "split_text", "template"),
        "encoding": (
            "base64_decode",
            "base64_encode",
            "hash",
            "hmac",
            "url_decode",
            "url_encode",
            "uuid",
        ),
        "math": ("calculate",),
    }.items()
    for name in names
}
"""Maps names to `module:attribute`."""
