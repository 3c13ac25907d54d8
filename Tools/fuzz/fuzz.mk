# obmalloc's fuzzing: the programs.  Run from the top of the repository.
#
#   make -f Tools/fuzz/fuzz.mk build/fuzz/replay      runs inputs again; any compiler
#   make -f Tools/fuzz/fuzz.mk build/fuzz/libfuzzer   clang with its run-time library
#   make -f Tools/fuzz/fuzz.mk build/fuzz/afl         AFL++ (Debian: afl++), then
#       AFL_SKIP_CPUFREQ=1 afl-fuzz -i Tools/fuzz/corpus -o build/fuzz/afl-out build/fuzz/afl
#
# make fuzz SECONDS=600 does the rest (Tools/build/fuzz.py); operations.h has the
# format of an input.

.SUFFIXES:
.DEFAULT_GOAL := build/fuzz/replay
.DELETE_ON_ERROR:

FUZZ  := build/fuzz
GCC   ?= gcc
CLANG ?= clang

# check.c is no target but a judge, and called for every block: what it does is not
# fed back, and neither are the operands of comparisons.  With both, 3000 runs took
# 73 seconds instead of 13.
JUDGE    := Objects/obmalloc/check.c
include Tools/check/layers.mk
CORE     := $(filter-out $(JUDGE),$(CORE_FILES:%=Objects/obmalloc/%.c))
HELPERS  := Tools/check/fake_os.c Tools/check/memory.c Tools/check/expect.c $(JUDGE)
RUN      := Tools/fuzz/operations.c
HEADERS  := $(wildcard Include/internal/obmalloc/*.h Tools/check/*.h Tools/fuzz/*.h)

# Pages of every size, chosen by the input.
OPTIONS  := -std=c11 -O2 -g -Wall -Wextra -Wundef -Wshadow -Werror -fno-omit-frame-pointer \
            -DOBM_FIXED_PAGE_SHIFT=0 -IInclude/internal -ITools/check -ITools/fuzz
UNDEFINED := -fsanitize=undefined -fno-sanitize-recover=all
FEEDBACK := -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp

$(FUZZ) $(FUZZ)/feedback $(FUZZ)/plain:
	mkdir -p $@

# With AddressSanitizer too, where the compiler has it.
address = $(shell mkdir -p $(FUZZ) && echo 'int main(void) { return 0; }' | \
            $(GCC) -fsanitize=address,undefined -x c - -o $(FUZZ)/probe 2>/dev/null && \
            $(FUZZ)/probe && echo -fsanitize=address,undefined -fno-sanitize-recover=all)

$(FUZZ)/replay: Tools/fuzz/replay.c $(RUN) $(HELPERS) $(CORE) $(HEADERS) | $(FUZZ)
	$(GCC) $(OPTIONS) $(address) $(filter %.c,$^) -o $@

$(FUZZ)/afl: Tools/fuzz/replay.c $(RUN) $(HELPERS) $(CORE) $(HEADERS) | $(FUZZ)
	afl-clang-fast $(OPTIONS) $(filter %.c,$^) -o $@

$(FUZZ)/feedback/%.o: %.c $(HEADERS) | $(FUZZ)/feedback
	$(CLANG) $(OPTIONS) $(UNDEFINED) $(FEEDBACK) -c $< -o $@
$(FUZZ)/plain/%.o: %.c $(HEADERS) | $(FUZZ)/plain
	$(CLANG) $(OPTIONS) $(UNDEFINED) -c $< -o $@
vpath %.c Objects/obmalloc Tools/check Tools/fuzz

$(FUZZ)/libfuzzer: $(patsubst %.c,$(FUZZ)/feedback/%.o,$(notdir $(CORE) $(RUN))) \
                   $(patsubst %.c,$(FUZZ)/plain/%.o,$(notdir $(HELPERS))) $(FUZZ)/plain/libfuzzer.o
	$(CLANG) -fsanitize=fuzzer $(UNDEFINED) $^ -o $@
