// SPDX-License-Identifier: Apache-2.0
/*
 * logcut FILE SEED: rows through the process that writes the agent's log, without pause, some of
 * them to be on the disk at once. Prints "pids KEEPER", then the number of each row that is told to
 * be on the disk. Until it is killed, or its input ends: then it ends as an agent does.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/writer.h"

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct writer *w = NULL;
	struct writer_state st;
	char body[700];
	int64_t safe = 0;
	int i, n, err = 0, count = 0;

	if (argc != 3 || writer_start(argv[1], &w) < 0) {
		fprintf(stderr, "usage: logcut FILE SEED\n");
		return 2;
	}
	srandom((unsigned int)atoi(argv[2]));
	for (;;) {
		n = 1 + (int)(random() % 20);
		for (i = 0; i < n; i++) {
			size_t len = 40 + (size_t)(random() % 600);

			memset(body, 'x', len);
			body[sprintf(body, "{\"n\":%d,\"x\":\"", count)] = 'x';
			memcpy(body + len - 2, "\"}", 2);
			count += writer_put(w, "flow", body, len) >= 0; /* else it is full */
		}
		writer_wake(w, random() % 3 == 0);
		writer_look(w, &st);
		if (st.err && st.err != err)
			fprintf(stderr, "logcut: %s\n", st.why);
		err = st.err;
		if (st.safe > safe) {
			safe = st.safe;
			printf("%lld\n", (long long)safe);
			fflush(stdout);
		}
		if (poll(&in, 1, (int)(random() % 2)) > 0)
			break;
	}
	return writer_end(w, 5000, 1) ? 1 : 0;
}
