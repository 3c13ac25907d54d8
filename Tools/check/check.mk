# obmalloc's unit tests of the core: make -f Tools/check/check.mk
#
# Run from the top of the repository.  Every variant (compiler, options, one
# translation unit or one for each file) builds and runs every test; whatever
# is made lies under build/check/.
#
#   make -f Tools/check/check.mk              all variants
#   make -f Tools/check/check.mk VARIANTS=gcc one of them
#   COUNTS=FILE                               also writes {"passed": ...} there
#   CHECK_SKIP_32=1                           a machine without 32-bit libraries
#   SEED=N build/check/test_random            replays a random test
#   make -f Tools/check/check.mk coverage     lines and branches of the core reached
#   make -f Tools/check/check.mk check-machines   other machines, in qemu-user
#   FUZZ_SECONDS=N                            how long to fuzz (20; 0: not at all)
#
# Every variant also runs the inputs of Tools/fuzz/corpus again.

.SUFFIXES:
.DEFAULT_GOAL := check
.DELETE_ON_ERROR:

SOURCE  := Tools/check
BUILD   := build/check
GCC     ?= gcc
CLANG   ?= clang
PYTHON  ?= python3

include $(SOURCE)/layers.mk
TESTS      := test_os test_system_malloc test_idle test_size_class test_arena_map test_arena test_retention \
              test_pool test_medium test_alloc test_longlived test_stats test_heap_map test_secure test_check test_dump test_faults \
              test_threads test_random
