# crmfence. `make help` says what there is.
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
B := build
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
TRIPLET := $(shell $(CC) -print-multiarch 2>/dev/null)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
HARDEN := -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fcf-protection -ftrivial-auto-var-init=zero
LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifeq ($(DEBUG),1)
HARDEN := -O1 -ftrivial-auto-var-init=pattern -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LINK := -fsanitize=address,undefined
B := build/debug
endif
CFLAGS := -std=gnu17 -g $(WARN) $(HARDEN) -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/skel
LDLIBS := -lbpf -lelf -lz -lcjson -lsqlite3 -lcrypto -lnghttp2 -lexpat -lbrotlidec -lzstd -lm
$(B)/crmfence $(B)/crmfenced: LDLIBS += -lseccomp -lcap-ng

# What every kernel has is one object: libbpf reads the kernel's types once for each.
CORE := proc sock packet answer close recon
SKELS := $(patsubst %,$(B)/skel/%.skel.h,core unix guard modret tls)
LIB_SRC := $(wildcard user/base/*.c user/tls/*.c user/crm/*.c user/policy/*.c user/wire/*.c user/kernel/*.c user/store/*.c user/ipc/*.c user/alert/*.c)
AGENT_SRC := $(wildcard user/agent/*.c)
CLI_SRC := $(wildcard user/cli/*.c)
LIB := $(B)/libcrmfence.a
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

all: lint $(B)/crmfenced $(B)/crmfence

lint: $(B)/.lint
$(B)/.lint: $(wildcard user/*/*.[ch] bpf/*.c bpf/lib/*.h include/crmfence/*.h tools/check-*)
	$(Q)mkdir -p $(@D)
	$(Q)tools/check-includes && tools/check-style
	$(Q)touch $@

$(B)/bpf/%.bpf.o: bpf/%.bpf.c bpf/lib/guards.h
	@mkdir -p $(@D); echo "  BPF     $<"
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror -Wno-unused-parameter $(FAULTS:%=-D% -DFENCE_IN_$*) \
		-Iinclude -I/usr/include/$(TRIPLET) -MMD -MP -c $< -o $@

$(B)/bpf/core.bpf.o: $(CORE:%=$(B)/bpf/%.bpf.o)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/skel/%.skel.h: $(B)/bpf/%.bpf.o
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@.tmp && mv $@.tmp $@

$(B)/obj/%.o: %.c | $(SKELS)
	@mkdir -p $(@D); echo "  CC      $<"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(call obj,$(LIB_SRC))
	$(Q)rm -f $@; ar rcs $@ $^

$(B)/crmfenced: $(call obj,$(AGENT_SRC)) $(LIB)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LINK) $^ $(LDLIBS) -o $@

$(B)/crmfence: $(call obj,$(CLI_SRC)) $(LIB)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LINK) $^ $(LDLIBS) -o $@

$(B)/tests/%: $(B)/obj/tests/native/%.o $(LIB)
	@mkdir -p $(@D); echo "  LINK    $@"
	$(Q)$(CC) $(LINK) $^ $(LDLIBS) -o $@

$(B)/tests/look: $(B)/obj/user/agent/look.o $(B)/obj/user/agent/offsets.o
$(B)/tests/look: LDLIBS := $(LIB) $(LDLIBS) -lseccomp
$(B)/tests/closure: $(B)/obj/user/cli/closure.o $(B)/obj/user/cli/mounts.o
$(B)/tests/closure: LDLIBS := $(LIB) $(LDLIBS) -lseccomp -lcap-ng

$(B)/tests/logcut: $(B)/obj/user/agent/writer.o
$(B)/tests/logcut: LDLIBS := $(LIB) $(LDLIBS) -lseccomp -lcap-ng

$(B)/tests/scan: $(B)/obj/user/agent/scan.o $(B)/obj/user/agent/scanfiles.o $(B)/obj/user/agent/profiles.o
$(B)/tests/scan: LDLIBS := $(LIB) $(LDLIBS) -lseccomp -lcap-ng

UNIT := unit log logwrite policy mistakes sight alert decide control exe edges requests matches
$(UNIT:%=$(B)/tests/%): $(B)/tests/%: $(B)/obj/tests/unit/%.o $(LIB)
	@mkdir -p $(@D); echo "  LINK    $@"
	$(Q)$(CC) $(LINK) $^ $(LDLIBS) -lcmocka -lbrotlienc -o $@

$(B)/tests/matches: $(B)/obj/user/agent/match.o $(B)/obj/user/agent/running.o
$(B)/tests/matches: LDLIBS := $(LIB) $(LDLIBS)

$(B)/evasion/evade: $(wildcard tests/evasion/*.[ch])
	@mkdir -p $(@D); echo "  LINK    $@"
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -static -pthread $(filter %.c,$^) -o $@

$(B)/bench/bench: tests/bench/bench.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra -D_GNU_SOURCE $< -lssl -lcrypto -o $@
$(B)/bench/pair: tests/bench/pair.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra -D_GNU_SOURCE $< -lssl -lcrypto -o $@
$(B)/bench/floor: tests/bench/floor.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra $< -lbpf -o $@
$(B)/vm/patch: tests/vm/patch.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -O2 -Wall -Wextra $< -lbpf -o $@
$(B)/vm/patch.bpf.o: tests/vm/patch.bpf.c
	@mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -I/usr/include/$(TRIPLET) -c $< -o $@
$(B)/bench/floor.bpf.o: tests/bench/floor.bpf.c bpf/lib/maps.h
	@mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Iinclude -I/usr/include/$(TRIPLET) -c $< -o $@

FUZZ := policy record dns hello control log tls http action native values head
FUZZ_SRC := tests/fuzz/fuzz.c user/kernel/record.c $(wildcard user/base/*.c user/tls/*.c user/crm/*.c user/policy/*.c user/wire/*.c user/store/*.c user/ipc/*.c user/alert/*.c)
$(B)/fuzz/%: $(FUZZ_SRC) $(wildcard user/*/*.h bpf/lib/*.h include/crmfence/*.h)
	@mkdir -p $(@D); echo "  FUZZ    $*"
	$(Q)$(CLANG) -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -D_GNU_SOURCE -DFUZZ_TARGET=$* \
		-Iinclude -Iuser $(FUZZ_SRC) -lcjson -lsqlite3 -lcrypto -lnghttp2 -lexpat -lbrotlidec -lzstd -lz -o $@

# ---- what people call ----

help:
	@sed -n 's/^#: //p' Makefile

#: make run      install what is missing, build, run the agent in the foreground with the shipped policy (root)
run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)install -d -m 755 /run/crmfence && install -m 644 $(POLICY) /run/crmfence/policy.json # one that root alone can write
	$(Q)$(B)/crmfence run --policy /run/crmfence/policy.json $(ARGS)
POLICY ?= policies/salesforce-voice-assistant.json

#: make check    install what tests need, build, run every test (root)
check: deps-test
	$(Q)$(MAKE) --no-print-directory all debug
	$(Q)tests/check

#: make quick    a part of it that ends within six minutes, for work in progress (root)
quick: deps-test
	$(Q)$(MAKE) --no-print-directory all debug
	$(Q)QUICK=1 tests/check

#: make demo     the story: an assistant that behaves, and one that also ships the deal to an AI vendor (root)
demo: deps-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)python3 tests/world/demo.py

#: make bench    what it costs, against the bare machine and the least BPF that could do it (root)
bench: deps-test
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/bench $(B)/bench/floor $(B)/bench/floor.bpf.o $(B)/bench/pair $(B)/tests/probe
	$(Q)$(MAKE) --no-print-directory $(B)/tests/lograte
	$(Q)python3 tests/bench/bench.py $(ROUNDS) $(SECONDS)
	$(Q)python3 tests/bench/sight.py $(ROUNDS)
	$(Q)rm -f $(B)/lograte.db*; $(B)/tests/lograte $(B)/lograte.db 600000; rm -f $(B)/lograte.db*

#: make evasion  every way out that we know, without, with, and beside; build/evasion.json (root)
evasion: deps-test
	$(Q)$(MAKE) --no-print-directory all $(B)/evasion/evade
	$(Q)python3 tests/evasion/run.py

#: make fuzz     libFuzzer on all that strangers may hand us, SECONDS each (600); findings stay in build/fuzz
fuzz: deps-test $(FUZZ:%=$(B)/fuzz/%)
	$(Q)tests/fuzz/run $(or $(SECONDS),600)

#: make mutants  small changes to the files that decide or write, each of which has to make a test fail: N a file (24), E2E=5 (root)
mutants: deps-test
	$(Q)$(MAKE) --no-print-directory all debug $(B)/evasion/evade $(B)/tests/insns $(B)/tests/redecide
	$(Q)python3 tests/mutants/run.py -n $(or $(N),24) $(E2E:%=--e2e %) $(FILES)

#: make trials   a thousand times killed, stopped, restarted, replaced, reloaded, under load (root)
trials: deps-test
	$(Q)$(MAKE) --no-print-directory all clang
	$(Q)python3 tests/e2e/trials.py $(TRIALS)

#: make cuts     the log under 50 power cuts and 200 kill -9: what was told to be on the disk is there (root)
cuts: deps-test $(B)/crmfence $(B)/tests/logcut
	$(Q)python3 tests/e2e/cuts.py 50 200

#: make vm       other kernels under QEMU: the agent loads there, a session is refused, the evasion suite; build/vm.json (root)
vm: deps-test
	$(Q)$(MAKE) --no-print-directory all $(B)/evasion/evade $(B)/tests/insns
	$(Q)tests/vm/run

#: make vm-e2e   the end-to-end suite there: KERNELS, MACHINES="A1 A2 lockdown", NAMES (tests/vm/e2e.txt) (root)
vm-e2e: deps-test
	$(Q)$(MAKE) --no-print-directory all $(B)/evasion/evade $(B)/tests/insns $(B)/tests/redecide $(B)/bench/floor $(B)/bench/floor.bpf.o
	$(Q)MACHINES="$(MACHINES)" NAMES="$(NAMES)" tests/vm/e2e $(KERNELS)

#: make boots    200 boots, 2,000 times programs attached and taken away, on one kernel: does it stand still? KERNEL, BOOTS, CYCLES, MACHINE (root)
boots: deps-test
	$(Q)$(MAKE) --no-print-directory all $(B)/vm/patch $(B)/vm/patch.bpf.o
	$(Q)tests/vm/boots $(or $(KERNEL),linux-image-6.1.0-57-amd64)

#: make debug    the library and its tests with ASan and UBSan, in build/debug
debug:
	$(Q)$(MAKE) --no-print-directory DEBUG=1 $(patsubst %,build/debug/tests/%,$(UNIT) closure walkers proxies heads frames)

#: make clang    everything again with clang, in build/clang
clang:
	$(Q)$(MAKE) --no-print-directory CC=clang B=build/clang HARDEN="$(filter-out -fcf-protection -ftrivial-auto-var-init=zero,$(HARDEN))" \
		build/clang/crmfenced build/clang/crmfence

#: make faults   each call of the programs that may find no memory or room fails once, in a build of its own (root)
faults: deps-test
	$(Q)$(MAKE) --no-print-directory all faults-build
	$(Q)python3 tests/e2e/run.py fault-calls
faults-build:
	$(Q)$(MAKE) --no-print-directory B=build/faults FAULTS=FENCE_FAULTS build/faults/crmfenced

#: make format   apply .clang-format
format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

#: make install  programs, manuals and policy example below DESTDIR
install: all
	install -D -m 755 $(B)/crmfence $(DESTDIR)/usr/bin/crmfence
	install -D -m 755 $(B)/crmfenced $(DESTDIR)/usr/bin/crmfenced
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man1 docs/man/crmfence.1
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man5 docs/man/crmfence-policy.5
	install -D -m 644 -t $(DESTDIR)/usr/share/man/man8 docs/man/crmfenced.8
	install -D -m 644 -t $(DESTDIR)/usr/share/doc/crmfence/policies policies/*
	install -D -m 600 policies/extension.json $(DESTDIR)/etc/crmfence/policy.json.example

clean:
	$(Q)rm -rf build

deps:
	$(Q)tools/deps
deps-test:
	$(Q)tools/deps --test

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PRECIOUS: $(B)/bpf/%.bpf.o $(B)/skel/%.skel.h
.PHONY: all lint help run check quick demo bench evasion fuzz mutants trials cuts vm vm-e2e boots faults faults-build debug clang format install clean deps deps-test
