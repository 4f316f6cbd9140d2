"""`composed`, on a machine whose only SQLite is the interpreter's own."""

import sqlite3
import sys
import types

import sqlite3.dbapi2  # isort: skip

_module = types.ModuleType("pysqlite3")
_module.dbapi2 = sqlite3.dbapi2  # type: ignore[attr-defined]
sys.modules["pysqlite3"] = _module
sys.modules["pysqlite3.dbapi2"] = sqlite3.dbapi2

if __name__ == "__main__":
    from tests.faults.composed import main

    main()
