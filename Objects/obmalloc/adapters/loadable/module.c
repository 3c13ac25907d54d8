/* obmalloc, the loadable library: what its Python module calls (../loadable.h and
   obmalloc/python.h). */

const char *
obm_loadable_install(void)
{
    const char *reason = obm_loadable_prepare();
    if (reason != NULL) {
        return reason;
    }
    if (main_heap->counters.arenas_mapped != 0) {
        return NULL;        /* in force, or behind hooks that were set since */
    }
    if (PyInterpreterState_Next(PyInterpreterState_Head()) != NULL) {
        return "there is a subinterpreter already: install() must come before the first one";
    }
    switch (who_is_in_force()) {
    case PYMALLOC:
        install_before_pymalloc();
        return NULL;
    case OURS:
        return NULL;
    case DEBUG_HOOKS:
    case ANOTHER:
        break;
    }
    return "pymalloc is not in force (PYTHONMALLOC, debug hooks, or a profiler such as "
           "tracemalloc): install() must come first, or the library be preloaded";
}

void
_PyObmalloc_Stats(struct obm_stats *stats)
{
    obm_stats_collect(main_heap, stats);
}

const struct obm_settings *
_PyObmalloc_Settings(void)
{
    return &settings;
}

/* The free lists of the basic types are out of reach; gc.collect() empties
   most of them. */
size_t
_PyObmalloc_Trim(void (*between)(void))
{
    return obm_trim_in_steps(main_heap, between);
}

bool
_PyObmalloc_Check(int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    return obm_check_heap(main_heap, level, message);
}
