/* obmalloc: whether the invalid settings of PYTHONOBMALLOC have been reported before: the
   command `obmalloc run` is a Python that becomes the program, and so reads them first.  The
   variable that says so is for the program alone, not for those that it starts. */

#define OBM_REPORTED "OBMALLOC_REPORTED"

static bool
obm_settings_were_reported(void)
{
    bool reported = getenv(OBM_REPORTED) != NULL;
    if (reported) {
#if defined(_WIN32)
        _putenv(OBM_REPORTED "=");
#else
        unsetenv(OBM_REPORTED);
#endif
    }
    return reported;
}
