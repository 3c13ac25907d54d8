/* obmalloc: the marks of threads whose requests get long-lived blocks (../longlived.c), the
   same for every CPython and for the loadable library.  A mark lies in an ordinary block of
   the heap of the calling interpreter: it goes with that heap, even if it is left behind.  A
   heap that was never asked for a block is not in force, and has none for marks either. */

uintptr_t
_PyObmalloc_EnterLonglived(void)
{
    struct obm_heap *heap = obm_python_heap();
    struct obm_mark *mark = NULL;
    if (!obm_is_marked(heap)) {
        mark = heap->counters.arenas_mapped != 0 ? obm_malloc(heap, sizeof(*mark)) : NULL;
        if (mark == NULL) {
            return 0;
        }
    }
    obm_longlived_enter(heap, mark);
    return obm_this_thread;
}

void
_PyObmalloc_ExitLonglived(uintptr_t thread)
{
    struct obm_heap *heap = obm_python_heap();
    struct obm_mark *mark = obm_longlived_exit(heap, thread);
    if (mark != NULL) {
        obm_free(heap, mark);
    }
}

uintptr_t
_PyObmalloc_ThisThread(void)
{
    return obm_this_thread;
}

void
_PyObmalloc_OnlyThisThread(void)
{
    struct obm_heap *heap = obm_python_heap();
    for (struct obm_mark *mark = obm_longlived_other(heap); mark != NULL;
         mark = obm_longlived_other(heap)) {
        mark->depth = 1;
        _PyObmalloc_ExitLonglived(mark->thread);
    }
}
