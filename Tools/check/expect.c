/* obmalloc's tests: expectations, and how a failure is told (see harness.h).
   What a failure does to the test is up to the program: harness_failed() and
   harness_end(). */

#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#if defined(_WIN32)
#  include <stdlib.h>
#  include <windows.h>
#else
#  include <sys/resource.h>
#  include <unistd.h>
#endif

#define TEXT_SIZE 1024u

static void
report(const char *file, int line, const char *format, va_list arguments)
{
    char text[TEXT_SIZE];
    int length = snprintf(text, sizeof(text), "%s:%d: ", file, line);
    vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
    harness_failed(text);
}

void
harness_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(file, line, format, arguments);
    va_end(arguments);
}

void
harness_stop(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(file, line, format, arguments);
    va_end(arguments);
    harness_end();
}

bool
harness_compare(const char *file, int line, const char *text, uintmax_t actual,
                enum harness_relation relation, uintmax_t expected)
{
    static const char *const words[] = {"", "anything but ", "at most ", "at least "};
    bool holds = relation == HARNESS_EQUAL ? actual == expected
                 : relation == HARNESS_DIFFERENT ? actual != expected
                 : relation == HARNESS_AT_MOST ? actual <= expected
                 : actual >= expected;
    if (!holds) {
        harness_fail(file, line, "%s is %ju (0x%jx), expected %s%ju (0x%jx)", text, actual,
                     actual, words[relation], expected, expected);
    }
    return holds;
}

bool
harness_text(const char *file, int line, const char *text, const char *actual,
             const char *expected, bool whole)
{
    bool holds = actual != NULL
                 && (whole ? strcmp(actual, expected) == 0 : strstr(actual, expected) != NULL);
    if (!holds) {
        harness_fail(file, line, "%s is \"%s\", expected %s\"%s\"", text,
                     actual != NULL ? actual : "(null)", whole ? "" : "it to contain ",
                     expected);
    }
    return holds;
}

/* Of the processor, since another program may use it; and, for one that waits for
   ever, much longer by the clock. */
#define CLOCK_SHARE 20u

#if defined(_WIN32)

static void CALLBACK
time_is_up(void *seconds, BOOLEAN fired)
{
    (void)fired;
    printf("not done in %u seconds\n", *(unsigned *)seconds);
    fflush(stdout);
    TerminateProcess(GetCurrentProcess(), EXIT_FAILURE);
}

void
harness_limit_time(unsigned seconds)
{
    static unsigned limit;
    static HANDLE timer;
    if (timer != NULL) {
        DeleteTimerQueueTimer(NULL, timer, NULL);
    }
    limit = CLOCK_SHARE * seconds;
    CreateTimerQueueTimer(&timer, NULL, time_is_up, &limit, 1000u * limit, 0, WT_EXECUTEONLYONCE);
}

/* Not _exit(): the thread of the timer may run while that ends the process.  Under wine a
   process in 300 complained then ("wine client error"), and one had another status. */
void
harness_leave(int status)
{
    fflush(stdout);
    TerminateProcess(GetCurrentProcess(), (UINT)status);
    abort();
}

#else

void
harness_limit_time(unsigned seconds)
{
    struct rlimit limit = {seconds, seconds + 1};
    setrlimit(RLIMIT_CPU, &limit);
    alarm(CLOCK_SHARE * seconds);
}

/* Only a build that measures coverage has this. */
void __gcov_dump(void) __attribute__((weak));

void
harness_leave(int status)
{
    if (__gcov_dump != NULL) {
        __gcov_dump();
    }
    fflush(stdout);
    _exit(status);
}

#endif
