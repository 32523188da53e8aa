// SPDX-License-Identifier: Apache-2.0
/*
 * What an executable is: what stands at its path, by which names it may be started, and what would
 * be too much to be a tool. As root in mounts of its own, with a /usr/local/bin of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/exe.h"
#include "base/path.h"

#define BIN "/usr/local/bin"

static char dir[] = "/tmp/crmfence-unit-XXXXXX";

/* A file below the directory; its path lives until the next four are made. */
static const char *put(const char *leaf, const char *text, size_t len, mode_t mode)
{
	static char paths[4][100];
	static int next;
	char *path = paths[next++ & 3];
	FILE *f;

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, leaf);
	unlink(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		mode_t mode;
		enum fence_exe_kind kind;
		const char *interpreter;
	} files[] = {
		{ "\177ELF", 4, 0755, FENCE_EXE_PROGRAM, NULL },
		{ "\177ELF and more", 13, 0700, FENCE_EXE_PROGRAM, NULL },
		{ "\177ELF", 4, 0010, FENCE_EXE_PROGRAM, NULL },
		{ "\177ELF", 4, 0644, FENCE_EXE_OTHER, NULL },
		{ "\177EL", 3, 0755, FENCE_EXE_OTHER, NULL },
		{ "\177ELG", 4, 0755, FENCE_EXE_OTHER, NULL },
		{ "", 0, 0755, FENCE_EXE_OTHER, NULL },
		{ "#!", 2, 0755, FENCE_EXE_OTHER, NULL },
		{ "#!/", 3, 0755, FENCE_EXE_SCRIPT, "/" },
		{ "#!/bin/sh\n", 10, 0755, FENCE_EXE_SCRIPT, "/bin/sh" },
		{ "#!/bin/sh", 9, 0755, FENCE_EXE_SCRIPT, "/bin/sh" },
		{ "#! \t/bin/sh -e\n/x", 17, 0755, FENCE_EXE_SCRIPT, "/bin/sh" },
		{ "#!/bin/sh\t-e\n", 13, 0755, FENCE_EXE_SCRIPT, "/bin/sh" },
		{ "#!/bin/sh\n", 10, 0644, FENCE_EXE_OTHER, NULL },
		{ "#!bin/sh\n", 9, 0755, FENCE_EXE_OTHER, NULL },
		{ "#/bin/sh\n", 9, 0755, FENCE_EXE_OTHER, NULL },
		{ "!!/bin/sh\n", 10, 0755, FENCE_EXE_OTHER, NULL },
		{ "#!/nobody/has/this\n", 19, 0755, FENCE_EXE_SCRIPT, "" },
	};
	char real[PATH_MAX];
	struct fence_exe e;
	struct stat st;
	const char *path;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		path = put("f", files[i].text, files[i].len, files[i].mode);
		memset(&e, 0xee, sizeof(e));
		fence_exe_look(path, &e);
		assert_int_equal(stat(path, &st), 0);
		real[0] = 0;
		if (files[i].interpreter && files[i].interpreter[0])
			assert_non_null(realpath(files[i].interpreter, real));
		if (e.err || e.kind != files[i].kind || strcmp(e.real, path) ||
		    strcmp(e.interpreter, real) || e.ino != st.st_ino || e.dev != st.st_dev ||
		    e.foreign || e.broad[0] || !e.kernel_dev ||
		    e.mtime != (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec ||
		    e.ctime != (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec)
			fail_msg("%s: error %d, kind %d, by %s", files[i].text, e.err, e.kind,
				 e.interpreter);
	}
}

/* An interpreter's name as long as what is read of a file, and longer than is kept. */
static void test_long(void **state)
{
	char text[700] = "#!/", path[100];
	struct fence_exe e;
	int i;

	(void)state;
	memset(text + 3, 'x', sizeof(text) - 3);
	fence_exe_look(put("f", text, sizeof(text), 0755), &e);
	assert_int_equal(e.kind, FENCE_EXE_SCRIPT);
	assert_string_equal(e.interpreter, "");
	memset(text + 2, '/', 600); /* 254 slashes are read, and lead to a directory */
	fence_exe_look(put("f", text, sizeof(text), 0755), &e);
	assert_int_equal(e.kind, FENCE_EXE_SCRIPT);
	assert_string_equal(e.interpreter, "/");
	/* where it is may have 511 bytes */
	assert_int_equal(chdir(dir), 0);
	for (i = (int)strlen(dir); i + 101 + 12 < FENCE_PATH_MAX; i += 101) {
		memset(path, 'd', sizeof(path));
		path[99] = 0;
		memcpy(path, "d", 1);
		assert_int_equal(mkdir(path, 0755), 0);
		assert_int_equal(chdir(path), 0);
		i--; /* 99 and a slash */
	}
	assert_non_null(getcwd(text, sizeof(text)));
	i = FENCE_PATH_MAX - 2 - (int)strlen(text); /* of the name: 511 in all */
	memset(path, 'f', sizeof(path));
	assert_true(i > 0 && i < (int)sizeof(path) - 2);
	path[i] = 0;
	close(open(path, O_CREAT | O_WRONLY, 0755));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "/%s", path);
	fence_exe_look(text, &e);
	assert_int_equal(e.err, 0);
	assert_string_equal(e.real, text);
	strcat(text, "f");
	path[i] = 'f';
	path[i + 1] = 0;
	close(open(path, O_CREAT | O_WRONLY, 0755));
	fence_exe_look(text, &e);
	assert_int_equal(e.err, ENAMETOOLONG);
	assert_int_equal(e.kind, FENCE_EXE_MISSING);
	assert_string_equal(e.real, "");
	assert_int_equal(chdir("/"), 0);
}

