// SPDX-License-Identifier: Apache-2.0
#include "agent/callers.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

static void caller_end(struct callers *c, unsigned int i)
{
	fence_control_end(&c->at[i]); /* which takes it out of the loop's set too */
	memmove(&c->at[i], &c->at[i + 1], (--c->n - i) * sizeof(c->at[0]));
}

static unsigned int caller_count(const struct callers *c, uid_t uid)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->n; i++)
		n += c->at[i].uid == uid;
	return n;
}

/* Whose place a new one of `uid` takes; c->n: it has one. */
static unsigned int caller_victim(const struct callers *c, uid_t uid)
{
	unsigned int i, n, most = 0, victim = c->n;
	int own = caller_count(c, uid) >= CALLERS_SHARE;

	if (!own && c->n < CALLERS)
		return c->n;
	for (i = 0; i < c->n; i++) {
		if (own && c->at[i].uid == uid)
			return i;
		n = c->at[i].uid ? caller_count(c, c->at[i].uid) : 0;
		if (!own && (victim == c->n || n > most)) {
			most = n;
			victim = i;
		}
	}
	return victim;
}

static void caller_dismiss(struct callers *c, unsigned int i)
{
	static const char why[] = "too many callers of one user wait at the agent without asking; "
				  "nothing was done: try again";

	if (c->answer(c->ctx, &c->at[i]) == -EAGAIN)
		fence_control_reply(c->at[i].fd, -EBUSY, why, sizeof(why) - 1);
	caller_end(c, i);
}

void callers_accept(struct callers *c, int listener)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct fence_caller fresh;
	unsigned int i;

	if (fence_control_accept(listener, &fresh))
		return;
	i = caller_victim(c, fresh.uid);
	if (i < c->n)
		caller_dismiss(c, i);
	c->at[c->n++] = fresh;
	e.data.fd = fresh.fd;
	if (c->answer(c->ctx, &fresh) != -EAGAIN || epoll_ctl(c->ep, EPOLL_CTL_ADD, fresh.fd, &e))
		caller_end(c, c->n - 1);
}

void callers_ready(struct callers *c, int fd)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (c->at[i].fd == fd && c->answer(c->ctx, &c->at[i]) != -EAGAIN) {
			caller_end(c, i);
			return;
		}
}

void callers_done(struct callers *c)
{
	while (c->n)
		caller_end(c, 0);
}
