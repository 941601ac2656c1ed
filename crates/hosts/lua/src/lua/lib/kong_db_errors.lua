-- kong.db.errors: the kinds of faults of the datastore.
local codes = { INVALID_PRIMARY_KEY = 1, SCHEMA_VIOLATION = 2, PRIMARY_KEY_VIOLATION = 3, FOREIGN_KEY_VIOLATION = 4,
  UNIQUE_VIOLATION = 5, NOT_FOUND = 6, INVALID_OFFSET = 7, DATABASE_ERROR = 8, INVALID_SIZE = 9, INVALID_UNIQUE = 10,
  INVALID_OPTIONS = 11, OPERATION_UNSUPPORTED = 12, FOREIGN_KEYS_UNRESOLVED = 13, DECLARATIVE_CONFIG = 14,
  REFERENCED_BY_OTHERS = 15, INVALID_SEARCH_QUERY = 16 }
local names = { "invalid primary key", "schema violation", "primary key violation", "foreign key violation",
  "unique constraint violation", "not found", "invalid offset", "database error", "invalid size", "invalid unique",
  "invalid options", "operation unsupported", "foreign keys unresolved", "invalid declarative configuration",
  "referenced by others", "invalid search query" }
return { codes = codes, names = names }
