/* obmalloc: invalid settings of PYTHONOBMALLOC are reported, unless they have been before: the
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

/* For obm_settings_from_environment().  reported: a pointer to whether this has been said
   before. */
static void
obm_settings_warn(const char *line, void *reported)
{
    if (!*(const bool *)reported) {
        fprintf(stderr, "%s\n", line);
    }
}
