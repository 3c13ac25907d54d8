/* obmalloc's unit tests: the harness (see harness.h). */

#include "harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#  include <process.h>
#  include <windows.h>
#else
#  include <sys/wait.h>
#  include <unistd.h>
#endif

#include "fake_os.h"

/* No test takes a second on an idle machine: this long means for ever. */
#ifndef TIME_LIMIT_SECONDS
#  define TIME_LIMIT_SECONDS 30
#endif
#define KIB 1024u
#define APART "--apart"             /* --apart NAME PAGE_SIZE: what run_apart() starts */

static struct harness_test *first_test, **last_link = &first_test;
static unsigned failures;           /* of the test that is running */
static jmp_buf test_end;

/* The page sizes that the core was built for, or the one that a variant wants. */
#if OBM_FIXED_PAGE_SHIFT
static const size_t page_sizes[] = {(size_t)1 << OBM_FIXED_PAGE_SHIFT};
#elif defined(TESTED_PAGE_SIZE)
static const size_t page_sizes[] = {TESTED_PAGE_SIZE};
#else
static const size_t page_sizes[] = {4 * KIB, 16 * KIB, 64 * KIB};
#endif
#define PAGE_SIZE_COUNT (sizeof(page_sizes) / sizeof(page_sizes[0]))

void
harness_register(struct harness_test *test)
{
    *last_link = test;
    last_link = &test->next;
}

void
harness_failed(const char *text)
{
    failures++;
    puts(text);
    fflush(stdout);
}

void
harness_end(void)
{
    longjmp(test_end, 1);
}

/* Running -------------------------------------------------------------------------- */

static unsigned
run_here(const struct harness_test *test, size_t page_size)
{
    failures = 0;
    fake_os_reset(page_size);
    if (setjmp(test_end) == 0) {
        test->run();
    }
    return failures;
}

static void
run_in_child(const struct harness_test *test, size_t page_size)
{
    harness_limit_time(TIME_LIMIT_SECONDS);
    harness_leave(run_here(test, page_size) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

#if defined(_WIN32)

static const char *program;

/* There is no fork(): this program starts itself. */
static bool
run_apart(const struct harness_test *test, size_t page_size)
{
    char size[32];
    snprintf(size, sizeof(size), "%zu", page_size);
    const char *const arguments[] = {"harness", APART, test->name, size, NULL};
    fflush(stdout);
    intptr_t status = _spawnv(_P_WAIT, program, arguments);
    if (status != EXIT_SUCCESS && status != EXIT_FAILURE) {
        printf("%s: ended with status %#llx\n", test->name, (unsigned long long)status);
    }
    return status == EXIT_SUCCESS;
}

#else

static bool
run_apart(const struct harness_test *test, size_t page_size)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_in_child(test, page_size);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("harness");
        return false;
    }
    if (WIFSIGNALED(status)) {
        printf("%s: ended by signal %d (%s)\n", test->name, WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    }
    return status == 0;
}

#endif

/* Run one test with one page size, and say so if it fails. */
static bool
run_test(const struct harness_test *test, size_t page_size, bool apart)
{
    bool passed = apart ? run_apart(test, page_size) : run_here(test, page_size) == 0;
    if (!passed) {
        printf("FAILED: %s (pages of %zu KiB)\n", test->name, page_size / KIB);
    }
    return passed;
}

int
main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    const char *wanted = argc > 1 ? argv[1] : NULL;
#if defined(_WIN32)
    program = argv[0];
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);   /* no window asks anyone */
    if (argc == 4 && strcmp(wanted, APART) == 0) {
        for (const struct harness_test *test = first_test; test != NULL; test = test->next) {
            if (strcmp(argv[2], test->name) == 0) {
                run_in_child(test, strtoull(argv[3], NULL, 10));
            }
        }
    }
#endif
    for (const struct harness_test *test = first_test; test != NULL; test = test->next) {
        for (size_t i = 0; i < PAGE_SIZE_COUNT; i++) {
            if (wanted != NULL && strcmp(wanted, test->name) != 0) {
                continue;
            }
            bool good = run_test(test, page_sizes[i], wanted == NULL);
            passed += good;
            failed += !good;
        }
    }
    if (passed + failed == 0) {
        printf("no test is called '%s'\n", wanted != NULL ? wanted : "");
        failed = 1;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