static void test_places(void **state)
{
	const char *path = put("f", "\177ELF", 4, 0755), *link;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct fence_exe e;
	char name[100];

	(void)state;
	fence_exe_look("/nobody/has/this", &e);
	assert_int_equal(e.err, ENOENT);
	assert_int_equal(e.kind, FENCE_EXE_MISSING);
	fence_exe_look(dir, &e); /* a directory, though everybody may "execute" it */
	assert_int_equal(e.err, 0);
	assert_int_equal(e.kind, FENCE_EXE_OTHER);
	assert_true(e.ino && !e.unique && !e.kernel_dev);
	snprintf(name, sizeof(name), "%s/fifo", dir);
	assert_int_equal(mkfifo(name, 0755), 0);
	fence_exe_look(name, &e); /* nobody writes: it is not waited for */
	assert_int_equal(e.kind, FENCE_EXE_OTHER);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	fence_exe_look(a.sun_path, &e); /* it is there, and nobody can open it */
	assert_int_equal(e.err, 0);
	assert_int_equal(e.kind, FENCE_EXE_OTHER);
	link = put("l", "", 0, 0755);
	unlink(link);
	assert_int_equal(symlink(path, link), 0);
	fence_exe_look(link, &e);
	assert_string_equal(e.real, path);
	assert_int_equal(e.kind, FENCE_EXE_PROGRAM);
	assert_int_equal(e.foreign, 0);
	if (geteuid())
		skip();
	assert_string_equal(e.others, "");
	assert_int_equal(lchown(link, 65534, 65534), 0); /* somebody's link to root's file */
	fence_exe_look(link, &e);
	assert_int_equal(e.foreign, 1);
	assert_int_equal(e.kind, FENCE_EXE_PROGRAM);
	assert_true(e.others[0]);
	assert_int_equal(chown(path, 65534, 65534), 0); /* and to his own */
	fence_exe_look(link, &e);
	assert_int_equal(e.foreign, 0);
	assert_true(e.others[0]);
}

static void test_same(void **state)
{
	struct fence_exe a = { .kind = 1,
			       .real = "/a",
			       .others = "/b",
			       .interpreter = "/c",
			       .broad = "d",
			       .names = "/e\0/f" },
			 b;
	int i;

	(void)state;
	for (i = 0; i < 15; i++) {
		b = a;
		assert_true(fence_exe_same(&a, &b));
		b.kind += i == 0;
		b.err += i == 1;
		b.foreign += i == 2;
		b.ino += i == 3;
		b.dev += i == 4;
		b.kernel_dev += i == 5;
		b.ctime += i == 6;
		b.real[1] ^= i == 7;
		b.others[1] ^= i == 8;
		b.interpreter[1] ^= i == 9;
		b.unique += i == 10;
		b.broad[0] ^= i == 11;
		b.names[4] ^= i == 12; /* the second */
		b.names[sizeof(b.names) - 1] ^= i == 13;
		assert_int_equal(fence_exe_same(&a, &b), i == 14);
	}
}

static void names(const struct fence_exe *e, const char *want)
{
	const char *name = NULL;
	char all[3000] = "";

	while ((name = fence_exe_name(e, name)))
		strcat(strcat(all, name), "\n");
	assert_string_equal(all, want);
}

