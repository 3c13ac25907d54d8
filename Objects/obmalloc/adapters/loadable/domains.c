/* obmalloc, the loadable library: the functions of the domains MEM and OBJ.

   malloc     the heap serves the main interpreter's requests of its sizes; the previous
              allocator serves all others, and what the heap has no memory for.
   free       the address decides.  Blocks of the previous allocator, from before or
              after the heap came into place, go back to it. */

/* The previous allocator has refused.  What the heap retains goes back, and with it address
   space that may have been missed: whether it should be asked again for so many bytes.  Not
   where something stands before the system's malloc: a test that has one request fail, for
   instance. */
static OBM_NOINLINE bool
makes_room(size_t size)
{
    PyMemAllocatorEx raw;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    return raw.malloc == first_raw_malloc && obm_trim_for(main_heap, size);
}

/* The previous allocator serves the request of a caller that is served. */
static OBM_NOINLINE void *
malloc_passed_to(const PyMemAllocatorEx *other, size_t size)
{
    pass_on(size);
    void *block = other->malloc(other->ctx, size);
    if (OBM_UNLIKELY(block == NULL) && makes_room(size)) {
        block = other->malloc(other->ctx, size);
    }
    return block;
}

/* What obm_malloc_fast() has refused, as in ../front.c. */

static OBM_NOINLINE void *
malloc_small_slow(const PyMemAllocatorEx *other, size_t size)
{
    void *block = obm_malloc_small_refused(main_heap, size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    return malloc_passed_to(other, size);
}

static OBM_NOINLINE void *
malloc_not_small(const PyMemAllocatorEx *other, size_t size)
{
    void *block = obm_medium_malloc(main_heap, size);
    if (block != NULL) {
        medium_served();
        return block;
    }
    return malloc_passed_to(other, size);
}

static OBM_NOINLINE void *
malloc_slow(const PyMemAllocatorEx *other, size_t size)
{
    if (size - 1 >= OBM_SMALL_MAX) {        /* as in obm_malloc_fast() */
        return malloc_not_small(other, size);
    }
    void *block = obm_malloc_long_fast(main_heap, size);
    return OBM_LIKELY(block != NULL) ? block : malloc_small_slow(other, size);
}

static OBM_NOINLINE void *
malloc_elsewhere(const PyMemAllocatorEx *other, size_t size)
{
    return other->malloc(other->ctx, size);
}

OBM_INLINE void *
serve_malloc(bool many, const PyMemAllocatorEx *other, size_t size)
{
    if (OBM_UNLIKELY(!is_served(many))) {
        return malloc_elsewhere(other, size);
    }
    void *block = obm_malloc_fast(&main_heap->own_front, size);
    return OBM_LIKELY(block != NULL) ? block : malloc_slow(other, size);
}

OBM_INLINE void *
serve_calloc(bool many, const PyMemAllocatorEx *other, size_t count, size_t size)
{
    if (is_served(many)) {
        /* Python has made sure that the product does not overflow; but extensions
           can call this function without Python. */
        bool fits = size == 0 || count <= OBM_MEDIUM_MAX / size;
        void *block = fits ? obm_calloc(main_heap, count * size) : NULL;
        if (block != NULL) {
            if (count * size > OBM_SMALL_MAX) {
                medium_served();
            }
            return block;
        }
        pass_on(count * size);
        block = other->calloc(other->ctx, count, size);
        if (OBM_UNLIKELY(block == NULL) && makes_room(count * size)) {
            block = other->calloc(other->ctx, count, size);
        }
        return block;
    }
    return other->calloc(other->ctx, count, size);
}

static OBM_NOINLINE void
free_slow(const PyMemAllocatorEx *other, void *block)
{
    if (block == NULL) {
        return;                 /* it may come without a thread state */
    }
    if (is_foreign_to_subinterpreter(block)) {
        other->free(other->ctx, block);
    }
    else if (!obm_free_slow(main_heap, block)) {
        other->free(other->ctx, block);
        passed_on(0);
    }
}

static OBM_NOINLINE void
free_counted(const PyMemAllocatorEx *other, void *block)
{
    if (!obm_free_counted(main_heap, block)) {
        other->free(other->ctx, block);
        passed_on(0);
    }
}

static void
python_free(void *ctx, void *block)
{
    if (OBM_UNLIKELY(!obm_front_covers(&main_heap->own_front, block))) {
        free_slow(ctx, block);
        return;
    }
    if (!obm_free_fast(main_heap, &main_heap->own_front, block)) {
        free_counted(ctx, block);
    }
}

/* What the heap does not give to a block of its own that grows. */
static void *
malloc_passed_on(void *ctx, size_t size)
{
    return malloc_passed_to(ctx, size);
}

OBM_INLINE void *
serve_realloc(bool many, const PyMemAllocatorEx *other, void *block, size_t size)
{
    if (block == NULL) {
        return serve_malloc(many, other, size);
    }
    if (is_foreign_to_subinterpreter(block)) {
        return other->realloc(other->ctx, block, size);
    }
    if (obm_realloc(main_heap, &block, size, malloc_passed_on, (void *)other)) {
        return block;
    }
    pass_on(size);
    void *moved = other->realloc(other->ctx, block, size);
    if (OBM_UNLIKELY(moved == NULL) && makes_room(size)) {
        moved = other->realloc(other->ctx, block, size);
    }
    return moved;
}

static void *
python_malloc_alone(void *ctx, size_t size)
{
    return serve_malloc(false, ctx, size);
}

static void *
python_malloc(void *ctx, size_t size)
{
    return serve_malloc(true, ctx, size);
}

static void *
python_calloc_alone(void *ctx, size_t count, size_t size)
{
    return serve_calloc(false, ctx, count, size);
}

static void *
python_calloc(void *ctx, size_t count, size_t size)
{
    return serve_calloc(true, ctx, count, size);
}

static void *
python_realloc_alone(void *ctx, void *block, size_t size)
{
    return serve_realloc(false, ctx, block, size);
}

static void *
python_realloc(void *ctx, void *block, size_t size)
{
    return serve_realloc(true, ctx, block, size);
}
