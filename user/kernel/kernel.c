// SPDX-License-Identifier: Apache-2.0
#include "kernel/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/cleanup.h"
#include "kernel/internal.h"
#include "core.skel.h"
#include "guard.skel.h"
#include "modret.skel.h"
#include "unix.skel.h"

/*
 * One row an object; the order is the order of attachment: in core, first who is who (proc), then
 * what they may do (sock, packet, answer), then what became of it (close).
 */
static const struct {
	const char *name;
	const void *(*elf)(size_t *size);
	int optional; /* the kernel may not know its hooks */
	enum fence_tier tier; /* other than B: one of these is attached, the first that works */
} sensors[] = {
	{ "core", core_bpf__elf_bytes, 0, FENCE_TIER_B },
	{ "guard", guard_bpf__elf_bytes, 1, FENCE_TIER_A1 },
	{ "modret", modret_bpf__elf_bytes, 1, FENCE_TIER_A2 },
	{ "unix", unix_bpf__elf_bytes, 1, FENCE_TIER_B }, /* tier A sees the peer itself */
};

#define SENSORS ARRAY_SIZE(sensors)
#define DRAIN_MOST 16384 /* a flood does not keep the agent from its heartbeat */

const char *const fence_map_names[FENCE_MAP_COUNT_] = {
	"names",    "nets",   "services", "matches", "answers", "cgroups", "procs",
	"sessions", "config", "counters", "logged",  "pulse",	"tools",   "denied",
	"own",	    "ring",   "denials",  "ranges",  "units",
};

/* libbpf's last warning: the reason when a load fails. */
static char last_warning[512];

__attribute__((format(printf, 2, 0))) static int keep_warning(enum libbpf_print_level level,
							      const char *fmt, va_list ap)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	if (!strstr(line, "BEGIN PROG LOAD LOG") && strlen(last_warning) < 300)
		snprintf(last_warning + strlen(last_warning),
			 sizeof(last_warning) - strlen(last_warning), "%.300s", line);
	return 0;
}

int fence_kernel_checks_unix(const struct fence_kernel *k)
{
	size_t i;

	for (i = 0; i < SENSORS; i++)
		if (sensors[i].optional && k->objects[i]) /* each of these does */
			return 1;
	return 0;
}

int fence_kernel_has(const struct fence_kernel *k, unsigned int index)
{
	return index < SENSORS && k->objects[index];
}

uint64_t fence_inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

const char *fence_kernel_sensor(unsigned int index)
{
	return index < SENSORS ? sensors[index].name : NULL;
}

int fence_kernel_adopted(const struct fence_kernel *k)
{
	return k->adopted;
}

uint64_t fence_kernel_cgroup(const struct fence_kernel *k)
{
	struct stat st;

	return stat(k->cgroup, &st) ? 0 : st.st_ino;
}

int fence_cgroup_mount(char *out, unsigned long size)
{
	AUTO_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[1024], type[64];
	const char *dash;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		dash = strstr(line, " - ");
		if (!dash || sscanf(dash, " - %63s", type) != 1 || strcmp(type, "cgroup2"))
			continue;
		if (sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1 || strlen(point) >= size)
			continue;
		snprintf(out, size, "%s", point);
		return 0;
	}
	return -ENOENT;
}

static int is_fs(const char *path, long magic)
{
	struct statfs s;

	return !statfs(path, &s) && (long)s.f_type == magic;
}

static int cgroup_path(const struct fence_kernel_opts *o, char *out, unsigned long size,
		       struct fence_diag *d)
{
	if (!o->cgroup) {
		if (fence_cgroup_mount(out, size))
			return fence_diag_set(d, -ENOENT, NULL,
					      "no cgroup v2 is mounted; mount -t cgroup2 none "
					      "/sys/fs/cgroup (or beside v1)");
		return 0;
	}
	if (!is_fs(o->cgroup, CGROUP2_SUPER_MAGIC))
		return fence_diag_set(
			d, -EINVAL, NULL,
			"--cgroup %s is no directory of cgroup v2; mkdir it below the v2 mount",
			o->cgroup);
	snprintf(out, size, "%s", o->cgroup);
	return 0;
}

