/* obmalloc: long-lived blocks, and which threads ask for them. */

#ifndef OBM_LONGLIVED_H
#define OBM_LONGLIVED_H

#include "obmalloc/size_class.h"

/* Let no thread be marked in a new heap. */
OBM_API void obm_longlived_init(struct obm_heap *heap);

/* Mark the calling thread: its requests get long-lived blocks until obm_longlived_exit() was
   called as often.  Returns whether the heap has *mark in its list now; a thread that is
   marked already needs none. */
OBM_API bool obm_longlived_enter(struct obm_heap *heap, struct obm_mark *mark);

/* Undo one obm_longlived_enter() of a thread, the calling one or another.  Returns its mark
   if it is not marked any more; NULL if it still is, or was not. */
OBM_API struct obm_mark *obm_longlived_exit(struct obm_heap *heap, uintptr_t thread);

/* The first mark of a thread other than the calling one; NULL: there is none. */
OBM_API struct obm_mark *obm_longlived_other(const struct obm_heap *heap);

/* The number of the calling thread, which no other thread of this process has or had; 0: it
   was never marked.  Only longlived.c writes it. */
OBM_API OBM_THREAD_LOCAL uintptr_t obm_this_thread;

/* The heap in whose list the calling thread may have a mark; NULL: in none;
   OBM_SEVERAL_HEAPS: in any.  Another thread can remove a mark without this one's knowing.
   Only longlived.c writes it. */
OBM_API OBM_THREAD_LOCAL const struct obm_heap *obm_marked_in;
#define OBM_SEVERAL_HEAPS ((const struct obm_heap *)1)

/* The state of the list in which the calling thread found its mark last; 0: it found none, or
   has removed it.  Only longlived.c writes it. */
OBM_API OBM_THREAD_LOCAL uintptr_t obm_marked_as_of;

/* Whether the calling thread has a mark in the list, which is noted. */
OBM_API bool obm_finds_its_mark(const struct obm_heap *heap);

/* Whether the calling thread is known to be marked; false: it may be. */
OBM_INLINE bool
obm_is_known_as_marked(const struct obm_heap *heap)
{
    return obm_marked_as_of == heap->longlived.state;
}

/* Whether the calling thread is marked.  One that never was does not look at the list,
   however many are marked. */
OBM_INLINE bool
obm_is_marked(const struct obm_heap *heap)
{
    return obm_is_known_as_marked(heap)
           || ((obm_marked_in == heap || obm_marked_in == OBM_SEVERAL_HEAPS)
               && obm_finds_its_mark(heap));
}

/* Let a front have no pool. */
OBM_API void obm_front_without_pools(struct obm_front *front);

/* Let one front have the pools of another one, which has none then. */
OBM_API void obm_front_move_pools(struct obm_front *front, struct obm_front *old);

/* The class that serves a request of the calling thread for a block of an ordinary class. */
OBM_INLINE unsigned
obm_class_in_force(const struct obm_heap *heap, unsigned size_class)
{
    return OBM_UNLIKELY(heap->longlived.marks != NULL) && obm_is_marked(heap)
           ? obm_long_class(size_class) : size_class;
}

/* The front that has the current pool of a small class, and where in its arrays. */

OBM_INLINE struct obm_front *
obm_front_of(struct obm_heap *heap, unsigned size_class)
{
    return size_class < OBM_SMALL_CLASSES ? heap->pools : &heap->longlived.front;
}

OBM_INLINE unsigned
obm_place_in_front(unsigned size_class)
{
    return size_class < OBM_SMALL_CLASSES ? size_class : size_class - OBM_LONG_SMALL;
}

#endif /* OBM_LONGLIVED_H */
