// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>

int fence_diag_set(struct fence_diag *d, int err, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (!d)
		return err;
	snprintf(d->path, sizeof(d->path), "%s", path ? path : "");
	va_start(ap, fmt);
	vsnprintf(d->text, sizeof(d->text), fmt, ap);
	va_end(ap);
	return err;
}

const char *fence_diag_line(const struct fence_diag *d, char *out, unsigned long size)
{
	snprintf(out, size, "%s%s%s%s%s", d->file, d->file[0] ? ": " : "", d->path,
		 d->path[0] ? ": " : "", d->text);
	return out;
}
