// SPDX-License-Identifier: Apache-2.0
/*
 * What the verifier walked for each of our programs that are loaded now: "PROGRAM INSTRUCTIONS",
 * one a line. The kernel counts them (bpf_prog_info.verified_insns, since 5.16); they are load
 * time, and they have a limit of a million.
 *
 * usage: insns PREFIX...: programs whose name begins with one of these
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int wanted(const char *name, int n, char **prefixes)
{
	while (n--)
		if (!strncmp(name, prefixes[n], strlen(prefixes[n])))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_prog_info info;
	__u32 id = 0, len;
	int fd;

	while (!bpf_prog_get_next_id(id, &id)) {
		fd = bpf_prog_get_fd_by_id(id);
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) &&
		    wanted(info.name, argc - 1, argv + 1))
			printf("%s %u\n", info.name, info.verified_insns);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}
