# The files of the core, in the order of the layers: as Objects/obmalloc/static.c
# lists them.

CORE_FILES := $(shell sed -n 's/^\#include "\([a-z_]*\)\.c".*/\1/p' Objects/obmalloc/static.c)
