/* obmalloc, the loadable library: whether this Python can be served; the heap. */

/* NULL, or one line that says why this Python cannot be served. */
static const char *
objection(void)
{
    static char line[160];
    int major = 0, minor = 0, micro = 0;
    const char *version = Py_GetVersion != NULL ? Py_GetVersion() : "";
    if (sscanf(version, "%d.%d.%d", &major, &minor, &micro) < 2 || major != 3 || minor < 9) {
        snprintf(line, sizeof(line), "Python %.*s is not supported (3.9 and newer are): "
                 "the interpreter keeps its own allocator",
                 (int)strcspn(version, " "), version);
        return line;
    }
    if (strstr(version, "free-threading build") != NULL) {
        return "a free-threaded Python needs its own allocator, and keeps it";
    }
    if (PyMem_GetAllocator == NULL || PyMem_SetupDebugHooks == NULL
        || PyObject_GetArenaAllocator == NULL || PyObject_SetArenaAllocator == NULL
        || PyMem_RawMalloc == NULL || PyMem_RawCalloc == NULL || PyMem_RawRealloc == NULL
        || PyMem_RawFree == NULL || PyInterpreterState_Get == NULL
        || PyInterpreterState_Main == NULL || PyInterpreterState_Head == NULL
        || PyInterpreterState_Next == NULL || Py_IsInitialized == NULL
        || PyThreadState_New == NULL || PyThreadState_Clear == NULL
        || PyThreadState_DeleteCurrent == NULL || PyEval_RestoreThread == NULL
        || PyEval_SaveThread == NULL || PyEval_GetFrame == NULL || Py_AddPendingCall == NULL
        || PyThread_start_new_thread == NULL || PyThread_allocate_lock == NULL
        || PyThread_acquire_lock == NULL || PyThread_acquire_lock_timed == NULL
        || PyThread_release_lock == NULL) {
        return "this Python lacks a function of its public interface: "
               "it keeps its own allocator";
    }
    may_have_many_heaps = minor >= 12;
    tracemalloc_races = PyTraceMalloc_Untrack != NULL
        && (minor < 12 || (minor == 12 && micro < 9) || (minor == 13 && micro < 2));
    new_thread_state_reads_null = minor == 11 && _PyThreadState_Prealloc != NULL
        && _PyThreadState_SetCurrent != NULL;
    return NULL;
}

const char *
obm_loadable_prepare(void)
{
    if (heap_ready) {
        return NULL;
    }
    bool reported = obm_settings_were_reported();
    const char *reason = objection();
    if (reason != NULL) {
        return reason;
    }
    obm_settings_from_environment(&settings, getenv("PYTHONOBMALLOC"), obm_settings_warn,
                                  &reported);
    if (!obm_heap_init(main_heap, obm_os_system(), &settings)
        || !obm_heap_init(&empty_heap, obm_os_system(), &settings)) {
        return "the page size of this system is not supported: "
               "the interpreter keeps its own allocator";
    }
    if (settings.background != OBM_BACKGROUND_OFF) {
        main_heap->on_surplus = on_surplus;
        main_heap->on_page_events = on_page_events;
    }
    PyMemAllocatorEx raw;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    first_raw_malloc = raw.malloc;
    on_main_interpreter = watch_for_restart;
    heap_ready = true;
    return NULL;
}
