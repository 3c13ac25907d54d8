/* obmalloc's unit tests: the harness.

   A test is a function between TEST(name) and its closing brace.  Each runs
   in a process of its own, once for every page size that the core was built
   for, so that a crash or an endless loop is one failed test and not the end
   of the others:

       build/check/VARIANT/test_pool          every test of the file
       build/check/VARIANT/test_pool NAME     one test, in this process

   The EXPECT family prints what it found beside what it wanted, and goes on;
   REQUIRE ends the test. */

#ifndef OBM_CHECK_HARNESS_H
#define OBM_CHECK_HARNESS_H

#include "obmalloc/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct harness_test {
    const char *name;
    void (*run)(void);
    struct harness_test *next;
};

void harness_register(struct harness_test *test);

#define TEST(name) \
    static void name(void); \
    static struct harness_test harness_test_##name = {#name, name, NULL}; \
    __attribute__((constructor)) static void \
    harness_register_##name(void) \
    { \
        harness_register(&harness_test_##name); \
    } \
    static void name(void)

/* Record a failure; harness_stop() also ends the test.  In a program that is
   not the harness, a fuzzer say, these two come from that program: take the text
   of a failure, and end the test. */
void harness_failed(const char *text);
void harness_end(void) __attribute__((noreturn));

void harness_fail(const char *file, int line, const char *format, ...) OBM_PRINTF(3, 4);
void harness_stop(const char *file, int line, const char *format, ...)
    OBM_PRINTF(3, 4) __attribute__((noreturn));

enum harness_relation { HARNESS_EQUAL, HARNESS_DIFFERENT, HARNESS_AT_MOST, HARNESS_AT_LEAST };

/* End this process after so many seconds. */
void harness_limit_time(unsigned seconds);

/* End a child process at once, with what it printed and measured. */
void harness_leave(int status) __attribute__((noreturn));

bool harness_compare(const char *file, int line, const char *text, uintmax_t actual,
                     enum harness_relation relation, uintmax_t expected);
bool harness_text(const char *file, int line, const char *text, const char *actual,
                  const char *expected, bool whole);

#define EXPECT(condition) \
    ((condition) ? true : (harness_fail(__FILE__, __LINE__, "%s", #condition), false))
#define REQUIRE(condition) \
    do { \
        if (!(condition)) { \
            harness_stop(__FILE__, __LINE__, "%s", #condition); \
        } \
    } while (0)

#define EXPECT_RELATION(actual, relation, expected) \
    harness_compare(__FILE__, __LINE__, #actual, (uintmax_t)(actual), relation, \
                    (uintmax_t)(expected))
#define EXPECT_EQUAL(actual, expected) EXPECT_RELATION(actual, HARNESS_EQUAL, expected)
#define EXPECT_DIFFERENT(actual, other) EXPECT_RELATION(actual, HARNESS_DIFFERENT, other)
#define EXPECT_AT_MOST(actual, limit) EXPECT_RELATION(actual, HARNESS_AT_MOST, limit)
#define EXPECT_AT_LEAST(actual, limit) EXPECT_RELATION(actual, HARNESS_AT_LEAST, limit)
#define EXPECT_SAME(actual, expected) EXPECT_EQUAL((uintptr_t)(actual), (uintptr_t)(expected))

#define EXPECT_TEXT(actual, expected) \
    harness_text(__FILE__, __LINE__, #actual, actual, expected, true)
#define EXPECT_CONTAINS(actual, part) \
    harness_text(__FILE__, __LINE__, #actual, actual, part, false)

/* A check on behalf of a caller, so that the message names its line. */
struct harness_place {
    const char *file;
    int line;
};
#define HERE ((struct harness_place){__FILE__, __LINE__})

/* Whether the tests run under AddressSanitizer, whose shadow memory lies where
   some windows would. */
#if defined(__SANITIZE_ADDRESS__)
#  define HARNESS_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define HARNESS_ADDRESS_SANITIZER 1
#  endif
#  if __has_feature(thread_sanitizer)
#    define HARNESS_THREAD_SANITIZER 1
#  endif
#endif
#if defined(__SANITIZE_THREAD__)
#  define HARNESS_THREAD_SANITIZER 1
#endif
#ifndef HARNESS_THREAD_SANITIZER
#  define HARNESS_THREAD_SANITIZER 0
#endif
#ifndef HARNESS_ADDRESS_SANITIZER
#  define HARNESS_ADDRESS_SANITIZER 0
#endif

#endif /* OBM_CHECK_HARNESS_H */
