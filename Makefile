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
HARDEN := -O1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LINK := -fsanitize=address,undefined
B := build/debug
endif
CFLAGS := -std=gnu17 -g $(WARN) $(HARDEN) -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/skel
LDLIBS := -lbpf -lelf -lz -lcjson -lsqlite3 -lcrypto -lm

SENSORS := proc sock packet close recon
SKELS := $(SENSORS:%=$(B)/skel/%.skel.h)
LIB_SRC := $(wildcard user/base/*.c user/crm/*.c user/policy/*.c user/wire/*.c user/kernel/*.c user/store/*.c user/ipc/*.c)
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

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D); echo "  BPF     $<"
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror -Wno-unused-parameter \
		-Iinclude -I/usr/include/$(TRIPLET) -MMD -MP -c $< -o $@

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

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PRECIOUS: $(B)/bpf/%.bpf.o $(B)/skel/%.skel.h
.PHONY: all lint
