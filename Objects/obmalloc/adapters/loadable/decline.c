/* obmalloc, the loadable library: what it says when it does not serve the interpreter.

   PYTHONMALLOC=malloc or mimalloc: while Python starts it reads the variable,
   unless -E or -I or an embedding program forbids it, and sets its own
   allocators in place of ours, which are not called any more.  So,
   where the variable is set, the table of built-in modules leads to `posix` by
   way of after_choice().  That module is initialized when the allocators have
   been chosen and some thousand blocks allocated: an interpreter that is served
   has an arena by then. */

/* The row of a built-in module; NULL: there is none. */
static struct _inittab *
built_in(const char *name)
{
    struct _inittab *row = &PyImport_Inittab != NULL ? PyImport_Inittab : NULL;
    while (row != NULL && row->name != NULL && strcmp(row->name, name) != 0) {
        row++;
    }
    return row != NULL && row->name != NULL ? row : NULL;
}

/* A patched interpreter has the module _obmalloc, and needs no library. */
static bool
is_built_with_obmalloc(void)
{
    return built_in("_obmalloc") != NULL;
}

static bool
is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

/* Tell why the interpreter is not served. */
static void
decline(const char *reason)
{
    if (!is_set(OBM_LOADABLE_QUIET) && !is_set(OBM_LOADABLE_RESTARTED)) {
        warn(reason);
    }
}

/* The value of PYTHONMALLOC if it names an allocator other than pymalloc. */
static const char *
other_allocator(void)
{
    const char *name = getenv("PYTHONMALLOC");
    bool other = name != NULL && (strncmp(name, "malloc", strlen("malloc")) == 0
                                  || strncmp(name, "mimalloc", strlen("mimalloc")) == 0);
    return other ? name : NULL;
}

static void *(*initialize_posix)(void);

/* Called by each interpreter of the process. */
static void *
after_choice(void)
{
    static bool looked;
    const char *name = other_allocator();
    if (!looked && name != NULL && main_heap->counters.arenas_mapped == 0) {
        char line[160];
        snprintf(line, sizeof(line), "not in force: PYTHONMALLOC=%.20s sends small requests "
                 "elsewhere: unset it (" OBM_LOADABLE_QUIET "=1 silences this line)", name);
        decline(line);
    }
    looked = true;
    return initialize_posix();
}

/* Called before Python starts. */
static void
watch_choice(void)
{
    struct _inittab *row = other_allocator() != NULL ? built_in("posix") : NULL;
    if (row != NULL) {
        initialize_posix = row->initialize;
        row->initialize = after_choice;
    }
}