int fence_kernel_check(const struct fence_kernel_opts *o, struct fence_diag *d)
{
	char path[256];

	if (geteuid())
		return fence_diag_set(d, -EPERM, NULL, "needs root to load BPF programs; use sudo");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return fence_diag_set(d, -ENOTSUP, NULL,
				      "this kernel has no BTF (/sys/kernel/btf/vmlinux); boot a "
				      "distribution kernel, 6.1 or "
				      "newer, with CONFIG_DEBUG_INFO_BTF");
	return cgroup_path(o, path, sizeof(path), d);
}

/* The pin directory's file system: mounted for the default place, asked for elsewhere. */
static int ensure_bpffs(struct fence_kernel *k, struct fence_diag *d)
{
	char parent[200], *slash;

	snprintf(parent, sizeof(parent), "%s", k->pin_dir);
	slash = strrchr(parent, '/');
	if (slash && slash != parent)
		*slash = 0;
	if (!is_fs(parent, BPF_FS_MAGIC) && !strcmp(parent, "/sys/fs/bpf"))
		mount("bpf", parent, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
	if (!is_fs(parent, BPF_FS_MAGIC))
		return fence_diag_set(d, -ENOTSUP, NULL,
				      "%s is no BPF file system; mount -t bpf bpf %s", parent,
				      parent);
	if (mkdir(k->pin_dir, 0700) && errno != EEXIST)
		return fence_diag_set(d, -errno, NULL, "%s cannot be made: %s", k->pin_dir,
				      strerror(errno));
	return 0;
}

/* Pins that are there must be ours: same magic, same ABI. */
static int check_pins(struct fence_kernel *k, struct fence_diag *d)
{
	struct fence_config c;
	AUTO_FD int fd = -1;
	char path[256];
	uint32_t zero = 0;
	DIR *dir = opendir(k->pin_dir);
	struct dirent *e;
	int entries = 0;

	while (dir && (e = readdir(dir)))
		entries += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	if (!entries)
		return 0;
	snprintf(path, sizeof(path), "%s/config", k->pin_dir);
	fd = bpf_obj_get(path);
	memset(&c, 0, sizeof(c));
	if (fd >= 0) {
		struct bpf_map_info info = { 0 };
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(c) ||
		    bpf_map_lookup_elem(fd, &zero, &c))
			memset(&c, 0, sizeof(c));
	}
	if (c.magic != FENCE_MAGIC || c.abi != FENCE_ABI)
		return fence_diag_set(d, -EEXIST, NULL,
				      "the pins in %s are of another version (ABI %u, this is %u); "
				      "end its agent, then "
				      "`crmfence run --unpin`",
				      k->pin_dir, c.abi, FENCE_ABI);
	memcpy(k->key, c.key, sizeof(k->key));
	if (fence_kernel_owned_by_other(k->pin_dir, k->key))
		return fence_diag_set(d, -EEXIST, NULL,
				      "what is pinned in %s may be changed by the agent at another "
				      "path only; start that one, or end enforcement with its "
				      "--unpin",
				      k->pin_dir);
	if (c.cgroup != fence_kernel_cgroup(k))
		return fence_diag_set(
			d, -EEXIST, NULL,
			"the pins in %s are of another cgroup than %s; give that one with "
			"--cgroup, or `crmfence run --unpin` first",
			k->pin_dir, k->cgroup);
	k->adopted = 1;
	return 0;
}

static int load_sensor(struct fence_kernel *k, size_t i, struct fence_diag *d)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = sensors[i].name);
	const void *elf;
	struct bpf_map *map;
	char path[256];
	size_t size = 0;
	int err;

	last_warning[0] = 0;
	elf = sensors[i].elf(&size);
	k->objects[i] = bpf_object__open_mem(elf, size, &opts);
	if (!k->objects[i])
		return fence_diag_set(d, -errno, NULL, "sensor %s: %s", sensors[i].name,
				      last_warning);
	bpf_object__for_each_map(map, k->objects[i])
	{
		if (bpf_map__is_internal(map) || bpf_map__type(map) == BPF_MAP_TYPE_PROG_ARRAY)
			continue;
		snprintf(path, sizeof(path), "%s/%s", k->pin_dir, bpf_map__name(map));
		err = bpf_map__set_pin_path(map, path);
		if (err)
			return err;
	}
	err = bpf_object__load(k->objects[i]);
	if (err && sensors[i].optional) {
		bpf_object__close(k->objects[i]);
		k->objects[i] = NULL;
		return 0;
	}
	if (err)
		return fence_diag_set(d, err, NULL, "sensor %s was refused by the kernel: %.400s",
				      sensors[i].name, last_warning);
	return 0;
}

