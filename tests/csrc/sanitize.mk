# make sanitize | fuzz: the C sources without Python, under the sanitizers. Needs a C compiler and no environment; the
# Makefile includes this. Names of folders are relative: that of the checkout may have blanks in it.

# Other sets: make sanitize CC=clang SANITIZERS=memory, which no other compiler has; make fuzz SANITIZERS=undefined tries
# twice as many inputs, and guard pages still stop most of what leaves its array.
SANITIZERS ?= address,undefined,float-cast-overflow
# Random inputs for the fuzz target in `make sanitize`; about a thousand take a second.
REPLAY_INPUTS ?= 4000
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
FUZZ_OPTIONS ?=

# As csrc/build_voxelizer.py compiles, but for the optimisation: -O1 compiles in a third of the time.
SANITIZE_CFLAGS := -std=c11 -g -O1 -fno-omit-frame-pointer -fno-math-errno -fno-trapping-math -ffp-contract=off \
    -Wall -Wextra -fno-sanitize-recover=all -Icsrc
VOXELIZER_SOURCES := $(wildcard csrc/*.c)
CASE_SOURCES := $(addprefix tests/csrc/,run_cases.c cases.c reference_cases.c adversarial_cases.c refusal_cases.c \
    view_cases.c memory_cases.c kernel_cases.c)
CHECK_SOURCES := $(addprefix tests/csrc/,expect.c placed.c allocations.c scene.c closed_form.c check_scene.c \
    view_scene.c)
C_HEADERS := $(wildcard csrc/*.h tests/csrc/*.h)
# What the fuzzer once failed on, and a few that reach far: each is run before anything random.
FUZZ_INPUTS := $(wildcard tests/csrc/inputs/*)

SANITIZED := build/sanitize
FUZZED := build/fuzz
# Objects of another compiler, or of other sanitizers, are made anew.
COMPILED_BY = $(CC) $(FUZZ_CC) $(SANITIZERS)
$(SANITIZED)/.flags $(FUZZED)/.flags: sanitize-flags
	@mkdir -p $(@D)
	@echo "$(COMPILED_BY)" | cmp -s - $@ || echo "$(COMPILED_BY)" > $@

all_kernels = $(patsubst %.c,$(SANITIZED)/all_kernels/%.o,$(1))
plain_c = $(patsubst %.c,$(SANITIZED)/plain_c/%.o,$(1))
CHECKS := $(call all_kernels,$(CHECK_SOURCES))
CASES := $(CHECKS) $(call all_kernels,$(CASE_SOURCES))

.PHONY: sanitize sanitize-flags fuzz fuzz-compiler
sanitize: $(addprefix $(SANITIZED)/,run_cases run_cases_plain_c replay)
	@$(SANITIZED)/run_cases "sanitize, all kernels"
	@$(SANITIZED)/run_cases_plain_c "sanitize, plain C"
	@rm -f $(SANITIZED)/last_input
	@$(SANITIZED)/replay $(SANITIZED)/last_input $(REPLAY_INPUTS) $(FUZZ_INPUTS) || { \
	    [ ! -f $(SANITIZED)/last_input ] || echo "the random input that failed: $(SANITIZED)/last_input" >&2; exit 1; }

# So that allocations can be made to fail.
$(call all_kernels,$(VOXELIZER_SOURCES)) $(call plain_c,$(VOXELIZER_SOURCES)): \
    SANITIZE_CPPFLAGS := -Dmalloc=counted_malloc -Drealloc=counted_realloc

$(SANITIZED)/run_cases: $(call all_kernels,$(VOXELIZER_SOURCES)) $(CASES)
$(SANITIZED)/run_cases_plain_c: $(call plain_c,$(VOXELIZER_SOURCES)) $(CASES)
$(SANITIZED)/replay: $(call all_kernels,$(VOXELIZER_SOURCES) $(addprefix tests/csrc/,decode.c fuzz_target.c replay.c)) \
    $(CHECKS)
$(addprefix $(SANITIZED)/,run_cases run_cases_plain_c replay):
	$(CC) -fsanitize=$(SANITIZERS) -o $@ $^ -lm

$(SANITIZED)/all_kernels/%.o: %.c $(C_HEADERS) $(SANITIZED)/.flags
	@mkdir -p $(@D)
	$(CC) $(SANITIZE_CFLAGS) $(SANITIZE_CPPFLAGS) -fsanitize=$(SANITIZERS) -c $< -o $@

# As on an architecture of which csrc/lanes.h knows no vectors.
$(SANITIZED)/plain_c/%.o: %.c $(C_HEADERS) $(SANITIZED)/.flags
	@mkdir -p $(@D)
	$(CC) $(SANITIZE_CFLAGS) $(SANITIZE_CPPFLAGS) -fsanitize=$(SANITIZERS) -DVOXELIZER_PLAIN_C -c $< -o $@

# What the fuzzer found to reach further stays in build/fuzz/corpus: the next run starts from there. An input that fails
# is left as build/fuzz/crash-...; once it is understood it goes to tests/csrc/inputs. ASan holds freed memory back: a
# little of it is enough, because each input starts anew.
traced = $(patsubst %.c,$(FUZZED)/traced/%.o,$(1))
untraced = $(patsubst %.c,$(FUZZED)/untraced/%.o,$(1))
fuzz: $(FUZZED)/fuzz
	@mkdir -p $(FUZZED)/corpus
	ASAN_OPTIONS="quarantine_size_mb=16:$$ASAN_OPTIONS" $(FUZZED)/fuzz -max_total_time=$(FUZZ_SECONDS) \
	    -max_len=2048 -len_control=0 -timeout=20 -print_final_stats=1 -artifact_prefix=$(FUZZED)/ $(FUZZ_OPTIONS) \
	    $(FUZZED)/corpus $(if $(FUZZ_INPUTS),tests/csrc/inputs)

PROBE := int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return data && size && 0; }
links_libfuzzer = $(shell mkdir -p $(FUZZED) && echo '$(PROBE)' > $(FUZZED)/probe.c \
    && $(FUZZ_CC) -fsanitize=fuzzer,address -o $(FUZZED)/probe $(FUZZED)/probe.c >/dev/null 2>&1 && echo yes)
NO_LIBFUZZER := $(FUZZ_CC) with libFuzzer is missing: install it (Debian, Ubuntu: clang libclang-rt-dev; Fedora: clang \
    compiler-rt; it is not in Apple's) or name another, make fuzz FUZZ_CC=...
fuzz-compiler:
	@$(if $(links_libfuzzer),:,$(error $(NO_LIBFUZZER)))

# Only csrc, and what decodes the bytes, tell the fuzzer where they have been.
$(FUZZED)/fuzz: $(call traced,$(VOXELIZER_SOURCES) tests/csrc/decode.c) \
    $(call untraced,$(CHECK_SOURCES) tests/csrc/fuzz_target.c)
	$(FUZZ_CC) -fsanitize=$(SANITIZERS),fuzzer -o $@ $^ -lm

$(FUZZED)/traced/%.o: %.c $(C_HEADERS) $(FUZZED)/.flags | fuzz-compiler
	@mkdir -p $(@D)
	$(FUZZ_CC) $(SANITIZE_CFLAGS) -fsanitize=$(SANITIZERS),fuzzer-no-link -c $< -o $@

$(FUZZED)/untraced/%.o: %.c $(C_HEADERS) $(FUZZED)/.flags | fuzz-compiler
	@mkdir -p $(@D)
	$(FUZZ_CC) $(SANITIZE_CFLAGS) -fsanitize=$(SANITIZERS) -c $< -o $@
