/* obmalloc, the loadable library: which interpreter it serves.

   From 3.12 on a subinterpreter may have a GIL and a pymalloc of its own, so only the
   main interpreter is served.  Before 3.12 there is one GIL, and all are served.  A
   subinterpreter that frees a block of the heap shares the GIL of the main interpreter:
   with a pymalloc of its own it could not have got the block. */

/* Whether the main interpreter calls; learn which one that is. */
static OBM_NOINLINE bool
is_main_after_all(void)
{
    if (main_interpreter == NULL) {
        main_interpreter = PyInterpreterState_Main();
        on_main_interpreter();
    }
    return PyInterpreterState_Get() == main_interpreter;
}

/* many: subinterpreters with heaps of their own are possible (a constant). */
OBM_INLINE bool
is_served(bool many)
{
    return !many || OBM_LIKELY(PyInterpreterState_Get() == main_interpreter)
           || is_main_after_all();
}

/* Whether the calling subinterpreter knows that block is none of the heap's.
   The main interpreter may be changing the heap meanwhile, so only what is
   published for all threads is read. */
static bool
is_foreign_to_subinterpreter(const void *block)
{
    return may_have_many_heaps && !is_main_after_all()
           && !obm_belongs_to_other_heap(&empty_heap, block);
}
