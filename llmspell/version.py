"""The version, for the package's build and for records of runs."""

VERSION = "0.1.0"
