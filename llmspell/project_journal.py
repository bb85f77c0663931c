"""Opens the journal of a project for writing."""

from __future__ import annotations

import os

from llmspell.config import Project
from llmspell.journal.journal import Journal
from llmspell.journal.secrets import Redaction
from llmspell.providers.catalogue import keys_in


def open_journal(project: Project) -> Journal:
    """Return the journal, set up to redact secrets. The file is created at the first use."""
    settings = project.settings
    secrets = keys_in(os.environ, settings.providers)
    return Journal(
        project.journal_file,
        synchronous=settings.journal.synchronous,
        redaction=Redaction(secrets, settings.journal.redact),
    )
