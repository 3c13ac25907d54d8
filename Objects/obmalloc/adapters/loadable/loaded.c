/* obmalloc, the loadable library: what it does when it is loaded. */

__attribute__((constructor)) static void
loaded(void)
{
    if (PyMem_SetAllocator == NULL || (Py_IsInitialized != NULL && Py_IsInitialized())) {
        return;     /* not Python, or obmalloc.install() is to come */
    }
    int saved_errno = errno;
    const char *children = getenv(OBM_LOADABLE_CHILDREN);
    if (children != NULL && strcmp(children, "0") == 0) {
        leave_children_alone();
        unsetenv(OBM_LOADABLE_CHILDREN);
        setenv(OBM_LOADABLE_ENABLED, "0", 1);
    }
    const char *reason = is_built_with_obmalloc() ? NULL : obm_loadable_prepare();
    if (reason != NULL) {
        decline(reason);
    }
    else if (heap_ready) {
        PyObjectArenaAllocator ours = {NULL, python_arena_alloc, python_arena_free};
        PyObject_GetArenaAllocator(&previous_arena);
        PyObject_SetArenaAllocator(&ours);
        if (who_is_in_force() == PYMALLOC) {
            install_before_pymalloc();
        }
        watch_choice();
    }
    errno = saved_errno;
}
