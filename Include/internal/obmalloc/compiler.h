/* obmalloc: what the compilers differ in, and nothing about allocation. */

#ifndef OBM_COMPILER_H
#define OBM_COMPILER_H

/* madvise() and MAP_ANONYMOUS stand outside ISO C; as CPython, ask for them
   before the first system header. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#  define _GNU_SOURCE 1
#endif

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__) || defined(__GNUC__)     /* clang-cl has only the former */
#  define OBM_LIKELY(condition) __builtin_expect(!!(condition), 1)
#  define OBM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#  define OBM_INLINE static inline __attribute__((always_inline))
#  define OBM_NOINLINE __attribute__((noinline))
#  define OBM_UNUSED __attribute__((unused))
/* Says nothing to the machine, and to the compiler that the value may have changed.
   GCC 12 then keeps the block in the register in which it is returned, and names a
   descriptor by its index each time instead of computing its address first: one
   instruction of each hot path. */
#  define OBM_KEEP_APART(value) __asm__("" : "+r"(value))
#  if defined(_WIN32) && !defined(__clang__)     /* "printf" is that of an old C library there */
#    define OBM_PRINTF(text, first) __attribute__((format(gnu_printf, text, first)))
#  else
#    define OBM_PRINTF(text, first) __attribute__((format(printf, text, first)))
#  endif
#else
#  define OBM_LIKELY(condition) (condition)
#  define OBM_UNLIKELY(condition) (condition)
#  define OBM_INLINE static inline
#  define OBM_NOINLINE
#  define OBM_UNUSED
#  define OBM_KEEP_APART(value) ((void)0)
#  define OBM_PRINTF(text, first)
#endif

/* Take one from an int16_t in memory, and tell whether it is negative now.  Left to
   itself GCC computes the address first, for what it takes to be a load and a store:
   one instruction of free's hot path. */
#if defined(__x86_64__) && defined(__GCC_ASM_FLAG_OUTPUTS__)
#  define OBM_COUNT_DOWN(place, negative) \
    __asm__("subw $1, %0" : "+m"(place), "=@ccs"(negative))
#else
#  define OBM_COUNT_DOWN(place, negative) ((negative) = --(place) < 0)
#endif

/* Atomic changes of an unsigned, and of a pointer or uintptr_t that other
   threads read.  Builtins, since C11's <stdatomic.h> is more than old
   CPythons may ask of a compiler. */
#if defined(_MSC_VER)
#  include <intrin.h>
#  define OBM_ATOMIC_OR(place, bits) \
    ((unsigned)_InterlockedOr((volatile long *)(place), (long)(bits)))
#  define OBM_ATOMIC_AND(place, bits) \
    ((unsigned)_InterlockedAnd((volatile long *)(place), (long)(bits)))
#  define OBM_ATOMIC_SWAP(place, old, value) \
    (_InterlockedCompareExchangePointer((void *volatile *)(place), (void *)(value), \
                                        (void *)(old)) == (void *)(old))
#  define OBM_PUBLISH(place, value) (*(place) = (value))
#  define OBM_PUBLISHED(place) (*(place))
#else
#  define OBM_ATOMIC_OR(place, bits) __atomic_fetch_or((place), (bits), __ATOMIC_ACQ_REL)
#  define OBM_ATOMIC_AND(place, bits) __atomic_fetch_and((place), (bits), __ATOMIC_ACQ_REL)
/* Replace old by value; false: *place was not old any more. */
#  define OBM_ATOMIC_SWAP(place, old, value) \
    __atomic_compare_exchange_n((place), &(old), (value), false, \
                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#  define OBM_PUBLISH(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
#  define OBM_PUBLISHED(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#endif

/* A compile-time check that C99 compilers take too: a negative array size
   is an error. */
#define OBM_STATIC_ASSERT(name, condition) \
    typedef char obm_static_assert_##name[(condition) ? 1 : -1]

/* A variable of which each thread has its own.  In a library for glibc it is found without
   a call, wherever the library was loaded; musl cannot do that for one that is loaded by
   dlopen(). */
#if defined(_MSC_VER)
#  define OBM_THREAD_LOCAL __declspec(thread)
#elif defined(__GLIBC__)
#  define OBM_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#  define OBM_THREAD_LOCAL __thread
#endif

/* Functions that another translation unit may call.  In a patched CPython the
   core is one translation unit (static.c), and they are static. */
#ifndef OBM_API
#  define OBM_API extern
#endif

/* The definition of a variable that is declared with OBM_API. */
#ifndef OBM_API_DEFINITION
#  define OBM_API_DEFINITION
#endif

#endif /* OBM_COMPILER_H */