struct bpf_map *fence_kernel_map(const struct fence_kernel *k, const char *name)
{
	struct bpf_map *map = NULL;
	size_t i;

	for (i = 0; i < SENSORS && !map; i++)
		if (k->objects[i])
			map = bpf_object__find_map_by_name(k->objects[i], name);
	return map;
}

static int find_maps(struct fence_kernel *k)
{
	struct bpf_map *map = fence_kernel_map(k, "packet_after");
	char path[256];
	size_t i;

	if (!map)
		return -ENOENT;
	k->after = bpf_map__fd(map);
	for (i = 0; i < FENCE_PACKET_ENDS; i++)
		k->after_prog[i] = -1;
	for (i = 0; i < FENCE_MAP_COUNT_; i++) {
		map = fence_kernel_map(k, fence_map_names[i]);
		if (!map)
			return -ENOENT;
		k->maps[i] = bpf_map__fd(map);
		k->key_size[i] = bpf_map__key_size(map);
		snprintf(path, sizeof(path), "%s/%s", k->pin_dir, fence_map_names[i]);
		k->map_pins[i] = fence_inode_of(path);
	}
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct fence_kernel *k = ctx;

	if (fence_record_check(data, size))
		(*k->bad)++;
	else
		k->each(k->ctx, data);
	if (k->budget)
		k->budget--;
	return k->budget ? 0 : -EAGAIN; /* stops behind this record */
}

static int drain_ordinary(struct fence_kernel *k)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	k->drained = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return ring__consume(ring_buffer__ring(k->ring, 0));
}

/* What a denial speaks of (its program, its flow) was recorded before it. */
static int on_denial(void *ctx, void *data, size_t size)
{
	struct fence_kernel *k = ctx;

	if (k->budget && size >= sizeof(struct fence_rec) &&
	    ((const struct fence_rec *)data)->time >= k->drained)
		drain_ordinary(k);
	return on_record(ctx, data, size);
}

int fence_kernel_open(const struct fence_kernel_opts *o, struct fence_kernel **ret,
		      struct fence_diag *d)
{
	struct fence_kernel *k = calloc(1, sizeof(*k));
	size_t i;
	int err;

