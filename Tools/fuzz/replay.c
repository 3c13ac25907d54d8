/* obmalloc's fuzzing: run inputs again, without a fuzzer.

       build/fuzz/replay FILE         in this process, for a debugger
       build/fuzz/replay -v FILE      and print each operation before it runs
       build/fuzz/replay FILE FILE... each in a process of its own

   A failure is told in one line and ends the process by abort(), which is what a
   fuzzer looks for.  Compiled by afl-clang-fast and called without a file, this is
   AFL++'s persistent mode; AFL++ with another compiler calls it with a file. */

#include "harness.h"
#include "operations.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#  include <sys/wait.h>
#  include <unistd.h>
#endif

#define LARGEST_INPUT ((size_t)1 << 20)
#ifndef TIME_LIMIT_SECONDS
#  define TIME_LIMIT_SECONDS 60
#endif

static const char *file_in_force = "input";

void
harness_failed(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", file_in_force, text);
    abort();
}

void
harness_end(void)
{
    abort();
}

#if defined(__AFL_COMPILER)

__AFL_FUZZ_INIT();

static int
run_persistent(void)
{
    __AFL_INIT();
    const unsigned char *bytes = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(10000)) {
        operations_run(bytes, (size_t)__AFL_FUZZ_TESTCASE_LEN, false);
    }
    return EXIT_SUCCESS;
}

#else

static int
run_persistent(void)
{
    fprintf(stderr, "replay: name the inputs to run: replay [-v] FILE...\n");
    return 2;
}

#endif

/* false: said why not. */
static bool
run_file(const char *name, bool verbose)
{
    static unsigned char bytes[LARGEST_INPUT];
    file_in_force = name;
    FILE *file = fopen(name, "rb");
    size_t size = file != NULL ? fread(bytes, 1, sizeof(bytes), file) : 0;
    bool good = file != NULL && !ferror(file);
    if (!good) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
    }
    else if (!feof(file)) {
        fprintf(stderr, "%s: more than %zu bytes\n", name, sizeof(bytes) - 1);
        good = false;
    }
    else {
        operations_run(bytes, size, verbose);
    }
    if (file != NULL) {
        fclose(file);
    }
    return good;
}

#if defined(_WIN32)

/* There is no fork(): a crash ends all. */
static bool
run_apart(const char *name, bool verbose)
{
    harness_limit_time(TIME_LIMIT_SECONDS);
    return run_file(name, verbose);
}

#else

/* A crash, or a loop without an end, is the failure of one file. */
static bool
run_apart(const char *name, bool verbose)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        harness_limit_time(TIME_LIMIT_SECONDS);
        bool good = run_file(name, verbose);
        harness_leave(good ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("replay");
        return false;
    }
    if (status != 0) {
        printf("FAILED: %s\n", name);
    }
    return status == 0;
}

#endif

int
main(int argc, char **argv)
{
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    char **names = argv + 1 + verbose;
    int count = argc - 1 - verbose;
    unsigned passed = 0, failed = 0;
    if (count <= 0) {
        return run_persistent();
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < count; i++) {
        bool good = count == 1 ? run_file(names[i], verbose) : run_apart(names[i], verbose);
        passed += good;
        failed += !good;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
