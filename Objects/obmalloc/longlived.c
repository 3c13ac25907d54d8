/* obmalloc: long-lived blocks, and which threads ask for them.

   What a program keeps for long and what comes and goes meanwhile should not share pages: the
   latter would leave holes around the former.  So each size class exists twice, and the runs
   of its second kind hold what *marked* threads ask for.  Everything else is the same for
   both; the address of a block tells its class, so a free asks for no mark.

   The hot path knows nothing of marks.  While a thread is marked, the front in force is
   closed for malloc: its pools are put aside, so each small request takes the slow
   way, which finds out whether its thread is marked, and looks at the one front or the other.
   medium.max is 0 meanwhile, which lets each medium request take the slow way as well.  A
   free of a small block still takes the hot path.

   A thread has a number, which is looked at in a variable of its own.  No number is used
   again, so a thread that ended while it was marked leaves a mark that fits no other.

   Another thread can remove a mark.  So a list of marks has a *state*, a number too, which
   changes when that happens.  A thread that has found its mark notes the state, and as long as
   it is the same, needs no further look at the list.

   The caller holds the GIL of the heap. */

#include "obmalloc/longlived.h"

#include <string.h>

OBM_API_DEFINITION OBM_THREAD_LOCAL uintptr_t obm_this_thread;
OBM_API_DEFINITION OBM_THREAD_LOCAL const struct obm_heap *obm_marked_in;

OBM_API_DEFINITION OBM_THREAD_LOCAL uintptr_t obm_marked_as_of;

/* Numbers ----------------------------------------------------------------------------- */

/* A number that was never given before, for any heap: each may have a GIL of its own. */
static uintptr_t
next_number(void)
{
    static uintptr_t last;
    uintptr_t before;
    do {
        before = OBM_PUBLISHED(&last);
    } while (!OBM_ATOMIC_SWAP(&last, before, before + 1));
    return before + 1;
}

/* Give the calling thread a number if it has none. */
static uintptr_t
number_this_thread(void)
{
    if (obm_this_thread == 0) {
        obm_this_thread = next_number();
    }
    return obm_this_thread;
}

/* Fronts ------------------------------------------------------------------------------ */

OBM_API_DEFINITION struct obm_pool obm_no_pool = {OBM_NO_LINK, 0, 0, 0, OBM_POOL_ABSENT, 0, 0};

void
obm_front_without_pools(struct obm_front *front)
{
    for (unsigned place = 0; place < OBM_SMALL_CLASSES; place++) {
        front->current[place] = &obm_no_pool;
    }
}

void
obm_front_move_pools(struct obm_front *front, struct obm_front *old)
{
    memcpy(front->region, old->region, sizeof(front->region));
    memcpy(front->current, old->current, sizeof(front->current));
    obm_front_without_pools(old);
}

/* Marks ------------------------------------------------------------------------------- */

void
obm_longlived_init(struct obm_heap *heap)
{
    obm_front_without_pools(&heap->longlived.front);
    heap->longlived.state = next_number();
}

/* The link in the list to the mark of a thread; to NULL: it has none. */
static struct obm_mark **
link_to_mark(struct obm_heap *heap, uintptr_t thread)
{
    struct obm_mark **link = &heap->longlived.marks;
    while (*link != NULL && (*link)->thread != thread) {
        link = &(*link)->next;
    }
    return link;
}

bool
obm_finds_its_mark(const struct obm_heap *heap)
{
    const struct obm_mark *mark = heap->longlived.marks;
    while (mark != NULL && mark->thread != obm_this_thread) {
        mark = mark->next;
    }
    if (mark != NULL) {
        obm_marked_as_of = heap->longlived.state;
    }
    return mark != NULL;
}

bool
obm_longlived_enter(struct obm_heap *heap, struct obm_mark *mark)
{
    struct obm_longlived *longlived = &heap->longlived;
    struct obm_mark *marked = *link_to_mark(heap, number_this_thread());
    if (marked != NULL) {
        marked->depth++;
        return false;
    }
    if (longlived->marks == NULL) {
        obm_front_move_pools(&longlived->aside, heap->front);
        heap->pools = &longlived->aside;
        longlived->medium_max = heap->medium.max;
        heap->medium.max = 0;
    }
    obm_marked_in = obm_marked_in == NULL || obm_marked_in == heap ? heap : OBM_SEVERAL_HEAPS;
    obm_marked_as_of = longlived->state;
    mark->next = longlived->marks;
    mark->thread = obm_this_thread;
    mark->depth = 1;
    longlived->marks = mark;
    return true;
}

struct obm_mark *
obm_longlived_exit(struct obm_heap *heap, uintptr_t thread)
{
    struct obm_longlived *longlived = &heap->longlived;
    struct obm_mark **link = link_to_mark(heap, thread), *mark = *link;
    if (mark == NULL || --mark->depth != 0) {
        return NULL;
    }
    *link = mark->next;
    if (thread != obm_this_thread) {
        longlived->state = next_number();
    }
    else {
        obm_marked_as_of = 0;
        if (obm_marked_in == heap) {
            obm_marked_in = NULL;
        }
    }
    if (longlived->marks == NULL) {
        obm_front_move_pools(heap->front, &longlived->aside);
        heap->pools = heap->front;
        heap->medium.max = longlived->medium_max;
    }
    return mark;
}

struct obm_mark *
obm_longlived_other(const struct obm_heap *heap)
{
    struct obm_mark *mark = heap->longlived.marks;
    while (mark != NULL && mark->thread == obm_this_thread) {
        mark = mark->next;
    }
    return mark;
}
