/* obmalloc, the loadable library: Py_Finalize() and another Py_Initialize(), which reset
   the allocators from 3.12 on.  An audit hook, added when Python has ended, brings the
   heap into place again at the first audited event of the next life. */

static bool restarted;

static void watch_for_restart(void);

static int
after_restart(const char *event, void *arguments, void *data)
{
    (void)event;
    (void)arguments;
    (void)data;
    if (restarted) {
        restarted = false;
        watch_for_restart();
        if (who_is_in_force() == PYMALLOC) {
            install_before_pymalloc();
        }
    }
    return 0;
}

static void
after_finalization(void)
{
    restarted = true;
    PySys_AddAuditHook(after_restart, NULL);
}

/* Once in each life of a Python that resets its allocators. */
static void
watch_for_restart(void)
{
    if (may_have_many_heaps && Py_AtExit != NULL && PySys_AddAuditHook != NULL) {
        Py_AtExit(after_finalization);
    }
}