/* What stands for it among the programs, and what of that is everybody's. */
static void test_names(void **state)
{
	const char *path, *other;
	char link[64], full[200];
	struct fence_exe e;
	int i;

	(void)state;
	if (geteuid())
		skip();
	path = put("s", "#!/bin/sh\n", 10, 0755);
	other = put("o", "#!/bin/sh\n", 10, 0755);
	fence_exe_look(path, &e);
	names(&e, "");
	assert_int_equal(symlink(path, BIN "/.hidden"), 0);
	assert_int_equal(symlink("/tmp", BIN "/directory"), 0);
	assert_int_equal(symlink("/nobody", BIN "/nothing"), 0);
	assert_int_equal(symlink(other, BIN "/other"), 0);
	fence_exe_look(path, &e);
	names(&e, "");
	assert_int_equal(symlink(path, BIN "/one"), 0);
	fence_exe_look(path, &e);
	names(&e, BIN "/one\n");
	assert_string_equal(e.broad, "");
	fence_exe_look(BIN "/one", &e);
	names(&e, BIN "/one\n");
	assert_string_equal(e.real, path);
	assert_int_equal(chmod(path, 0644), 0); /* nothing that anybody starts */
	fence_exe_look(path, &e);
	names(&e, "");
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(symlink(path, BIN "/bash"),
			 0); /* by its own name it is not, by another's */
	fence_exe_look(BIN "/bash", &e);
	assert_string_equal(e.broad, "");
	fence_exe_look(path, &e);
	assert_non_null(strstr(e.broad, "a shell"));
	unlink(BIN "/bash");
	assert_int_equal(symlink("/usr/bin/env", BIN "/mine"), 0);
	fence_exe_look(BIN "/mine", &e);
	assert_non_null(strstr(e.broad, "an interpreter"));
	unlink(BIN "/mine");
	for (i = 0; i < 12; i++) { /* as many as there is room for: 19 bytes, and 12 times 169 */
		snprintf(full, sizeof(full), BIN "/%0153d", i);
		assert_int_equal(symlink(path, full), 0);
	}
	fence_exe_look(path, &e);
	for (i = 0, other = NULL; (other = fence_exe_name(&e, other)); i++)
		;
	assert_int_equal(i, 13);
	for (i = 0; i < 200; i++) { /* more than there is room for: the first ones, whole */
		snprintf(link, sizeof(link), BIN "/a-name-that-is-long-%d", i);
		assert_int_equal(symlink(path, link), 0);
	}
	fence_exe_look(path, &e);
	assert_int_equal(e.names[sizeof(e.names) - 1], 0);
	assert_int_equal(e.names[sizeof(e.names) - 2], 0);
	for (i = 0, other = NULL; (other = fence_exe_name(&e, other)); i++)
		assert_int_equal(access(other, X_OK), 0);
	assert_true(i > 10);
}

/* The number changes with what is in the directories, and not else. */
static void test_dirs(void **state)
{
	struct timespec times[2] = { { 1000, 5 }, { 1000, 5 } };
	uint64_t was;

	(void)state;
	if (geteuid())
		skip();
	was = fence_exe_dirs();
	assert_true(was == fence_exe_dirs() && was);
	assert_int_equal(utimensat(AT_FDCWD, BIN, times, 0), 0);
	assert_true(fence_exe_dirs() != was);
	was = fence_exe_dirs();
	times[1].tv_nsec++;
	assert_int_equal(utimensat(AT_FDCWD, BIN, times, 0), 0);
	assert_true(fence_exe_dirs() != was);
	was = fence_exe_dirs();
	times[1].tv_sec++;
	times[1].tv_nsec -= 1; /* a second later, and a fraction less */
	assert_int_equal(utimensat(AT_FDCWD, BIN, times, 0), 0);
	assert_true(fence_exe_dirs() != was);
}

static const struct {
	const char *path;
	char is; /* system, shell, interpreter, 0: none */
} broad_paths[] = {
	{ "/usr/lib/systemd/systemd", 's' },
	{ "/lib/systemd/systemd-logind", 's' },
	{ "/usr/sbin/sshd", 's' },
	{ "/usr/libexec/gnome-session-x", 's' },
	{ "/bin/busybox", 'h' },
	{ "/usr/local/bin/zsh", 'h' },
	{ "/usr/bin/ksh93", 'h' },
	{ "/usr/bin/python3", 'i' },
	{ "/usr/bin/gjs", 'i' },
	{ "/usr/bin/env", 'i' },
	{ "/usr/lib/jvm/java-17/bin/java", 'i' },
	{ "/usr/lib/jvmx/java", 0 },
	{ "/usr/bin/pythonx", 0 },
	{ "/usr/bin/assistant", 0 },
	{ "/usr/bin/x/bash", 0 },
	{ "/usr/bi/bash", 0 },
	{ "/usr/binx/bash", 0 },
	{ "/opt/bin/bash", 0 },
	{ "/home/x/bin/env", 0 },
	{ "bash", 0 },
	{ "/bash", 0 },
	{ "/sbin/init", 's' },
};
static const struct {
	const char *path;
	int is;
} browser_paths[] = {
	{ "/usr/bin/firefox", 1 },
	{ "/usr/lib/firefox/firefox-bin", 1 },
	{ "/opt/google/chrome/chrome", 1 },
	{ "/snap/bin/chromium", 1 },
	{ "/bin/x-www-browser", 1 },
	{ "/var/lib/flatpak/exports/opera", 1 },
	{ "/opt/vivaldi/vivaldi-bin", 1 },
	{ "/usr/bin/firewall", 0 },
	{ "/opt/other/chrome", 0 },
	{ "/home/x/firefox", 0 },
	{ "/usr/firefox/x", 0 },
};
static const struct {
	const char *unit;
	const char *is;
} broad_units[] = {
	{ "user.slice", "everything" },
	{ "/user.slice", "everything" },
	{ "/a/b/init.scope", "everything" },
	{ "user-1000.slice", "everything" },
	{ "a.service", NULL },
	{ "/user.slice/a.service", NULL },
	{ "aaaa.service", NULL },
	{ "a*.service", "in common" },
	{ "*", "in common" },
	{ "snap.*", "in common" },
	{ "app-flatpak-*.scope", "in common" },
	{ "app-flatpak-b*.scope", NULL },
	{ "snap.b.*", NULL },
	{ "/x/aaaa*", "in common" },
};

