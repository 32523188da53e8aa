// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "store/internal.h"

#define BOOT 36 /* a UUID */
#define KIND 32

int chain_init(struct chain *c)
{
	c->md = EVP_MD_CTX_new();
	c->sha = EVP_MD_fetch(NULL, "SHA256", NULL);
	return c->md && c->sha ? 0 : -ENOMEM;
}

void chain_done(struct chain *c)
{
	EVP_MD_CTX_free(c->md);
	EVP_MD_free(c->sha);
	c->md = NULL;
	c->sha = NULL;
}

/* No newline, no NUL, nothing that could move a border between two members of what is hashed. */
static int is_well_formed(const struct fence_row *row, size_t len)
{
	size_t kind = strlen(row->kind);

	return row->seq > 0 && row->ts > 0 && strlen(row->boot) == BOOT &&
	       strspn(row->boot, "0123456789abcdef-") == BOOT && kind && kind < KIND &&
	       strspn(row->kind, "abcdefghijklmnopqrstuvwxyz-") == kind && len >= 2 &&
	       row->body[0] == '{' && row->body[len - 1] == '}';
}

int chain_next(struct chain *c, const uint8_t prev[HASH], const struct fence_row *row, size_t len,
	       uint8_t out[HASH])
{
	char head[2 * FENCE_DIGITS + BOOT + KIND + 4];
	size_t kind = strlen(row->kind), n;

	if (!is_well_formed(row, len))
		return -EBADMSG;
	n = fence_digits(head, row->seq);
	head[n++] = '\n';
	memcpy(head + n, row->boot, BOOT);
	n += BOOT;
	head[n++] = '\n';
	n += fence_digits(head + n, row->ts);
	head[n++] = '\n';
	memcpy(head + n, row->kind, kind);
	n += kind;
	head[n++] = '\n';
	return EVP_DigestInit_ex(c->md, c->sha, NULL) && EVP_DigestUpdate(c->md, prev, HASH) &&
			       EVP_DigestUpdate(c->md, head, n) &&
			       EVP_DigestUpdate(c->md, row->body, len) &&
			       EVP_DigestFinal_ex(c->md, out, NULL)
		       ? 0
		       : -EIO;
}
