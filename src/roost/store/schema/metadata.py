"""The one collection of tables, which all modules of the schema add theirs to."""

from __future__ import annotations

from sqlalchemy import MetaData

metadata = MetaData()
