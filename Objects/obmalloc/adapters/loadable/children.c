/* obmalloc, the loadable library: programs that the process starts, which load the
   library too unless it leaves LD_PRELOAD. */

/* The part of a path after its last slash. */
static const char *
base_name(const char *path, size_t length)
{
    const char *name = path + length;
    while (name > path && name[-1] != '/') {
        name--;
    }
    return name;
}

/* Take this library out of LD_PRELOAD, so that programs that this process
   starts do without. */
static void
leave_children_alone(void)
{
    const char *list = getenv("LD_PRELOAD");
    char *rest = list != NULL ? malloc(strlen(list) + 1) : NULL;
    if (rest == NULL) {
        return;
    }
    char *end = rest;
    while (*list != '\0') {
        size_t length = strcspn(list, ": ");
        const char *name = base_name(list, length);
        size_t name_length = (size_t)(list + length - name);
        if (length != 0 && (name_length != strlen(OBM_LOADABLE_FILE)
                            || memcmp(name, OBM_LOADABLE_FILE, name_length) != 0)) {
            if (end != rest) {
                *end++ = ':';
            }
            memcpy(end, list, length);
            end += length;
        }
        list += length + (list[length] != '\0');
    }
    *end = '\0';
    if (end == rest) {
        unsetenv("LD_PRELOAD");
    }
    else {
        setenv("LD_PRELOAD", rest, 1);
    }
    free(rest);
}