	if (!k)
		return -ENOMEM;
	k->cgroup_fd = -1;
	libbpf_set_print(keep_warning);
	snprintf(k->pin_dir, sizeof(k->pin_dir), "%s", o->pin_dir ? o->pin_dir : FENCE_PIN_DIR);
	err = cgroup_path(o, k->cgroup, sizeof(k->cgroup), d);
	if (err >= 0)
		err = ensure_bpffs(k, d);
	if (err >= 0)
		err = check_pins(k, d);
	if (err >= 0) {
		k->cgroup_fd = open(k->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (k->cgroup_fd < 0)
			err = fence_diag_set(d, -errno, NULL, "%s: %s", k->cgroup, strerror(errno));
	}
	for (i = 0; err >= 0 && i < SENSORS; i++)
		if (!sensors[i].optional)
			err = load_sensor(k, i, d);
	if (err >= 0)
		err = find_maps(k);
	if (err >= 0)
		err = fence_kernel_key_put(k, d);
	if (err >= 0) {
		k->ring = ring_buffer__new(k->maps[FENCE_MAP_RING], on_record, k, NULL);
		if (!k->ring || ring_buffer__add(k->ring, k->maps[FENCE_MAP_DENIALS], on_denial, k))
			err = fence_diag_set(d, -errno, NULL, "the ring cannot be mapped: %s",
					     strerror(errno));
	}
	if (err < 0) {
		fence_kernel_close(k, k->adopted || err == -EEXIST);
		return err;
	}
	*ret = k;
	return 0;
}

/*
 * A pinned cgroup link is given the new program in place; others are made anew beside the old one,
 * which then goes.
 */
static int attach_program(struct fence_kernel *k, struct bpf_program *prog, struct fence_diag *d)
{
	const char *name = bpf_program__name(prog);
	enum bpf_prog_type type = bpf_program__type(prog);
	int is_cgroup = type != BPF_PROG_TYPE_TRACING && type != BPF_PROG_TYPE_LSM, err = 0;
	struct bpf_link *link = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/link_%s", k->pin_dir, name);
	if (is_cgroup && !access(path, F_OK)) {
		link = bpf_link__open(path);
		err = link ? bpf_link__update_program(link, prog) : -errno;
		if (!err)
			goto keep;
		bpf_link__disconnect(link);
		bpf_link__destroy(link);
		err = err == -ENOLINK ? 0 : err; /* somebody detached it: anew */
	}
	if (err) {
		return fence_diag_set(
			d, err, NULL,
			"%s is pinned but cannot be updated: %s; `crmfence run --unpin` first",
			name, strerror(-err));
	}
	link = is_cgroup ? bpf_program__attach_cgroup(prog, k->cgroup_fd)
			 : bpf_program__attach(prog);
	if (!link)
		return fence_diag_set(d, -errno, NULL, "%s cannot be attached: %s; %.200s", name,
				      strerror(errno), last_warning);
	if (!access(path, F_OK))
		unlink(path);
	err = bpf_link__pin(link, path);
	if (err) {
		bpf_link__destroy(link);
		return fence_diag_set(d, err, NULL, "%s cannot be pinned: %s", name,
				      strerror(-err));
	}
keep:
	k->programs[k->nlinks] = prog;
	k->pins[k->nlinks] = fence_inode_of(path);
	k->links[k->nlinks++] = link;
	return 0;
}

static int attach_sensor(struct fence_kernel *k, size_t i, struct fence_diag *d)
{
	struct bpf_program *prog;
	int err;

	bpf_object__for_each_program(prog, k->objects[i])
	{
		/* those that are run when they are asked */
		if (bpf_program__type(prog) == BPF_PROG_TYPE_SYSCALL ||
		    (bpf_program__type(prog) == BPF_PROG_TYPE_TRACING &&
		     bpf_program__expected_attach_type(prog) == BPF_TRACE_ITER))
			continue;
		if (k->nlinks >= FENCE_LINKS_MAX)
			return -E2BIG;
		err = attach_program(k, prog, d);
		if (err < 0)
			return err;
	}
	return 0;
}

/*
 * A program may attach and never be called: make a call that only this tier's refuse, those of an
 * earlier agent too, but not the other tier's.
 */
static int tier_works(struct fence_kernel *k, enum fence_tier tier)
{
	struct fence_pulse p;
	uint32_t zero = 0;
	int fd, err;

	if (fence_kernel_get(k, FENCE_MAP_PULSE, &zero, &p))
		return 0;
	p.probe = (uint32_t)getpid();
	fence_kernel_put(k, FENCE_MAP_PULSE, &zero, &p);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, FENCE_PROBE_PROTOCOL + (int)tier);
	err = errno;
	if (fd >= 0)
		close(fd);
	p.probe = 0;
	fence_kernel_put(k, FENCE_MAP_PULSE, &zero, &p);
	return fd < 0 && err == EPERM;
}

/* Take back what sensor `i` attached since there were `first` links. */
static void drop_sensor(struct fence_kernel *k, size_t i, size_t first)
{
	char path[256];

	while (k->nlinks > first) {
		k->nlinks--;
		snprintf(path, sizeof(path), "%s/link_%s", k->pin_dir,
			 bpf_program__name(k->programs[k->nlinks]));
		unlink(path);
		bpf_link__destroy(k->links[k->nlinks]);
	}
	bpf_object__close(k->objects[i]);
	k->objects[i] = NULL;
}

/*
 * What this kernel may not have: a sensor that does not load is not there; the best tier that
 * works.
 */
static int attach_optional(struct fence_kernel *k, size_t i, struct fence_diag *d)
{
	size_t first = k->nlinks;
	int err;

	if (k->tier != FENCE_TIER_B)
		return 0;
	err = load_sensor(k, i, d);
	if (err < 0 || !k->objects[i])
		return err;
	err = attach_sensor(k, i, d);
	if (sensors[i].tier == FENCE_TIER_B)
		return err;
	if (err < 0 || !tier_works(k, sensors[i].tier))
		drop_sensor(k, i, first);
	else
		k->tier = sensors[i].tier;
	return 0;
}