HELPERS    := harness expect fake_os memory
FUZZ       := Tools/fuzz
CORPUS     := $(wildcard $(FUZZ)/corpus/*)
HEADERS    := $(wildcard Include/internal/obmalloc/*.h $(SOURCE)/*.h $(FUZZ)/*.h)
CORE       := $(CORE_FILES:%=Objects/obmalloc/%.c)

FUZZ_SECONDS := 20

WARNINGS   := -Wall -Wextra -Wundef -Wshadow -Werror
COMMON     := -std=c11 -O2 -g -pthread $(WARNINGS) -IInclude/internal -I$(SOURCE) -I$(FUZZ)

# test_faults stands in front of these, unless memory comes from calloc().
WRAP       := -Wl,--wrap=mmap -Wl,--wrap=munmap -Wl,--wrap=madvise -Wl,--wrap=mprotect \
              -Wl,--wrap=prctl \
              -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=free

# --- What this machine can do ------------------------------------------------

have_clang := $(shell command -v $(CLANG) 2>/dev/null)
# Whether a compiler with these options makes a program that runs.
runs = $(shell mkdir -p $(BUILD) && echo 'int main(void) { return 0; }' | \
         $(1) -x c - -o $(BUILD)/probe-$(2) 2>/dev/null && $(BUILD)/probe-$(2) && echo yes)

EMULATED := -DTIME_LIMIT_SECONDS=600 -DCHECK_EMULATED=1
THREADS  := -fsanitize=thread
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# --- Variants ------------------------------------------------------------------
# compiler_V, options_V; single_V=yes compiles the core as static.c, with the test;
# tests_V: it runs only these, and no corpus.

ALL_VARIANTS := gcc single sanitize 32bit align8 pages malloc threads c99 $(if $(have_clang),clang)
VARIANTS     := $(ALL_VARIANTS)
MACHINES     := s390x aarch64 musl aarch64-musl windows

unknown := $(filter-out $(ALL_VARIANTS) clang coverage $(MACHINES),$(VARIANTS))
ifneq ($(unknown),)
$(error obmalloc: VARIANTS=$(firstword $(unknown)) is unknown: choose from $(ALL_VARIANTS))
endif
ifeq ($(shell expr 'x$(subst ','\'',$(FUZZ_SECONDS))' : 'x[0-9][0-9]*$$'),0)
$(error obmalloc: FUZZ_SECONDS=$(FUZZ_SECONDS) is not a number of seconds: say for example FUZZ_SECONDS=20)
endif

compiler_gcc      := $(GCC)
compiler_align8   := $(GCC)
options_align8    := -DOBM_ALIGNMENT_SHIFT=3
compiler_single   := $(GCC)
single_single     := yes
compiler_clang    := $(CLANG)
single_clang      := yes
compiler_32bit    := $(GCC)
options_32bit     := -m32
compiler_pages    := $(GCC)
options_pages     := -DOBM_FIXED_PAGE_SHIFT=0
compiler_malloc   := $(GCC)
options_malloc    := -DOBM_ARENAS_USE_MALLOC=1
options_sanitize  := $(SANITIZE)
options_threads   := $(THREADS)
tests_threads     := test_threads
compiler_c99      := $(GCC)
# Other machines (check-machines): run_V runs a program of theirs.  Static, so that
# it needs no file of theirs; clang, since Debian's cross compilers of GCC exclude
# gcc-multilib.
compiler_s390x    := $(CLANG) --target=s390x-linux-gnu
options_s390x     := -static $(EMULATED)
run_s390x         := qemu-s390x
compiler_aarch64  := $(CLANG) --target=aarch64-linux-gnu
options_aarch64   := -static $(EMULATED)
run_aarch64       := qemu-aarch64
compiler_musl     := musl-gcc
# PyPI's ziglang, which `make wheels` has installed, brings musl for other machines.  Only
# the C library is another than aarch64's, which has all page sizes.
compiler_aarch64-musl := env ZIG_GLOBAL_CACHE_DIR=build/zig-cache ZIG_LOCAL_CACHE_DIR=build/zig-cache \
                     build/wheel-tools/bin/python -m ziglang cc -target aarch64-linux-musl
options_aarch64-musl := -static $(EMULATED) -DTESTED_PAGE_SIZE=4096
run_aarch64-musl  := qemu-aarch64
# Windows's own printf() does not know %zu; mingw's does.
compiler_windows  := x86_64-w64-mingw32-gcc
options_windows   := -static -D__USE_MINGW_ANSI_STDIO=1
suffix_windows    := .exe
WINE              ?= $(firstword $(shell command -v wine64 wine) /usr/lib/wine/wine64)
run_windows       := env WINEPREFIX=$(abspath $(BUILD))/wine WINEDEBUG=-all $(WINE)
compiler_coverage := $(GCC)
options_coverage  := --coverage -Wl,-u,__gcov_dump -O0 -DOBM_FIXED_PAGE_SHIFT=0

# The variants that run tests; c99 only compiles the core, for old CPythons.
run_variants := $(filter-out c99,$(VARIANTS))
logs = $(or $(filter $(tests_$(1)),$(TESTS)),$(if $(tests_$(1)),,$(TESTS) corpus))
results := $(foreach v,$(run_variants),$(patsubst %,$(BUILD)/$(v)/%.log,$(call logs,$(v)))) \
           $(BUILD)/fuzz.log $(if $(filter gcc,$(VARIANTS)),$(BUILD)/layers.log $(BUILD)/policy.log $(BUILD)/words.log) \
           $(if $(filter c99,$(VARIANTS)),$(CORE_FILES:%=$(BUILD)/c99/%.log))

.PHONY: check everything coverage check-machines FORCE
FORCE:

# --- All of it -------------------------------------------------------------------

jobs = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

check:
	@mkdir -p $(BUILD)
	@rm -f $(results)
	+@$(MAKE) --no-print-directory -k -f $(SOURCE)/check.mk $(jobs) everything \
	  VARIANTS='$(VARIANTS)' FUZZ_SECONDS='$(FUZZ_SECONDS)' >$(BUILD)/build.log 2>&1 || true
	@CHECK_HAVE_CLANG='$(have_clang)' CHECK_SKIP_32='$(CHECK_SKIP_32)' COUNTS='$(COUNTS)' \
	  sh $(SOURCE)/summary.sh $(BUILD) $(results)

everything: $(results) $(if $(filter test_random,$(TESTS)),$(if $(filter gcc,$(VARIANTS)),$(BUILD)/test_random))

# The name under which a random test is replayed.
$(BUILD)/test_random: $(BUILD)/gcc/test_random
	ln -sf gcc/test_random $@

# --- Coverage ----------------------------------------------------------------------
# Of the core, by the unit tests, the random test and the corpus.  Lines of the
# headers too, but not their branches: each inlined copy of a function would count,
# and some can go one way only.  What is not reached, and why: InternalDocs/testing.md.

LINES_AT_LEAST    := 95
BRANCHES_AT_LEAST := 90
GCOVR := gcovr --root . --filter Objects/obmalloc/

coverage:
	@rm -f $(BUILD)/coverage/*.gcda
	+@$(MAKE) --no-print-directory -f $(SOURCE)/check.mk check VARIANTS=coverage FUZZ_SECONDS=0
	@$(GCOVR) --filter Include/internal/obmalloc/ --fail-under-line $(LINES_AT_LEAST) $(BUILD)/coverage
	@$(GCOVR) --branches --fail-under-branch $(BRANCHES_AT_LEAST) $(BUILD)/coverage

# --- Other machines ------------------------------------------------------------------
# Those that compile here and run, on this kernel, in qemu-user.

works = $(shell mkdir -p $(BUILD) && echo 'int main(void) { return 0; }' | \
          $(compiler_$(1)) $(options_$(1)) -x c - -o $(BUILD)/probe-$(1) 2>/dev/null && \
          $(run_$(1)) $(BUILD)/probe-$(1)$(suffix_$(1)) >/dev/null 2>&1 && echo $(1))

check-machines: machines = $(foreach m,$(MACHINES),$(call works,$(m)))
check-machines:
	+@there='$(machines)'; \
	for m in $(MACHINES); do case " $$there " in *" $$m "*) ;; *) echo "$$m: skipped: no compiler, C library or qemu for it here";; esac; done; \
	[ -n "$$there" ] || { echo 'obmalloc: no other machine can be tried here' >&2; exit 1; }; \
	status=0; \
	$(MAKE) --no-print-directory -f $(SOURCE)/check.mk check VARIANTS="$$there" FUZZ_SECONDS=0 || status=$$?; \
	for m in $$there; do \
	  echo "$$m: $$(sh $(SOURCE)/summary.sh $(BUILD) $(patsubst %,$(BUILD)/$$m/%.log,$(TESTS) corpus) | tail -n 1)"; \
	done; \
	exit $$status

# --- One variant -------------------------------------------------------------------
# A test's log ends with its counts; a missing log is a failure (summary.sh).

# How a command is run for its log.  Windows ends lines in its own way, and wine has
# words of its own on stderr.
logged         = $(1) >$(2) 2>&1 </dev/null || true
logged_windows = $(1) 2>$(2).errors </dev/null | tr -d '\r' >$(2)

define variant_rules
$(BUILD)/$(1):
	mkdir -p $$@

$(BUILD)/$(1)/%.core.o: Objects/obmalloc/%.c $(HEADERS) $(SOURCE)/check.mk | $(BUILD)/$(1)
	$$(compiler_$(1)) $$(COMMON) $$(options_$(1)) -c $$< -o $$@

$(HELPERS:%=$(BUILD)/$(1)/%.o): $(BUILD)/$(1)/%.o: $(SOURCE)/%.c $(HEADERS) $(SOURCE)/check.mk | $(BUILD)/$(1)
	$$(compiler_$(1)) $$(COMMON) $$(options_$(1)) -c $$< -o $$@

$(TESTS:%=$(BUILD)/$(1)/%): $(BUILD)/$(1)/%: $(SOURCE)/%.c $(HELPERS:%=$(BUILD)/$(1)/%.o) \
        $(if $(single_$(1)),$(CORE) Objects/obmalloc/static.c,$(CORE_FILES:%=$(BUILD)/$(1)/%.core.o)) \
        $(HEADERS) $(SOURCE)/check.mk
	$$(compiler_$(1)) $$(COMMON) $$(options_$(1)) $$(if $$(single_$(1)),-DCHECK_SINGLE_UNIT) \
	  $$< $$(filter %.o,$$^) $$(if $$(filter %/test_faults,$$@),$(if $(filter malloc windows,$(1)),,$$(WRAP))) -o $$@
	$$(if $$(suffix_$(1)),mv $$@$$(suffix_$(1)) $$@)

$(BUILD)/$(1)/replay: $(FUZZ)/replay.c $(FUZZ)/operations.c $(filter-out %/harness.o,$(HELPERS:%=$(BUILD)/$(1)/%.o)) \
        $(if $(single_$(1)),$(CORE) Objects/obmalloc/static.c,$(CORE_FILES:%=$(BUILD)/$(1)/%.core.o)) \
        $(HEADERS) $(SOURCE)/check.mk
	$$(compiler_$(1)) $$(COMMON) $$(options_$(1)) $$(if $$(single_$(1)),-DCHECK_SINGLE_UNIT) \
	  $(FUZZ)/replay.c $(FUZZ)/operations.c $$(filter %.o,$$^) -o $$@
	$$(if $$(suffix_$(1)),mv $$@$$(suffix_$(1)) $$@)

$(BUILD)/$(1)/corpus.log: $(BUILD)/$(1)/replay FORCE
	$$(call $(if $(logged_$(1)),logged_$(1),logged),$$(run_$(1)) $$< $(CORPUS),$$@)

$(TESTS:%=$(BUILD)/$(1)/%.log): $(BUILD)/$(1)/%.log: $(BUILD)/$(1)/% FORCE
	$$(call $(if $(logged_$(1)),logged_$(1),logged),$$(run_$(1)) $$<,$$@)
endef

# Only the sub-make that builds asks what the sanitizers and the fuzzer need.
ifneq ($(filter everything $(BUILD)/%,$(MAKECMDGOALS)),)
compiler_threads := $(if $(call runs,$(GCC) $(THREADS),gcc),$(GCC),$(CLANG))
compiler_sanitize := $(if $(call runs,$(GCC) $(SANITIZE),gcc),$(GCC),$(CLANG))
fuzzer_there := $(shell mkdir -p $(BUILD) && echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
                  $(CLANG) -fsanitize=fuzzer -x c - -o $(BUILD)/probe-fuzzer 2>/dev/null && echo yes)
endif

$(foreach v,$(run_variants),$(eval $(call variant_rules,$(v))))

# --- The order of the layers --------------------------------------------------------------

$(BUILD)/layers.log: $(SOURCE)/layers.py $(CORE_FILES:%=$(BUILD)/gcc/%.core.o) FORCE
	$(PYTHON) $< $(BUILD)/gcc >$@ 2>&1 || true

# --- One owner of the policy --------------------------------------------------------------

$(BUILD)/policy.log: $(SOURCE)/policy.py FORCE
	@mkdir -p $(BUILD)/policy
	$(PYTHON) $< $(BUILD)/policy $(GCC) -std=c11 $(WARNINGS) >$@ 2>&1 || true

# --- Lines and words of the sources ---------------------------------------------------------

$(BUILD)/words.log: $(SOURCE)/words.py FORCE
	$(PYTHON) $< >$@ 2>&1 || true

# --- A little fuzzing ------------------------------------------------------------------
# Inputs that no one has tried, for a short time; make fuzz does it for longer.

$(BUILD)/fuzz.log: FORCE
ifeq ($(FUZZ_SECONDS),0)
	echo 'fuzzing: skipped, as FUZZ_SECONDS=0 asks' >$@; echo '0 passed, 0 failed' >>$@
else ifeq ($(fuzzer_there),)
	echo 'fuzzing: skipped, since clang with libFuzzer was not found (Debian: libclang-rt-VERSION-dev)' >$@
	echo '0 passed, 0 failed' >>$@
else
	+$(MAKE) --no-print-directory -f $(FUZZ)/fuzz.mk CLANG='$(CLANG)' build/fuzz/libfuzzer
	rm -rf $(BUILD)/fuzz-corpus; mkdir -p build/fuzz/findings $(BUILD)/fuzz-corpus
	seed=$$(date +%s); echo "seed $$seed; a finding is replayed by build/check/pages/replay -v FILE" >$@; \
	if build/fuzz/libfuzzer -seed=$$seed -verbosity=0 -max_total_time=$(FUZZ_SECONDS) -max_len=512 \
	  -timeout=100 -artifact_prefix=build/fuzz/findings/ \
	  $(BUILD)/fuzz-corpus $(FUZZ)/corpus >>$@ 2>&1 </dev/null; \
	then echo '1 passed, 0 failed' >>$@; else echo '0 passed, 1 failed' >>$@; fi
endif

# --- C99 ------------------------------------------------------------------------------

$(BUILD)/c99/%.log: Objects/obmalloc/%.c $(HEADERS) FORCE
	@mkdir -p $(BUILD)/c99
	if $(compiler_c99) -std=c99 -pedantic -O2 $(WARNINGS) -IInclude/internal \
	  -c $< -o $(BUILD)/c99/$*.o >$@ 2>&1; \
	then echo '1 passed, 0 failed' >>$@; else echo '0 passed, 1 failed' >>$@; fi