static void test_broad(void **state)
{
	const char *say;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(broad_paths) / sizeof(broad_paths[0]); i++) {
		say = fence_exe_broad(broad_paths[i].path);
		if (!say != !broad_paths[i].is ||
		    (say && !strstr(say, broad_paths[i].is == 's'   ? "system itself"
					 : broad_paths[i].is == 'h' ? "a shell"
								    : "an interpreter")))
			fail_msg("%s: %s", broad_paths[i].path, say ? say : "is none");
	}
	for (i = 0; i < sizeof(browser_paths) / sizeof(browser_paths[0]); i++)
		if (!fence_exe_browser(browser_paths[i].path) != !browser_paths[i].is)
			fail_msg("%s: a browser?", browser_paths[i].path);
	for (i = 0; i < sizeof(broad_units) / sizeof(broad_units[0]); i++) {
		say = fence_unit_broad(broad_units[i].unit);
		if (!say != !broad_units[i].is || (say && !strstr(say, broad_units[i].is)))
			fail_msg("%s: %s", broad_units[i].unit, say ? say : "is none");
	}
}

/* Whose a mount is, whatever name its source was given. */
static void test_mounts(void **state)
{
	static const struct {
		const char *line;
		int is;
		uint32_t user;
	} lines[] = {
		{ "30 1 8:1 / / rw - ext4 /dev/sda1 rw", 0, ~0u },
		{ "30 1 0:9 / /n rw shared:1 - nfs4 h:/x rw", 0, ~0u },
		{ "30 1 0:9 / /f rw - fuse.sshfs h: rw,user_id=0,group_id=0", 0, 0 },
		{ "30 1 0:9 / /f rw - fuse.x x rw,user_id=1000,group_id=0,allow_other", 1, 1000 },
		{ "30 1 0:9 / /f rw - fuse.x user_id=0 rw,user_id=1000,group_id=0", 1, 1000 },
		{ "30 1 0:9 / /f rw - fuse.x ,user_id=0 rw,user_id=1000,group_id=0", 1, 1000 },
		{ "30 1 0:9 / /f rw - fuse x rw,user_id=7", 1, 7 },
		{ "30 1 0:9 / /f rw - fuse x rw,xuser_id=0", 1, ~0u },
		{ "30 1 0:9 / /f rw - fuse x", 1, ~0u },
		{ "30 1 0:9 / /f rw - fuseblk /dev/x rw,user_id=0", 0, 0 },
		{ "30 1 0:9 / /f rw", 1, ~0u },
		{ "31 1 8:1 / / rw - ext4 /dev/sda1 rw", 1, ~0u },
		{ "", 1, ~0u },
	};
	char text[512];
	uint32_t user;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "29 1 0:5 / /a rw - fuse a rw,user_id=5\n%s\n%s",
			 lines[i].line, "32 1 0:8 / /z rw - tmpfs z rw,user_id=0\n");
		if (fence_mount_is_users(text, 30, &user) != lines[i].is || user != lines[i].user)
			fail_msg("%s: user %u", lines[i].line, user);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts), cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_long),   cmocka_unit_test(test_places),
		cmocka_unit_test(test_same),   cmocka_unit_test(test_names),
		cmocka_unit_test(test_dirs),   cmocka_unit_test(test_broad),
	};
	char command[64];
	int failed;

	if (!geteuid() &&
	    (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	     mount("tmpfs", BIN, "tmpfs", 0, NULL)))
		return 1;
	umask(022);
	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return failed | system(command);
}