enum fence_tier fence_kernel_tier(const struct fence_kernel *k)
{
	return k->tier;
}

const char *fence_tier_name(enum fence_tier tier)
{
	return tier == FENCE_TIER_A1 ? "A1" : tier == FENCE_TIER_A2 ? "A2" : "B";
}

/*
 * Loading needed the kernel's types, ten megabytes of them, and the objects' bytes, which are pages
 * of our own file: both go back.
 */
static void memory_back(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from, to;
	size_t i, size;

	malloc_trim(0);
	for (i = 0; i < SENSORS; i++) {
		from = ((uintptr_t)sensors[i].elf(&size) + page - 1) & ~(page - 1);
		to = ((uintptr_t)sensors[i].elf(&size) + size) & ~(page - 1);
		if (to > from)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
}

int fence_kernel_attach(struct fence_kernel *k, struct fence_diag *d)
{
	size_t i;
	int err = 0;

	for (i = 0; err >= 0 && i < SENSORS; i++) /* mandatory ones come first */
		err = sensors[i].optional ? attach_optional(k, i, d) : attach_sensor(k, i, d);
	memory_back();
	if (err >= 0 && fence_kernel_own(k))
		err = fence_diag_set(d, -EIO, NULL, "the map `own` cannot be written: %s",
				     strerror(errno));
	return err < 0 ? err : 0;
}

void fence_kernel_close(struct fence_kernel *k, int keep)
{
	size_t i;

	if (!k)
		return;
	if (!keep)
		fence_kernel_unpin(k->pin_dir);
	ring_buffer__free(k->ring);
	for (i = 0; i < k->nlinks; i++) {
		if (keep)
			bpf_link__disconnect(k->links[i]);
		bpf_link__destroy(k->links[i]);
	}
	for (i = 0; i < SENSORS; i++)
		bpf_object__close(k->objects[i]);
	if (k->cgroup_fd >= 0)
		close(k->cgroup_fd);
	free(k);
}

int fence_kernel_put(struct fence_kernel *k, enum fence_map map, const void *key, const void *value)
{
	return bpf_map_update_elem(k->maps[map], key, value, BPF_ANY);
}

int fence_kernel_get(struct fence_kernel *k, enum fence_map map, const void *key, void *value)
{
	return bpf_map_lookup_elem(k->maps[map], key, value);
}

int fence_kernel_del(struct fence_kernel *k, enum fence_map map, const void *key)
{
	return bpf_map_delete_elem(k->maps[map], key);
}

int fence_kernel_next(struct fence_kernel *k, enum fence_map map, const void *key, void *next)
{
	return bpf_map_get_next_key(k->maps[map], key, next);
}

int fence_kernel_clear(struct fence_kernel *k, enum fence_map map)
{
	char key[sizeof(struct fence_name_key)];
	int err;

	if (k->key_size[map] > sizeof(key))
		return -EINVAL;
	while (!bpf_map_get_next_key(k->maps[map], NULL, key)) {
		err = bpf_map_delete_elem(k->maps[map], key);
		if (err)
			return err;
	}
	return 0;
}

void fence_kernel_counters(struct fence_kernel *k, uint64_t out[FENCE_C_MAX])
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	AUTO_FREE uint64_t *each = calloc((size_t)(cpus > 0 ? cpus : 1), sizeof(*each));
	uint32_t i;

	for (i = 0; i < FENCE_C_MAX; i++) {
		out[i] = 0;
		if (!each || bpf_map_lookup_elem(k->maps[FENCE_MAP_COUNTERS], &i, each))
			continue;
		for (cpu = 0; cpu < cpus; cpu++)
			out[i] += each[cpu];
	}
}

int fence_kernel_ring_fd(const struct fence_kernel *k)
{
	return ring_buffer__epoll_fd(k->ring);
}

int fence_kernel_drain(struct fence_kernel *k, void (*each)(void *ctx, const struct fence_rec *r),
		       void *ctx, uint64_t *bad)
{
	k->each = each;
	k->ctx = ctx;
	k->bad = bad;
	int n;

	k->budget = DRAIN_MOST;
	n = drain_ordinary(k);
	if (n >= 0 || n == -EAGAIN)
		n = ring__consume(ring_buffer__ring(k->ring, 1));
	return n == -EAGAIN || !k->budget ? 1 : n < 0 ? n : 0;
}
