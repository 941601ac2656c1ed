-- kong.meta.
return { version = kong.version, _VERSION = kong.version, _NAME = "kong", core_version = kong.version }
