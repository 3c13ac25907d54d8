/* obmalloc: the free list of ints, or of floats, in Python 2.

   Define OBM_NUMBER as the struct and include this, instead of the blocks of
   a thousand bytes that would never go back.  The numbers come one by one from
   the object allocator, which gives their pages back; only the last few that
   were freed wait on the list.  free_list, fill_free_list() and the links
   through ob_type are what the code that uses them expects. */

#define OBM_NUMBERS_KEPT 100        /* as many as newer versions keep floats */

static OBM_NUMBER *free_list = NULL;
static int numfree = 0;             /* on free_list */

/* A list of one; NULL: MemoryError is set. */
static OBM_NUMBER *
fill_free_list(void)
{
    OBM_NUMBER *number = (OBM_NUMBER *)PyObject_MALLOC(sizeof(OBM_NUMBER));
    if (number == NULL) {
        return (OBM_NUMBER *)PyErr_NoMemory();
    }
    number->ob_type = NULL;
    numfree++;
    return number;
}

static void
clear_free_list(void)
{
    while (free_list != NULL) {
        OBM_NUMBER *number = free_list;
        free_list = (OBM_NUMBER *)number->ob_type;
        PyObject_FREE(number);
    }
    numfree = 0;
}
